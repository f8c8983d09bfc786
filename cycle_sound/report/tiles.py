"""What a page shows of pairs: pictures and sounds side by side, as the template `strips.html.j2` has them."""

from collections.abc import Sequence
from typing import NamedTuple


class Tile(NamedTuple):
    """One picture, or one sound with its log-mel."""

    name: str
    picture: str  # a data URI
    sound: str  # a data URI; "" for a picture
    label: str  # "": none


class Strip(NamedTuple):
    """Tiles side by side under a caption."""

    caption: str
    tiles: Sequence[Tile]
