"""params.yaml and presets as files: read, and a preset's values put in place of others.

They are read as DVC reads and writes them, as YAML 1.2 and by the same library: `1e-5` is a number, `on` a word.
"""

from collections.abc import Mapping, MutableMapping
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from cycle_sound.errors import ParamsError
from cycle_sound.params import Params, fault, parse

PRESETS = Path("presets")  # of other values for some of the keys
MAX_BYTES = 1 << 16  # of params.yaml, five times what it has: no file can take the reader more than seconds
MAX_SIZE = 1 << 18  # characters and values in it with its aliases written out: ten lines can stand for 10 ** 9
MAX_SHOWN = 300  # characters of it in a message
# What ruamel.yaml raises beside its own errors: for a 31st of June, for `!!bool 3`, for lists a thousand deep.
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml. Raises `ParamsError` if it is missing, not YAML, or wrong."""
    return parse(read(path))


def read(path: Path) -> Any:
    """What a YAML file holds, of plain types. Raises `ParamsError` if it is missing, too large, or not YAML."""
    reader = YAML(typ="safe")  # as DVC has it
    reader.Constructor = _Bounded
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise YAMLError(f"more than {MAX_BYTES} bytes")
        return reader.load(content.decode())
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's root") from None
    except (YAMLError, *UNREADABLE) as error:
        reason = " ".join(str(error).split())[:MAX_SHOWN]
        raise ParamsError(f"{path}: not YAML that can be read: {reason}") from None


class _Bounded(SafeConstructor):
    """Builds a document, unless its aliases expand beyond MAX_SIZE."""

    def construct_document(self, node: Node) -> Any:
        """The values of a document."""
        if _size(node, {}) > MAX_SIZE:
            raise YAMLError("its aliases expand to too much")
        return super().construct_document(node)


def _size(node: Node, known: dict[Node, int]) -> int:
    """The values and characters that a node stands for, its aliases written out."""
    if isinstance(node, ScalarNode):
        return 1 + len(node.value)
    if node not in known:
        known[node] = MAX_SIZE + 1  # meanwhile: what holds itself never ends
        parts = chain.from_iterable(node.value) if isinstance(node, MappingNode) else node.value
        known[node] = 1 + sum(_size(part, known) for part in parts)
    return known[node]


def preset(name: str, folder: Path = PRESETS) -> dict[str, Any]:
    """The values in presets/NAME.yaml, by dotted key. Raises `ParamsError` if the file is missing or no mapping."""
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise ParamsError(f"{folder}: no preset {name!r}; there are {', '.join(known) or 'none'}")
    values = read(known[name])
    if not isinstance(values, Mapping):
        raise ParamsError(f"{known[name]}: expected lines `key: value`, with the full dotted path as the key")
    return {str(key): value for key, value in values.items()}


def put(tree: Any, values: Mapping[str, Any]) -> None:
    """Replace values of a tree, by dotted key. Raises `ParamsError` for a key that the tree lacks."""
    for key, value in values.items():
        *sections, last = key.split(".")
        place = tree
        for section in sections:
            place = place.get(section) if isinstance(place, Mapping) else None
        if not isinstance(place, MutableMapping) or isinstance(place.get(last, {}), Mapping):
            raise ParamsError(f"{key}: no such key")
        place[last] = value


def with_preset(params: Params, name: str, folder: Path = PRESETS) -> Params:
    """The tree with a preset's values in place of its own. Raises `ParamsError`, also where they do not fit it."""
    values, changed = preset(name, folder), params.model_dump()
    try:
        put(changed, values)
        return Params.model_validate(changed)
    except (ParamsError, ValidationError) as error:
        raise ParamsError(f"{folder / name}.yaml: {fault(error)}") from None
