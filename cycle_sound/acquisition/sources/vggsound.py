"""Pairs cut from VGGSound's excerpts: rows selected from its list, and their videos, local or fetched.

Whether a video lay in the folder, in an archive there, or was fetched into it makes no difference to its pairs.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cycle_sound.acquisition import splits
from cycle_sound.acquisition.sources import archives, downloading, fetching, lists, moments, store, videos
from cycle_sound.acquisition.sources.archives import Video
from cycle_sound.acquisition.sources.clip import Clip, Rejected, Status
from cycle_sound.acquisition.sources.failures import Failure
from cycle_sound.acquisition.sources.footage import Film
from cycle_sound.acquisition.sources.lists import Excerpt, Listed
from cycle_sound.acquisition.sources.moments import Moment
from cycle_sound.errors import BadSource
from cycle_sound.io import names, stage
from cycle_sound.params import DataConfig, SourceSplit, VggSoundConfig

AGAIN = {  # of each kind of failure, whether and when it is asked for again
    "gone": "gone for good",
    "unfit": "not as these settings want it",
    "passing": "the next run tries again",
    "cut_off": "the next run tries again",
}


class Row(NamedTuple):
    """One excerpt asked for."""

    excerpt: Excerpt
    label: str
    split: SourceSplit


class Absent(NamedTuple):
    """Why no pairs are cut of an excerpt."""

    status: Status
    reason: str

    def load(self) -> Film:
        """What stands for its video."""
        return Film(Rejected(self.status, self.reason))


def clips(data: DataConfig, needed: Set[str] | None = None) -> list[Clip]:
    """The clips of every excerpt selected, at the moments of data.pairs, after what is missing has been fetched.

    With a data.vggsound.url every row selected is asked for, and what could not be got is `unavailable`; without, the
    excerpts at hand are, because a list names a whole corpus, of which a folder usually holds a part. The group of a
    clip is its video's id; a train row whose video is in the test split too is a `duplicate`. `needed`: the ids of
    clips whose excerpts alone are asked for; None: all.
    Raises `BadSource` for malformed lists, labels they do not know, broken archives and where no excerpt is left, and
    what `fetching.fetch` raises.
    """
    rows = selected(data.vggsound)
    wanted = _moments(rows, data)
    barred = _barred(rows, wanted)
    if needed is not None:
        rows = [row for row in rows if not needed.isdisjoint(_ids(row.excerpt, wanted[row.excerpt]))]
    found = _found([row.excerpt for row in rows if row.excerpt not in barred], data.vggsound) | barred
    asked = sorted((row for row in rows if row.excerpt in found), key=lambda row: _place(found[row.excerpt]))
    return [clip for row in asked for clip in _clips(row, found[row.excerpt], wanted[row.excerpt], data)]


def selected(settings: VggSoundConfig) -> list[Row]:
    """The rows of the lists that settings.split, .labels and .clips_per_label leave.

    Where they are of one split, or the list does not say, settings.test_share of the videos are held out as test. Of a
    label's rows the first are taken in a fixed pseudo-random order. Raises `BadSource` for what `lists.read` refuses
    and for labels that no row has.
    """
    rows, labels = _listed(settings), set(map(names.normal, settings.labels))
    if unknown := labels - {row.label for row in rows}:
        raise BadSource(f"data.vggsound.labels: no row has the label {', '.join(sorted(unknown))}")
    rows = [row for row in rows if settings.split in ("both", row.split) and (not labels or row.label in labels)]
    if len({row.split for row in rows}) == 1:
        test = splits.tested((row.excerpt.video for row in rows), settings.test_share)
        rows = [row._replace(split="test" if row.excerpt.video in test else "train") for row in rows]
    return _thinned([Row(row.excerpt, row.label, row.split or "train") for row in rows], settings.clips_per_label)


def _listed(settings: VggSoundConfig) -> list[Listed]:
    """The rows of one list, or of a train and a test list."""
    alone = None if settings.split == "both" else settings.split
    rows = lists.read(Path(settings.list), "train" if settings.test_list else alone)
    if not settings.test_list:
        return rows
    test = lists.read(Path(settings.test_list), "test")
    if both := {row.excerpt.name for row in rows} & {row.excerpt.name for row in test}:
        raise BadSource(f"{settings.list} and {settings.test_list}: {min(both)} is in both lists")
    return rows + test


def _thinned(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many rows of each label and split; 0: all."""
    taken: Counter[tuple[str, str]] = Counter()
    kept = set()
    for row in sorted(rows, key=lambda row: splits.order(row.excerpt.name)):
        taken[row.split, row.label] += 1
        if not most or taken[row.split, row.label] <= most:
            kept.add(row.excerpt)
    return [row for row in rows if row.excerpt in kept]


def _moments(rows: Sequence[Row], data: DataConfig) -> dict[Excerpt, list[Moment]]:
    """The moments of each excerpt; none where none are listed."""
    if data.pairs == "listed":
        chosen = moments.listed(Path(data.vggsound.moments))
        return {row.excerpt: chosen.get(row.excerpt, []) for row in rows}
    return dict.fromkeys((row.excerpt for row in rows), moments.of_all(data.pairs, data.vggsound.pairs_per_clip))


def _barred(rows: Sequence[Row], wanted: Mapping[Excerpt, Sequence[Moment]]) -> dict[Excerpt, Absent]:
    """The rows of which no pairs are to be cut, so that nothing is fetched for them either."""
    test = {row.excerpt.video for row in rows if row.split == "test"}
    barred = {}
    for row in rows:
        if not wanted[row.excerpt]:
            barred[row.excerpt] = Absent("unavailable", "data.vggsound.moments lists no frames of it")
        elif row.split == "train" and row.excerpt.video in test:
            barred[row.excerpt] = Absent("duplicate", "its video is in the test split, too")
    return barred


def _found(needed: Sequence[Excerpt], settings: VggSoundConfig) -> dict[Excerpt, Video | Absent]:
    """The videos of the excerpts needed: at hand, else fetched, else why not; without a url, only those at hand.

    What is at hand but cannot be read is fetched again. Nothing is fetched into a folder that DVC will remove.
    """
    root = Path(settings.path)
    if not settings.url and not root.is_dir():
        raise BadSource(f"data.vggsound.path: no such folder: {root}, and data.vggsound.url is empty")
    if not root.is_absolute() and not root.is_dir() and stage.in_copy():
        raise BadSource(
            f"data.vggsound.path: no such folder: {root}; "
            "clips fetched into it would be lost with this copy of the project"
        )
    find = partial(store.readable, needed=needed) if settings.url else archives.find
    here = find(root) if root.is_dir() else {}
    found = {excerpt: _bounded(here[excerpt], settings) for excerpt in needed if excerpt in here}
    missing = [excerpt for excerpt in needed if excerpt not in here]
    if settings.url:
        return found | {excerpt: _outcome(got) for excerpt, got in fetching.fetch(missing, settings).items()}
    if not found:
        raise BadSource(f"{root}: holds none of the clips asked for, and data.vggsound.url is empty")
    if missing:
        note = f"{len(missing)} of {len(needed)} clips selected are not in {root}: not asked for"
        print(names.printable(note), file=sys.stderr)
    return found


def _bounded(video: Video, settings: VggSoundConfig) -> Video | Absent:
    """A video at hand, unless it is a member of an archive too large for memory."""
    most = settings.max_megabytes * downloading.MEGABYTE
    if video.size is not None and video.size > most:
        return Absent("corrupt", f"{video.size} bytes in the archive; more than {most}")
    return video


def _outcome(got: Path | Failure) -> Video | Absent:
    if isinstance(got, Path):
        return Video(got)
    return Absent(got.status, f"{AGAIN[got.kind]}: {got.reason}")


def _place(found: Video | Absent) -> tuple[str, int]:
    """Where a video lies: an archive is read from its start on, so its clips are cut in its order."""
    return (str(found.path), found.offset) if isinstance(found, Video) else ("", 0)


def _ids(excerpt: Excerpt, wanted: Sequence[Moment]) -> list[str]:
    """The ids of an excerpt's clips: one where it has no moments, too."""
    count = max(len(wanted), 1)
    return [videos.name(excerpt.name, i, count) for i in range(count)]


def _clips(row: Row, found: Video | Absent, wanted: Sequence[Moment], data: DataConfig) -> list[Clip]:
    wanted = wanted or [0.5]  # an excerpt without moments has one row all the same
    return [
        Clip(
            id=name,
            split=row.split,
            label=row.label,
            group=row.excerpt.video,
            fetch=videos.cutting(moment, row.split, data),
            files=[found.path] if isinstance(found, Video) else (),
            size=found.length if isinstance(found, Video) else 0,
            load=found.load,
        )
        for name, moment in zip(_ids(row.excerpt, wanted), wanted, strict=True)
    ]
