"""Excerpts of videos fetched through yt-dlp into a folder, the store, which is never fetched into twice.

Every file takes its name in the store when it is whole. What is gone for good is noted in a journal there and asked for
no more, until the journal is deleted; what may come back is tried again by the next run. One run at a time fetches into
a store. yt-dlp and an ffmpeg for it are the optional extra `vggsound`.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

from cycle_sound.acquisition.sources import archives, downloading, failures, lists
from cycle_sound.acquisition.sources.downloading import Offer, Order
from cycle_sound.acquisition.sources.failures import Failure
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.errors import BadSource, MissingPackage, NetworkGone, StoreInUse
from cycle_sound.io import files, progress
from cycle_sound.io.pool import Job, Lost, Worker
from cycle_sound.params import VggSoundConfig

WORKSPACE = ".fetching"  # in the store, with an ending of each run: files that are not whole
OUTAGE = 10  # clips in a row to which nobody answers: the network is gone, or wants no more of us
LASTING = ("gone", "unfit")  # kinds of failure that are noted, and not tried again
POLL = 0.1  # seconds between two looks whether the run was ended
NO_JAVASCRIPT = "no JavaScript runtime, without which YouTube offers few formats or none: install deno"


def fetch(wanted: Sequence[Excerpt], settings: VggSoundConfig) -> dict[Excerpt, Path | Failure]:
    """Fetch excerpts into the store settings.path, settings.fetch_jobs at a time: the file of each, or why not.

    A template settings.url that names {start} addresses the excerpt, cut already; otherwise it addresses the whole
    video, of which only the excerpt's section is obtained and coded again, because only so both streams begin where
    they should. What the journal knows to be gone, or unfit under these settings, is not asked for.
    Raises `MissingPackage` without yt-dlp, `NetworkGone` when nobody answers, `BadSource` for unreadable cookies and
    for addresses that are none, `StoreInUse` while another run fetches into the store, and `DiskFull`.
    """
    store = Path(settings.path)
    store.mkdir(parents=True, exist_ok=True)
    gone = failures.known(store, _under(settings))
    known = {excerpt: gone[_address(excerpt, settings)] for excerpt in wanted if _address(excerpt, settings) in gone}
    todo = [excerpt for excerpt in wanted if excerpt not in known]
    if not todo:
        return {**known}
    with _workspace(store) as workspace, files.naming(store):
        fetcher = _Fetcher(settings, workspace)
        try:
            return known | dict(_fetched(todo, settings, fetcher))
        finally:
            fetcher.end()


@contextmanager
def _workspace(store: Path) -> Iterator[Path]:
    """A folder in the store, of this run alone, for files that are not whole; afterwards it is gone.

    So are those of runs that were killed. Raises `StoreInUse`.
    """
    with _locked(store) as is_locked:
        left = [*store.glob(WORKSPACE), *store.glob(f"{WORKSPACE}.????????")] if is_locked else []
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"{WORKSPACE}.", dir=store, ignore_cleanup_errors=True) as own:
            yield Path(own)


@contextmanager
def _locked(store: Path) -> Iterator[bool]:
    """Keep other runs out of a store while this one is alive; False where a file system knows no locks of folders.

    Raises `StoreInUse`.
    """
    import fcntl

    handle, is_locked = os.open(store, os.O_RDONLY), True
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreInUse(store=store) from None
        except OSError:
            is_locked = False
        yield is_locked
    finally:
        os.close(handle)


def _fetched(
    todo: Sequence[Excerpt], settings: VggSoundConfig, fetcher: "_Fetcher"
) -> Iterator[tuple[Excerpt, Path | Failure]]:
    """Fetch all, and note what is gone. Raises `NetworkGone`."""
    in_a_row = 0
    with ThreadPoolExecutor(settings.fetch_jobs) as pool:
        tasks: dict[Future[Path | Failure], Excerpt] = {
            pool.submit(fetcher.obtain, excerpt): excerpt for excerpt in todo
        }
        try:
            for task in progress.track(as_completed(tasks), len(tasks), "fetch"):
                excerpt, outcome = tasks[task], task.result()
                cut_off = isinstance(outcome, Failure) and outcome.kind == "cut_off"
                in_a_row = in_a_row + 1 if cut_off else 0
                if isinstance(outcome, Failure) and outcome.kind in LASTING:
                    failures.note(Path(settings.path), _address(excerpt, settings), outcome, _under(settings))
                if isinstance(outcome, Failure) and in_a_row >= OUTAGE:
                    raise NetworkGone(clips=in_a_row, reason=outcome.reason)
                yield excerpt, outcome
        finally:  # after a failure, a Ctrl-C: what waits does not begin, what runs is left
            fetcher.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _Fetcher:
    """Fetches with the settings of data.vggsound: in each thread by a process of its own."""

    def __init__(self, settings: VggSoundConfig, workspace: Path) -> None:
        try:
            import imageio_ffmpeg
            import yt_dlp
        except ImportError as error:
            raise MissingPackage(feature="data.vggsound.url", package=error.name, extra="vggsound") from None
        downloading.named(settings)  # or it is said here what is wrong with them, not by processes that die of it
        self.yt_dlp: Any = yt_dlp
        self.ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        self.settings = settings
        self.workspace = workspace
        self.stop = threading.Event()
        self.workers: dict[int, Worker] = {}  # of each thread
        self.cookies = _cookies(Path(settings.cookies)) if settings.cookies else ""
        try:
            yt_dlp.cookies.load_cookies(StringIO(self.cookies) if self.cookies else None, None, None)
        except yt_dlp.cookies.CookieLoadError:
            raise BadSource(f"data.vggsound.cookies: not a cookies.txt: {settings.cookies}") from None
        if self._site(_address(Excerpt("-" * 11, 0), settings)) == "youtube" and not _has_javascript():
            print(NO_JAVASCRIPT, file=sys.stderr)

    def obtain(self, excerpt: Excerpt) -> Path | Failure:
        """One excerpt, tried again with growing pauses while the failure may pass."""
        # Of all attempts one folder, so that the next goes on where the last was cut off.
        with tempfile.TemporaryDirectory(dir=self.workspace) as folder:
            outcome = self._attempt(excerpt, Path(folder))
            for retry in range(self.settings.retries):
                if isinstance(outcome, Path) or outcome.kind in LASTING:
                    break
                if self.stop.wait(self.settings.backoff_seconds * 2**retry):
                    break
                outcome = self._attempt(excerpt, Path(folder))
            return outcome

    def end(self) -> None:
        """End all processes, once no thread uses them."""
        for worker in self.workers.values():
            worker.end()

    def _attempt(self, excerpt: Excerpt, folder: Path) -> Path | Failure:
        order, begun = self._order(excerpt, folder), time.monotonic()
        offer: Offer | Failure = Offer(order.address, None)
        if order.site == "generic":
            offer = self._done(partial(downloading.look, order), 0)
        if isinstance(offer, Failure):
            return offer
        got = self._done(partial(downloading.download, order, offer), offer.size)
        if isinstance(got, Failure):
            told = got.kind == "unfit" and order.site == "youtube" and not _has_javascript()
            return got._replace(reason=f"{got.reason}; {NO_JAVASCRIPT}") if told else got
        size, outcome = got.stat().st_size, self._kept(got, excerpt)
        # ffmpeg, which cuts sections, knows no rate limit: the pause after it makes up for that.
        self.stop.wait(size / downloading.rate(self.settings) - (time.monotonic() - begun))
        return outcome

    def _order(self, excerpt: Excerpt, folder: Path) -> Order:
        settings, address = self.settings, _address(excerpt, self.settings)
        section = None if _is_cut(settings.url) else (excerpt.start, excerpt.start + lists.SECONDS)
        return Order(address, self._site(address), section, folder, self.ffmpeg, self.cookies, settings)

    def _site(self, address: str) -> str:
        return "youtube" if self.yt_dlp.extractor.youtube.YoutubeIE.suitable(address) else "generic"

    def _done(self, work: Callable[[], Any], size: int | None) -> Any:
        """The result of work in this thread's process, which takes long enough for so many bytes, or a `Failure`."""
        prepare = partial(downloading.prepare, self.settings)
        worker = self.workers.setdefault(threading.get_ident(), Worker(prepare))
        worker.begin(Job(work, downloading.seconds(size, self.settings)))
        while not wait([worker.future], POLL).done and time.monotonic() < worker.due:
            if self.stop.is_set():
                return Failure("passing", "unavailable", "the run was ended")
        result = worker.result()
        if not isinstance(result, Lost):
            return result
        if result.late:
            return Failure("cut_off" if size == 0 else "passing", "unavailable", "the connection stalled")
        return Failure("passing", "corrupt", "reading it ends the process: a decoder's fault")

    def _kept(self, found: Path, excerpt: Excerpt) -> Path | Failure:
        """Move a file that is whole into the store."""
        if found.stat().st_size >= self.settings.max_megabytes * downloading.MEGABYTE:
            return Failure("passing", "unavailable", f"more than {self.settings.max_megabytes} MB")
        suffix = found.suffix if archives.is_video(found.name) else ".mp4"
        place = Path(self.settings.path) / f"{excerpt.name}{suffix}"
        files.move(found, place)
        return place


def _address(excerpt: Excerpt, settings: VggSoundConfig) -> str:
    return settings.url.format(id=excerpt.video, start=excerpt.start)


def _is_cut(url: str) -> bool:
    """Whether a template addresses excerpts, not whole videos."""
    return url.format(id="", start=0) != url.format(id="", start=1)


def _under(settings: VggSoundConfig) -> str:
    """The settings and programs on which it depends, beside the video itself, whether a video is fit."""
    versions = [found.version for found in metadata.distributions(name="yt-dlp")]
    javascript = "with" if _has_javascript() else "without"
    return f"{settings.max_height} lines, yt-dlp {versions}, {javascript} JavaScript"


def _has_javascript() -> bool:
    """Whether yt-dlp finds the one runtime that it trusts to run YouTube's player."""
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    return shutil.which("deno", path=places) is not None


def _cookies(path: Path) -> str:
    try:
        lists.check(path)
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise BadSource(f"data.vggsound.cookies: cannot be read: {path}") from None
