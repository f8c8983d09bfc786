"""No file of the user is replaced, removed or moved, wherever it lies and whatever names it."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folders import PRECIOUS, linked, made_pairs, tree

from cycle_sound import paths
from cycle_sound.acquisition import acquire, claims, manifest, restoring, sources
from cycle_sound.acquisition.manifest import Row
from cycle_sound.errors import BadSource
from cycle_sound.io import files
from cycle_sound.params import Params
from stages import download

ROOT = Path(__file__).resolve().parents[1]


def test_what_no_download_wrote_stays_whatever_settings_follow(tmp_path: Path, tiny_params: Callable[..., Params]):
    raw = tmp_path / paths.RAW
    strangers = ["notes.txt", "old/deep/file", "train_data/holiday.jpg", "test_data/holiday.mp3", ".hidden"]
    for name in strangers:
        files.write_bytes(raw / name, PRECIOUS)
    linked(raw / "linked", tmp_path / "elsewhere")
    for train_pairs in (6, 3, 5):
        download.main(tiny_params(synthetic={"train_pairs": train_pairs, "test_pairs": 2}))
        assert all((raw / name).read_bytes() == PRECIOUS for name in strangers)
        assert (raw / "linked").is_symlink()
        assert len(list(raw.glob("train_data/train_*.jpg"))) == train_pairs
        assert (raw / claims.REGISTER).exists()


@pytest.mark.parametrize("name", ["train_data/train_00000.jpg", "test_data/test_00001.mp3", "manifest.csv"])
def test_what_no_download_wrote_is_not_replaced(name: str, tmp_path: Path, tiny_params: Callable[..., Params]):
    files.write_bytes(tmp_path / paths.RAW / name, PRECIOUS)
    for _ in range(2):  # not even the second time
        with pytest.raises(
            BadSource,
            match=rf"{name}: (was not written by a download|not a manifest of this version), .*: move it away",
        ):
            download.main(tiny_params())
        assert (tmp_path / paths.RAW / name).read_bytes() == PRECIOUS
    (tmp_path / paths.RAW / name).unlink()
    download.main(tiny_params())


def another_file(place: Path) -> None:
    files.write_bytes(place, PRECIOUS)


def a_link(place: Path) -> None:
    files.write_bytes(place.parents[3] / "outside/other.jpg", b"other")
    linked(place, place.parents[3] / "outside/other.jpg")


def a_link_to_the_same_bytes(place: Path) -> None:
    files.write_bytes(place.parents[3] / "outside/same.jpg", b"same")
    linked(place, place.parents[3] / "outside/same.jpg")


def a_folder(place: Path) -> None:
    files.write_bytes(place / "deep", PRECIOUS)


def restored(params: Params) -> None:
    restoring.restore([row.original for row in manifest.read(paths.MANIFEST)], paths.RAW, params)


STRANGERS = [another_file, a_link, a_link_to_the_same_bytes, a_folder]


def named_alone(name: str, put: Callable[[Path], None], tmp_path: Path) -> dict[str, bytes | str]:
    """A workspace as DVC delivers it, with a manifest alone that names a stranger's file: all that lies there."""
    digest = hashlib.sha256(b"same").hexdigest()
    row = Row(name, "train", "", name, "ok", "", picture_sha256=digest, sound_sha256=digest)
    paths.RAW.mkdir(parents=True)
    manifest.write(paths.MANIFEST, [row])
    put(tmp_path / paths.RAW / f"train_data/{name}.jpg")
    return tree(tmp_path)


@pytest.mark.parametrize("work", [download.main, restored])
@pytest.mark.parametrize("put", STRANGERS)
def test_what_the_manifest_alone_names_is_not_replaced_unless_it_has_its_bytes(
    put: Callable[[Path], None], work: Callable[[Params], None], tmp_path: Path, tiny_params: Callable[..., Params]
):
    params = tiny_params()
    before = named_alone("train_00000", put, tmp_path)
    for _ in range(2):
        with pytest.raises(
            BadSource, match=r"train_00000\.jpg: was not written by a download, .*: move it away"
        ) as error:
            work(params)
        assert "\n" not in str(error.value)
        assert tree(tmp_path) == before


@pytest.mark.parametrize("put", STRANGERS)
def test_what_the_manifest_alone_names_is_not_swept_unless_it_has_its_bytes(
    put: Callable[[Path], None], tmp_path: Path, tiny_params: Callable[..., Params]
):
    params = tiny_params(synthetic={"train_pairs": 2, "test_pairs": 2})
    before = named_alone("train_00005", put, tmp_path)
    own = paths.RAW / "train_data/train_00005.mp3"
    files.write_bytes(own, b"same")
    download.main(params)
    assert {name: tree(tmp_path)[name] for name in before if name != str(paths.MANIFEST)}.items() <= before.items()
    assert not own.exists()


def test_what_an_unfinished_download_wrote_is_swept_under_other_settings(
    tmp_path: Path, tiny_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    raw = tmp_path / paths.RAW
    with monkeypatch.context() as patch:
        patch.setattr(acquire.manifest, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            download.main(tiny_params(synthetic={"train_pairs": 6, "test_pairs": 4}))
    assert (raw / "train_data/train_00005.jpg").exists()
    files.write_bytes(raw / "train_data/holiday.jpg", PRECIOUS)
    download.main(tiny_params(synthetic={"train_pairs": 2, "test_pairs": 2}))
    names = {path.name for path in raw.glob("train_data/*")}
    assert names == {f"train_0000{i}.{kind}" for i in range(2) for kind in ("jpg", "mp3")} | {"holiday.jpg"}


def test_a_download_that_is_stopped_leaves_the_pairs_and_the_manifest_of_the_one_before(
    tmp_path: Path, tiny_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
):
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    params = tiny_params()
    download.main(params)
    before = {name: content for name, content in tree(tmp_path).items() if not name.endswith(claims.REGISTER)}
    with monkeypatch.context() as patch:
        patch.setattr(acquire, "_fates", stop)
        with pytest.raises(KeyboardInterrupt):
            download.main(tiny_params(silence_db=-50.0))
        assert before.items() <= tree(tmp_path).items()
        patch.setattr(sources, "clips", stop)  # as if nothing could be obtained any more
        restored(params)


@pytest.mark.parametrize(("stays", "goes"), [("jpg", "mp3"), ("mp3", "jpg")])
def test_no_half_of_an_earlier_pair_joins_what_is_alone_now(
    stays: str, goes: str, tmp_path: Path, tiny_params: Callable[..., Params]
):
    files_of = made_pairs(tmp_path) / "train_data"
    for place in files_of.with_name("test_data").glob("*"):
        files.write_bytes(files_of / place.name, place.read_bytes())
        place.unlink()
    params = tiny_params(source="folder", folder={"path": "own"}, unpaired="keep", max_rejected=1.0)
    for kinds in ({stays, goes}, {stays}):
        download.main(params)
        assert {path.suffix[1:] for path in paths.RAW.glob("train_data/own.*")} == kinds
        (files_of / f"own.{goes}").unlink(missing_ok=True)


BETTER = b"a better picture, put here by hand"


def replaced_in_place(place: Path) -> None:
    state = place.stat()
    place.write_bytes(BETTER)
    os.utime(place, ns=(state.st_atime_ns, state.st_mtime_ns))


def replaced_by_an_older_file_of_its_size(place: Path) -> None:
    older = place.with_name("older")
    older.write_bytes(BETTER.ljust(place.stat().st_size)[: place.stat().st_size])
    os.utime(older, ns=(1, 1))
    older.replace(place)


REPLACED = [replaced_in_place, replaced_by_an_older_file_of_its_size]


@pytest.mark.parametrize("notes", ["with times", "of an older version"])
@pytest.mark.parametrize("train_pairs", [6, 2], ids=["to be written again", "to be removed"])
@pytest.mark.parametrize("put", REPLACED)
def test_what_took_the_place_of_a_file_that_a_download_wrote_is_kept(
    put: Callable[[Path], None], train_pairs: int, notes: str, tmp_path: Path, tiny_params: Callable[..., Params]
):
    download.main(tiny_params())
    register, place = paths.RAW / claims.REGISTER, tmp_path / paths.RAW / "train_data/train_00005.jpg"
    if notes == "of an older version":
        register.write_text(re.sub(r":\d+:\d+", "", register.read_text()))
    put(place)
    before = tree(tmp_path)
    params = tiny_params(synthetic={"train_pairs": train_pairs, "test_pairs": 4})
    for _ in range(2):  # not even the second time
        with pytest.raises(
            BadSource, match=r"train_00005\.jpg: has changed since a download wrote it, .*: move it away"
        ) as error:
            download.main(params)
        assert "\n" not in str(error.value)
        assert tree(tmp_path) == before
    place.rename(tmp_path / "mine.jpg")
    download.main(params)
    assert place.exists() == (train_pairs == 6)


def test_what_is_restored_replaces_no_file_that_took_the_place_of_one_written(
    tmp_path: Path, tiny_params: Callable[..., Params]
):
    params = tiny_params()
    download.main(params)
    picture, sound = (tmp_path / paths.RAW / f"train_data/train_00005.{kind}" for kind in ("jpg", "mp3"))
    picture.write_bytes(BETTER)
    sound.unlink()
    with pytest.raises(BadSource, match=r"train_00005\.jpg: has changed since a download wrote it, .*: move it away"):
        restored(params)
    assert picture.read_bytes() == BETTER


def test_what_takes_a_place_during_a_download_is_kept_at_its_end(tmp_path: Path, tiny_params: Callable[..., Params]):
    params = tiny_params()
    download.main(params)
    rows = [row.original for row in manifest.read(paths.MANIFEST)]
    claimed, place = claims.Claims(paths.RAW), tmp_path / paths.RAW / "train_data/train_00005.jpg"
    place.write_bytes(BETTER)
    with pytest.raises(BadSource, match="move it away"):
        claimed.end(one for one in rows if one.id != "train_00005")
    assert place.read_bytes() == BETTER


def test_files_of_the_noted_size_and_time_are_not_read_to_be_known_again(
    tmp_path: Path, tiny_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
):
    download.main(tiny_params())
    read, digest = list[str](), files.digest
    monkeypatch.setattr(files, "digest", lambda *places: read.extend(place.name for place in places) or digest(*places))
    (paths.RAW / "train_data/train_00001.mp3").touch()  # the same bytes, at another time
    download.main(tiny_params(synthetic={"train_pairs": 2, "test_pairs": 2}))
    assert {name for name in read if name.endswith((".jpg", ".mp3"))} == {"train_00001.mp3"}


@pytest.mark.parametrize("name", ["../../outside", "/etc/outside", "train_data/../../../outside", "\udcff", "x\0"])
def test_a_list_of_claims_leads_nowhere_else(name: str, tmp_path: Path, tiny_params: Callable[..., Params]):
    raw = tmp_path / paths.RAW
    files.write_bytes(tmp_path / "outside.jpg", PRECIOUS)
    files.write_bytes(raw / claims.REGISTER, name.encode(errors="surrogateescape") + b"\n")
    download.main(tiny_params())
    assert (tmp_path / "outside.jpg").read_bytes() == PRECIOUS
