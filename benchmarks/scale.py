"""What grows with a corpus, a batch or the number of processes, and what does not: by simulation, without the data.

python -m benchmarks.scale [--json]

Costs are processor time, so that other work on the machine matters little; memory is read from Linux's /proc.
"""

import argparse
import io
import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from torch import Tensor

from benchmarks import hardware, printing
from cycle_sound import paths
from cycle_sound.acquisition import acquire, manifest
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources import vggsound
from cycle_sound.dataset import augment, indexing, reader, tars
from cycle_sound.dataset.tars import Sample
from cycle_sound.io import code, files, params_file
from cycle_sound.nn import order
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DataConfig
from cycle_sound.training.prefetch import Prefetcher

PAIRS = 10_000_000
TARS, PAIRS_PER_TAR = 1200, 500
WATCHED = 100_000  # pairs
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""  # by a small process: of a child Linux counts what its parent held when it began
FILES = 256  # that a process may have open
LOCAL, GLOBAL = 32, 1024  # pairs of a process, and of all together
SIDE = 256  # pixels
NOISE = (256, 8192)  # places and codes, of Gumbel noise
PORTIONS = 4
FEW, MANY = 400, 4000  # pairs that inference goes over
INFERENCE = ("cache_tokens", "sweep", "evaluate", "report")
ROUNDS = 5
BATCHES = 10
CLIPS = (20, 40, 80)  # in an archive
MOMENTS = 3  # of each
MEGABYTE = 1_000_000  # in each, as in ten seconds of VGGSound
SECONDS, RATE, PICTURES_PER_SECOND = 3, 16_000, 10  # of a film


def main() -> None:
    """Measure, and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    printing.show(steps() | loader() | opening() | watching() | inference() | archive(), options.json)


def exponent(seconds: Mapping[int, float]) -> float:
    """Of the power of the size that time grows with: 1 where twice the size takes twice the time."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


# --- what a step sees, and what it draws


def steps() -> dict[str, float]:
    """The order of ten million pairs, and a local portion of a large batch beside one that is all of its batch."""
    first = PAIRS - GLOBAL // 2  # a step that begins another epoch
    cpu = torch.device("cpu")
    order_s = hardware.seconds(lambda: order.rows(range(first, first + GLOBAL), PAIRS, 0), cpu, repeats=99)
    alone, part = zip(*((portion(LOCAL), portion(GLOBAL)) for _ in range(ROUNDS)), strict=True)
    return {
        "order_ms_10m": 1000 * order_s,
        "order_missing_10m": PAIRS - len(np.unique(order.rows(range(PAIRS), PAIRS, 0).numpy())),
        "local_batch_ms": 1000 * statistics.median(cost.seconds for cost in part),
        "local_batch_mb": max(cost.bytes for cost in part) / 1e6,
        "local_batch_time_ratio": statistics.median(a.seconds / b.seconds for a, b in zip(part, alone, strict=True)),
        "local_batch_memory_ratio": max(cost.bytes for cost in part) / max(cost.bytes for cost in alone),
    }


class Cost(NamedTuple):
    """Of a portion of a batch."""

    seconds: float  # of processor time
    bytes: float  # the most at a time, beside what the process held before


class Batch(NamedTuple):
    """Pictures, shifted and degraded."""

    pictures: Tensor  # (b, 3, SIDE, SIDE)


class Pictures:
    """As many pictures as there are pairs, all of them grey."""

    pairs = PAIRS

    def __init__(self) -> None:
        self.augment = params_file.load().augment

    def batch(self, rows: Tensor, rng: BatchRng) -> Batch:
        """What a transformer's training makes of them, after what a VAE's draws."""
        rng.uniform(*NOISE)  # here, and not for the loss beside it: the most memory would be a matter of chance
        pictures = torch.zeros(len(rows), 3, SIDE, SIDE)
        return Batch(augment.degrade(augment.shifted(pictures, self.augment.image, rng), self.augment.degradation, rng))


def portion(batch_size: int) -> Cost:
    """What LOCAL pairs of a batch cost, in a process of its own."""
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "100000"  # bytes: glibc gives back at once what is freed, not by chance
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measured_portion, batch_size).result()


def measured_portion(batch_size: int) -> Cost:
    """What LOCAL pairs of a batch cost in this process."""
    torch.set_num_threads(1)
    sizes = {"batch_size": batch_size, "accumulation": batch_size // LOCAL}
    config = params_file.load().vae.image.optimizer.model_copy(update=sizes)
    prefetcher = Prefetcher(Pictures(), config, 0, torch.device("cpu"))
    held, begin = hardware.memory("VmRSS"), time.process_time()
    for _ in islice(prefetcher.micro_batches(range(PORTIONS + 1)), PORTIONS):
        pass
    return Cost((time.process_time() - begin) / (PORTIONS + 1), hardware.memory("VmHWM") - held)


# --- shards of a whole corpus


def opening() -> dict[str, float]:
    """What a process takes to open 600,000 pairs, and to read one of each tar, while it may have few files open."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sharded(folder)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            cost = process.submit(measured_opening, folder).result()
    return {"open_cpu_seconds_600k": cost.seconds, "open_anonymous_mb_600k": cost.bytes / 1e6}


def sharded(folder: Path) -> None:
    """Shards of one small pair again and again: one tar under many names, and the columns of all of them."""
    shards = [folder / f"train-{number:06d}.tar" for number in range(TARS)]
    ids = [f"clip {number:06d}" for number in range(TARS * PAIRS_PER_TAR)]
    pair = np.zeros((3, 64, 64), np.uint8), np.zeros((1, 64, 64), np.float16)
    shared = {"pitch": 440.0}
    facts = {"label": "", "group": "", "attributes": shared}
    tars.write_shard(shards[0], (Sample(*pair, {"id": one, **facts}) for one in ids[:PAIRS_PER_TAR]))
    for path in shards[1:]:
        os.link(shards[0], path)
    rows = [Row(one, "train", one[-2:], "", "ok", "", shared, "0" * 64, "0" * 64) for one in ids]
    contents = indexing.Contents(rows, [tars.members(shards[0])] * TARS)
    digests = dict.fromkeys((path.name for path in shards), files.digest(shards[0]))
    indexing.write(folder, {"train": contents}, digests, params_file.load().audio.model_dump())


def measured_opening(folder: Path) -> Cost:
    """What opening shards, and reading a pair of each, takes of this process, which has imported all that it needs."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    held, begin = hardware.memory("RssAnon"), time.process_time()
    split = reader.Split(folder, "train")
    rows = range(0, len(split), PAIRS_PER_TAR)
    pictures = split.pictures("image", rows)
    assert (len(split), len(pictures), split.ids[-1]) == (TARS * PAIRS_PER_TAR, TARS, "clip 599999")
    del pictures
    return Cost(time.process_time() - begin, hardware.memory("RssAnon") - held)


# --- what DVC watches


def watching() -> dict[str, float]:
    """What DVC takes to take note of the pairs of a download, and to find that nothing has changed."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        downloaded(project)
        commit, status = (dvc(project, *words) for words in (("commit", "--force", "download"), ("status", "download")))
    return {
        "dvc_commit_cpu_seconds_100k": commit.seconds,
        "dvc_status_cpu_seconds_100k": status.seconds,
        "dvc_peak_mb_100k": max(commit.bytes, status.bytes) / 1e6,
    }


def downloaded(project: Path) -> None:
    """A copy of the project with many pairs of no content, and what else a download leaves."""
    kept = [*code.PACKAGES, "dvc.yaml", "params.yaml", ".dvc/config", ".dvcignore", "data"]
    listed = subprocess.run(["git", "ls-files", *kept], cwd=code.ROOT, capture_output=True, check=True, text=True)
    for name in listed.stdout.splitlines():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(code.ROOT / name, project / name)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    rows = [Row(f"{number:07d}", "train", "", "", "ok", "", {}, "0" * 64, "0" * 64) for number in range(WATCHED)]
    manifest.write(project / paths.MANIFEST, rows)
    (project / paths.RAW / "train_data").mkdir()
    for row in rows:
        for path in row.original.places(project / paths.RAW):
            path.touch()
    for path in (paths.metrics("download"), paths.FATES):
        files.write_bytes(project / path, b"{}")


def dvc(project: Path, *words: str) -> Cost:
    """What a command of DVC costs."""
    around = os.environ | {"DVC_SITE_CACHE_DIR": str(project.parent / "site"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "dvc", *words]
    said = subprocess.run(command, cwd=project, env=around, check=True, capture_output=True, text=True).stdout
    seconds, kilobytes = map(float, said.split()[-2:])
    return Cost(seconds, 1024 * kilobytes)


# --- inference over a corpus


def inference() -> dict[str, float]:
    """The most memory of each stage of inference over many pairs, and by how much that is more than over few."""
    most = {stage: [inference_memory(stage, pairs) for pairs in (FEW, MANY)] for stage in INFERENCE}
    return {f"{stage}_memory_mb": many / 1e6 for stage, (_, many) in most.items()} | {
        f"{stage}_memory_ratio": many / few for stage, (few, many) in most.items()
    }


def inference_memory(stage: str, pairs: int) -> float:
    """The most memory of a stage of inference over so many pairs, in bytes, in a process of its own."""
    around = {"PYTHONPATH": str(code.ROOT)}
    command = [sys.executable, "-m", "benchmarks.inference_memory", stage, str(pairs)]
    done = subprocess.run(command, env=os.environ | around, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


# --- who makes batches


def loader() -> dict[str, float]:
    """What a batch of LOCAL pairs costs the training's own process, which a thread or worker processes make for it."""
    return {f"loader_ms_{workers}": 1000 * own_seconds(workers) for workers in (0, 2)}


def own_seconds(workers: int) -> float:
    """Of processor time for each batch, without that of worker processes."""
    config = params_file.load().vae.image.optimizer.model_copy(update={"batch_size": LOCAL})
    prefetcher = Prefetcher(Pictures(), config, 0, torch.device("cpu"), workers)
    with closing(prefetcher.micro_batches(range(BATCHES + 1))) as batches:
        next(batches)  # processes have started
        begin = time.process_time()
        for _ in batches:
            pass
    return (time.process_time() - begin) / BATCHES


# --- clips in a compressed archive


def archive() -> dict[str, float]:
    """What it takes to list the clips in a .tar.gz and to cut all their moments."""
    content = film()
    archive_seconds(content, 1)  # libraries are loaded
    seconds = {count: archive_seconds(content, count) for count in CLIPS}
    figures = {f"archive_seconds_{count}": taken for count, taken in seconds.items()}
    return figures | {"archive_exponent": exponent(seconds)}


def archive_seconds(content: bytes, count: int) -> float:
    """Seconds of processor time to list and cut so many clips of one content in an archive."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = packed(folder, content, count)
        begin = time.process_time()
        rows = acquire.acquire(vggsound.clips(data), data, folder / "raw", jobs=1)
        taken = time.process_time() - begin
    assert len(rows) == MOMENTS * count
    assert {row.status for row in rows} <= {"ok", "duplicate"}
    return taken


def packed(folder: Path, content: bytes, count: int) -> DataConfig:
    """A list and an archive of so many clips, and the settings that ask for them."""
    names = [f"{number:011d}_000030.mp4" for number in range(count)]
    (folder / "list.csv").write_text("".join(f"{name},x\n" for name in names), encoding="utf-8")
    (folder / "store").mkdir()
    with tarfile.open(folder / "store/clips.tar.gz", "w:gz", compresslevel=1) as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    data = params_file.load().data
    own = {"path": str(folder / "store"), "list": str(folder / "list.csv"), "url": "", "pairs_per_clip": MOMENTS}
    changes = {"source": "vggsound", "pairs": "even", "vggsound": data.vggsound.model_copy(update=own)}
    return data.model_copy(update=changes)


def film() -> bytes:
    """A film that grows brighter while noise grows louder, and as many bytes that say nothing as make a megabyte."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        pictures, sound = (
            container.add_stream("mpeg4", rate=PICTURES_PER_SECOND),
            container.add_stream("aac", rate=RATE),
        )
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(SECONDS * PICTURES_PER_SECOND):
            level = np.full((48, 64, 3), 255 * number // (SECONDS * PICTURES_PER_SECOND), np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(pictures.encode())
        wave = rng.normal(0, 0.1, SECONDS * RATE) * np.linspace(0.2, 1, SECONDS * RATE)
        pulses = np.rint(32767 * wave.clip(-1, 1)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pulses, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    content = file.getvalue()
    size = MEGABYTE - len(content)
    return content + size.to_bytes(4, "big") + b"free" + rng.bytes(size - 8)


if __name__ == "__main__":
    main()
