"""The model that a training goes on from, if there is one: fine-tuning.

The training takes over its weights alone; moving average, optimizers and schedule begin anew.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn

from cycle_sound import paths
from cycle_sound.io import files
from cycle_sound.nn import checkpoint

Model = TypeVar("Model", bound=nn.Module)


def begun(folder: Path, build: Callable[[], Model]) -> Model:
    """What `build` makes, with the weights of the model in a folder where there is one. Raises `BadCheckpoint`."""
    path = folder / paths.INIT_NAME
    return checkpoint.load(path, build) if path.is_file() else build()


def digest(folder: Path) -> str:
    """SHA-256 of the model in a folder; "" where there is none."""
    path = folder / paths.INIT_NAME
    return files.digest(path) if path.is_file() else ""
