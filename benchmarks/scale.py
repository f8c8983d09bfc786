"""How time grows with a corpus: each part of the work at several sizes.

python -m benchmarks.scale [--json]

Seconds are of processor time in one process, so that other work on the machine matters little.
"""

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks import printing
from cycle_sound import params as parameters
from cycle_sound.acquisition import acquire
from cycle_sound.acquisition.sources import vggsound
from cycle_sound.params import DataConfig

CLIPS = (20, 40, 80)  # in an archive
MOMENTS = 3  # of each
MEGABYTE = 1_000_000  # in each, as in ten seconds of VGGSound
RATE, PICTURES = 16_000, 10  # a second


def main() -> None:
    """Measure, and print a table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    printing.show(archive(), options.json)


def exponent(seconds: Mapping[int, float]) -> float:
    """Of the power of the size that time grows with: 1 where twice the size takes twice the time."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


# --- clips in a compressed archive


def archive() -> dict[str, float]:
    """What it takes to list the clips in a .tar.gz and to cut all their moments."""
    content = film()
    archive_seconds(content, 1)  # libraries are loaded
    seconds = {count: archive_seconds(content, count) for count in CLIPS}
    figures = {f"archive_seconds_{count}": taken for count, taken in seconds.items()}
    return figures | {"archive_exponent": exponent(seconds)}


def archive_seconds(content: bytes, count: int) -> float:
    """The same, of so many clips with one content."""
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
    data = parameters.load().data
    own = {"path": str(folder / "store"), "list": str(folder / "list.csv"), "url": "", "pairs_per_clip": MOMENTS}
    changes = {"source": "vggsound", "pairs": "even", "vggsound": data.vggsound.model_copy(update=own)}
    return data.model_copy(update=changes)


def film(seconds: int = 3) -> bytes:
    """A film that grows brighter while noise grows louder, and as many bytes that say nothing as make a megabyte."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        pictures, sound = container.add_stream("mpeg4", rate=PICTURES), container.add_stream("aac", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(seconds * PICTURES):
            level = np.full((48, 64, 3), 255 * number // (seconds * PICTURES), np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(pictures.encode())
        wave = rng.normal(0, 0.1, seconds * RATE) * np.linspace(0.2, 1, seconds * RATE)
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
