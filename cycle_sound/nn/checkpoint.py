"""A model as one safetensors file that carries its own configuration: nothing else is needed to rebuild it.

Files are not trusted: what they say of themselves is checked against a schema, and memory is taken for weights only
when the file is known to hold those of the model that it describes.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cycle_sound.errors import MissingCheckpoint, NoSafetensors, OtherVersion, WrongKind
from cycle_sound.io import files
from cycle_sound.params import Config, fault

MAX_HEADER = 1 << 24  # bytes of facts and of the table of weights, of which 1,000 take 100 kB; read, ten times as much


class Facts(Config):
    """What every checkpoint says of itself; each kind of model adds its own."""

    kind: str


class Kind(BaseModel):
    """What any checkpoint, also of another version, says of its kind."""

    kind: str | None = None


Schema = TypeVar("Schema", bound=BaseModel)
Model = TypeVar("Model", bound=nn.Module)


def write(path: Path, tensors: Mapping[str, Tensor], facts: str) -> None:
    """Write tensors on the CPU and `facts`, a JSON, atomically. Raises `DiskFull`."""
    metadata = {"facts": facts}  # one key alone: safetensors writes several in random order
    with files.replacing(path, sum(tensor.nbytes for tensor in tensors.values())) as part:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata=metadata)
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))  # what the disk says comes in words alone
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(part)) from error


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open. Raises FileNotFoundError, or `NoSafetensors` for another file."""
    with path.open("rb") as start:
        header = int.from_bytes(start.read(8), "little")
    if header > MAX_HEADER:
        raise NoSafetensors(path=path, reason=f"a header of {header} bytes")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise NoSafetensors(path=path, reason=error) from None


def save(path: Path, model: nn.Module, kind: str, facts: Mapping[str, Any]) -> None:
    """Write a model's weights, its `kind` and `facts` (what JSON can hold) atomically."""
    tensors = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    write(path, tensors, json.dumps({"kind": kind, **facts}, sort_keys=True))


def halve(path: Path) -> None:
    """Keep a checkpoint's weights in 16 bits each in place of 32, under the same facts; `load` reads both.

    A tensor with a value beyond what 16 bits hold stays in 32.
    """
    with opened(path) as file:
        facts = file.metadata()["facts"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    write(path, {name: _halved(tensor) for name, tensor in tensors.items()}, facts)


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half()
    return half if tensor.dtype == torch.float32 and half.isfinite().all() else tensor


def bits(path: Path) -> int:
    """How many bits a checkpoint keeps each weight in: 16 after `halve`, else 32. Raises `NoSafetensors`."""
    with opened(path) as file:
        return 16 if "F16" in {file.get_slice(name).get_dtype() for name in file.keys()} else 32  # noqa: SIM118


def text(path: Path, *kinds: str) -> str:
    """The facts of a checkpoint of one of the `kinds` as they stand in its file, JSON. Raises `BadCheckpoint`."""
    if not path.is_file():
        raise MissingCheckpoint(path=path)
    with opened(path) as file:
        found: str = (file.metadata() or {}).get("facts", "{}")
    kind = _parsed(path, Kind, found).kind
    if kind not in kinds:
        raise WrongKind(path=path, found=str(kind)[:100], wanted=" or ".join(kinds))
    return found


def facts(path: Path, schema: type[Schema], *kinds: str) -> Schema:
    """The facts of a checkpoint of one of the `kinds`; the weights are not read.

    Raises `BadCheckpoint` for a missing file, one that is not safetensors, one of another kind, and facts that the
    `schema` does not allow.
    """
    return _parsed(path, schema, text(path, *kinds))


def load(path: Path, build: Callable[[], Model]) -> Model:
    """What `build` makes, with a checkpoint's weights and in evaluation mode; those of 16 bits become 32.

    Raises `BadCheckpoint` where the names, shapes or types of the weights are not those of the model; until they are
    known to be, nothing is allocated.
    """
    with torch.device("meta"), _Unfilled():
        model = build()
    like = model.state_dict()
    with opened(path) as file:
        found = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        for name in sorted(like.keys() | found.keys()):
            wanted = list(like[name].shape) if name in like else "known"
            if found.get(name) != wanted:
                raise OtherVersion(path=path, reason=f"{name[:100]} is {found.get(name, 'missing')}, not {wanted}")
        model.load_state_dict({name: _weights(path, file, name, like[name]) for name in like}, assign=True)
    return model.eval()


class _Unfilled(TorchFunctionMode):
    """Draws no normal numbers: for tensors without memory torch would load its compiler, for seconds."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return kwargs["tensor"] if function is nn.init.normal_ else function(*args, **(kwargs or {}))


def _weights(path: Path, file: Any, name: str, like: Tensor) -> Tensor:
    """A file's tensor, copied: inside the file it is not aligned as results that are the same to the byte need it."""
    tensor: Tensor = file.get_tensor(name)
    if (tensor.dtype, like.dtype) == (torch.float16, torch.float32):
        tensor = tensor.float()
    if tensor.dtype != like.dtype or not tensor.isfinite().all():
        raise OtherVersion(path=path, reason=f"{name} does not hold finite numbers of {like.dtype}")
    return tensor.clone()


def _parsed(path: Path, schema: type[Schema], found: str) -> Schema:
    try:
        return schema.model_validate_json(found)
    except ValidationError as error:
        raise OtherVersion(path=path, reason=fault(error)) from None
