"""DVC keeps the manifest alone: the pairs in it come back from their source, the same to the byte or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folders import contents

from cycle_sound import paths
from cycle_sound.acquisition import manifest, restoring
from cycle_sound.acquisition.sources import fetching, vggsound
from cycle_sound.errors import BadSource, ChangedOriginal, LostOriginals
from cycle_sound.io import files, params_file, pool
from cycle_sound.params import Params
from stages import download, shard, train_vocoder

PAIRS = {"train_pairs": 8, "test_pairs": 3}


@pytest.fixture
def enter(tmp_path: Path, write_tiny: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    """`enter(name, **over)`: go into a workspace, of parameters for a few pairs."""

    def entered(name: str, **over: Any) -> Params:
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / name)
        write_tiny(Path(), **{"data": {"synthetic": PAIRS, **over.pop("data", {})}, **over})
        return params_file.load()

    monkeypatch.setattr(pool, "here", lambda jobs, workers=1, here=pool.here: here(jobs, 1))
    return entered


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    """Which file each is, another one once it is written again: a number can be given again, with another time."""
    stats = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*.*") if path.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def pairs(place: Path, from_raw: Path) -> dict[str, Any]:
    """The settings of a folder of the user's with the pairs of another one."""
    shutil.copytree(from_raw, place, ignore=shutil.ignore_patterns("manifest.csv", ".*"))
    return {"source": "folder", "folder": {"path": str(place)}}


@pytest.mark.parametrize("source", ["synthetic", "folder"])
def test_a_workspace_with_the_manifest_alone_makes_the_same_shards(
    source: str, tmp_path: Path, enter: Callable[..., Params]
):
    download.main(enter("first"))
    data = pairs(tmp_path / "mine", paths.RAW) if source == "folder" else {}
    params = enter("second", data=data)
    download.main(params)
    shard.main(params)
    raw, shards = contents(paths.RAW), contents(paths.SHARDS)
    table = paths.MANIFEST.read_bytes()

    params = enter("fresh", data=data)
    files.write_bytes(paths.MANIFEST, table)
    shard.main(params)
    assert contents(paths.SHARDS) == shards
    assert contents(paths.RAW) == raw


def test_what_is_missing_alone_is_obtained_again_and_nothing_is_read_to_find_it(
    enter: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
):
    params = enter("here")
    download.main(params)
    originals = [row.original for row in manifest.read(paths.MANIFEST) if row.status == "ok"]
    before, raw = inodes(paths.RAW), contents(paths.RAW)
    lost = originals[2].places(paths.RAW)[1]
    lost.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(files, "digest", lambda path: pytest.fail(f"{path} is read"))
        restoring.restore(originals, paths.RAW, params)
    after = inodes(paths.RAW)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {".claimed", *(str(path.relative_to(paths.RAW)) for path in originals[2].places(paths.RAW))}
    assert contents(paths.RAW) == raw


def test_an_experiment_that_is_gone_back_to_has_its_own_pairs_and_no_file_is_left_to_nobody(
    enter: Callable[..., Params],
):
    params = enter("here")
    download.main(params)
    shard.main(params)
    table, shards = paths.MANIFEST.read_bytes(), contents(paths.SHARDS)
    more = {"synthetic": {"train_pairs": 12, "test_pairs": 3}}
    download.main(enter("here", seed=1, data=more))
    raw = contents(paths.RAW)
    files.write_bytes(paths.MANIFEST, table)  # as `dvc checkout` does
    shard.main(enter("here"))
    assert contents(paths.SHARDS) == shards
    download.main(enter("here", seed=1, data=more))
    assert contents(paths.RAW) == raw


def test_a_file_that_was_changed_is_never_sharded_and_comes_back_once_it_is_removed(enter: Callable[..., Params]):
    params = enter("here")
    download.main(params)
    changed = manifest.read(paths.MANIFEST)[-1].original.places(paths.RAW)[0]
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ChangedOriginal, match=rf"{changed}: not the file that the manifest names; remove it"):
        shard.main(params)
    assert not paths.INDEX.exists()
    changed.unlink()
    shard.main(params)
    assert changed.read_bytes() == content


def other_bytes(mine: Path) -> None:
    shutil.copy(mine / "train_data/train_00001.jpg", mine / "train_data/train_00000.jpg")


def no_bytes(mine: Path) -> None:
    (mine / "train_data/train_00000.jpg").unlink()


def no_pair(mine: Path) -> None:
    no_bytes(mine)
    (mine / "train_data/train_00000.mp3").unlink()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_bytes, "it has other bytes now"),
        (no_bytes, r"train_00000\.mp3 has no picture beside it"),
        (no_pair, "the source does not list it"),
    ],
)
def test_a_source_that_gives_something_else_is_one_clear_error_and_all_else_is_there(
    change: Callable[[Path], None], reason: str, tmp_path: Path, enter: Callable[..., Params]
):
    download.main(enter("first"))
    data = pairs(tmp_path / "mine", paths.RAW)
    download.main(enter("second", data=data))
    table, raw = paths.MANIFEST.read_bytes(), contents(paths.RAW)
    change(tmp_path / "mine")

    params = enter("fresh", data=data)
    files.write_bytes(paths.MANIFEST, table)
    with pytest.raises(LostOriginals, match=rf"^1 pairs .*\(train_data/train_00000: {reason}\): .*--force") as error:
        shard.main(params)
    assert "\n" not in str(error.value)
    there = {name: digest for name, digest in contents(paths.RAW).items() if name != ".claimed"}
    assert there == {name: raw[name] for name in raw if "train_00000" not in name and name != ".claimed"}


def test_a_file_of_somebody_else_is_not_replaced(enter: Callable[..., Params]):
    download.main(enter("first"))
    table = paths.MANIFEST.read_bytes()
    params = enter("fresh")
    files.write_bytes(paths.MANIFEST, table)
    mine = paths.RAW / "train_data/train_00000.jpg"
    files.write_bytes(mine, b"precious")
    with pytest.raises(BadSource, match=r"train_00000\.jpg: was not written by a download, .*: move it away"):
        shard.main(params)
    assert mine.read_bytes() == b"precious"


def test_a_training_obtains_what_it_reads_and_no_more(enter: Callable[..., Params]):
    params = enter("here")
    download.main(params)
    shard.main(params)
    sounds = contents(paths.RAW / "train_data")
    train_vocoder.main(params)
    model = paths.vocoder().read_bytes()
    for name in ("train_data", "test_data"):
        shutil.rmtree(paths.RAW / name)
    train_vocoder.main(params)
    assert paths.vocoder().read_bytes() == model
    assert contents(paths.RAW / "train_data") == sounds
    assert not (paths.RAW / "test_data").exists()


def test_of_excerpts_only_those_needed_are_fetched(
    tmp_path: Path, enter: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
):
    names = [f"{letter * 11}_00003{digit}" for letter, digit in zip("abcdef", range(6), strict=True)]
    (tmp_path / "list.csv").write_text("".join(f"{name}.mp4,x\n" for name in names), encoding="utf-8")
    own = {"path": str(tmp_path / "store"), "list": str(tmp_path / "list.csv")}
    params = enter("here", data={"source": "vggsound", "pairs": "even", "vggsound": own})
    asked: list[str] = []

    def fetch(missing: Any, _: Any) -> dict[Any, Any]:
        asked.extend(excerpt.name for excerpt in missing)
        return {}

    monkeypatch.setattr(fetching, "fetch", fetch)
    vggsound.clips(params.data, {f"{names[1]}_2", f"{names[4]}_0", "unknown"})
    assert sorted(asked) == [names[1], names[4]]
