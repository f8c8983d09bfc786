"""Tars that nobody should believe: whatever a header says, a listing ends, keeps nothing, and says what is wrong."""

import bz2
import gzip
import io
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tarfile import TarInfo
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources import archives
from cycle_sound.dataset import indexing, tars
from cycle_sound.dataset.reader import Split, read_index
from cycle_sound.dataset.tars import Sample
from cycle_sound.errors import BadShard, BadSource, BadTar, UserError
from cycle_sound.io import tar_members
from cycle_sound.media import jpeg
from cycle_sound.params import MODALITIES

NAME = "abcdefghijk_000007.mp4"
END = bytes(1024)


def header(size: int | bytes, kind: bytes = tarfile.REGTYPE, **fields: bytes) -> bytes:
    """A header with the right sum that says how many bytes follow; below zero in base 256, or as its field holds it."""
    block = bytearray(TarInfo(NAME).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size.rjust(11, b"0") + b"\0" if isinstance(size, bytes) else (size % 256**12).to_bytes(12)
    if isinstance(size, int):
        block[124] = 0xFF if size < 0 else 0x80
    block[156:157] = kind
    for place, value in fields.items():
        block[int(place[1:]) : int(place[1:]) + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def attributes(content: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return header(b"%o" % len(content), kind) + padded(content)


def record(text: str) -> bytes:
    length = next(n for n in range(len(text), len(text) + 9) if n == len(f"{n} {text}\n"))
    return f"{length} {text}\n".encode()


FILE = header(b"5") + padded(b"film!")
HOSTILE = {
    **{f"{size} bytes": FILE + header(size) + END for size in (-1, -512, -1024, -1536, -2048, -(256**10))},
    "fewer than no bytes, in octal": header(b"-1000") + END,
    "more bytes than follow": header(1 << 40) + END,
    "more bytes than can be counted": header(1 << 87) + END,
    "a size below zero among its attributes": attributes(record("size=-1024")) + FILE + END,
    "a size in words among its attributes": attributes(record("size=many")) + FILE + END,
    "a huge size among its attributes": attributes(record(f"size={'9' * 5000}")) + FILE + END,
    "attributes without end": header(1 << 33, tarfile.XHDTYPE) + END,
    "attributes of fewer than no bytes": FILE + header(-1024, tarfile.XHDTYPE) + END,
    "a name without end": header(1 << 33, tarfile.GNUTYPE_LONGNAME) + END,
    "a name of fewer than no bytes": FILE + header(-512, tarfile.GNUTYPE_LONGNAME) + END,
    "attributes for all members, of fewer than no bytes": header(-512, tarfile.XGLTYPE) + FILE + END,
    "attributes that are digits alone": attributes(b"1" * 65000) + FILE + END,
    "attributes of no length": attributes(b"0 path=x\n") + FILE + END,
    "attributes longer than they are": attributes(b"99 path=x\n") + FILE + END,
    "a map of holes without end": header(b"0", tarfile.GNUTYPE_SPARSE, _482=b"\1") + b"\1" * 512 * 9,
    "nothing": b"",
    "half a header": FILE[:300],
    "no end": FILE,
    "a broken header in the middle": FILE + b"\1" * 512 + FILE + END,
    "text": b"neither tar nor anything else\n" * 100,
}
READERS: dict[str, tuple[Callable[[Path], Any], type[UserError]]] = {
    "listing": (lambda path: list(tar_members.listed(path.open("rb"), path.stat().st_size)), BadTar),
    "archives": (lambda path: archives.find(path.parent), BadSource),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_tar_that_lies_is_one_clear_error(what: str, reader: str, tmp_path: Path) -> None:
    (tmp_path / "train-000000.tar").write_bytes(HOSTILE[what])
    read, error = READERS[reader]
    with pytest.raises(error):
        read(tmp_path / "train-000000.tar")


@pytest.mark.parametrize(
    ("what", "content"),
    {
        "members": TarInfo("x").tobuf() * 5000,
        "attributes": attributes(record("comment=" + "x" * 2000)) * 2000,
        "attributes for all members": attributes(record("comment=" + "x" * 2000), tarfile.XGLTYPE) * 2000,
        "names": attributes(b"x" * 2000, tarfile.GNUTYPE_LONGNAME) * 2000,
        "attributes of many names": b"".join(attributes(record(f"{n}={'x' * 2000}")) for n in range(2000)),
        "sparse attributes of many names": b"".join(
            attributes(record(f"GNU.sparse.{n}={'x' * 2000}")) + TarInfo("x").tobuf() * (n == 1999) for n in range(2000)
        ),
    }.items(),
)
def test_memory_does_not_grow_with_a_tar(what: str, content: bytes) -> None:
    file = io.BytesIO(content + FILE + END)
    tracemalloc.start()
    try:
        sizes = sum(size for _, _, size in tar_members.listed(file, len(content) + 4096))
        assert tracemalloc.get_traced_memory()[1] < 1 << 19
    finally:
        tracemalloc.stop()
    assert sizes == 5


def test_a_tar_of_too_many_members_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_members, "MAX_HEADERS", 100)
    with pytest.raises(BadTar, match="more than 100 members"):
        list(tar_members.listed(io.BytesIO(FILE * 101 + END), 1 << 20))


def test_an_archive_that_grows_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SPARE", 1 << 16)
    content = header(1 << 22) + bytes(1 << 22) + END
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(BadSource, match="a member of 4194304 bytes"):
        archives.find(tmp_path)


def test_a_map_of_holes_that_grows_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SPARE", 1 << 16)
    follows = bytes(504) + b"\1" + bytes(7)
    content = header(b"0", tarfile.GNUTYPE_SPARSE, _482=b"\1") + follows * (1 << 13)
    (tmp_path / "x.tar.bz2").write_bytes(bz2.compress(content))
    with pytest.raises(BadSource, match=r"a member of 0 bytes where -\d+ are left"):  # and not cut off, at its end
        archives.find(tmp_path)


def members(content: bytes) -> list[tuple[str, int, int]]:
    """The files in an honest tar, by Python's tarfile."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [(one.name, one.offset_data, one.size) for one in tar if one.isreg() and not one.issparse()]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_honest_tars_are_listed_as_python_lists_them(form: int) -> None:
    file = io.BytesIO()
    headers = {"comment": "of all"} if form == tarfile.PAX_FORMAT else None
    with tarfile.open(fileobj=file, mode="w", format=form, pax_headers=headers) as tar:
        for name in ("a", "ünï/côdé 🎬.mp4", "/".join(["long"] * 20) + "/b.mp4", "c" * 90):
            for kind in (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
                info = TarInfo(name)
                info.type, info.mtime, info.uname = kind, 1.5 if form == tarfile.PAX_FORMAT else 1, "ü"
                info.size = len(name) if kind == tarfile.REGTYPE else 0
                info.linkname = "d" * 99 if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
                tar.addfile(info, io.BytesIO(b"x" * info.size))
    wanted = members(file.getvalue())
    assert len(wanted) == 4
    assert [*tar_members.listed(file, len(file.getvalue()))] == wanted


@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
@pytest.mark.parametrize("form", ["--format=gnu", "--format=posix"])
def test_sparse_files_are_passed_over(form: str, tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        for number in range(30):
            file.seek(number * 65536)
            file.write(b"x" * 4096)
    (tmp_path / "whole").write_bytes(b"whole")
    done = subprocess.run(
        ["tar", "--sparse", form, "-cf", "x.tar", "holes", "whole"], cwd=tmp_path, capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this tar knows no sparse files")
    content = (tmp_path / "x.tar").read_bytes()
    assert [name for name, *_ in members(content)] == ["whole"]
    assert [*tar_members.listed(io.BytesIO(content), len(content))] == members(content)


# --- shards that hold something else


def sample(name: str, image: np.ndarray, audio: np.ndarray, **facts: object) -> Sample:
    return Sample(image, audio, {"id": name, "label": "", "group": name, "attributes": {}, **facts})


IMAGE, AUDIO = np.zeros((3, 8, 8), np.uint8), np.zeros((1, 8, 4), np.float16)


def with_member(folder: Path, name: str, content: bytes) -> None:
    """A shard of one pair, of which one member is replaced."""
    tars.write_shard(folder / "good.tar", [sample("a", IMAGE, AUDIO)])
    with tarfile.open(folder / "good.tar") as good, tarfile.open(folder / "train-000000.tar", "w") as bad:
        found = {info.name: good.extractfile(info).read() for info in good} | {name: content}  # type: ignore[union-attr]
        for key, value in found.items():
            info = TarInfo(key)
            info.size = len(value)
            bad.addfile(info, io.BytesIO(value))
    row = Row("a", "train", "", "a", "ok", "", {}, "0" * 64, "0" * 64)
    contents = indexing.Contents([row], [tars.members(folder / "train-000000.tar")])
    indexing.write(folder, {"train": contents}, {"train-000000.tar": "0" * 64}, tiny.committed()["audio"])


def npy(shape: tuple[int, ...], dtype: str, content: bytes = b"") -> bytes:
    """An .npy file that says what it holds, and holds something else."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": dtype})
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.image.npy", b"PK\3\4" + bytes(100)),
        ("a.image.npy", npy((1 << 20, 1 << 20, 1 << 20), "|u1")),
        ("a.image.npy", npy((3, 8, 8), "|u1", b"short")),
        ("a.image.npy", npy((3, 8, 8), "<f8", bytes(3 * 8 * 8 * 8))),
        ("a.image.npy", npy((3, 8), "|u1", bytes(24))),
        ("a.image.npy", npy((3, 8, 8), "|O", bytes(3 * 8 * 8 * 8))),
        ("a.audio.npy", npy((1, 8, 4), "|u1", bytes(32))),
        *(("a.audio.npy", b"\x93NUMPY\x01\x00\x0a\x00" + odd) for odd in (b"{'descr': ", b"[" * 10, b"{3:4,'a':5")),
    ],
)
def test_a_shard_of_something_else_is_one_clear_error(name: str, content: bytes, tmp_path: Path) -> None:
    with_member(tmp_path, name, content)
    with pytest.raises(BadShard, match=r"not a shard of this version"):
        Split(tmp_path, "train").pictures("audio" if "audio" in name else "image", [0])


COLUMNS: dict[str, dict[str, Any]] = {  # columns of two pairs, of which one is spoiled
    "a tar that is not there": {"shard": np.array([0, 1 << 31], np.uint32)},
    "a member beyond its tar": {"image": np.array([[512, 999], [1 << 40, 999]])},
    "a member before its tar": {"image": np.array([[512, 999], [-512, 999]])},
    "a member of fewer than no bytes": {"audio": np.array([[512, -1], [512, -(1 << 62)]])},
    "a member larger than its tar": {"audio": np.array([[512, 1 << 62], [(1 << 63) - 1, (1 << 63) - 1]])},
    "a member that is no array": {"image": np.array([[0, 512], [100, 300]])},
    "the other modality's member": {"image": np.array([[2560, 192], [2560, 192]])},
    "ids beyond their end": {"id_ends": np.array([1, 1 << 40])},
    "ids that go back": {"id_ends": np.array([2, 1])},
    "ids before their beginning": {"id_ends": np.array([-1, 2])},
    "ids that are no text": {"ids": np.array([0xFF, 0xFE], np.uint8)},
    "no ids": {"ids": np.zeros(0, np.uint8)},
    "a label that has no name": {"label": np.array([0, 7], np.uint32)},
    "attributes that have no name": {"attributes": np.zeros((2, 3))},
    "more rows of one column": {"label": np.zeros(3, np.uint32)},
    "fewer rows of one column": {"id_ends": np.array([1])},
    "digests of another length": {"audio_sha256": np.zeros((2, 20), np.uint8)},
    "numbers of another kind": {"image": np.zeros((2, 2), np.uint16)},
    "another form": {"label": np.zeros((2, 1), np.uint32)},
}


@pytest.mark.parametrize("what", COLUMNS)
def test_columns_of_something_else_are_one_clear_error(what: str, tmp_path: Path) -> None:
    tiny.sharded(tmp_path, train=[[sample("a", IMAGE, AUDIO), sample("b", IMAGE, AUDIO)]])
    for name, column in COLUMNS[what].items():
        np.save(tmp_path / f"train.{name}.npy", column)
    with pytest.raises(BadShard, match=r"not a shard of this version"):
        read_all(tmp_path)


@pytest.mark.parametrize("numbers", [[0, 1 << 31], [1, 0], [0, 1]])
def test_tars_that_the_index_does_not_name_and_those_out_of_order_are_one_clear_error(
    numbers: list[int], tmp_path: Path
) -> None:
    tiny.sharded(tmp_path, train=[[sample("a", IMAGE, AUDIO), sample("b", IMAGE, AUDIO)]])
    np.save(tmp_path / "train.shard.npy", np.array(numbers, np.uint32))
    with pytest.raises(BadShard, match=r"not a shard of this version"):
        Split(tmp_path, "train").shards()


def read_all(folder: Path) -> None:
    """Read all that a split tells, with little memory."""
    tracemalloc.start()
    try:
        split = Split(folder, "train")
        list(split.ids), list(split.labels), list(split.attributes), split.known_labels(), split.labelled({""})
        for modality in MODALITIES:
            split.pictures(modality, range(len(split)))
    finally:
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
        tracemalloc.stop()


PICTURE = jpeg.encode(np.random.default_rng(0).integers(256, size=(3, 8, 8), dtype=np.uint8), 90)


def progressive() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", progressive=True)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        PICTURE[:200],
        jpeg.encode(np.zeros((3, 8, 16), np.uint8), 90),
        jpeg.encode(np.zeros((3, 4000, 4000), np.uint8), 1),
        progressive(),
        b"\x89PNG\r\n\x1a\n" + PICTURE,
        b"BM" + PICTURE,
    ],
)
def test_a_picture_of_another_kind_or_size_is_refused(content: bytes) -> None:
    assert jpeg.decode(PICTURE, 8).shape == (3, 8, 8)
    with pytest.raises(ValueError, match="a picture"):
        jpeg.decode(content, 8)


@pytest.mark.parametrize("cut", [0, 9, 64, 128, 700])
def test_a_column_or_a_tar_that_is_cut_off_is_one_clear_error(cut: int, tmp_path: Path) -> None:
    tiny.sharded(tmp_path / "whole", train=[[sample("a", IMAGE, AUDIO), sample("b", IMAGE, AUDIO)]])
    for path in (tmp_path / "whole").iterdir():
        if path.stat().st_size > cut:
            shutil.copytree(tmp_path / "whole", tmp_path / path.name)
            (tmp_path / path.name / path.name).write_bytes(path.read_bytes()[:cut])
            with pytest.raises(BadShard, match=r"not a shard of this version"):
                read_all(tmp_path / path.name)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"\xff", b'{"digest": 1, "audio": {}, "files": {}}', b"[" * 9999]
)
def test_an_index_of_something_else_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(content)
    with pytest.raises(BadShard, match=r"index.json: not a shard"):
        read_index(tmp_path)
