"""Pictures and sounds without partners, as shards hold them: nothing there tells what belonged to what.

Name, order and content of such a clip depend on its file and label alone, so permuting the pairing changes no byte.
"""

from collections.abc import Iterable
from operator import attrgetter

from cycle_sound.acquisition import splits
from cycle_sound.acquisition.manifest import Row
from cycle_sound.params import LONE, Modality


def alone(row: Row, modality: Modality) -> Row:
    """The row of a clip's picture or sound alone, without what could identify its partner: id, group, attributes."""
    of_picture, digest = modality == "image", _digest(row, modality)
    name = splits.order(f"{LONE[modality]} {digest}")
    return Row(name, "train", row.label, "", "ok", "", {}, digest if of_picture else "", "" if of_picture else digest)


def each_once(rows: Iterable[Row], modality: Modality) -> list[Row]:
    """One row per distinct picture or sound among the rows, in an order that depends only on the contents.

    Where equal contents have several labels, the last counts.
    """
    contents = {_digest(row, modality): row for row in sorted(rows, key=attrgetter("label", "id"))}
    return sorted(contents.values(), key=lambda row: alone(row, modality).id)


def _digest(row: Row, modality: Modality) -> str:
    return row.picture_sha256 if modality == "image" else row.sound_sha256
