"""Decoded frames of films as players show them: upright, of square pixels, and small enough."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

from cycle_sound.errors import BadFilm
from cycle_sound.media import images

ASPECTS = (Fraction(1, 4), Fraction(4))  # of a pixel, width to height: no film has others, and a file may say anything
UNSPECIFIED = 2  # colour space, as FFmpeg numbers them
# From this width on, or above this height, BT.709 is meant by films that do not name their matrix, and below it BT.601:
# so guesses mpv (`mp_csp_guess_colorspace`), and the standards of television in high definition and in standard.
HD = (1280, 576)
# By the signs of a display matrix: where the axes to the right and down point.
TURNS: dict[tuple[int, ...], Image.Transpose] = {
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


def check_size(width: int, height: int) -> None:
    """Raise `BadFilm` for frames too large to be decoded."""
    if not images.fits(width, height):
        raise BadFilm(f"frames of {width} x {height} pixels")


def aspect(video: Any) -> Fraction:
    """Width to height of a stream's pixels."""
    said = video.sample_aspect_ratio or Fraction(1)
    return said if ASPECTS[0] <= said <= ASPECTS[1] else Fraction(1)


def upright(frame: Any, aspect: Fraction) -> Image.Image:
    """A frame as players show it: of square pixels, turned and mirrored by its display matrix. Raises `BadFilm`."""
    try:
        picture: Image.Image = frame.to_image(src_colorspace=_matrix(frame))
    except av.FFmpegError as error:  # of colour spaces that it decodes, but does not convert
        raise BadFilm(f"the colours of its pictures: {error.strerror}") from None
    if aspect != 1:
        width = max(round(picture.width * aspect), 1)
        check_size(width, picture.height)
        picture = picture.resize((width, picture.height), Image.Resampling.LANCZOS)
    turn = TURNS.get(_axes(frame))
    return picture if turn is None else picture.transpose(turn)


def _matrix(frame: Any) -> int | None:
    """By what matrix luma and chroma become red, green and blue, where a frame does not say and FFmpeg takes BT.601."""
    is_hd = frame.width >= HD[0] or frame.height > HD[1]
    return Colorspace.ITU709 if frame.colorspace == UNSPECIFIED and is_hd else None


def _axes(frame: Any) -> tuple[int, ...]:
    """The signs of a frame's display matrix, of a turn that is not a quarter's those of the nearest."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside side data of a kind that PyAV does not know
        matrix = None
    if matrix is None:
        return ()
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].astype(float)
    upright = abs(a) + abs(d) >= abs(b) + abs(c)
    return tuple(int(sign) for sign in np.sign([a, 0, 0, d] if upright else [0, b, c, 0]))
