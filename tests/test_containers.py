"""An MP4 of kilobytes whose tables claim samples without end costs no reader the memory that those would take."""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from films import chirp, evenly, mux, picture_stream, shade, sound_stream

CLAIMED = 60_000_000  # samples, of 1.4 GB in FFmpeg's index
ALLOWED = 300_000  # kB
COUNTS = {  # 32-bit numbers behind a box's name: those of one size for all samples, of runs, of a fragment
    b"stsz": {4: 1, 8: CLAIMED},
    b"stts": {8: CLAIMED},
    b"stsc": {12: CLAIMED},
    b"trun": {0: 1, 4: CLAIMED},  # without sizes and times of its samples
}
READERS = {
    "packets": "list(containers.packets(containers.opened(path.open('rb'), containers.VIDEOS)))",
    "a cut": "videos.cut(footage.Film(path), 0.5, clip_seconds=0.6, min_seconds=0.1, still_difference=0.0, lone=False)",
    "pictures": "list(film_reader.FilmReader(path).pictures([0.0, 0.5], 64))",
    "a sound": "sound_files.decode(path.read_bytes())",
    "a stream of sound": "list(sound_reader.blocks(path))",
}
PROGRAM = """
import resource, sys
from pathlib import Path
import av
from cycle_sound.acquisition.sources import clip, footage, videos
from cycle_sound.errors import BadFilm, BadSound
from cycle_sound.media import containers, film_reader, sound_files, sound_reader
path = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    eval(sys.argv[2])
except (BadFilm, BadSound, clip.Rejected, av.FFmpegError) as error:
    print(repr(error), file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.fixture(scope="module", params=["mp4", "mov", "fragmented mp4"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two seconds whose tables, of both tracks, claim more."""
    *fragmented, suffix = request.param.split()
    path = tmp_path_factory.mktemp("claims") / f"film.{suffix}"
    options = {"movflags": "frag_keyframe+empty_moov"} if fragmented else {}
    with av.open(str(path), "w", options=options) as container:
        moving, sound = picture_stream(container), sound_stream(container)
        mux(container, moving, (shade(20 + 20 * time, time, 1000) for time in evenly(0, 2)))
        mux(container, sound, chirp(0, 2))
    content = bytearray(path.read_bytes())
    assert [*claimed(content)].count(b"trun" if fragmented else b"stsz") >= 2
    path.write_bytes(content)
    return path


def claimed(content: bytearray) -> Iterator[bytes]:
    """Let every table of a film's content claim samples; yield the names of the tables."""
    for name, numbers in COUNTS.items():
        start = content.find(name)
        while start >= 0:
            for offset, number in numbers.items():
                struct.pack_into(">I", content, start + 4 + offset, number)
            yield name
            start = content.find(name, start + 4)


@pytest.mark.parametrize("reader", READERS)
def test_samples_that_a_table_claims_take_no_memory(reader: str, film: Path) -> None:
    words = [sys.executable, "-c", PROGRAM, str(film), READERS[reader]]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert int(done.stdout) < ALLOWED, done.stderr
