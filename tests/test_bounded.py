"""No file from outside is read whole unless it is known to be small enough; no line of a journal without end."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cycle_sound.acquisition.claims import REGISTER, Claims
from cycle_sound.acquisition.sources import failures, fetching, folder, lists, moments, videos
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.errors import BadSource
from cycle_sound.io import bounded, files

LONG = " " * bounded.MAX_LINE


def sparse(path: Path, size: int) -> Path:
    """A file of so many bytes that takes no space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.mp3", "x.wav"])
def test_a_clip_of_a_file_too_large_is_rejected_unread(name: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / name, bounded.MAX_MEDIA + 1)
    with pytest.raises(Rejected, match=rf"^\('corrupt', '{name}: 1\.0 GiB: more than is read'\)$"):
        folder.fetch([path], 1.0, may_be_lone=True, unread=[])


def labelled_pairs(path: Path) -> object:
    return folder._listed(path.parent)


LISTS: dict[str, Callable[[Path], object]] = {
    "labels.csv": labelled_pairs,
    "vggsound.csv": partial(lists.read, split=None),
    "videos.csv": videos._labels,
    "moments.json": moments.listed,
    "cookies.txt": fetching._cookies,
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_too_large_is_refused_unread_in_one_line(name: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / name, bounded.MAX_LIST + 1)
    with pytest.raises(BadSource, match=rf"^\S+{name}: 0\.3 GiB: more than is read$"):
        LISTS[name](path)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_might_never_end_is_refused_unread(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(BadSource, match=rf"^\S+{name}: not a regular file$"):
        LISTS[name](tmp_path / name)


def test_ten_million_rows_are_no_list_too_large(tmp_path: Path) -> None:
    lists.check(sparse(tmp_path / "list.csv", 10_000_000 * 25))


def test_a_line_too_long_of_the_journal_of_failures_costs_no_other(tmp_path: Path) -> None:
    long = json.dumps({"address": "long", "reason": "gone" + LONG})
    entries = [json.dumps({"address": name, "reason": "gone"}) for name in ("before", "after")]
    files.write_bytes(tmp_path / failures.JOURNAL, "\n".join([entries[0], long, entries[1]]).encode())
    assert failures.known(tmp_path, "").keys() == {"before", "after"}


def test_a_line_too_long_of_the_register_claims_nothing_and_costs_no_other(tmp_path: Path) -> None:
    for name in ("before", "long", "after"):
        files.write_bytes(tmp_path / f"train_data/{name}.jpg", b"")
    lines = ["train_data/before\t? ?", f"train_data/long\t? ?{LONG}", "train_data/after\t? ?"]
    files.write_bytes(tmp_path / REGISTER, "\n".join(lines).encode())
    Claims(tmp_path).end([])
    assert [path.name for path in (tmp_path / "train_data").iterdir()] == ["long.jpg"]


@pytest.mark.parametrize("length", [0, 1, bounded.MAX_LINE - 2, bounded.MAX_LINE - 1, bounded.MAX_LINE])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_line_is_whole_up_to_the_bound(length: int, end: str, tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "x", f"a\n{'b' * length}{end}".encode())
    known = ["a", *(["b" * length] if (length or end) and length < bounded.MAX_LINE else [])]
    assert list(bounded.lines(tmp_path / "x")) == known
