"""Parameters for tests: the committed ones, and tiny ones with which the whole pipeline runs in seconds.

And models that nobody trained, for tests of what uses models.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from pipelines import copied, dvc
from ruamel.yaml import YAML

from cycle_sound import params as parameters
from cycle_sound.params import DIRECTIONS, MODALITIES, Params, source_of, target_of

ROOT = Path(__file__).resolve().parents[1]
os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait for one another crawl on a loaded machine; tiny models need one

OPTIMIZER = {"steps": 3, "batch_size": 4, "warmup": 1, "valid_every": 2}
VAE = {"width": 8, "blocks": 1, "codebook_size": 16, "code_width": 8, "min_usage": 0.0, "optimizer": OPTIMIZER}
TRANSFORMER = {"source_width": 8, "width": 16, "depth": 1, "heads": 2, "optimizer": OPTIMIZER}
TINY: Mapping[str, Any] = {
    "data": {"valid_share": 0.2, "synthetic": {"train_pairs": 24, "test_pairs": 16}},
    "vocoder": {"griffin_lim_rounds": 2},
    "shard": {"pairs_per_shard": 10},
    "vae": {"image": VAE, "audio": VAE},
    "tokens": {"views": 2},
    "classifier": {"width": 8, "optimizer": OPTIMIZER},
    "transformer": {"audio_to_image": TRANSFORMER, "image_to_audio": TRANSFORMER},
    "evaluate": {
        **{"retrieval_pool": 6, "retrieval_queries": 6, "waveforms": 8, "shown": 3},
    },
    "sweep": {"pairs": 6, "guidances": [1.0, 3.0], "rerank_candidates": [1, 2]},
    "report": {"shown": 1, "neighbours": 1},
}


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the leaves of `over` in it."""
    deeper = {key: merged(tree[key], value) if isinstance(value, Mapping) else value for key, value in over.items()}
    return {**tree, **deeper}


@pytest.fixture
def tree() -> dict[str, Any]:
    """The committed params.yaml, parsed: a fresh copy to spoil."""
    return YAML(typ="safe").load(ROOT / "params.yaml")


@pytest.fixture
def params(tree: dict[str, Any]) -> Params:
    """The committed params.yaml."""
    return parameters.parse(tree)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., dict[str, Any]]:
    """`tiny(**over)`: the committed tree made tiny, and changed by `over`, such as data={"source": "folder"}."""
    committed = YAML(typ="safe").load(ROOT / "params.yaml")
    return lambda **over: merged(merged(committed, TINY), over)


@pytest.fixture(scope="session")
def write_tiny(tiny: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """`write_tiny(folder, **over)`: write the tiny tree as folder/params.yaml."""

    def write(folder: Path, **over: Any) -> None:
        YAML().dump(tiny(**over), folder / "params.yaml")

    return write


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[..., None]) -> Path:
    """A copy of the project with all of the toy orchestra's pipeline made by `dvc repro`, tiny. Not to be changed."""
    folder = copied(tmp_path_factory.mktemp("built") / "project")
    write_tiny(folder)
    dvc(folder, "repro")
    return folder


@pytest.fixture(scope="session")
def untrained(write_tiny: Callable[..., None]) -> Callable[..., Path]:
    """`untrained(folder, condition, codebooks)`: tiny models with random weights, as in a project; its data/."""
    import torch

    from cycle_sound import paths
    from cycle_sound.io import files
    from cycle_sound.models import classifier, dvae, transformer
    from cycle_sound.models.tokenizer import CodeShape

    def build(folder: Path, condition: Literal["encoder", "tokens"] = "encoder", codebooks: int = 1) -> Path:
        vae = {"codebooks": codebooks}
        write_tiny(folder, vae={"image": vae, "audio": vae})
        config, data = parameters.load(folder / "params.yaml"), folder / "data"
        torch.manual_seed(0)
        shapes = {"image": (3, 64, 64), "audio": (1, 64, 64)}
        for modality in MODALITIES:
            vae = dvae.DiscreteVAE(config.vae[modality], shapes[modality][0])
            dvae.save(paths.vae(modality, data), vae, shapes[modality], "of the shards", config.audio)
            judge = classifier.Classifier(config.classifier, shapes[modality][0], ["bell", "bird"])
            classifier.save(paths.classifier(modality, data), judge)
        digests = {modality: files.digest(paths.vae(modality, data)) for modality in MODALITIES}
        for direction in DIRECTIONS:
            source, target = shapes[source_of(direction)], shapes[target_of(direction)]
            codes = CodeShape(codebooks, 8, 8, 16)
            known = transformer.Shapes(codes, source, codes, target)
            asked = config.transformer[direction].model_copy(update={"condition": condition, "source_downsamples": 3})
            model = transformer.Transformer(asked, known)
            torch.nn.init.normal_(model.head.linear[0].weight, std=1.0)  # as if it had learned to prefer some tokens
            torch.nn.init.normal_(model.summary_projection.weight, std=0.3)  # and to use the summary
            transformer.save(paths.transformer(direction, data), model, digests)
        (folder / "metrics").mkdir()
        figures = {"pairs": 16, "class_consistency": 0.5, "class_consistency_low": 0.3, "class_consistency_high": 0.7}
        (folder / "metrics/evaluate_audio_to_image.json").write_text(json.dumps(figures))
        return data

    return build


@pytest.fixture(scope="session")
def data(untrained: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data/ of a project with untrained models. Not to be changed."""
    return untrained(tmp_path_factory.mktemp("project"))
