"""How the toy orchestra looks: eight kinds of thing, as bold flat shapes with dark outlines (Pillow).

A picture will be tokenised in squares of 8 of 64 pixels, so silhouettes differ as much as they can and details are few
and thick. Only the body has colour; all else is near grey, so that hue and size can be measured. The colour of a thing
must hang together (no detail cuts it in two), so that things can be counted.
"""

import colorsys
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Paint = Literal["body", "pale", "dark"]
Points = np.ndarray  # (n, 2): x to the right, y down; a thing fits the circle of diameter 1 around (0, 0)

SIDE = 96  # pixels of the picture
FINE = 4  # drawn so many times larger, then reduced
OUTLINE = 0.055  # of the diameter
THINNEST = 0.017  # outline, of the picture
DIAMETERS = {1: 0.66, 2: 0.47, 3: 0.39}  # of the picture, at size 1: about the same area however many things
TILT = 20  # degrees, at most


class Layer(NamedTuple):
    """Polygons of one paint that share an outline."""

    paint: Paint
    polygons: tuple[Points, ...]


class Scene(NamedTuple):
    """What a picture shows."""

    kind: str  # a key of SHAPES
    hue: float  # degrees
    size: float  # 0.85 to 1.25, times the diameter
    things: int  # 1 to 3


def oval(x: float, y: float, width: float, height: float) -> Points:
    """An ellipse around (x, y)."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + width / 2 * np.cos(turn), y + height / 2 * np.sin(turn)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """A rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def mirrored(*half: tuple[float, float]) -> Points:
    """A polygon symmetric about x = 0, from its right half, top to bottom."""
    right = np.array(half)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def turned(points: Points, degrees: float) -> Points:
    """Points rotated about (0, 0), clockwise as seen."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points @ np.array([(cos, sin), (-sin, cos)])


DRUM = (
    Layer("body", (box(-0.4, -0.2, 0.4, 0.17), oval(0, 0.17, 0.8, 0.3))),
    Layer("pale", (oval(0, -0.2, 0.8, 0.32),)),
)
# Points (x, y) of the bell's right side, from its top.
BELL_SIDE = ((0.06, -0.36), (0.15, -0.32), (0.21, -0.22), (0.23, 0.0), (0.28, 0.11), (0.38, 0.2), (0.38, 0.26))
BELL = (
    Layer("dark", (oval(0, 0.31, 0.26, 0.26), oval(0, -0.4, 0.16, 0.16))),
    Layer("body", (mirrored(*BELL_SIDE),)),
)
GUITAR = (
    Layer("dark", (box(-0.055, -0.46, 0.055, 0.0),)),
    Layer("pale", (box(-0.11, -0.49, 0.11, -0.34),)),
    Layer("body", (oval(0, -0.03, 0.46, 0.38), oval(0, 0.23, 0.66, 0.52))),
    Layer("dark", (oval(0, 0.05, 0.15, 0.15), box(-0.13, 0.3, 0.13, 0.33))),
)
FLUTE = (
    Layer("body", (turned(box(-0.46, -0.185, 0.46, 0.185), -45),)),
    Layer("pale", tuple(turned(oval(x, 0, 0.12, 0.12), -45) for x in (-0.3, -0.07, 0.16))),
    Layer("dark", (turned(box(0.37, -0.185, 0.46, 0.185), -45),)),
)
# Points (x, y) of the upper side of a trumpet's horn, from its narrow end.
HORN = ((-0.42, -0.09), (0.0, -0.1), (0.14, -0.16), (0.26, -0.26), (0.36, -0.37))
TRUMPET = (
    Layer("dark", (box(-0.5, -0.1, -0.4, 0.1), *(box(x, -0.28, x + 0.07, -0.02) for x in (-0.26, -0.12, 0.02)))),
    Layer("body", (np.array(HORN + tuple((x, -y) for x, y in HORN[::-1])), box(-0.3, 0.0, 0.1, 0.3))),
    Layer("pale", (box(-0.17, 0.15, -0.03, 0.19), oval(0.37, 0, 0.14, 0.74))),
)
ZIGZAG = np.array([(-0.21, -0.2), (-0.105, -0.28), (0, -0.2), (0.105, -0.28), (0.21, -0.2)])
MARACA = (
    Layer("pale", (box(-0.075, 0.0, 0.075, 0.44), oval(0, 0.41, 0.19, 0.15))),
    Layer("body", (oval(0, -0.18, 0.62, 0.63),)),
    Layer("pale", (np.concatenate([ZIGZAG, ZIGZAG[::-1] + np.array([0, 0.09])]),)),
)
BARS = ((-0.3, 0.39), (0.0, 0.3), (0.3, 0.21))  # middle, half the length
XYLOPHONE = (
    Layer("body", (*(box(x - 0.09, -y, x + 0.09, y) for x, y in BARS), box(-0.3, -0.08, 0.3, 0.08))),
    Layer("pale", tuple(oval(x, side * (y - 0.09), 0.09, 0.09) for x, y in BARS for side in (-1, 1))),
)
BIRD = (
    Layer("dark", (box(-0.12, 0.25, -0.05, 0.47), box(0.05, 0.25, 0.12, 0.47))),
    Layer("pale", (np.array([(0.26, -0.3), (0.5, -0.14), (0.26, -0.04)]),)),
    Layer(
        "body",
        (
            oval(-0.02, 0.08, 0.58, 0.5),
            oval(0.15, -0.18, 0.4, 0.4),
            np.array([(-0.15, -0.06), (-0.48, -0.2), (-0.46, 0.1), (-0.15, 0.2)]),
        ),
    ),
    Layer("dark", (np.array([(-0.2, 0.02), (0.1, 0.04), (0.06, 0.14), (-0.04, 0.2), (-0.14, 0.14)]),)),
    Layer("pale", (oval(0.19, -0.22, 0.15, 0.15),)),
)
SHAPES = {
    "drum": DRUM,
    "bell": BELL,
    "guitar": GUITAR,
    "flute": FLUTE,
    "trumpet": TRUMPET,
    "maraca": MARACA,
    "xylophone": XYLOPHONE,
    "bird": BIRD,
}
# Of kinds that would show more colour than the rest at the same size.
SCALES = {"drum": 0.96, "bell": 0.9, "guitar": 0.92, "xylophone": 0.93, "bird": 0.94}


def places(things: int, diameter: float, rng: np.random.Generator) -> np.ndarray:
    """Middles of circles that fit the unit square and do not overlap: (things, 2)."""
    tries = rng.random((500, things, 2))
    tight = {1: [(0.5, 0.5)], 2: [(0, 0), (1, 1)], 3: [(0, 0), (1, 0.27), (0.27, 1)]}[things]  # where no try will fit
    mirror = rng.integers(2, size=2)
    tries[-1] = abs(mirror - np.array(tight))
    tries = diameter / 2 + tries * (1 - diameter)
    apart = np.linalg.norm(tries[:, :, None] - tries[:, None], axis=-1) + np.eye(things)
    fits = apart.min(axis=(1, 2)) >= diameter
    return tries[fits.argmax() if fits.any() else -1]


def ground(rng: np.random.Generator) -> Image.Image:
    """A background: a slight gradient around a light near grey."""
    shade = rng.uniform(0.78, 0.95) + rng.uniform(-0.01, 0.01, size=3)
    ends = shade + np.array([(-0.03,), (0.03,)])
    way = rng.uniform(-1, 1, size=2)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1) - 0.5
    share = np.clip(0.5 + way[0] * x + way[1] * y, 0, 1)[..., None]
    pixels = (ends[0] * share + ends[1] * (1 - share)).clip(0, 1) * 255
    return Image.fromarray(pixels.round().astype(np.uint8)).resize((SIDE * FINE,) * 2, Image.Resampling.NEAREST)


def put(canvas: ImageDraw.ImageDraw, layer: Layer, fill: tuple[int, ...], dark: tuple[int, ...], width: int) -> None:
    """Draw one layer, whose points are pixels: all outlines first, so that its polygons melt into one shape."""
    rings = [[tuple(point) for point in polygon] for polygon in layer.polygons]
    for ring in rings:
        canvas.line(ring + ring[:1], fill=dark, width=width)
        for corner in ring:
            canvas.circle(corner, (width - 1) / 2, fill=dark)
    for ring in rings:
        canvas.polygon(ring, fill=fill)


def draw(scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Draw a scene: RGB, SIDE × SIDE. Place, tilt, shade and background come from `rng`."""
    body = colorsys.hsv_to_rgb(scene.hue / 360, rng.uniform(0.82, 0.92), rng.uniform(0.88, 0.98))
    colours = {"body": body, "pale": (rng.uniform(0.92, 1.0),) * 3, "dark": (rng.uniform(0.05, 0.12),) * 3}
    fills = {paint: tuple(round(255 * part) for part in colour) for paint, colour in colours.items()}
    diameter = DIAMETERS[scene.things] * scene.size
    span = diameter * SCALES.get(scene.kind, 1)
    width = round(2 * max(OUTLINE * diameter / 2, THINNEST) * SIDE * FINE)  # half of it lies under the fill
    picture = ground(rng)
    canvas = ImageDraw.Draw(picture)
    for place in places(scene.things, diameter, rng):
        tilt = rng.uniform(-TILT, TILT)
        for layer in SHAPES[scene.kind]:
            pixels = tuple((turned(points, tilt) * span + place) * SIDE * FINE for points in layer.polygons)
            put(canvas, Layer(layer.paint, pixels), fills[layer.paint], fills["dark"], width)
    return picture.reduce(FINE)
