"""Sharding beside the plain way and beside bare decoding, which is its floor; reading shards beside loose files.

python -m benchmarks.sharding [--pairs 400] [--json]

What a pair costs is processor time in one process, in turns, so that other work on the machine matters little. The
speed-up on two cores is time on the clock: it means something on a machine that is otherwise idle.
"""

import argparse
import io
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import joblib
import librosa
import numpy as np
import soundfile
from joblib.externals.loky import get_reusable_executor
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks import printing
from cycle_sound import params as parameters
from cycle_sound.acquisition.manifest import Row
from cycle_sound.dataset import writer
from cycle_sound.io import files, params_file
from cycle_sound.params import Params

SECONDS, FILE_RATE = 10.0, 44_100
WIDTH, HEIGHT = 640, 360
RATE, FFT, HOP, MELS = 22_050, 2048, 512, 80  # the transform's lengths are librosa's own choice
FRAMES = 432  # that cover the ten seconds, and that the VAE can halve
SIZE = 128
DISTINCT = 16  # pairs; the others are links to them
SHARD = 48  # pairs, of which it has what it costs by itself
ROUNDS = 9
BATCH = 32


class Work(NamedTuple):
    """What sharding a corpus took."""

    wall: float  # seconds
    peak: float  # megabytes, of the largest worker


def main() -> None:
    """Measure, and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400, help="to be sharded by all cores")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.pairs)
    printing.show(figures, options.json)


def measure(folder: Path, pairs: int) -> dict[str, float]:
    """All figures. Milliseconds are of processor time per pair; speeds are per second and core."""
    raw, params = folder / "raw", settings()
    rows = corpus(raw, pairs)
    figures = costs(rows[:SHARD], raw, folder / "one", params)
    figures |= {"load_average": os.getloadavg()[0]}
    alone, both = (sharded(rows[:400], raw, folder / f"{workers}", params, workers) for workers in (1, 2))
    some, all_ = (sharded(rows[:count], raw, folder / f"of{count}", params, -1) for count in (pairs // 4, pairs))
    return (
        figures
        | {"speedup_two_cores": alone.wall / both.wall}
        | {"growth": all_.wall / some.wall / 4, "pairs_per_second": pairs / all_.wall}
        | {"peak_worker_mb": all_.peak}
        | reading(folder / "2/shards", folder / "loose", rows, raw, params)
    )


# --- the corpus


def settings() -> Params:
    """The committed parameters, for ten seconds of sound and larger pictures."""
    tree = params_file.load().model_dump()
    tree["audio"] |= {"sample_rate": RATE, "fft": FFT, "hop_length": HOP, "mels": MELS, "fmin": 0.0}
    tree["data"] |= {"clip_seconds": FRAMES * HOP / RATE}
    tree["image"] |= {"size": SIZE}
    tree["shard"] |= {"pairs_per_shard": SHARD}
    return parameters.parse(tree)


def corpus(raw: Path, pairs: int) -> list[Row]:
    """Write so many pairs of a stereo MP3 and a JPEG file; return their rows of a manifest."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(pairs):
        row = Row(f"{number:06d}", "test" if number % 10 == 9 else "train", "", f"{number}", "ok", "")
        (raw / f"{row.split}_data").mkdir(parents=True, exist_ok=True)
        places = row.original.places(raw)
        if number < DISTINCT:
            for place, content in zip(places, (picture, sound), strict=True):
                place.write_bytes(content(rng))
        else:
            for place, first in zip(places, rows[number % DISTINCT].original.places(raw), strict=True):
                place.hardlink_to(first)
        shown, heard = (files.digest(place) for place in places)
        rows.append(replace(row, picture_sha256=shown, sound_sha256=heard))
    return rows


def sound(rng: np.random.Generator) -> bytes:
    """Tones that swell and fade, and noise: a stereo MP3 file."""
    times = np.arange(round(SECONDS * FILE_RATE)) / FILE_RATE
    tones = sum(rng.uniform(0.02, 0.1) * np.sin(2 * np.pi * pitch * times) for pitch in rng.uniform(80, 5000, 6))
    swell = np.interp(times, np.linspace(0, SECONDS, 40), rng.uniform(0.1, 1, 40))
    channels = [tones * loudness + rng.normal(0, 0.05, len(times)) for loudness in (swell, swell[::-1])]
    file = io.BytesIO()
    soundfile.write(file, np.stack(channels, 1).clip(-1, 1), FILE_RATE, format="MP3")
    return file.getvalue()


def picture(rng: np.random.Generator) -> bytes:
    """Detail at every scale, as in a photograph, where an octave more is half as strong: a JPEG file."""
    pixels = np.full((HEIGHT, WIDTH, 3), 128.0)
    for octave in range(9):
        shape = 2 + (HEIGHT >> 8 - octave), 2 + (WIDTH >> 8 - octave)
        coarse = (rng.normal(0, 48 / 2 ** (octave / 2), shape).astype(np.float32) for _ in range(3))
        layers = [Image.fromarray(layer).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for layer in coarse]
        pixels += np.stack([np.asarray(layer) for layer in layers], 2)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


# --- what a pair costs


def decoded(picture: Path, sound: Path) -> None:
    """The floor: both files decoded, and nothing else."""
    soundfile.read(sound, dtype="float32")
    Image.open(picture).load()


def plain(picture: Path, sound: Path) -> tuple[np.ndarray, np.ndarray]:
    """The way of a script that a person writes in a minute."""
    wave, _ = librosa.load(sound, sr=RATE)
    power = librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=FFT, hop_length=HOP, n_mels=MELS)
    pixels = np.asarray(Image.open(picture).convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    return librosa.power_to_db(power), pixels


def costs(rows: Sequence[Row], raw: Path, into: Path, params: Params) -> dict[str, float]:
    """Floor, plain way and ours in turns, in this process; the medians of what each round says."""
    pairs = [row.original.places(raw) for row in rows]

    def ours() -> None:
        part = writer.Part(into / "x.tar", into / "x", writer.key(rows, params), rows)
        writer.write(part, raw, params)
        part.receipt.unlink()

    def plain_with_one_thread() -> None:
        with threadpool_limits(1, user_api="blas"):
            each(plain, pairs)

    ways = {
        "floor": lambda: each(decoded, pairs),
        "plain": lambda: each(plain, pairs),
        "plain_one_thread": plain_with_one_thread,
        "ours": ours,
    }
    times = [{name: processor_ms(way) / len(rows) for name, way in ways.items()} for _ in range(ROUNDS + 1)][1:]
    ratios = {
        "ratio_to_plain": ("plain", "ours"),
        "ratio_to_plain_one_thread": ("plain_one_thread", "ours"),
        "share_of_floor": ("floor", "ours"),
    }
    return (
        {f"{name}_ms": statistics.median(time[name] for time in times) for name in ways}
        | {f"{name}_pairs_per_second": 1000 / statistics.median(time[name] for time in times) for name in ways}
        | {
            name: statistics.median(time[over] / time[under] for time in times)
            for name, (over, under) in ratios.items()
        }
    )


def each(way: Callable[[Path, Path], object], pairs: Iterable[tuple[Path, Path]]) -> None:
    """Do it with every pair."""
    for pair in pairs:
        way(*pair)


def each_batch(way: Callable[[Sequence[int]], object], batches: Iterable[Sequence[int]]) -> None:
    """Read every batch."""
    for batch in batches:
        way(batch)


def processor_ms(work: Callable[[], object]) -> float:
    """Milliseconds of processor time, of all threads."""
    begin = time.process_time()
    work()
    return 1000 * (time.process_time() - begin)


def sharded(rows: Sequence[Row], raw: Path, into: Path, params: Params, workers: int) -> Work:
    """Shard pairs by a fresh pool, whose start does not count."""
    joblib.Parallel(workers, batch_size=1)(joblib.delayed(writer.sample)(rows[0], raw, params) for _ in range(99))
    begin = time.perf_counter()
    writer.shard(rows, raw, into / "shards", into / "receipts", params, workers)
    wall = time.perf_counter() - begin
    get_reusable_executor().shutdown(wait=True)  # only of ended processes the memory is known
    return Work(wall, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


# --- reading


def reading(folder: Path, loose: Path, rows: Sequence[Row], raw: Path, params: Params) -> dict[str, float]:
    """Samples per second in shuffled batches: from shards, from one array file each, and from the raw files."""
    import torch  # neither it nor what imports it above: the workers load this module, and their memory is measured

    from cycle_sound.dataset.reader import Split
    from cycle_sound.media import pixels

    torch.set_num_threads(1)
    pairs = Split(folder, "train")
    loose.mkdir()
    for row in range(len(pairs)):
        np.save(
            loose / f"{row}.image.npy", (pairs.pictures("image", [row])[0].numpy() * 127.5 + 127.5).astype(np.uint8)
        )
        np.save(loose / f"{row}.audio.npy", pairs.pictures("audio", [row])[0].numpy().astype(np.float16))
    by_id = {row.id: row for row in rows}

    def from_shards(batch: Sequence[int]) -> None:
        pairs.pictures("image", batch)
        pairs.pictures("audio", batch)

    def from_loose(batch: Sequence[int]) -> None:
        pictures, sounds = ([np.load(loose / f"{row}.{name}.npy") for row in batch] for name in ("image", "audio"))
        pixels.to_float(torch.from_numpy(np.stack(pictures)))
        torch.from_numpy(np.stack(sounds)).float()

    def from_raw(batch: Sequence[int]) -> None:
        for row in batch:
            writer.sample(by_id[pairs.ids[row]], raw, params)

    batches: list[list[int]] = np.random.default_rng(0).integers(len(pairs), size=(8, BATCH)).tolist()
    ways = {"shards": from_shards, "loose": from_loose, "raw": from_raw}
    times = [
        {name: processor_ms(partial(each_batch, way, batches)) / len(batches) / BATCH for name, way in ways.items()}
        for _ in range(ROUNDS)
    ]
    speeds = {f"{name}_samples_per_second": 1000 / statistics.median(time[name] for time in times) for name in ways}
    return speeds | {"shards_to_loose": statistics.median(time["loose"] / time["shards"] for time in times)}


if __name__ == "__main__":
    main()
