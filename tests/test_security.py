"""SECURITY.md promises the limits that the code has."""

import re

import pytest
from documents import ROOT

from cycle_sound.acquisition.sources import archives, downloading
from cycle_sound.app.web import connections, gate, making, reading, uploads
from cycle_sound.io import bounded, tar_members, xz
from cycle_sound.media import containers, images, picture_blocks, sound_files, sound_reader

PAGE = re.sub(r"\s+", " ", (ROOT / "SECURITY.md").read_text(encoding="utf-8"))
MIB, GIB = 1 << 20, 1 << 30  # bytes
PROMISED: dict[str, tuple[float, ...]] = {  # words of the page, with a {} in place of each figure: the figures
    "a picture: {} million pixels,": (images.MAX_PIXELS / 1e6,),
    "{} pixels to a side": (images.MAX_SIDE,),
    "{} scans of a JPEG": (picture_blocks.MAX_SCANS,),
    "{} reads before the image data": (images.MAX_READS,),
    "{} MiB for the entries of its EXIF": (picture_blocks.MAX_EXIF / MIB,),
    "a sound: {} minutes, {} channels and {} kHz": (
        *(sound_files.MAX_SECONDS / 60, sound_files.MAX_CHANNELS, sound_files.RATES[-1] / 1000),
    ),
    "read as a stream, {} hours": (sound_reader.MAX_SECONDS / 3600,),
    "a film: {} million pixels per frame": (images.MAX_PIXELS / 1e6,),
    "{} billion decoded for one pair": (containers.MAX_DECODED / 1e9,),
    "(on the page {} billion in all)": (reading.MAX_PIXELS / 1e9,),
    "{} hours if it gets a soundtrack": (sound_reader.MAX_SECONDS / 3600,),
    "a tar: {} members": (tar_members.MAX_HEADERS,),
    "{} times its size plus {} MiB are read at most": (archives.MAX_EXPANSION, archives.SPARE / MIB),
    "xz, which could take any amount of memory, gets {} MiB": (xz.MAX_MEMORY / MIB,),
    "a sound that is read whole: {} GiB": (bounded.MAX_MEDIA / GIB,),
    "a list of clips or of moments: {} MiB": (bounded.MAX_LIST / MIB,),
    "at least {} kB/s are required": (downloading.SLOWEST / 1000,),
    "at most {} MiB per file and {} minutes per request": (gate.MAX_FILE / MIB, gate.MAX_SECONDS / 60),
    "{} requests and {} results at a time from one address": (gate.MAX_OPEN, gate.MAX_WAITING),
    "closed within {} seconds": (2 * connections.MAX_SILENCE,),
    "every other machine may have {} connections": (connections.MAX_OPEN,),
    "No request may sample more than {} targets": (making.MAX_DRAWS,),
    "Uploads are deleted after {} hour": (uploads.MAX_AGE / 3600,),
    "Blocks above {} MB are refused": (containers.LARGEST_BLOCK / MIB,),
    "a sound of {} minutes at {} kHz": (sound_files.MAX_SECONDS / 60, sound_files.RATES[-1] / 1000),
}
IN_WORDS = {"an": 1, "two": 2, "four": 4, "five": 5, "ten": 10, "forty": 40}


def number(figure: str) -> float:
    return float(IN_WORDS.get(figure) or figure.replace(",", ""))


@pytest.mark.parametrize(("words", "figures"), PROMISED.items(), ids=PROMISED)
def test_a_limit_that_is_promised_is_the_one_in_the_code(words: str, figures: tuple[float, ...]) -> None:
    found = re.findall(re.escape(words).replace(r"\{\}", r"([\w,.]+)"), PAGE)
    assert found, f"SECURITY.md no longer says: {words}"
    for said in found:
        assert tuple(map(number, (said,) if isinstance(said, str) else said)) == figures
