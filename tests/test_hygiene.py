"""What is rejected: silence, clipping, still pictures, and what a corpus holds twice or on both sides of its split."""

import io
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cycle_sound.acquisition import acquire, duplicates, fingerprints, manifest, quality, sources
from cycle_sound.acquisition.fingerprints import PICTURE_BITS, SOUND_BITS, Fingerprint
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources.clip import Clip, Pair, Rejected
from cycle_sound.dataset import writer
from cycle_sound.media import images, sound_files
from cycle_sound.params import DataConfig, Params

RATE = 16000
Split = Literal["train", "test"]


def smooth(seed: int) -> Image.Image:
    """A picture of soft blobs: what photographs are, as far as a fingerprint sees."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((180, 140), Image.Resampling.BICUBIC)


def melody(seed: int, seconds: float = 1.0) -> np.ndarray:
    """Four random notes over a little noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    pitches = rng.uniform(300, 3000, (4, 3)).repeat(-(-len(times) // 4), axis=0)[: len(times)]
    tones = np.sin(2 * np.pi * pitches * times[:, None]).mean(axis=1)
    return (0.5 * tones + rng.normal(0, 0.01, len(times))).astype(np.float32)


def jpeg(picture: Image.Image, quality: int = 95) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def pair_of(picture: int, sound: int) -> Pair:
    return Pair(jpeg(smooth(picture)), sound_files.encode_mp3(melody(sound), RATE))


def print_of(pair: Pair) -> Fingerprint:
    assert pair.picture is not None
    assert pair.sound is not None
    return fingerprints.of(images.open_picture(pair.picture), sound_files.decode(pair.sound))


def differing(one: Fingerprint, other: Fingerprint) -> tuple[int, int]:
    return fingerprints.differing(one.picture, other.picture), fingerprints.differing(one.sound, other.sound)


@pytest.fixture
def data(params: Params) -> DataConfig:
    return params.data.model_copy(update={"max_rejected": 1.0})


# --- one pair


def test_a_sound_at_full_scale_is_rejected_and_a_loud_one_is_not(data: DataConfig):
    wave = melody(0)
    for gain, spoiled in ((1.0, False), (1.9, False), (20.0, True)):
        pair = pair_of(0, 0)._replace(sound=sound_files.encode_mp3(np.clip(gain * wave, -1, 1), RATE))
        if spoiled:
            with pytest.raises(Rejected, match=r"corrupt.*% at full scale in its first .*; data.max_clipped is 0.2"):
                acquire.check(pair, data)
        else:
            acquire.check(pair, data)
    assert quality.clipped(np.sin(np.linspace(0, 20 * np.pi, RATE))) == pytest.approx(0.09, abs=0.005)


SILENT = {  # before a second of melody, or instead of it
    "two silent seconds first": np.concatenate([np.zeros(2 * RATE, np.float32), melody(0)]),
    "nothing but an offset": np.full(2 * RATE, 0.3, np.float32),
    "an offset first": np.concatenate([np.full(2 * RATE, 0.3, np.float32), melody(0)]),
}


@pytest.mark.parametrize("wave", SILENT.values(), ids=SILENT)
def test_silence_is_that_of_the_samples_learned_from(wave: np.ndarray, data: DataConfig):
    pair = pair_of(0, 0)._replace(sound=wav(wave))
    with pytest.raises(Rejected, match="silent"):
        acquire.check(pair, data)


def test_a_reason_says_which_part_of_a_sound_it_speaks_of(data: DataConfig):
    late = np.concatenate([np.zeros(4 * RATE, np.float32), melody(0, 6.0)])
    for wave, status in ((late, "silent"), (np.clip(20 * melody(0, 10.0), -1, 1), "corrupt")):
        with pytest.raises(Rejected, match=r"in its first|of its first") as rejected:
            acquire.check(pair_of(0, 0)._replace(sound=wav(wave)), data)
        assert rejected.value.status == status
        assert "its first 1.536 s, of which alone is learned (data.clip_seconds); data." in rejected.value.reason


def test_what_comes_behind_the_samples_learned_from_does_not_count(data: DataConfig):
    quiet, loud = melody(0, 2.0), np.clip(20 * melody(1, 4.0), -1, 1)
    nan = np.full(RATE, np.nan, np.float32)
    first = acquire.check(pair_of(0, 0)._replace(sound=wav(quiet)), data)
    for rest in (loud, np.zeros(RATE, np.float32), nan):
        sound = wav(np.concatenate([quiet, rest]), subtype="FLOAT")
        assert differing(acquire.check(pair_of(0, 0)._replace(sound=sound), data), first)[1] <= 2
    with pytest.raises(Rejected, match="full scale"):
        acquire.check(pair_of(0, 0)._replace(sound=wav(np.concatenate([loud, quiet]))), data)


def test_motion_is_the_largest_mean_difference_to_the_first_frame():
    frames = [Image.new("RGB", (40, 30), (level, level, level)) for level in (10, 12, 5)]
    assert quality.motion(frames) == 5
    assert quality.motion(frames[:1]) == 0
    noise = [Image.fromarray(np.random.default_rng(i).integers(99, 102, (256, 256, 3), np.uint8)) for i in (1, 2)]
    assert quality.motion(noise) < 0.5  # what a codec adds does not count


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


def give(pair: Pair) -> Pair:
    return pair


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


# --- a folder with each kind of damage


def wav(wave: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def bomb() -> bytes:
    """A JPEG of a few hundred bytes whose header says 30,000 × 30,000."""
    content = jpeg(Image.new("RGB", (16, 16), "red"))
    start = content.index(b"\xff\xc0") + 5  # of the frame header: after its length and the sample precision
    return content[:start] + (30_000).to_bytes(2) * 2 + content[start + 4 :]


def upside_down(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: rotated by 180°
    file = io.BytesIO()
    picture.rotate(180).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def palette(picture: Image.Image) -> bytes:
    """A PNG of 64 colours, one of which is transparent."""
    few, file = picture.quantize(64), io.BytesIO()
    few.save(file, "PNG", transparency=0)
    return file.getvalue()


def damage() -> dict[str, tuple[dict[str, bytes], str]]:
    """id → the files that differ from a good pair's, by extension, and words of the reason; "" for what can be used."""
    nan = melody(20)
    nan[7000] = np.nan
    return {
        "torn": ({"jpg": jpeg(smooth(1))[:2000]}, "truncated"),
        "bomb": ({"jpg": bomb()}, "decompression bomb"),
        "no picture": ({"jpg": b""}, "empty file"),
        "no sound": ({"mp3": b""}, "empty file"),
        "text": ({"mp3": b"These are words. " * 99}, "cannot be decoded"),
        "nan": ({"wav": wav(nan, subtype="FLOAT")}, "NaN"),
        "two\nlines": ({}, "unprintable"),
        "back\\slash": ({}, "path separator"),
        "8 bit": ({"wav": wav(melody(21), subtype="PCM_U8")}, ""),
        "192 kHz": ({"wav": wav(sound_files.resample(melody(22), RATE, 192_000), 192_000)}, ""),
        "six channels": ({"wav": wav(np.repeat(melody(23)[:, None], 6, axis=1))}, ""),
        "turned": ({"jpg": upside_down(smooth(10))}, ""),
        "cmyk": ({"jpg": jpeg(smooth(11).convert("CMYK"))}, ""),
        "palette": ({"png": palette(smooth(12))}, ""),
        'it\'s a "name", 100 % & <b> $(x) `ö` ?*': ({}, ""),
        "no\xa0break, wide\u3000space, \u0645\u06cc\u200c\u062e, \U0001f469\u200d\U0001f680": ({}, ""),
        "good": ({}, ""),
    }


def fill(root: Path) -> dict[tuple[str, str], str]:
    """Write a folder with each kind of damage in train; (split, id) → words of the reason."""
    clips = {("train", name): clip for name, clip in damage().items()}
    clips |= {("test", name): ({}, "") for name in ("one", "two")}
    for number, ((split, name), (files, _)) in enumerate(clips.items(), 100):
        good = pair_of(number, number)
        picture = {} if "png" in files else {"jpg": good.picture}
        sound = {} if "wav" in files else {"mp3": good.sound}
        for extension, content in {**picture, **sound, **files}.items():
            path = root / f"{split}_data/{name}.{extension}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    (root / "labels.csv").write_text("id,split,label\n../../escape,train,x\n/etc/passwd,test,x\n", encoding="utf-8")
    listed = dict.fromkeys([("train", "../../escape"), ("test", "/etc/passwd")], "path separator")
    return {key: words for key, (_, words) in clips.items()} | listed


def test_each_kind_of_damage_is_used_rightly_or_rejected_for_its_reason(params: Params, tmp_path: Path):
    root, raw = tmp_path / "folder", tmp_path / "deep/raw"
    wanted = fill(root)
    before = set(tmp_path.rglob("*"))
    folder = params.data.folder.model_copy(update={"path": str(root)})
    changed = {"source": "folder", "folder": folder, "max_rejected": 1.0, "valid_share": 0.3}
    params = params.model_copy(update={"data": params.data.model_copy(update=changed)})
    rows = acquire.acquire(sources.clips(params.data, params.audio.sample_rate, 0), params.data, raw, 1)

    assert len(rows) == len(wanted)
    for row in rows:
        words = wanted[row.split, row.id.replace("\\n", "\n")]
        assert (row.status, words in row.reason) == ("corrupt" if words else "ok", True), row

    accepted = [row for row in rows if row.status == "ok"]
    pairs = {raw / f"{row.split}_data/{row.id}.{kind}" for row in accepted for kind in ("jpg", "mp3")}
    made = {path for path in set(tmp_path.rglob("*")) - before if path.is_file()}
    assert made == pairs | {raw / "manifest.csv", raw / ".claimed"}

    samples = {row.id: writer.sample(row, raw, params) for row in accepted}
    for name, number in (("turned", 10), ("cmyk", 11)):
        upright = images.to_array(smooth(number), params.image.size).astype(int)
        assert np.abs(samples[name].image - upright).mean() < 8
    writer.shard(rows, raw, tmp_path / "shards", tmp_path / "receipts", params, workers=1)
