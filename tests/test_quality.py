"""What is rejected for itself: silence, clipping, still pictures, and each kind of damage."""

import io
from pathlib import Path

import numpy as np
import pytest
from pairs import RATE, differing, jpeg, melody, pair_of, smooth, wav
from PIL import Image

from cycle_sound.acquisition import acquire, quality, sources
from cycle_sound.acquisition.sources.clip import Rejected
from cycle_sound.dataset import writer
from cycle_sound.media import images, sound_files
from cycle_sound.params import DataConfig, Params


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


# --- a folder with each kind of damage


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
