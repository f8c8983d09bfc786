"""Excerpts of videos fetched through yt-dlp into a folder, the store, which is never fetched into twice.

Every file takes its name in the store when it is whole. What is gone for good is noted in a journal there and asked for
no more, until the journal is deleted; what may come back is tried again by the next run. A store belongs to one run at
a time. yt-dlp and an ffmpeg for it are the optional extra `vggsound`.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from io import StringIO
from pathlib import Path
from threading import Event
from typing import Any

from cycle_sound.acquisition.sources import archives, failures, lists, videos
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.acquisition.sources.failures import Failure
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import BadSource, MissingPackage, NetworkGone
from cycle_sound.io import files, progress
from cycle_sound.params import VggSoundConfig

WORKSPACE = ".fetching"  # in the store: files that are not whole
OUTAGE = 10  # clips in a row to which nobody answers: the network is gone, or wants no more of us
UNFINISHED = (".part", ".ytdl")  # what yt-dlp leaves of an attempt, to go on from
MEGABYTE = 1_000_000
SILENT = logging.Logger("yt-dlp", logging.CRITICAL + 1)  # its errors are exceptions, and the manifest has them


class _Refused(Exception):
    """What is offered is not to be taken."""


def fetch(wanted: Sequence[Excerpt], settings: VggSoundConfig) -> dict[Excerpt, Path | Failure]:
    """Fetch excerpts into the store settings.path, settings.fetch_jobs at a time: the file of each, or why not.

    A template settings.url that names {start} addresses the excerpt, cut already; otherwise it addresses the whole
    video, of which only the excerpt's section is obtained and coded again, because only so both streams begin where
    they should. What the journal knows to be gone is not asked for.
    Raises `MissingPackage` without yt-dlp, `NetworkGone` when nobody answers, and `BadSource` for unreadable cookies.
    """
    store = Path(settings.path)
    store.mkdir(parents=True, exist_ok=True)
    gone = failures.known(store)
    known = {excerpt: gone[_address(excerpt, settings)] for excerpt in wanted if _address(excerpt, settings) in gone}
    todo = [excerpt for excerpt in wanted if excerpt not in known]
    if not todo:
        return {**known}
    workspace = store / WORKSPACE
    shutil.rmtree(workspace, ignore_errors=True)  # of a run that was killed
    workspace.mkdir()
    try:
        return known | dict(_fetched(todo, settings, _Fetcher(settings, workspace)))
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def _fetched(
    todo: Sequence[Excerpt], settings: VggSoundConfig, fetcher: "_Fetcher"
) -> Iterator[tuple[Excerpt, Path | Failure]]:
    """Fetch all, and note what is gone. Raises `NetworkGone`."""
    in_a_row = 0
    with ThreadPoolExecutor(settings.fetch_jobs, initializer=fetcher.enter_thread) as pool:
        tasks: dict[Future[Path | Failure], Excerpt] = {
            pool.submit(fetcher.obtain, excerpt): excerpt for excerpt in todo
        }
        try:
            for task in progress.track(as_completed(tasks), len(tasks), "fetch"):
                excerpt, outcome = tasks[task], task.result()
                cut_off = isinstance(outcome, Failure) and outcome.kind == "cut_off"
                in_a_row = in_a_row + 1 if cut_off else 0
                if isinstance(outcome, Failure) and outcome.kind == "gone":
                    failures.note(Path(settings.path), _address(excerpt, settings), outcome)
                if isinstance(outcome, Failure) and in_a_row >= OUTAGE:
                    raise NetworkGone(clips=in_a_row, reason=outcome.reason)
                yield excerpt, outcome
        finally:  # after a failure, a Ctrl-C: what runs ends its attempt, what waits does not begin
            fetcher.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _Fetcher:
    """yt-dlp with the settings of data.vggsound."""

    def __init__(self, settings: VggSoundConfig, workspace: Path) -> None:
        try:
            import imageio_ffmpeg
            import yt_dlp
        except ImportError as error:
            raise MissingPackage(feature="data.vggsound.url", package=error.name, extra="vggsound") from None
        self.yt_dlp: Any = yt_dlp
        self.ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        self.settings = settings
        self.workspace = workspace
        self.stop = Event()
        self.cookies = _cookies(Path(settings.cookies)) if settings.cookies else ""
        try:
            yt_dlp.cookies.load_cookies(StringIO(self.cookies) if self.cookies else None, None, None)
        except yt_dlp.cookies.CookieLoadError:
            raise BadSource(f"data.vggsound.cookies: not a cookies.txt: {settings.cookies}") from None

    def enter_thread(self) -> None:
        """Show a thread the ffmpeg: in choosing who cuts, yt-dlp looks here alone, not at its option."""
        self.yt_dlp.postprocessor.ffmpeg.FFmpegPostProcessor._ffmpeg_location.set(self.ffmpeg)

    def obtain(self, excerpt: Excerpt) -> Path | Failure:
        """One excerpt, tried again with growing pauses while the failure may pass."""
        # Of all attempts one folder, so that the next goes on where the last was cut off.
        with tempfile.TemporaryDirectory(dir=self.workspace) as folder:
            outcome = self._attempt(excerpt, Path(folder))
            for retry in range(self.settings.retries):
                if isinstance(outcome, Path) or outcome.kind == "gone":
                    break
                if self.stop.wait(self.settings.backoff_seconds * 2**retry):
                    break
                outcome = self._attempt(excerpt, Path(folder))
            return outcome

    def _attempt(self, excerpt: Excerpt, folder: Path) -> Path | Failure:
        address = _address(excerpt, self.settings)
        site = "youtube" if self.yt_dlp.extractor.youtube.YoutubeIE.suitable(address) else "generic"
        begun = time.monotonic()
        try:
            with self.yt_dlp.YoutubeDL(self._options(excerpt, folder, site)) as downloader:
                downloader.extract_info(address)
        except _Refused as error:
            return Failure("passing", "unavailable", str(error))
        except Exception as error:  # one address must not end the work on all others
            return failures.understood(error, site)
        found = next((path for path in sorted(folder.iterdir()) if path.suffix not in UNFINISHED), None)
        if found is None:
            return Failure("passing", "unavailable", "no video file at the address")
        size, outcome = found.stat().st_size, self._kept(found, excerpt)
        # ffmpeg, which cuts sections, knows no rate limit: the pause after it makes up for that.
        self.stop.wait(size / self._rate() - (time.monotonic() - begun))
        return outcome

    def _kept(self, found: Path, excerpt: Excerpt) -> Path | Failure:
        """Move a file that is whole into the store."""
        if found.stat().st_size >= self._max_bytes():
            return Failure("passing", "unavailable", f"more than {self.settings.max_megabytes} MB")
        try:
            videos.check(found)
        except Rejected as rejected:
            found.unlink()
            return Failure("passing", rejected.status, rejected.reason)
        suffix = found.suffix if archives.is_video(found.name) else ".mp4"
        place = Path(self.settings.path) / f"{excerpt.name}{suffix}"
        files.move(found, place)
        return place

    def _options(self, excerpt: Excerpt, folder: Path, site: str) -> dict[str, Any]:
        """What yt-dlp is told for one excerpt. It retries nothing itself: `obtain` does, whatever has failed."""
        settings = self.settings
        options: dict[str, Any] = {
            "quiet": True,
            "noprogress": True,
            "logger": SILENT,
            "color": "no_color",
            "allowed_extractors": [site],  # a page that embeds another site's video has not the one asked for
            "noplaylist": True,
            "match_filter": lambda info, *, incomplete: None if incomplete else _refusal(info, site),
            "format": f"bv*[height<=?{settings.max_height}]+ba/b[height<=?{settings.max_height}]",
            "format_sort": ["res", "vcodec:h264", "ext:mp4:m4a"],
            "merge_output_format": "mp4",
            "outtmpl": "clip.%(ext)s",
            "paths": {"home": str(folder)},
            "updatetime": False,
            "retries": 0,
            "fragment_retries": 0,
            "extractor_retries": 0,
            "socket_timeout": settings.timeout_seconds,
            "ratelimit": self._rate(),
            "progress_hooks": [self._watch],
            "ffmpeg_location": self.ffmpeg,
            "external_downloader_args": {
                "ffmpeg_i": ["-rw_timeout", str(round(settings.timeout_seconds * 1e6))],  # µs
                "ffmpeg_o": ["-fs", str(self._max_bytes())],
            },
            **self._cookie_file(),
        }
        if settings.proxy:
            options["proxy"] = settings.proxy
        if not _is_cut(settings.url):
            section = (excerpt.start, excerpt.start + lists.SECONDS)
            options["download_ranges"] = self.yt_dlp.utils.download_range_func(None, [section])
            options["force_keyframes_at_cuts"] = True
        return options

    def _watch(self, state: dict[str, Any]) -> None:
        """Called by yt-dlp with every block: end what grows too large, and what nobody waits for."""
        if max(state.get("total_bytes") or 0, state.get("downloaded_bytes") or 0) >= self._max_bytes():
            raise _Refused(f"more than {self.settings.max_megabytes} MB")
        if self.stop.is_set():
            raise _Refused("the run was ended")

    def _cookie_file(self) -> dict[str, Any]:
        # A copy of its own for each: yt-dlp writes the cookies back, and the file is the user's.
        return {"cookiefile": StringIO(self.cookies)} if self.cookies else {}

    def _rate(self) -> float:
        """Bytes per second for one of the jobs."""
        return self.settings.rate_limit / self.settings.fetch_jobs

    def _max_bytes(self) -> int:
        return self.settings.max_megabytes * MEGABYTE


def _address(excerpt: Excerpt, settings: VggSoundConfig) -> str:
    return settings.url.format(id=excerpt.video, start=excerpt.start)


def _is_cut(url: str) -> bool:
    """Whether a template addresses excerpts, not whole videos."""
    return url.format(id="", start=0) != url.format(id="", start=1)


def _refusal(info: dict[str, Any], site: str) -> str | None:
    """Why a page is not followed: beside YouTube, only an address of a video file has what is asked for."""
    return None if site == "youtube" or info.get("direct") else "no video file"


def _cookies(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BadSource(f"data.vggsound.cookies: cannot be read: {path}") from None
