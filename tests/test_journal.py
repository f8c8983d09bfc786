"""A download that is stopped goes on where it was, and ends as if it had never been."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipelines import untimed

from cycle_sound import paths
from cycle_sound.acquisition import acquire, claims, journal, manifest, sources
from cycle_sound.acquisition.fingerprints import Fingerprint
from cycle_sound.acquisition.journal import Finished, State
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources.clip import Clip, Pair, Rejected
from cycle_sound.errors import TooManyRejected
from cycle_sound.io import files
from cycle_sound.media import picture_files, sound_files
from cycle_sound.params import FolderConfig, Params
from stages import download, shard

ROOT = Path(__file__).resolve().parents[1]
RUN = "from cycle_sound.io.params_file import load\nfrom stages import download\ndownload.main(load())\n"
PAIRS = {"train_pairs": 90, "test_pairs": 30}


def contents(folder: Path) -> dict[str, bytes]:
    """All that a download leaves behind, as `untimed` has it."""
    made = [path for name in ("data", "metrics") for path in (folder / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): untimed(path) for path in made}


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finished(folder: Path) -> dict[str, int]:
    """The picture of each clip that the journal has as accepted → its inode, another one once it is written again."""
    path = folder / paths.JOURNAL
    whole = path.read_bytes().rpartition(b"\n")[0].splitlines()[1:] if path.exists() else []
    rows = [json.loads(line)["row"] for line in whole]
    return {
        name: (folder / name).stat().st_ino
        for name in (str(paths.RAW / f"{row['split']}_data/{row['id']}.jpg") for row in rows if row["status"] == "ok")
    }


def kill_after(folder: Path, clips: int) -> dict[str, int]:
    """Run a download and kill it with all its processes once so many clips are done; those that it has finished."""
    process = start(folder)
    while len(finished(folder)) < clips and process.poll() is None:
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return finished(folder)


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_to_the_byte_like_one_left_alone(tmp_path: Path, write_tiny: Callable):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    for folder in (alone, killed):
        folder.mkdir()
        write_tiny(folder, data={"synthetic": PAIRS})
    assert start(alone).wait() == 0
    done: dict[str, int] = {}
    for moment in sorted(np.random.default_rng(0).integers(1, 110, size=4).tolist()):
        after = kill_after(killed, max(moment, len(done) + 1))
        assert done.items() <= after.items()  # nothing was lost, nothing made twice
        done = after
    assert start(killed).wait() == 0
    assert done.items() <= {str(path.relative_to(killed)): path.stat().st_ino for path in killed.rglob("*")}.items()
    assert contents(killed) == contents(alone)


# --- the stage, in this process


def test_leftovers_of_other_settings_go_and_links_are_not_followed(tmp_path: Path, tiny_params: Callable[..., Params]):
    download.main(tiny_params())
    outside = tmp_path / "outside/precious.jpg"
    files.write_bytes(outside, b"keep me")
    raw = tmp_path / paths.RAW
    (raw / "train_data/.train_00001.jpg.0123abcd.part").touch()
    picture = raw / "train_data/train_00000.jpg"
    picture.unlink()
    picture.symlink_to(outside)  # as in a cache of links
    download.main(tiny_params(synthetic={"train_pairs": 3, "test_pairs": 2}))
    names = [
        f"{split}_data/{split}_0000{i}.{kind}"
        for split, n in (("train", 3), ("test", 2))
        for i in range(n)
        for kind in ("jpg", "mp3")
    ]
    own = {"manifest.csv", claims.REGISTER}
    assert {str(path.relative_to(raw)) for path in raw.rglob("*") if not path.is_dir()} == {*own, *names}
    assert {path.name for path in raw.iterdir()} == {*own, "train_data", "test_data"}
    assert outside.read_bytes() == b"keep me"
    assert not (tmp_path / paths.JOURNAL).exists()


def test_a_limit_on_rejections_ends_sharding_and_costs_no_download(tmp_path: Path, tiny_params: Callable[..., Params]):
    strict = {"silence_db": -35.0, "max_rejected": 0.0}  # some strokes are soft
    download.main(tiny_params(**strict))
    before = {path: path.stat().st_ino for path in (tmp_path / paths.RAW).rglob("*.jpg")}
    assert 0 < len(before) < 10
    with pytest.raises(TooManyRejected):
        shard.main(tiny_params(**strict))
    assert not (tmp_path / paths.SHARDS).exists()
    shard.main(tiny_params(**strict | {"max_rejected": 1.0}))
    assert {path: path.stat().st_ino for path in before} == before


# --- the journal

ROW = Row('a,"b" ö', "train", "dog, barking", "g", "ok", "", {"pitch": 220.5}, "1" * 64, "2" * 64)
DONE = [
    Finished(ROW, Fingerprint(bytes(range(18)), bytes(range(32)))),
    Finished(Row("c", "test", "", "c", "silent", "too quiet"), None, (State(1 << 40, 1_700_000_000_123_456_789), None)),
    Finished(Row("d", "test", "", "d", "ok", "", {}, "3" * 64, "4" * 64), Fingerprint(bytes(18), bytes(32))),
]
OTHER = DONE[1]._replace(row=Row("e", "train", "", "e", "silent", "too quiet"))


class Stopped(Exception):
    """A run that does not end well."""


def stopped(path: Path, key: str, done: Sequence[Finished]) -> list[Finished]:
    """What a run finds that then adds some clips and is stopped."""
    with suppress(Stopped), journal.keeping(path, key) as kept:
        found = list(kept.finished.values())
        assert [*kept.finished] == [(one.row.split, one.row.id) for one in found]
        for fate in done:
            kept.add(fate)
        raise Stopped
    return found


@given(st.integers(0, 2000))
@settings(deadline=None)
def test_a_journal_torn_anywhere_keeps_the_whole_lines_before_and_grows_on(tmp_path_factory, cut: int):
    path = tmp_path_factory.mktemp("journal") / "work/journal.jsonl"
    assert stopped(path, "key", DONE) == []
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    left = DONE[: max(0, lines - 1)]
    assert stopped(path, "key", [OTHER]) == left
    assert stopped(path, "key", []) == [*left, OTHER]


def test_a_journal_of_another_key_or_of_nonsense_is_none(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    stopped(path, "key", DONE)
    assert stopped(path, "another", []) == []
    assert stopped(path, "key", DONE[:1]) == []
    path.write_bytes(b"\xff\x00{]\n" + path.read_bytes())
    assert stopped(path, "key", []) == []
    with journal.keeping(path, "key"):
        assert path.exists()
    assert not path.exists()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"3",
        b"null",
        b"\x00" * 200,
        b"[" * 100_000,
        b'{"clip": 1, "row": ROW}',
        b'{"row": {}}',
        b'{"row": ROW, "more": 2}',
        b'{"row": ROW, "picture": "zz", "sound": "zz"}',
        b'{"row": ROW, "picture": "00", "sound": "00"}',
        b'{"row": ROW, "files": 3}',
        b'{"row": ROW, "files": [[1]]}',
        b'{"row": ROW, "files": [["1", 2]]}',
        b'{"row": ROW, "files": [[1, 1e400]]}',
        b'{"row": {"id": "c", "split": "valid", "label": "", "group": "c", "status": "ok", "reason": ""}}',
    ],
)
def test_a_line_that_no_journal_has_ends_it_and_the_rest_is_asked_for_again(line: bytes, tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    stopped(path, "key", DONE)
    header, first, *rest = path.read_bytes().splitlines(keepends=True)
    row = b'{"id": "c", "split": "test", "label": "", "group": "c", "status": "silent", "reason": ""}'
    path.write_bytes(header + first + line.replace(b"ROW", row) + b"\n" + b"".join(rest))
    assert stopped(path, "key", [DONE[1]]) == [DONE[0]]
    assert stopped(path, "key", []) == DONE[:2]


def test_a_key_names_all_that_determines_a_clip_and_nothing_that_is_judged_later(params: Params):
    clips = [Clip("a", "train", "x", "g", Pair)]

    def key(listed: list[Clip] = clips, seed: int = 0, **data: object) -> str:
        return journal.key(listed, params.data.model_copy(update=data), params.audio.sample_rate, seed)

    assert key() == key() == key(max_rejected=0.9) == key(near_sound=3)
    several = [Clip(name, split, "x", "g", Pair) for name in "ab" for split in ("train", "test")]
    assert key(several) == key(several[::-1])  # their order follows from where they lie
    vggsound = params.data.vggsound
    again = {"fetch_jobs": 2, "rate_limit": 5.0, "retries": 9, "cookies": "cookies.txt", "proxy": "socks5://a:1"}
    ways = [vggsound.model_copy(update=way) for way in ({}, again, {"path": "elsewhere"})]
    one, other, elsewhere = (key(source="vggsound", vggsound=way) for way in ways)
    assert one == other != elsewhere
    others = [
        key(seed=1),
        key(silence_db=-30.0),
        key(source="folder"),
        key([]),
        key([Clip("a", "test", "x", "g", Pair)]),
    ]
    assert len({key(), *others}) == 6


ASKED: list[str] = []


def ask(name: str) -> Pair:
    ASKED.append(name)
    if name == "gone":
        raise Rejected("unavailable", "the server is asleep")
    if name == "silent":
        raise Rejected("silent", "for ever")
    rng = np.random.default_rng(list(name.encode()))
    picture = picture_files.to_picture(rng.uniform(-1, 1, (3, 8, 8)).astype(np.float32))
    return Pair(
        picture_files.encode_jpeg(picture), sound_files.encode_mp3(rng.normal(0, 0.1, 8000).astype(np.float32), 16000)
    )


def test_only_what_was_unavailable_damaged_or_not_yet_done_is_asked_for_again(params: Params, tmp_path: Path):
    names = ["gone", "kept", "silent", "spoiled", "lost", "test"]
    clips = [Clip(name, "test" if name == "test" else "train", "", name, partial(ask, name)) for name in names]
    data = params.data.model_copy(update={"max_rejected": 1.0})
    asked = []
    for _ in range(2):
        ASKED.clear()
        with suppress(Stopped), journal.keeping(tmp_path / "journal.jsonl", "key") as kept:
            rows = acquire.acquire(clips, data, tmp_path / "raw", 1, kept)
            raise Stopped
        asked.append(sorted(ASKED))
        register = tmp_path / "raw" / claims.REGISTER
        register.write_text(re.sub(r"\t.*", "\t? ?", register.read_text()))  # as while a run lasts
        (tmp_path / "raw/train_data/spoiled.mp3").write_bytes(b"half of it")
        (tmp_path / "raw/train_data/lost.jpg").unlink()
    assert asked == [sorted(names), ["gone", "lost", "spoiled"]]
    assert manifest.read(tmp_path / "raw/manifest.csv") == sorted(rows, key=lambda row: (row.split, row.id))


def test_what_is_done_stays_done_wherever_it_stands_in_the_list(params: Params, tmp_path: Path):
    """A clip that was fetched meanwhile may move others, as the order in which archives are read does."""
    clips = [Clip(name, "test" if name == "test" else "train", "", name, partial(ask, name)) for name in ("a", "test")]
    data = params.data.model_copy(update={"max_rejected": 1.0})
    asked = []
    for order in (clips, clips[::-1]):
        ASKED.clear()
        key = journal.key(order, data, 16000, 0)
        with suppress(Stopped), journal.keeping(tmp_path / "journal.jsonl", key) as kept:
            acquire.acquire(order, data, tmp_path / "raw", 1, kept)
            raise Stopped
        asked.append(sorted(ASKED))
    assert asked == [["a", "test"], []]


def test_what_is_made_of_files_that_have_changed_since_is_asked_for_again(params: Params, tmp_path: Path):
    names = ["kept", "silent", "longer", "rewritten", "removed", "test"]
    places = {name: tmp_path / name for name in names}
    for place in places.values():
        place.write_bytes(b"as it was")
    clips = [
        Clip(name, "test" if name == "test" else "train", "", name, partial(ask, name), files=[place])
        for name, place in places.items()
    ]
    data = params.data.model_copy(update={"max_rejected": 1.0})
    asked = []
    for _ in range(3):
        ASKED.clear()
        with suppress(Stopped), journal.keeping(tmp_path / "journal.jsonl", "key") as kept:
            acquire.acquire(clips, data, tmp_path / "raw", 1, kept)
            raise Stopped
        asked.append(sorted(ASKED))
        places["longer"].write_bytes(places["longer"].read_bytes() + b" now")
        os.utime(places["rewritten"], ns=(1, 1))
        places["removed"].unlink(missing_ok=True)
    assert asked == [sorted(names), ["longer", "removed", "rewritten"], ["longer"]]


def test_what_a_share_did_not_give_while_it_was_away_is_asked_for_again(params: Params, tmp_path: Path):
    folder, away = tmp_path / "folder", tmp_path / "away"
    for name in ("train_data/a", "test_data/b"):
        pair = ask(name)
        files.write_bytes(folder / f"{name}.jpg", pair.picture)
        files.write_bytes(folder / f"{name}.mp3", pair.sound)
    own = {"source": "folder", "max_rejected": 1.0, "folder": FolderConfig(path=str(folder))}
    data = params.data.model_copy(update=own)
    clips = sources.clips(data, 16000, 0)
    fates = []
    for source, place in ((folder, away), (away, folder)):
        source.rename(place)
        with suppress(Stopped), journal.keeping(tmp_path / "journal.jsonl", "key") as kept:
            rows = acquire.acquire(clips, data, tmp_path / "raw", 1, kept)
            raise Stopped
        fates.append({(row.status, row.reason) for row in rows})
    assert fates == [{("unavailable", "FileNotFoundError: No such file or directory")}, {("ok", "")}]
