"""A model as one safetensors file that carries its own configuration: nothing else is needed to rebuild it."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from cycle_sound import files


class BadCheckpoint(ValueError):
    """A file that is not a checkpoint of the kind asked for."""


def save(path: Path, model: nn.Module, kind: str, facts: dict[str, Any]) -> None:
    """Write weights and `facts` (JSON) atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with files.replacing(path) as part:
        # one key alone: safetensors writes several in random order
        save_file(tensors, part, metadata={"facts": json.dumps({"kind": kind, **facts}, sort_keys=True)})


def facts(path: Path, kind: str) -> dict[str, Any]:
    """The facts of a checkpoint. Raises `BadCheckpoint` for another kind or another file, FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model; `dvc repro` makes it")
    try:
        with safe_open(path, framework="pt") as file:
            parsed: dict[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
    except SafetensorError as error:
        raise BadCheckpoint(f"{path}: not a safetensors file: {error}") from None
    if parsed.get("kind") != kind:
        raise BadCheckpoint(f"{path}: holds a {parsed.get('kind', 'model of another program')}, not a {kind}")
    return parsed


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill a model with a checkpoint's weights, all of them and no others, and put it in evaluation mode."""
    with safe_open(path, framework="pt") as file:
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    model.eval()
