"""One address fetched through yt-dlp: what runs in a process of its own, since strangers send what it reads.

There yt-dlp loads no plugins, keeps its cache in the workspace, and connects to public hosts alone, beside those that
the settings name. How long all that may take is watched from outside.
"""

import ipaddress
import logging
import os
import re
import socket
from collections.abc import Collection
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies

from cycle_sound.acquisition.sources import failures, videos
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.failures import Failure, PrivateHost
from cycle_sound.errors import BadSource
from cycle_sound.media import containers
from cycle_sound.params import VggSoundConfig

MEGABYTE = 1_000_000  # bytes
UNFINISHED = (".part", ".ytdl")  # what yt-dlp leaves of an attempt, to go on from
SILENT = logging.Logger("yt-dlp", logging.CRITICAL + 1)  # its errors are exceptions, and the manifest has them
VIDEO = re.compile(r"|(video|audio)/.*|(application|binary)/(octet-stream|ogg|mp4|x-matroska)")  # "": not said
STALLS = 3  # × timeout_seconds, that it may take to be answered, or to begin
SLOWEST = 20_000  # bytes per second, on average: below, a server could hold a connection open for days
PROBE = 1 << 20  # bytes that a disk has room for unless it is full
BLOCK = 16  # bytes read first; yt-dlp doubles it, and looks at the rate after each
PORTS = {"http": 80, "https": 443}
RESOLVE = socket.getaddrinfo  # as it was


class Order(NamedTuple):
    """What is to be fetched, and how."""

    address: str
    site: str  # youtube, or generic: the address of a file
    section: tuple[int, int] | None  # seconds of the video; None: all
    folder: Path  # of this one alone
    ffmpeg: str
    cookies: str  # the content of a cookies.txt, or ""
    settings: VggSoundConfig


class Offer(NamedTuple):
    """What an address offers."""

    address: str  # after redirects
    size: int | None  # bytes, if known


class _Refused(Exception):
    """What is offered is not to be taken."""


def prepare(settings: VggSoundConfig) -> None:
    """Make this process one that fetches: without plugins, and kept to public hosts and those that are named."""
    os.environ["YTDLP_NO_PLUGINS"] = "1"  # else it runs what lies in the user's home and in PYTHONPATH
    socket.getaddrinfo = partial(_resolved, named(settings))
    import yt_dlp

    with yt_dlp.YoutubeDL({"logger": SILENT, "cachedir": False}):
        pass  # it has loaded its extractors


def look(order: Order) -> Offer | Failure:
    """Ask the address of a file for its header; what else it might send is not read."""
    import yt_dlp

    try:
        with yt_dlp.YoutubeDL(_options(order)) as downloader:
            request = yt_dlp.networking.Request(order.address, headers={"Accept-Encoding": "identity"})
            with downloader.urlopen(request) as answer:
                return _offer(order, answer)
    except Exception as error:  # one address must not end the work on all others
        return failures.understood(error, order.site)


def download(order: Order, offer: Offer) -> Path | Failure:
    """Fetch what is offered, and look whether it is a video: a file in the order's folder, or why there is none.

    Raises the OSError of a full or read-only disk.
    """
    import yt_dlp

    yt_dlp.postprocessor.ffmpeg.FFmpegPostProcessor._ffmpeg_location.set(order.ffmpeg)  # who cuts looks here alone
    try:
        with yt_dlp.YoutubeDL(_options(order)) as downloader:
            if order.site == "youtube":
                downloader.extract_info(offer.address)
            else:
                downloader.process_ie_result(_described(offer.address), download=True)
        return _checked(order.folder)
    except _Refused as error:
        return Failure("passing", "unavailable", str(error))
    except Exception as error:  # one address must not end the work on all others
        _check_disk(order.folder)
        return failures.understood(error, order.site)


def _offer(order: Order, answer: Any) -> Offer | Failure:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not VIDEO.fullmatch(kind):
        return Failure("passing", "unavailable", "no video file at the address")
    length = answer.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    if size and not order.section and size >= _max_bytes(order.settings):
        return Failure("passing", "unavailable", _too_large(order.settings))
    return Offer(answer.url, size)


def _described(address: str) -> dict[str, Any]:
    """An address of a video file, as yt-dlp's extractors describe one."""
    suffix = Path(urlsplit(address).path).suffix.lower()
    extension = (suffix if suffix in containers.ENDINGS else ".mp4").removeprefix(".")
    origin = {"extractor": "generic", "extractor_key": "Generic", "webpage_url": address}
    return {"id": "clip", "title": "clip", "url": address, "ext": extension, "direct": True, **origin}


def _checked(folder: Path) -> Path | Failure:
    found = next((path for path in sorted(folder.iterdir()) if path.suffix not in UNFINISHED), None)
    if found is None:
        return Failure("passing", "unavailable", "no video file at the address")
    try:
        videos.check(found)
    except Rejected as rejected:
        found.unlink()  # so that another attempt does not go on from it
        return Failure("passing", rejected.status, rejected.reason)
    return found


def _check_disk(folder: Path) -> None:
    """Raise OSError if the disk is full or read-only, by writing a probe: ffmpeg reports no more than a number."""
    probe = folder / f"probe{UNFINISHED[0]}"
    probe.write_bytes(bytes(PROBE))
    probe.unlink()


def _options(order: Order) -> dict[str, Any]:
    """What yt-dlp is told, and what surrounds it. It retries nothing itself: whatever has failed is tried again."""
    from yt_dlp.utils import download_range_func

    settings = order.settings
    options: dict[str, Any] = {
        "quiet": True,
        "noprogress": True,
        "logger": SILENT,
        "color": "no_color",
        "cachedir": str(order.folder.parent / "cache"),
        "allowed_extractors": [order.site],
        "noplaylist": True,
        "format": f"bv*[height<=?{settings.max_height}]+ba/b[height<=?{settings.max_height}]",
        "format_sort": ["res", "vcodec:h264", "ext:mp4:m4a"],
        "merge_output_format": "mp4",
        "outtmpl": "clip.%(ext)s",
        "paths": {"home": str(order.folder)},
        "updatetime": False,
        "retries": 0,
        "fragment_retries": 0,
        "extractor_retries": 0,
        "socket_timeout": settings.timeout_seconds,
        "ratelimit": rate(settings),
        "buffersize": BLOCK,
        "progress_hooks": [partial(_watch, settings)],
        "ffmpeg_location": order.ffmpeg,
        "external_downloader_args": {
            "ffmpeg_i": ["-rw_timeout", str(round(settings.timeout_seconds * 1e6)), *_bounds(order)],  # µs
            "ffmpeg_o": ["-fs", str(_max_bytes(settings))],
        },
    }
    if order.cookies:  # a copy of its own for each: yt-dlp writes the cookies back, and the file is the user's
        options["cookiefile"] = StringIO(order.cookies)
    if settings.proxy:
        options["proxy"] = settings.proxy
    if order.section:
        options["download_ranges"] = download_range_func(None, [order.section])
        options["force_keyframes_at_cuts"] = True
    return options


def rate(settings: VggSoundConfig) -> float:
    """Bytes per second for one of the jobs."""
    return settings.rate_limit / settings.fetch_jobs


def _bounds(order: Order) -> list[str]:
    """ffmpeg's options against its own connections: no redirects, and only known protocols and formats."""
    if order.site == "youtube":
        return []
    known = containers.VIDEOS
    return ["-max_redirects", "0", "-protocol_whitelist", "http,https,tcp,tls,httpproxy", "-format_whitelist", known]


def seconds(size: int | None, settings: VggSoundConfig) -> float:
    """How long fetching `size` bytes may take; None: as many as are allowed."""
    most = _max_bytes(settings)
    return STALLS * settings.timeout_seconds + min(most if size is None else size, most) / _slowest(settings)


def _slowest(settings: VggSoundConfig) -> float:
    return min(SLOWEST, rate(settings) / 4)


def _watch(settings: VggSoundConfig, state: dict[str, Any]) -> None:
    """Called by yt-dlp with every block: end what grows too large, and what is too slow."""
    if max(state.get("total_bytes") or 0, state.get("downloaded_bytes") or 0) >= _max_bytes(settings):
        raise _Refused(_too_large(settings))
    begun = (state.get("elapsed") or 0) > STALLS * settings.timeout_seconds
    if begun and state.get("speed") is not None and state["speed"] < _slowest(settings):
        raise _Refused("the connection stalled")


def _max_bytes(settings: VggSoundConfig) -> int:
    return settings.max_megabytes * MEGABYTE


def _too_large(settings: VggSoundConfig) -> str:
    return f"more than {settings.max_megabytes} MB"


def named(settings: VggSoundConfig) -> set[tuple[str, int]]:
    """The hosts, with their ports, that the settings or the environment name: they may be private.

    Raises `BadSource` for an address that names none.
    """
    proxies = (url for scheme, url in getproxies().items() if scheme != "no")
    urls = [settings.url.format(id="", start=0), settings.proxy, *proxies]
    try:
        parts = [urlsplit(url if "//" in url else f"//{url}") for url in urls if url]
        return {(part.hostname or "", part.port or PORTS.get(part.scheme, 80)) for part in parts}
    except ValueError as error:  # without the address, which may hold a password
        raise BadSource(f"data.vggsound.url, data.vggsound.proxy or a proxy of the environment: {error}") from None


def _resolved(named: Collection[tuple[str, int]], host: Any, port: Any, *more: Any, **named_more: Any) -> Any:
    """`socket.getaddrinfo`, which all connections begin with; raises `PrivateHost` for a private host not `named`."""
    found = RESOLVE(host, port, *more, **named_more)
    if (host, port) not in named and not all(ipaddress.ip_address(entry[4][0]).is_global for entry in found):
        raise PrivateHost(host)
    return found
