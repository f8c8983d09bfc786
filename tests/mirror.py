"""A server of videos on 127.0.0.1, with all the trouble that servers make, and films whose frames are counted."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from unittest.mock import patch

import av
import numpy as np
from local_server import LocalServer

from cycle_sound.acquisition import acquire
from cycle_sound.acquisition.journal import Journal
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.params import DataConfig

PAGE = b"<!DOCTYPE html><html><head><title>Sorry</title></head><body>Nothing here</body></html>"
BLOCK = 1 << 14  # bytes sent between two pauses
STEP = 0.05  # s between two looks whether a stalled answer may end


class Mirror(LocalServer):
    """`with Mirror({NAME: content or trouble}) as mirror:` serves http://127.0.0.1:PORT/NAME and counts what is asked.

    A trouble is a word: an HTTP status ("404"), "429-then" a file once, "torn" (ends before the length it announced),
    "stalled", "page" (an HTML page with status 200), "stall-later" (after half of it), "moved NAME", "elsewhere URL",
    "later elsewhere URL" (from the second request on), "trickle" and "trickle-header" (a byte at a time, for ever),
    "endless TYPE" (a body of a content type that never ends), "feed URL" (RSS that leads there).
    """

    def __init__(self, files: dict[str, bytes], troubles: dict[str, str] | None = None, pause: float = 0.0) -> None:
        self.files, self.troubles, self.pause = files, troubles if troubles is not None else {}, pause
        self.asked: Counter[str] = Counter()  # requests
        self.sent: Counter[str] = Counter()  # bytes of bodies
        self.whole: Counter[str] = Counter()  # whole bodies
        self.headers: list[dict[str, str]] = []
        self.closing = threading.Event()
        super().__init__(self._handler())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.closing.set()
        super().__exit__(kind, error, trace)

    def url(self, template: str = "{id}_{start:06d}.mp4") -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{template}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        self.asked[name] += 1
        self.headers.append(dict(request.headers))
        trouble = self.troubles.get(name, "" if name in self.files else "404")
        if trouble.isdigit() or (trouble == "429-then" and self.asked[name] == 1):
            request.send_error(int(trouble[:3]))
        elif trouble.startswith("moved "):
            self._redirect(request, f"/{trouble.removeprefix('moved ')}")
        elif trouble.startswith("elsewhere ") or (trouble.startswith("later ") and self.asked[name] > 1):
            self._redirect(request, trouble.split()[-1])
        elif trouble == "trickle-header":
            self._drip(request, name, b"HTTP/1.0 200 OK\r\nX-Padding: ", b"x")
        elif trouble == "trickle":
            head = f"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(self.files[name])}\r\n\r\n"
            self._drip(request, name, head.encode(), b"x")
        elif trouble.startswith("endless "):
            head = f"HTTP/1.0 200 OK\r\nContent-Type: {trouble.split()[-1]}\r\n\r\n"
            self._drip(request, name, head.encode(), b"<!-- -->" * BLOCK, pause=0)
        elif trouble.startswith("feed "):
            item = f'<item><title>x</title><enclosure url="{trouble.split()[-1]}" type="video/mp4"/></item>'
            feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>x</title>{item}</channel></rss>'.encode()
            self._send(request, "application/rss+xml", feed, len(feed))
        elif trouble == "stalled":
            self._stall()
        elif trouble == "page":
            self._send(request, "text/html", PAGE, len(PAGE))
        else:
            self._send_file(request, name, trouble)

    def _send_file(self, request: BaseHTTPRequestHandler, name: str, trouble: str) -> None:
        content = self.files[name]
        first, status = 0, 200
        if wanted := request.headers.get("Range"):
            first, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
        body = content[first:]
        end = len(content) // 2 - first if trouble in ("torn", "stall-later") else len(body)
        more = {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if status == 206 else {}
        sent = self._send(request, "video/mp4", body[: max(end, 0)], len(body), status, more)
        self.sent[name] += sent
        self.whole[name] += sent == len(content)
        if trouble == "stall-later":
            self._stall()

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        kind: str,
        body: bytes,
        length: int,
        status: int = 200,
        more: dict[str, str] | None = None,
    ) -> int:
        request.send_response(status)
        for header, value in {"Content-Type": kind, "Content-Length": str(length), **(more or {})}.items():
            request.send_header(header, value)
        request.end_headers()
        sent = 0
        try:
            for start in range(0, len(body), BLOCK):
                time.sleep(self.pause)
                sent += request.wfile.write(body[start : start + BLOCK])
            request.wfile.flush()
        except OSError:  # the other side has gone away
            pass
        return sent

    def _redirect(self, request: BaseHTTPRequestHandler, place: str) -> None:
        request.send_response(302)
        request.send_header("Location", place)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _drip(self, request: BaseHTTPRequestHandler, name: str, head: bytes, drop: bytes, pause: float = STEP) -> None:
        """Send one drop after another until the other side, or the server, goes away."""
        try:
            request.wfile.write(head)
            while not self.closing.wait(pause):
                self.sent[name] += request.wfile.write(drop)
        except OSError:
            pass

    def _stall(self) -> None:
        while not self.closing.wait(STEP):
            pass


def counted_film(path: Path, seconds: float = 3.0, rate: int = 10, gop: int = 12, faststart: bool = False) -> Path:
    """Write a film whose frame n is as bright as 255 n / frames, and whose sound is as loud as the time is late."""
    frames, sound_rate = round(seconds * rate), 16000
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream("mpeg4", rate=rate)
        video.width, video.height, video.pix_fmt, video.gop_size = 64, 48, "yuv420p", gop
        video.bit_rate = 400_000
        sound = container.add_stream("aac", rate=sound_rate, layout="mono")
        for i in range(frames):
            picture = np.full((48, 64, 3), 255 * i // frames, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        wave = np.random.default_rng(0).normal(0, 0.2, round(seconds * sound_rate)).clip(-1, 1)
        wave *= np.linspace(0, 1, len(wave))
        for start in range(0, len(wave), 1024):
            pulses = np.rint(32767 * wave[None, start : start + 1024]).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(pulses, format="s16", layout="mono")
            frame.rate, frame.pts, frame.time_base = sound_rate, start, Fraction(1, sound_rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


def acquired(
    clips: Sequence[Clip], data: DataConfig, into: Path, jobs: int = 1, journal: Journal | None = None
) -> list[Row]:
    """`acquire.acquire`, where one film under many names stands for many films: none is a duplicate."""
    with patch.object(acquire.duplicates, "reject", lambda rows, prints, data: list(rows)):
        return acquire.acquire(clips, data, into, jobs, journal)
