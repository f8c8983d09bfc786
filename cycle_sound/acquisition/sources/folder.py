"""Pairs in a local folder: {train_data,test_data}/ID.jpg + ID.mp3, or other kinds of picture and sound files.

A picture or a sound alone in train_data is a clip of its own where data.unpaired is `keep`; one beside a file of the
same name and a kind that is not read is not alone, and is rejected.

So is a file alone of a kind that is not read. Folders in train_data or test_data are not looked into; where one holds
pictures or sounds, nothing is read.

An optional labels.csv beside the two, in whatever case (header `id,split,label,group`, the group optional), labels any
of them, by id and split. The folder and the list are asked for together: a row without files is a clip that is not
there.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cycle_sound.acquisition.sources import lists, subfolders
from cycle_sound.acquisition.sources.clip import Clip, Pair, Rejected, may_be_lone
from cycle_sound.errors import BadSource
from cycle_sound.io import bounded, names
from cycle_sound.media import images, sound_files
from cycle_sound.params import SOURCE_SPLITS, DataConfig, SourceSplit

PICTURES, SOUNDS = images.ENDINGS, sound_files.ENDINGS
LIST = "labels.csv"
COLUMNS = ("id", "split", "label", "group")
NOTES = (  # no clips, and no partners of any; the last two are left by Windows
    *(".csv", ".json", ".md", ".srt", ".tsv", ".txt", ".vtt", ".xml", ".xmp", ".yaml", ".yml"),
    *(".db", ".ini"),
)


class Key(NamedTuple):
    """The key of a clip: an id may stand in both splits, which `acquire` refuses later."""

    split: SourceSplit
    id: str


class Entry(NamedTuple):
    """A row of labels.csv."""

    label: str
    group: str


def fetch(found: Sequence[Path], seconds: float, may_be_lone: bool, unread: Sequence[Path]) -> Pair:
    """Read the files of one id; JPEG and MP3 stay as they are, other kinds are converted, of sounds so many seconds.

    `unread`: what else has the name. Raises `Rejected` unless they are one picture and one sound, or one of them where
    it may be alone and nothing is unread, and where one has more than `bounded.MAX_MEDIA` bytes; `BadPicture` or
    `BadSound` on a conversion.
    """
    pictures = [path for path in found if path.suffix.lower() in PICTURES]
    sounds = [path for path in found if path.suffix.lower() in SOUNDS]
    if not found and not unread:
        raise Rejected("unavailable", "listed in labels.csv, but no file has this name")
    if len(pictures) > 1 or len(sounds) > 1:
        raise Rejected("duplicate", f"more than one file of a kind: {', '.join(path.name for path in found)}")
    if unread and not (pictures and sounds):
        raise _half(unread[0], () if pictures else PICTURES, () if sounds else SOUNDS)
    if not (pictures and sounds) and not may_be_lone:
        raise Rejected("unpaired", f"{found[0].name} has no {'sound' if pictures else 'picture'} beside it")
    return Pair(
        picture=images.as_jpeg(_content(pictures[0])) if pictures else None,
        sound=sound_files.as_mp3(_content(sounds[0]), seconds) if sounds else None,
    )


def clips(data: DataConfig) -> list[Clip]:
    """One clip for each id found in the folder data.folder.path, in whatever kind of file, or listed in its labels.csv.

    Raises `BadSource` for a folder of another layout, for a malformed labels.csv, for a folder without clips and for
    pictures or sounds in folders in it.
    """
    root = Path(data.folder.path)
    if not root.is_dir():
        raise BadSource(f"data.folder.path: no such folder: {root}")
    if not any((root / f"{split}_data").is_dir() for split in SOURCE_SPLITS):
        raise BadSource(f"{root}: holds neither train_data nor test_data")
    found, unread = _found(root)
    # Names in the list are only compared with names found, never opened, so none can lead out of the folder.
    listed = _listed(root)
    if not (found or listed):
        kinds = f"no pictures ({', '.join(PICTURES)}) and no sounds ({', '.join(SOUNDS)})"
        raise BadSource(f"{root}: {kinds} in train_data or test_data, of which no subfolders are looked into")
    none = Entry("", "")
    alone = {key for key, paths in unread.items() if any(path.suffix for path in paths)}  # README is no clip
    keys = sorted(found.keys() | alone | listed.keys())
    return [_clip(key, found.get(key, []), unread.get(key, []), listed.get(key, none), data) for key in keys]


def _clip(key: Key, found: Sequence[Path], unread: Sequence[Path], entry: Entry, data: DataConfig) -> Clip:
    seconds, size = data.clip_seconds + sound_files.MARGIN, sum(path.stat().st_size for path in found)
    work = partial(fetch, found, seconds, may_be_lone(key.split, data), unread)
    watched = [*found, *(path for path in unread if os.path.isfile(path))]
    return Clip(key.id, key.split, entry.label, entry.group or key.id, work, files=watched, size=size)


def _half(unread: Path, pictures: Sequence[str], sounds: Sequence[str]) -> Rejected:
    """Why a clip is refused whose picture, sound or both are missing, but for a file that is not read."""
    if unread.suffix.lower() in PICTURES + SOUNDS:
        return Rejected("unavailable", f"{unread.name} is a link that leads nowhere, or no regular file")
    return Rejected(
        "unpaired", f"{unread.name} is of a kind that is not read; read are {', '.join([*pictures, *sounds])}"
    )


def _content(path: Path) -> bytes:
    if excess := bounded.excess(path, bounded.MAX_MEDIA):
        raise Rejected("corrupt", f"{path.name}: {excess}")
    return path.read_bytes()


def _found(root: Path) -> tuple[dict[Key, list[Path]], dict[Key, list[Path]]]:
    """The files of each clip, and what else has its name: files of other kinds but NOTES, and links that lead nowhere.

    Hidden files are none: file managers and archives leave them (`._ID.jpg`). Raises `BadSource` where a folder in
    train_data or test_data holds pictures or sounds.
    """
    found: dict[Key, list[Path]] = {}
    unread: dict[Key, list[Path]] = {}
    for split in SOURCE_SPLITS:
        place = root / f"{split}_data"
        if not place.is_dir():
            continue
        for deeper in subfolders.holding(place, PICTURES + SOUNDS):
            raise BadSource(
                f"{deeper}: holds pictures or sounds, and no folders in {place.name} are looked into: "
                f"move them up, with their labels in {LIST}, or away"
            )
        for path in sorted(place.iterdir()):
            suffix = path.suffix.lower()
            if names.is_hidden(path.relative_to(place)) or suffix in NOTES:
                continue
            is_read = suffix in PICTURES + SOUNDS and os.path.isfile(path)
            if is_read or not os.path.isdir(path):
                (found if is_read else unread).setdefault(Key(split, names.stem(path)), []).append(path)
    return found, unread


def _listed(root: Path) -> Mapping[Key, Entry]:
    """The rows of a folder's list; none where it has none. One that cannot be opened is not passed over."""
    found = [path for path in sorted(root.iterdir()) if path.name.lower() == LIST]
    if len(found) > 1:
        raise BadSource(f"{root}: holds both {found[0].name} and {found[1].name}: remove one of them")
    if found and found[0].exists() and not found[0].is_file():
        raise BadSource(f"{found[0]}: not a regular file")
    return _rows(found[0]) if found else {}


def _rows(path: Path) -> Mapping[Key, Entry]:
    listed: dict[Key, Entry] = {}
    with lists.opened(path) as file:
        reader = csv.DictReader(file, strict=True)
        header = list(reader.fieldnames or ())
        if not {"id", "split", "label"} <= set(header):
            raise BadSource(f"{path}: the header must be id,split,label or id,split,label,group")
        if twice := [name for name in COLUMNS if header.count(name) > 1]:
            raise BadSource(f"{path}: the header names {twice[0]} twice")
        for row in reader:
            place = f"{path}: line {reader.line_num}"
            split = next((split for split in SOURCE_SPLITS if split == row["split"]), None)
            if split is None or not row["id"] or row["label"] is None:
                raise BadSource(f"{place}: needs an id, a split (train or test) and a label")
            if any(row.get(None, ())):  # as DictReader calls what lies beyond
                raise BadSource(f"{place}: more columns than the header has; a label with a comma stands in quotes")
            entry = Entry(row["label"], row.get("group") or "")
            lists.add(listed, Key(split, row["id"]), entry, f"{place}: {row['id']}")
    return listed
