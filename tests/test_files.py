"""Files that survive a power loss whole, and disks that refuse them: one line that says what, where and how much."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cycle_sound.errors import DiskFull, UserError, told
from cycle_sound.io import files

ROOT = Path(__file__).resolve().parents[1]


def write_csv(path: Path) -> None:
    files.write_csv(path, [{"a": 1}])


def append(path: Path) -> None:
    files.append(path, b"a line\n")


def move(path: Path) -> None:
    path.with_name("source").write_bytes(b"whole")
    files.move(path.with_name("source"), path)


REPLACING: list[Callable[[Path], None]] = [
    lambda path: files.write_bytes(path, b"content"),
    lambda path: files.write_json(path, {"a": 1.0}),
    write_csv,
]


@pytest.mark.parametrize("write", [*REPLACING, move])
@pytest.mark.parametrize("before", [None, b"before"])
def test_the_disk_has_a_file_before_its_name_and_the_name_before_the_promise(
    write: Callable[[Path], None], before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, done = tmp_path / "file", list[tuple[str, int]]()
    if before:
        path.write_bytes(before)
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(("flush", os.fstat(handle).st_ino)), flush(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(("name", os.stat(a).st_ino)), replace(a, b)))
    write(path)
    own, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert done == [("flush", own), ("name", own), ("flush", folder)]


def test_a_line_that_was_added_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = list[int]()
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle).st_ino))
    append(tmp_path / "journal")
    assert done == [(tmp_path / "journal").stat().st_ino, tmp_path.stat().st_ino]
    append(tmp_path / "journal")
    assert done[2:] == [(tmp_path / "journal").stat().st_ino]
    assert (tmp_path / "journal").read_bytes() == b"a line\n" * 2


@pytest.mark.parametrize("write", [*REPLACING, move, append])
def test_files_are_written_where_a_flush_wants_a_handle_that_may_write_and_no_folder_is_opened(
    write: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    opened, done = os.open, list[int]()

    def as_windows_opens(path: Path, flags: int, *how: int, **more: int) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, flags, *how, **more)

    def as_windows_flushes(handle: int) -> None:
        if fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        done.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(os, "open", as_windows_opens)
    monkeypatch.setattr(os, "fsync", as_windows_flushes)
    write(tmp_path / "file")
    assert done == [(tmp_path / "file").stat().st_ino]


# --- disks that refuse

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EFBIG)


@pytest.mark.parametrize("write", [*REPLACING, append])
@pytest.mark.parametrize("number", REFUSALS)
def test_what_a_disk_refuses_is_one_line_that_names_the_file_and_leaves_what_was_there(
    write: Callable[[Path], None], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before\n")

    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises((UserError, OSError)) as caught:
        write(path)
    line = told(caught.value)  # type: ignore[arg-type]
    assert line.startswith(f"{path}: {os.strerror(number)}")
    assert isinstance(caught.value, DiskFull) == (number in files.FULL)
    assert path.read_bytes().startswith(b"before\n")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("named", [None, "deep/clip.part"])
def test_work_in_a_folder_tells_of_the_folder_or_of_the_file_that_the_system_names(
    number: int, named: str | None, tmp_path: Path
) -> None:
    with pytest.raises((UserError, OSError)) as caught, files.naming(tmp_path):
        raise OSError(number, os.strerror(number), named)
    assert told(caught.value).startswith(f"{named or tmp_path}: {os.strerror(number)}")  # type: ignore[arg-type]
    assert isinstance(caught.value, DiskFull) == (number in files.FULL)


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="another"), files.replacing(tmp_path / "file") as part:
        part.write_bytes(Path("another").read_bytes())


SMALL = """
import sys
from pathlib import Path

import torch

from cycle_sound.errors import DiskFull
from cycle_sound.io import files
from cycle_sound.nn import checkpoint

folder = Path(sys.argv[1])
files.write_bytes(folder / "there", bytes(500_000))
for name, write in {
    "bytes": lambda path: files.write_bytes(path, bytes(900_000)),
    "rows": lambda path: files.write_csv(path, ({"a": "x" * 1000} for _ in range(900))),
    "weights": lambda path: checkpoint.write(path, {"w": torch.zeros(225_000)}, "{}"),
}.items():
    try:
        write(folder / name)
    except DiskFull as error:
        print(error)
print([path.name for path in folder.iterdir()])
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_on_a_full_disk_every_writer_says_how_much_is_missing(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    words = 'mount -t tmpfs -o size=1000k tmpfs "$1" && exec "$0" -c "$2" "$1"'
    done = subprocess.run(
        [*mounted, words, sys.executable, str(tmp_path / "small"), SMALL],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "Error" not in done.stderr:
        pytest.skip(f"no small disk can be had here: {done.stderr.strip()}")
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0].rpartition("/")[2] for line in lines[:3]] == ["bytes", "rows", "weights"], done.stderr
    assert all("No space left on device: it takes" in line and "only 0.52 MB are free" in line for line in lines[:3])
    assert "it takes 0.9 MB" in lines[0]
    assert "it takes more than 0.52 MB" in lines[1]
    assert "it takes 0.9 MB" in lines[2]
    assert lines[3] == "['there']"
