"""What a corpus holds twice, or on both sides of its split, is found by contents, groups and fingerprints."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import RATE, differing, give, jpeg, melody, pair_of, print_of, smooth
from PIL import Image

from cycle_sound.acquisition import acquire, duplicates, fingerprints, manifest, sources
from cycle_sound.acquisition.fingerprints import PICTURE_BITS, SOUND_BITS, Fingerprint
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources.clip import Clip, Pair
from cycle_sound.media import sound_files
from cycle_sound.params import DataConfig, Params

Split = Literal["train", "test"]


@pytest.fixture
def data(params: Params) -> DataConfig:
    return params.data.model_copy(update={"max_rejected": 1.0})


# --- fingerprints


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_of_other_quality_size_rate_and_loudness_has_nearly_the_fingerprint(seed: int, data: DataConfig):
    picture, wave = smooth(seed), melody(seed)
    first = print_of(pair_of(seed, seed))
    copies = [
        (jpeg(picture, 30), sound_files.encode_mp3(0.5 * wave, RATE)),
        (jpeg(picture.resize((90, 70))), sound_files.encode_mp3(sound_files.resample(wave, RATE, 22050), 22050)),
        (jpeg(picture.resize((400, 300)), 60), sound_files.encode_mp3(sound_files.resample(wave, RATE, 8000), 8000)),
    ]
    for copy in copies:
        in_picture, in_sound = differing(first, print_of(Pair(*copy)))
        assert in_picture <= data.near_picture
        assert in_sound <= data.near_sound


@given(st.integers(0, 10**6), st.integers(0, 10**6))
@settings(deadline=None, max_examples=20)
def test_another_picture_and_another_sound_are_far_away(one: int, other: int):
    in_picture, in_sound = differing(print_of(pair_of(one, one)), print_of(pair_of(other + 10**7, other + 10**7)))
    assert in_picture > 24
    assert in_sound > 60


@given(st.floats(0.01, 2.0), st.sampled_from([4000, 8000, 16000, 44100, 192000]))
@settings(deadline=None, max_examples=30)
def test_every_sound_and_every_picture_has_a_fingerprint_of_one_size(seconds: float, rate: int):
    wave = np.zeros(max(1, round(seconds * rate)), np.float32)
    found = fingerprints.of(Image.new("RGB", (1, 1)), (wave, rate))
    assert (8 * len(found.picture), 8 * len(found.sound)) == (PICTURE_BITS, SOUND_BITS)


@given(st.data(), st.integers(0, 9), st.integers(0, 40))
@settings(deadline=None, max_examples=60)
def test_the_search_finds_exactly_what_comparing_all_with_all_finds(data: st.DataObject, picture: int, sound: int):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    bits = rng.random((6, PICTURE_BITS + SOUND_BITS)) < 0.5
    bits = bits[rng.integers(6, size=40)] ^ (rng.random((40, PICTURE_BITS + SOUND_BITS)) < 0.04)
    prints = [
        Fingerprint(np.packbits(row[:PICTURE_BITS]).tobytes(), np.packbits(row[PICTURE_BITS:]).tobytes())
        for row in bits
    ]
    all_with_all = [
        (i, j)
        for i in range(40)
        for j in range(i + 1, 40)
        if all(d <= most for d, most in zip(differing(prints[i], prints[j]), (picture, sound), strict=True))
    ]
    assert fingerprints.near(prints, picture, sound) == all_with_all


@given(st.data(), st.sampled_from([(PICTURE_BITS, 36), (SOUND_BITS, 64)]))
@settings(deadline=None, max_examples=60)
def test_the_first_that_is_near_is_exactly_what_comparing_each_with_each_finds(data: st.DataObject, size: tuple):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    most = data.draw(st.integers(0, size[1]))
    known = rng.random((8, size[0])) < 0.5
    noise = most / size[0] * rng.uniform(0.5, 1.5, (50, 1))  # about as many bits differ as may
    every = [
        np.packbits(one).tobytes() for one in known[rng.integers(8, size=50)] ^ (rng.random((50, size[0])) < noise)
    ]
    some, others = every[:20], every[20:] + [np.packbits(one).tobytes() for one in known]
    brute = [[i for i, other in enumerate(others) if fingerprints.differing(one, other) <= most] for one in some]
    assert fingerprints.first_near(some, others, most) == [found[0] if found else None for found in brute]


@pytest.mark.parametrize(("half", "share"), [("picture", 0.01), ("sound", 0.05)])
def test_few_of_many_are_compared_to_find_the_first_that_is_near(
    half: str, share: float, data: DataConfig, monkeypatch: pytest.MonkeyPatch
):
    known, compared, close = (
        [getattr(far(str(number)), half) for number in range(2000)],
        list[int](),
        fingerprints._close,
    )
    monkeypatch.setattr(fingerprints, "_close", lambda some, *more: compared.append(len(some)) or close(some, *more))
    bits = getattr(data, f"near_{half}")
    assert fingerprints.first_near([flipped(one, bits) for one in known[:50]], known, bits) == list(range(50))
    assert fingerprints.first_near([flipped(one, bits + 1) for one in known[:50]], known, bits) == [None] * 50
    assert sum(compared) < share * 100 * len(known)


def test_nothing_and_one_have_no_duplicates():
    assert fingerprints.near([], 12, 40) == fingerprints.near([print_of(pair_of(0, 0))], 12, 40) == []


# --- a corpus


def row(name: str, split: Split = "train", content: str = "", group: str = "") -> Row:
    return Row(name, split, "", group or name, "ok", "", {}, content or name, "sound")


def far(name: str) -> Fingerprint:
    rng = np.random.default_rng(list(name.encode()))
    return Fingerprint(rng.bytes(PICTURE_BITS // 8), rng.bytes(SOUND_BITS // 8))


def flipped(half: bytes, bits: int) -> bytes:
    """A half with its first bits changed."""
    mask = ((1 << bits) - 1) << (8 * len(half) - bits)
    return (int.from_bytes(half) ^ mask).to_bytes(len(half))


def fates(rows: list[Row], data: DataConfig, prints: dict[str, Fingerprint] | None = None) -> dict[str, str]:
    """id → the reason of its rejection, "" for what stays."""
    prints = prints or {}
    settled = duplicates.reject(rows, [prints.get(row.id, far(row.id)) for row in rows], data)
    assert all((row.status == "duplicate") == bool(row.reason) != bool(row.picture_sha256) for row in settled)
    return {row.id: row.reason for row in settled}


def test_of_equal_contents_the_test_side_stays_and_within_a_side_the_first(data: DataConfig):
    rows = [row("z", "test", "same"), row("a", content="same"), row("b", content="two"), row("c", content="two")]
    assert fates(rows, data) == {
        "z": "",
        "a": "the picture and the sound of test clip z",
        "b": "",
        "c": "the picture and the sound of train clip b",
    }
    with pytest.raises(ValueError, match="test rows must come before"):
        fates(rows[::-1], data)


def test_train_clips_of_a_group_with_test_clips_are_rejected(data: DataConfig):
    rows = [row("t", "test", group="g"), row("a", group="g"), row("b", group="h")]
    assert fates(rows, data) == {"t": "", "a": "the test split has clips of its group, g", "b": ""}


def test_near_duplicates_need_a_near_picture_and_a_near_sound(data: DataConfig):
    one = far("one")
    prints = {
        "t": one,
        "both": Fingerprint(flipped(one.picture, 12), flipped(one.sound, 40)),
        "looks": one._replace(sound=flipped(one.sound, 41)),
        "sounds": one._replace(picture=flipped(one.picture, 13)),
    }
    found = fates([row("t", "test"), row("both"), row("looks"), row("sounds")], data, prints)
    assert found.pop("both") == "nearly the picture and the sound of test clip t: 12 of 144 and 40 of 256 bits differ"
    assert set(found.values()) == {""}


def test_what_is_near_only_to_what_went_stays(data: DataConfig):
    one = far("one")
    prints = {
        name: one._replace(picture=flipped(one.picture, bits)) for name, bits in {"a": 0, "b": 8, "c": 16}.items()
    }
    found = fates([row("a"), row("b"), row("c")], data, prints)
    assert [name for name, reason in found.items() if reason] == ["b"]


def test_a_recompressed_copy_in_train_of_a_test_pair_leaves_no_files(data: DataConfig, tmp_path: Path):
    copy = Pair(jpeg(smooth(1), 60), sound_files.encode_mp3(0.8 * melody(1), RATE))
    clips = [
        Clip(name, split, "", name, partial(give, pair))
        for name, split, pair in (
            ("copy", "train", copy),
            ("own", "train", pair_of(2, 2)),
            ("original", "test", pair_of(1, 1)),
            ("other hand", "train", pair_of(3, 2)),  # of one sound, another picture
        )
    ]
    rows = acquire.acquire(clips, data, tmp_path, 1)
    assert {row.id: row.status for row in rows} == {
        "copy": "duplicate",
        "own": "ok",
        "original": "ok",
        "other hand": "ok",
    }
    assert manifest.read(tmp_path / "manifest.csv") == rows
    assert {path.stem for path in tmp_path.glob("*_data/*")} == {"own", "original", "other hand"}


def test_the_toy_orchestra_holds_no_two_that_are_alike(params: Params):
    clips = sources.clips(params.data, params.audio.sample_rate, params.seed)[:120]
    prints = [print_of(clip.fetch()) for clip in clips]
    assert fingerprints.near(prints, 2 * params.data.near_picture - 6, params.data.near_sound) == []
