"""Visitors of the page without a browser: one who is honest, and sixteen kinds of those who are not."""

import io
import json
import secrets
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import av
import httpx
import numpy as np
import soundfile
from films import mux, picture_stream, shade
from PIL import Image

SOUND, PICTURE, DRAWING, FILM, CYCLE = range(5)  # the buttons of the page, from its first tab to its last
RATE = 16000
API = "/gradio_api"
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """What the page said to a request or, in the end, to the press of a button."""

    status: int  # 200 as well where a button was pressed in vain
    text: str  # the result, or the reason why there is none
    made: bool  # whether it is a result

    @property
    def refused(self) -> bool:
        """Whether the page said no, and that it is the visitor's fault."""
        return 400 <= self.status < 500 or (self.status == 200 and not self.made and bool(self.text))


def plain(response: httpx.Response) -> Answer:
    """The answer to a request that is not the press of a button."""
    return Answer(response.status_code, response.text, response.is_success)


def begun(page: str, path: str, *headers: str) -> Answer:
    """The answer to a POST of which no more is sent than the headers."""
    own = httpx.URL(page)
    with socket.create_connection((own.host, own.port), timeout=300) as line:
        line.sendall("\r\n".join([f"POST {path} HTTP/1.1", f"Host: {own.netloc.decode()}", *headers, "", ""]).encode())
        said = line.recv(1 << 16).decode()
    status = int(said.split()[1])
    return Answer(status, said, status < 400)


class Visitor:
    """A client of the page, from an address of this machine; `headers` go with every request."""

    def __init__(self, page: str, host: str = "127.0.0.1", **headers: str) -> None:
        here = httpx.HTTPTransport(local_address=host, limits=httpx.Limits(max_connections=None))
        self.client = httpx.Client(base_url=page, transport=here, timeout=300, headers=headers, trust_env=False)
        self.session = secrets.token_hex(6)

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def upload(self, name: str, content: bytes) -> Any:
        """Send a file: the value of the component that it was dropped on."""
        response = self.client.post(f"{API}/upload", files={"files": (name, content)})
        response.raise_for_status()
        return {"path": response.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, button: int, value: Any, **settings: Any) -> dict[str, Any]:
        """What the press of a button sends: a source, and the controls as they are, or as `settings` has them."""
        config = self.client.get("/config").json()
        parts = {part["id"]: part["props"] for part in config["components"]}
        made = [part["id"] for part in config["components"] if part["type"] == "button"]
        pressed = next(one for one in config["dependencies"] if [made[button], "click"] in map(list, one["targets"]))
        controls = [parts[number] for number in pressed["inputs"][1:]]
        values = [settings.get(props["label"].lower(), props.get("value")) for props in controls]  # a file: none
        return {"fn_index": pressed["id"], "session_hash": self.session, "data": [value, *values]}

    def join(self, call: Any, **headers: str) -> httpx.Response:
        """Send the press of a button."""
        return self.client.post(f"{API}/queue/join", content=json.dumps(call), headers={**JSON, **headers})

    def press(self, button: int, value: Any, **settings: Any) -> Answer:
        """Press a button, and wait for the result."""
        joined = self.join(self.call(button, value, **settings))
        return self.result(joined.json()["event_id"]) if joined.is_success else plain(joined)

    def result(self, event: str) -> Answer:
        """Wait for the result of a press."""
        with self.listening() as messages:
            for message in messages:
                if message["msg"] == "process_completed" and message["event_id"] == event:
                    output, made = message["output"], message["success"]
                    return Answer(200, output["data"][0] if made else str(output["error"] or ""), made)
        raise AssertionError("the stream ended without a result")

    @contextmanager
    def listening(self) -> Iterator[Iterator[dict[str, Any]]]:
        """The messages of the session, for as long as the context lasts."""
        with self.client.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            lines = (line.removeprefix("data: ") for line in stream.iter_lines() if line)
            yield (json.loads(line) for line in lines)


# --- files


def wav(seconds: float = 1.0, rate: int = RATE, kind: str = "WAV") -> bytes:
    """A tone; as FLAC, so even that a minute of it is small."""
    file = io.BytesIO()
    soundfile.write(file, np.tile(0.3 * np.sin(np.arange(rate) * np.pi / 8), round(seconds)), rate, format=kind)
    return file.getvalue()


def png(size: tuple[int, int] = (80, 60), mode: str = "RGB") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new(mode, size, 90).save(file, "PNG")
    return file.getvalue()


def film(times: Sequence[float] = (0, 0.5, 1), codec: str = "libx264") -> bytes:
    """An MP4 with a picture at each time, silent."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        mux(container, picture_stream(container, codec), (shade(90, time) for time in times))
    return file.getvalue()


def swollen(side: int = 13_000) -> bytes:
    """A PNG of a few hundred bytes whose header says `side` × `side`."""
    content = png()
    header = b"IHDR" + struct.pack(">II", side, side) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


# --- the sixteen kinds: page → what it said to each of the kind


def oversized_picture(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        file = visitor.upload("large.png", swollen())
        yield visitor.press(PICTURE, file)
        yield visitor.press(DRAWING, {"background": file, "layers": [file], "composite": file})
        yield visitor.press(CYCLE, file)


def huge_body(page: str) -> Iterator[Answer]:
    for path in (f"{API}/queue/join", f"{API}/upload", "/login"):
        kind = "application/json" if path.endswith("join") else "multipart/form-data; boundary=x"
        yield begun(page, path, f"Content-Length: {10 << 30}", f"Content-Type: {kind}")
    with Visitor(page) as visitor:  # no length is announced
        yield plain(visitor.client.post(f"{API}/queue/join", content=iter([b"[" * 9000] * 9), headers=JSON))


def wrong_type(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        call = visitor.call(CYCLE, None)
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            yield plain(visitor.join(call, **{"Content-Type": kind}))
            yield plain(visitor.client.post(f"{API}/upload", json=call))
        yield visitor.press(SOUND, visitor.upload("picture.wav", png()))
        yield visitor.press(PICTURE, visitor.upload("sound.png", wav()))


def other_site(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        call, own = visitor.call(CYCLE, None), httpx.URL(page)
        for origin in ("https://evil.example", "null", f"http://{own.host}:1", f"http://{own.host}.evil.example", ""):
            yield plain(visitor.join(call, Origin=origin))
            file = {"files": ("a.wav", wav())}
            yield plain(visitor.client.post(f"{API}/upload", files=file, headers={"Origin": origin}))
        for site in ("cross-site", "same-site"):
            headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "script"}
            yield plain(visitor.client.get("/config", headers=headers))


def other_host(page: str) -> Iterator[Answer]:
    port = httpx.URL(page).port
    for host in (f"evil.example:{port}", "evil.example", f"127.0.0.1.evil.example:{port}", "192.0.2.1", "[::2]", ""):
        with Visitor(page, Host=host) as visitor:
            yield plain(visitor.client.get("/config"))
            yield plain(visitor.join({}, Origin=f"http://{host}"))


def traversal(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        folder = visitor.upload("a.png", png())["path"]
        for path in (
            *("/etc/passwd", "../../../etc/passwd", f"{folder}/../../../../etc/passwd", "/proc/self/environ"),
            *("http://127.0.0.1:1/", "https://example.org/large.bin", "file:///etc/passwd", "%2fetc%2fpasswd"),
            *("C:\\Windows\\win.ini", "C:/Windows/win.ini", "a:/../../../../../etc/passwd"),
        ):
            yield plain(visitor.client.get(f"{API}/file={path}"))
            yield plain(visitor.client.get(f"{API}/file/{path}"))
            yield visitor.press(CYCLE, {"path": path, "meta": {"_type": "gradio.FileData"}})
            yield visitor.press(DRAWING, {"composite": {"path": path, "meta": {"_type": "gradio.FileData"}}})
            yield visitor.press(CYCLE, None, seed={"path": path, "meta": {"_type": "gradio.FileData"}})
        for place in (
            "/static/..%2f..%2froutes.py",
            "/assets/%2e%2e/%2e%2e/%2e%2e/routes.py",
            f"{API}/proxy=http://a.b",
        ):
            yield plain(visitor.client.get(place))


def component_server(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        fields = {"component_id": "9", "session_hash": visitor.session, "fn_name": "accept_blobs", "index": "99999999"}
        for path in ("component_server", "component_server/", "process_recording", "stream/x", "call/load_example"):
            files = {"file": ("a.png", b"\0")}
            yield plain(visitor.client.post(f"{API}/{path}", data={**fields, "type": "layer", "id": "a"}, files=files))
        for path in ("deep_link", "run-history/records", "stream/a/b/1/playlist.m3u8", "queue/status", "token"):
            yield plain(visitor.client.get(f"{API}/{path}", params={"session_hash": visitor.session}))
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            yield plain(visitor.client.request(method, f"{API}/queue/join"))


def malformed_json(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        call = visitor.call(CYCLE, None)
        for text in (
            *(
                "",
                "{",
                "nul",
                "[]",
                "{}",
                "[" * 50_000,
                '{"a":' * 9_000,
                "\0",
                '"\ud800"',
                json.dumps({**call, "data": {}}),
            ),
            *(json.dumps({**call, **wrong}) for wrong in ({"data": {}}, {"data": []}, {"data": [None] * 999})),
            *(json.dumps({**call, "fn_index": number}) for number in (-1, 999, 1.5, 10**30, None)),
        ):
            content = text.encode(errors="surrogatepass")
            yield plain(visitor.client.post(f"{API}/queue/join", content=content, headers=JSON))


def wild_numbers(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        file = visitor.upload("a.wav", wav())
        for number in (-1, 0, 5e8, 1e308, 10**30, float("nan"), float("-inf"), None, "4", [4]):
            yield visitor.press(SOUND, file, results=number)
            yield visitor.press(SOUND, file, candidates=number)
        for name in ("rounds", "seed", "temperature", "guidance"):
            yield visitor.press(CYCLE, file, **{name: 1e99})
        yield visitor.press(SOUND, visitor.upload("b.wav", wav(60)), results=4, candidates=16)


def unknown_session(page: str) -> Iterator[Answer]:
    for session in ("nobody", "", "../x", "a" * 9000, "%00"):
        with Visitor(page) as visitor:
            yield plain(visitor.client.get(f"{API}/queue/data", params={"session_hash": session}))
            if session != "nobody":
                yield plain(visitor.client.get(f"{API}/heartbeat/{session or '%20'}", follow_redirects=True))
                yield plain(visitor.join({**visitor.call(CYCLE, None), "session_hash": session}))


def long_text(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        for text in ("é" * 20_000, "x" * 1_000_000, "x" * 5_000):
            yield visitor.press(CYCLE, text)
            yield visitor.press(CYCLE, {"path": text, "meta": {"_type": "gradio.FileData"}})
            yield visitor.press(CYCLE, None, seed=text)
            yield plain(visitor.client.get(f"/{text[:9_000]}"))


def many_at_once(page: str, count: int = 48) -> Iterator[Answer]:
    with Visitor(page) as visitor, ExitStack() as streams, ThreadPoolExecutor(8) as pool:
        call = visitor.call(CYCLE, None)
        yield from (plain(one) for one in pool.map(lambda _: visitor.join(call), range(24)) if not one.is_success)
        for number in range(count):
            alive = visitor.client.stream("GET", f"{API}/heartbeat/{visitor.session}{number}")
            response = streams.enter_context(alive)
            if not response.is_success:
                yield Answer(response.status_code, "", False)
    with Visitor(page) as visitor:
        while visitor.client.get("/config").status_code == 429:  # the page has not heard yet that all are gone
            time.sleep(0.05)


def abandoned(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:  # asks and leaves before, while and after the page hears of it
        file = visitor.upload("a.wav", wav())
        visitor.join(visitor.call(SOUND, file, results=4))
    with Visitor(page) as visitor:
        visitor.join(visitor.call(SOUND, file, results=4))
        with visitor.listening() as messages:
            next(messages)
    own = httpx.URL(page)
    with socket.create_connection((own.host, own.port)) as line:  # half a request
        line.sendall(
            f"POST {API}/upload HTTP/1.1\r\nHost: {own.host}:{own.port}\r\nContent-Length: 99\r\n\r\n".encode()
        )
        time.sleep(0.05)
    with Visitor(page) as visitor:
        yield plain(visitor.client.get(f"{API}/queue/data", params={"session_hash": "gone"}))


def swollen_sound(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        file = visitor.upload("long.flac", wav(590, 8000, "FLAC"))
        yield visitor.press(SOUND, file)


def hostile_film(page: str) -> Iterator[Answer]:
    whole = film()
    with Visitor(page) as visitor:
        for content in (png(), wav(), whole[: len(whole) // 2], whole.replace(b"avc1", b"\0" * 4), film((0, 61))):
            yield visitor.press(FILM, visitor.upload("film.mp4", content))
        yield visitor.press(FILM, visitor.upload("film.mp4", whole), mix=7)


def odd_requests(page: str) -> Iterator[Answer]:
    with Visitor(page) as visitor:
        path = visitor.upload("a.png", png())["path"]
        for place in ("0-1,3-4", "1-2-3", "0-" * 5000, "9" * 5000 + "-"):
            yield plain(visitor.client.get(f"{API}/file={path}", headers={"Range": f"bytes={place}"}))
        for place in ("/assets/", "/static/", "/svelte/"):
            yield plain(visitor.client.get(place + "a" * 5000))
        for name in ("", ".."):
            yield plain(visitor.client.post(f"{API}/upload", files={"files": (name, b"x")}))


HOSTILE: dict[str, Callable[[str], Iterator[Answer]]] = {
    kind.__name__: kind
    for kind in (
        *(oversized_picture, huge_body, wrong_type, other_site, other_host, traversal, component_server),
        *(
            malformed_json,
            wild_numbers,
            unknown_session,
            long_text,
            many_at_once,
            abandoned,
            swollen_sound,
            hostile_film,
            odd_requests,
        ),
    )
}
