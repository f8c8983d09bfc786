"""Parameters for tests: the committed ones, and tiny ones with which the whole pipeline runs in seconds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cycle_sound import params as parameters
from cycle_sound.params import Params

ROOT = Path(__file__).resolve().parents[1]

OPTIMIZER = {"steps": 3, "batch_size": 4, "warmup": 1, "valid_every": 2}
VAE = {"width": 8, "blocks": 1, "codebook_size": 16, "code_width": 8, "min_usage": 0.0, "optimizer": OPTIMIZER}
TRANSFORMER = {"source_width": 8, "width": 16, "depth": 1, "heads": 2, "optimizer": OPTIMIZER}
TINY: Mapping[str, Any] = {
    "data": {"valid_share": 0.2, "synthetic": {"train_pairs": 24, "test_pairs": 16}},
    "audio": {"griffin_lim_rounds": 2},
    "shard": {"pairs_per_shard": 10},
    "vae": {"image": VAE, "audio": VAE},
    "tokens": {"views": 2},
    "classifier": {"width": 8, "optimizer": OPTIMIZER},
    "transformer": {"audio_to_image": TRANSFORMER, "image_to_audio": TRANSFORMER},
    "evaluate": {"candidates": 6, "queries": 6, "waveforms": 8, "shown": 3},
}


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the leaves of `over` in it."""
    deeper = {key: merged(tree[key], value) if isinstance(value, Mapping) else value for key, value in over.items()}
    return {**tree, **deeper}


@pytest.fixture
def tree() -> dict[str, Any]:
    """The committed params.yaml, parsed: a fresh copy to spoil."""
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def params(tree: dict[str, Any]) -> Params:
    """The committed params.yaml."""
    return parameters.parse(tree)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """`tiny(**over)`: the committed tree made tiny, and changed by `over`, such as data={"source": "folder"}."""
    committed = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return lambda **over: merged(merged(committed, TINY), over)


@pytest.fixture(scope="session")
def write_tiny(tiny: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """`write_tiny(folder, **over)`: write the tiny tree as folder/params.yaml."""

    def write(folder: Path, **over: Any) -> None:
        text = yaml.safe_dump(tiny(**over), sort_keys=False, allow_unicode=True)
        (folder / "params.yaml").write_text(text, encoding="utf-8")

    return write
