"""Image files ⇄ pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from cycle_sound.errors import BadPicture
from cycle_sound.media import images, picture_files, pixels


def gradient(width: int, height: int) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, np.full_like(across, 90)], 2).astype(np.uint8))


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


def test_transparency_lies_over_white():
    picture = images.open_picture(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"))
    assert np.asarray(picture).min() == 255


@pytest.mark.parametrize("cut", [10, 300, 1500])
def test_truncated_files_are_refused(cut: int):
    with pytest.raises(BadPicture, match=r"cannot be decoded|not an image"):
        images.open_picture(encoded(gradient(200, 200), "JPEG")[:cut])


@pytest.mark.parametrize("content", [b"", b"hello " * 100, bytes(5000), b"%PDF-1.4", b"<svg></svg>"])
def test_what_is_no_picture_is_refused(content: bytes):
    with pytest.raises(BadPicture):
        images.open_picture(content)


def test_a_bomb_is_refused_by_its_header():
    bomb = encoded(Image.new("1", (9000, 9000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(BadPicture, match="9000 x 9000"):
        images.open_picture(bomb)


def test_jpeg_passes_through_and_png_is_converted():
    jpeg = picture_files.encode_jpeg(gradient(20, 20))
    assert images.as_jpeg(jpeg) == jpeg
    assert images.as_jpeg(encoded(gradient(20, 20), "PNG")) == jpeg
