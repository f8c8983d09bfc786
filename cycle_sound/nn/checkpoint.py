"""A model as one safetensors file that carries its own configuration: nothing else is needed to rebuild it."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from cycle_sound.errors import MissingCheckpoint, NoSafetensors, WrongKind
from cycle_sound.io import files


def save(path: Path, model: nn.Module, kind: str, facts: dict[str, Any]) -> None:
    """Write a model's weights, its `kind` and `facts` (what JSON can hold) atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with files.replacing(path) as part:
        # one key alone: safetensors writes several in random order
        save_file(tensors, part, metadata={"facts": json.dumps({"kind": kind, **facts}, sort_keys=True)})


def facts(path: Path, *kinds: str) -> dict[str, Any]:
    """The facts of a checkpoint of one of the `kinds`, its own `kind` among them; the weights are not read.

    Raises `BadCheckpoint` for a missing file, one that is not safetensors, and one of another kind.
    """
    if not path.is_file():
        raise MissingCheckpoint(path=path)
    try:
        with safe_open(path, framework="pt") as file:
            parsed: dict[str, Any] = json.loads((file.metadata() or {}).get("facts", "{}"))
    except SafetensorError as error:
        raise NoSafetensors(path=path, reason=error) from None
    if parsed.get("kind") not in kinds:
        raise WrongKind(path=path, found=parsed.get("kind"), wanted=" or ".join(kinds))
    return parsed


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill a model with a checkpoint's weights and put it in evaluation mode.

    Raises RuntimeError where the names or shapes of the weights are not exactly those of the model.
    """
    with safe_open(path, framework="pt") as file:
        model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    model.eval()
