"""Image files ⇄ pictures."""

import io
import os
import struct
import subprocess
import sys
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pairs import gradient, lossless_jpeg
from PIL import Image
from shared import CASES, needs

from cycle_sound.app import inputs
from cycle_sound.errors import BadPicture
from cycle_sound.media import containers, images, picture_blocks, picture_files, pixels


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def test_pictures_survive_the_way_to_floats_and_back():
    array = images.to_array(gradient(90, 60), 32)
    assert array.shape == (3, 32, 32)
    assert array.dtype == np.uint8
    values = pixels.to_float(torch.from_numpy(array)).numpy()
    assert values.dtype == np.float32
    assert -1 <= values.min() < values.max() <= 1
    assert np.array_equal(np.asarray(picture_files.to_picture(values)).transpose(2, 0, 1), array)
    assert np.array_equal(np.asarray(picture_files.to_picture(values * 9))[0, 0], [0, 0, 0])  # clipped, not wrapped


def test_jpeg_round_trip_is_close():
    array = images.to_array(gradient(64, 64), 64)
    again = images.to_array(images.open_picture(picture_files.encode_jpeg(gradient(64, 64))), 64)
    assert np.abs(again.astype(int) - array).mean() < 2


@pytest.mark.parametrize("size", [(400, 300), (301, 700), (64, 65), (63, 200), (500, 257)])
@pytest.mark.parametrize("orientation", [1, 6], ids=["upright", "turned"])
def test_a_large_jpeg_decoded_at_a_part_of_its_size_gives_the_same_square(size: tuple[int, int], orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(gradient(*size), "JPEG", exif=exif, quality=95)
    whole, part = images.open_picture(content), images.open_picture(content, 16)
    assert min(part.size) >= 32
    assert min(part.size) < 64 or part.size == whole.size
    assert np.abs(images.to_array(part, 16).astype(int) - images.to_array(whole, 16)).max() <= 8  # half of a pixel


def test_the_centre_is_kept():
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    assert images.to_array(picture, 10)[2, :, 1:-1].min() > 250  # LANCZOS looks a little beyond the edge


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    picture = images.open_picture(encoded(gradient(40, 20), "JPEG", exif=exif))
    assert picture.size == (20, 40)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "I;16"])
def test_every_mode_becomes_rgb(mode: str):
    if mode == "I;16":
        content = encoded(Image.fromarray(np.full((8, 8), 60 * 257, np.uint16)), "PNG")
    else:
        grey = Image.new("RGB", (8, 8), (60, 60, 60))
        grey = grey.quantize() if mode == "P" else grey.convert(mode)
        content = encoded(grey, "JPEG" if mode == "CMYK" else "PNG")
    picture = images.open_picture(content)
    assert picture.mode == "RGB"
    if mode != "1":
        assert np.abs(np.asarray(picture).astype(int) - 60).max() <= 3


@pytest.mark.parametrize(
    ("mode", "hidden", "shown", "options"),  # two colours, of which a PNG makes the one transparent
    [
        ("RGBA", (0, 0, 0, 0), (9, 9, 9, 255), {}),
        ("LA", (0, 0), (9, 255), {}),
        ("1", 0, 255, {"transparency": 0}),
        ("L", 8, 9, {"transparency": 8}),
        ("P", 8, 9, {"transparency": 8}),
        ("RGB", (8, 8, 8), (9, 9, 9), {"transparency": (8, 8, 8)}),
        *(("I;16", hidden, 2313, {"transparency": hidden}) for hidden in (0, 8, 2312, 2314, 65535)),  # 9 * 257
    ],
)
@pytest.mark.parametrize("orientation", [1, 6], ids=["upright", "turned"])
def test_transparency_lies_over_white(mode: str, hidden: Any, shown: Any, options: dict[str, Any], orientation: int):
    stored, exif = Image.new(mode, (4, 4), hidden), Image.Exif()
    if mode == "P":
        stored.putpalette([value for value in range(256) for _ in "rgb"])
    stored.paste(shown, (0, 0, 4, 2))
    exif[0x0112] = orientation
    picture = np.asarray(images.open_picture(encoded(stored, "PNG", exif=exif, **options)))
    seen = picture if orientation == 1 else np.rot90(picture)
    assert (seen[2:] == 255).all()
    assert (seen[:2] == (255 if mode == "1" else 9)).all()


@pytest.mark.parametrize("cut", [10, 300, 1500])
def test_truncated_files_are_refused(cut: int):
    with pytest.raises(BadPicture, match=r"cannot be decoded|not an image"):
        images.open_picture(encoded(gradient(200, 200), "JPEG")[:cut])


@pytest.mark.parametrize("least", [images.MAX_SIDE, 64])
@pytest.mark.parametrize("form", ["yuvj420p", "yuvj444p"])
def test_a_lossless_jpeg_is_refused_and_ends_no_process(form: str, least: int):
    content = lossless_jpeg(form)
    assert Image.open(io.BytesIO(content)).size == (1024, 768)
    with pytest.raises(BadPicture, match="a lossless JPEG"):
        images.open_picture(content, least)


@pytest.mark.parametrize("content", [b"", b"hello " * 100, bytes(5000), b"%PDF-1.4", b"<svg></svg>"])
def test_what_is_no_picture_is_refused(content: bytes):
    with pytest.raises(BadPicture):
        images.open_picture(content)


def test_a_bomb_is_refused_by_its_header():
    bomb = encoded(Image.new("1", (9000, 9000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(BadPicture, match="9000 x 9000"):
        images.open_picture(bomb)


@pytest.mark.parametrize("size", [(images.MAX_SIDE + 1, 1), (1, images.MAX_SIDE + 1)])
def test_a_picture_that_no_jpeg_could_hold_is_refused(size: tuple[int, int]):
    with pytest.raises(BadPicture, match="in a row"):
        images.as_jpeg(encoded(Image.new("1", size), "PNG"))


def test_jpeg_passes_through_and_png_is_converted():
    jpeg = picture_files.encode_jpeg(gradient(20, 20))
    assert images.as_jpeg(jpeg) == jpeg
    assert images.as_jpeg(encoded(gradient(20, 20), "PNG")) == jpeg


# --- blocks that only describe


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", right if checksum is None else checksum)


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def turned() -> bytes:
    """EXIF, without its name, by which a picture is to be turned by 90° clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes().removeprefix(b"Exif\0\0")


def riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def webp_with(exif: bytes) -> bytes:
    """A WebP file with an EXIF chunk."""
    webp = encoded(gradient(40, 20), "WEBP", exif=b"Exif\0\0" + turned())
    place = webp.index(b"EXIF")
    body = webp[12:place] + riff(b"EXIF", exif)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


PNG_NOTES = {
    "EXIF that is none": chunk(b"eXIf", b"\0\x08\0\x02\x01\x12"),
    "EXIF that is empty": chunk(b"eXIf", b""),
    "EXIF that ends early": chunk(b"eXIf", turned()[:9]),
    "EXIF with a wrong checksum": chunk(b"eXIf", turned()[:9], 1),
    "EXIF in text": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  4\nno hex"),
    "text with a wrong checksum": chunk(b"tEXt", b"Title\0x", 1),
    "text that would fill memory": chunk(b"zTXt", b"Title\0\0" + zlib.compress(bytes(1 << 22))),
    "a profile packed in an unknown way": chunk(b"iCCP", b"name\0\x07abc"),
    "a resolution that ends early": chunk(b"pHYs", b"\0\0"),
    "a colour space without a value": chunk(b"sRGB", b""),
    "an animation without frames": chunk(b"acTL", b"\0\0"),
}
JPEG_NOTES = {
    "EXIF that is none": segment(0xE1, b"Exif\0\0\0\x08\0\x02\x01\x12"),
    "EXIF that ends early": segment(0xE1, b"Exif\0\0" + turned()[:9]),
    "a Photoshop block that ends early": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\0\0"),
    "a JFIF block that ends early": segment(0xE0, b"JFIF"),
    "a profile without an end": segment(0xE2, b"ICC_PROFILE\0"),
}


@pytest.mark.parametrize("note", PNG_NOTES.values(), ids=PNG_NOTES)
@pytest.mark.parametrize("behind", [False, True])
def test_a_broken_note_in_a_png_makes_no_difference(note: bytes, behind: bool):
    png = encoded(gradient(40, 20), "PNG")
    place = png.index(b"IEND") - 4 if behind else png.index(b"IDAT") - 4
    picture = images.open_picture(png[:place] + note + png[place:])
    assert np.array_equal(np.asarray(picture), np.asarray(gradient(40, 20)))


@pytest.mark.parametrize("note", JPEG_NOTES.values(), ids=JPEG_NOTES)
def test_a_broken_note_in_a_jpeg_makes_no_difference(note: bytes):
    jpeg = picture_files.encode_jpeg(gradient(40, 20))
    assert np.array_equal(
        np.asarray(images.open_picture(jpeg[:2] + note + jpeg[2:])), np.asarray(images.open_picture(jpeg))
    )


@pytest.mark.parametrize("exif", [b"", b"\0\x08\0\x02", b"Exif\0\0", turned()[:9], b"II*\0\xff\xff\xff\xff"])
def test_broken_exif_in_a_webp_makes_no_difference(exif: bytes):
    assert images.open_picture(webp_with(exif)).size == (40, 20)
    assert images.open_picture(webp_with(turned())).size == (20, 40)


def test_a_picture_is_turned_by_its_exif_though_other_notes_are_broken():
    png = encoded(gradient(40, 20), "PNG", exif=b"Exif\0\0" + turned())
    place = png.index(b"IDAT") - 4
    assert images.open_picture(png[:place] + PNG_NOTES["a resolution that ends early"] + png[place:]).size == (20, 40)
    exif = segment(0xE1, b"Exif\0\0" + turned())
    jpeg = picture_files.encode_jpeg(gradient(40, 20))
    broken = JPEG_NOTES["a Photoshop block that ends early"]
    assert images.open_picture(jpeg[:2] + exif + broken + jpeg[2:]).size == (20, 40)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"PLTE"])
def test_a_broken_picture_is_not_taken_for_one_with_broken_notes(kind: bytes):
    png = encoded(gradient(40, 20).quantize(16), "PNG")
    place = png.index(kind) + 6
    with pytest.raises(BadPicture):
        images.open_picture(png[:place] + bytes([png[place] ^ 0xFF]) + png[place + 1 :])


@needs(CASES)
def test_a_png_whose_exif_is_broken_is_upright_as_stored():
    assert images.open_picture((CASES / "broken_exif.png").read_bytes()).size == (64, 48)


def scanline(bits: int, colour: int, line: bytes, clear: bytes) -> bytes:
    """A PNG of one line of four pixels, of which a value is transparent."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" + line))
    return picture_blocks.PNG + header + chunk(b"tRNS", clear) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        scanline(2, 0, b"\x10", b"\0\1"),
        scanline(4, 0, b"\x05\x00", b"\0\5"),
        scanline(8, 0, b"\0\5\0\0", b"\0\5"),
        scanline(16, 0, b"\0\0\x50\5" + bytes(4), b"\x50\5"),
        scanline(8, 2, b"\0\0\0\5\6\7" + bytes(6), b"\0\5\0\6\0\7"),
        scanline(16, 2, bytes(6) + b"\x50\5\x60\6\x70\7" + bytes(12), b"\x50\5\x60\6\x70\7"),
    ],
    ids=["grey of 2", "grey of 4", "grey of 8", "grey of 16", "colours of 8", "colours of 16"],
)
def test_the_transparent_value_of_a_png_is_found_whatever_its_bits(content: bytes):
    seen = np.asarray(images.open_picture(content))[0, :, 0]
    assert seen[0] == 0
    assert seen[1] == 255


# --- pictures that cost more than they weigh


def repeated(scans: int, progressive: bool = True, **options: Any) -> bytes:
    """A JPEG whose last scan stands there so many times more."""
    jpeg = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=progressive, **options)
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * scans + jpeg[-2:]


def in_turn(scans: int) -> bytes:
    """A JPEG that is not progressive, of one scan after another for its first component alone: empty ones."""
    jpeg = encoded(Image.new("RGB", (64, 64)), "JPEG", subsampling=0)
    return jpeg[: jpeg.rindex(b"\xff\xda")] + segment(0xDA, b"\1\1\0\0\x3f\0") * scans + b"\xff\xd9"


@pytest.mark.parametrize(
    "content",
    [
        repeated(100),
        repeated(5000),
        repeated(100, quality=5),
        repeated(100) + bytes(99),
        repeated(100, progressive=False),
        in_turn(100),
        in_turn(5000),
    ],
)
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(content: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(BadPicture, match="more than 64 scans"):
        images.open_picture(content)


def test_what_looks_like_a_scan_is_not_counted():
    jpeg = encoded(gradient(40, 20), "JPEG", progressive=True)
    beside = segment(0xE1, b"http://x\0" + b"\xff\xda\0\x02" * 100) + segment(0xFE, b"\xff\xda" * 100)
    assert images.open_picture(jpeg[:2] + beside + jpeg[2:]).size == (40, 20)
    assert images.open_picture(jpeg + b"\xff\xda" * 100).size == (40, 20)  # as a film behind a picture has it


def test_a_jpeg_of_fill_bytes_is_refused_as_soon_as_it_is_read():
    fill = b"\xff" * (1 << 22)  # bytes; in quadratic time they would take days
    for content in (
        fill,
        picture_blocks.JPEG + fill,
        fill + b"\0",
        segment(0xE1, b"x").join([picture_blocks.JPEG, fill]),
    ):
        with pytest.raises(BadPicture):
            images.open_picture(content)


def test_fill_bytes_before_a_marker_are_none_of_a_segment():
    jpeg = picture_files.encode_jpeg(gradient(20, 20))
    filled = jpeg[:2] + b"\xff" * 9 + segment(0xE1, b"Exif\0\0broken") + b"\xff" * 9 + jpeg[2:]
    assert images.open_picture(filled).tobytes() == images.open_picture(jpeg).tobytes()


def test_a_jpeg_of_many_segments_is_refused():
    jpeg = encoded(gradient(40, 20), "JPEG")
    with pytest.raises(BadPicture, match="2000 segments"):
        images.open_picture(jpeg[:2] + segment(0xE1, b"Exif\0\0x") * 2500 + jpeg[2:])


def directory(entries: int) -> bytes:
    """EXIF, without its name, of entries each of which is all of it but for a byte."""
    size = 10 + 12 * entries
    kinds = b"".join(struct.pack(">HHII", tag, 1, size - 1, 0) for tag in range(entries))
    return b"MM\0*" + struct.pack(">IH", 8, entries) + kinds


def jpeg_with(exif: bytes) -> bytes:
    """A JPEG file with EXIF, in as many segments as it takes."""
    jpeg = encoded(gradient(40, 20), "JPEG")
    parts = [exif[start : start + 60_000] for start in range(0, len(exif), 60_000)]
    return jpeg[:2] + b"".join(segment(0xE1, b"Exif\0\0" + part) for part in parts) + jpeg[2:]


def png_with(*notes: bytes) -> bytes:
    png = encoded(gradient(40, 20), "PNG")
    place = png.index(b"IDAT") - 4
    return png[:place] + b"".join(notes) + png[place:]


ENTRIES = directory(20_000)  # in 240 kB; read, 5 GB
NAMES = b"Exif\0\0" * 200_000  # taken off one by one, 120 GB are copied


@pytest.mark.parametrize("exif", [ENTRIES, b"Exif\0\0" + ENTRIES, NAMES], ids=["entries", "named", "names"])
@pytest.mark.parametrize("file", [jpeg_with, webp_with, lambda exif: png_with(chunk(b"eXIf", exif))])
def test_exif_that_would_fill_the_memory_is_not_read(file: Any, exif: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Image.Exif, "load", lambda *_: pytest.fail("it is read"))
    with nullcontext() if file != jpeg_with else pytest.raises(BadPicture, match="EXIF of"):
        assert images.open_picture(file(exif)).size == (40, 20)


def test_exif_in_text_that_would_fill_the_memory_is_not_read(monkeypatch: pytest.MonkeyPatch):
    text = b"Raw profile type exif\0\nexif\n%d\n%s" % (len(ENTRIES), ENTRIES.hex().encode())
    monkeypatch.setattr(Image.Exif, "load", lambda *_: pytest.fail("it is read"))
    assert images.open_picture(png_with(chunk(b"tEXt", text))).size == (40, 20)


@pytest.mark.parametrize("turn", [turned(), b"Exif\0\0" + turned()])
def test_exif_turns_a_picture_however_often_it_is_named(turn: bytes):
    for content in (jpeg_with(turn), webp_with(turn), png_with(chunk(b"eXIf", turn))):
        assert images.open_picture(content).size == (20, 40)


def gif_with(*comments: bytes) -> bytes:
    """A GIF file with comments, each as its blocks."""
    gif = encoded(gradient(40, 20).quantize(16), "GIF")
    place = gif.index(b",\0\0\0\0")
    return gif[:place] + b"".join(b"!\xfe" + blocks + b"\0" for blocks in comments) + gif[place:]


@pytest.mark.parametrize("comments", [[b"\1x"] * 1_000_000, [b"\1x" * 1_000_000], [b"\xff" + bytes(255)] * 20_000])
def test_a_gif_of_many_comments_is_refused_before_they_are_joined(comments: list[bytes]):
    with pytest.raises(BadPicture, match="more than 10000 blocks"):
        images.open_picture(gif_with(*comments))
    assert images.open_picture(gif_with(*comments[1:100])).size == (40, 20)


def test_a_png_of_many_blocks_is_read_without_them():
    assert images.open_picture(png_with(*[chunk(b"abCd", b"")] * 20_000)).size == (40, 20)


@pytest.mark.parametrize("kind", images.FORMATS)
def test_a_picture_is_told_from_a_film_by_how_it_begins(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "picture"
    path.write_bytes(encoded(gradient(40, 20), kind))
    for module, name in ((Image, "open"), (containers, "opened")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("no file is read for that"))
    assert not inputs.is_film(path)


OPENED = """
import sys
from pathlib import Path
from cycle_sound.errors import BadPicture
from cycle_sound.media import images
for name in sys.argv[1:]:
    try:
        print(images.open_picture(Path(name).read_bytes()).size)
    except BadPicture as error:
        print(error)
"""


def test_pillows_warnings_reach_no_terminal(tmp_path: Path):
    torn = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x06\0"
    huge = chunk(b"IHDR", struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"")
    (tmp_path / "torn.jpg").write_bytes(encoded(gradient(40, 20), "JPEG", exif=torn))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + huge)
    words = [sys.executable, "-c", OPENED, "torn.jpg", "huge.png"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    shown, refused = done.stdout.splitlines()
    assert (shown, refused[:22], done.stderr) == ("(40, 20)", "10000 x 10000 pixels: ", "")


HOST = """
import warnings
from PIL import Image
warnings.simplefilter("error", Image.DecompressionBombWarning)
import cycle_sound.media.images
Image.MAX_IMAGE_PIXELS = 100
try:
    Image.open("large.png")
except Image.DecompressionBombWarning:
    print("an error, as this program wants it")
"""


def test_the_filters_of_warnings_of_whoever_imports_this_stay(tmp_path: Path):
    (tmp_path / "large.png").write_bytes(encoded(gradient(15, 10), "PNG"))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    words = [sys.executable, "-c", HOST]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.stdout, done.stderr) == ("an error, as this program wants it\n", "")
