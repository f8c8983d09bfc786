"""The committed parameters made tiny, with which the whole pipeline runs in seconds, and models that nobody trained."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from ruamel.yaml import YAML

from cycle_sound import params as parameters
from cycle_sound.io import files
from cycle_sound.params import DIRECTIONS, MODALITIES, source_of, target_of

ROOT = Path(__file__).resolve().parents[1]

OPTIMIZER = {"steps": 3, "batch_size": 4, "warmup": 1, "valid_every": 2}
VAE = {"width": 8, "blocks": 1, "codebook_size": 16, "code_width": 8, "min_usage": 0.0, "optimizer": OPTIMIZER}
VOCODER = {"width": 8, "blocks": 1, "griffin_lim_rounds": 2, "frames": 8, "optimizer": OPTIMIZER}
TRANSFORMER = {"source_width": 8, "width": 16, "depth": 1, "heads": 2, "optimizer": OPTIMIZER}
TINY: Mapping[str, Any] = {
    "data": {"valid_share": 0.2, "synthetic": {"train_pairs": 24, "test_pairs": 16}},
    "vocoder": {"griffin_lim_rounds": 2, "learned": VOCODER},
    "shard": {"pairs_per_shard": 10},
    "vae": {"image": VAE, "audio": VAE},
    "decoder": {
        "image": {"discriminator_width": 8, "optimizer": OPTIMIZER},
        "audio": {"discriminator_width": 8, "optimizer": OPTIMIZER},
    },
    "tokens": {"views": 2},
    "classifier": {"width": 8, "optimizer": OPTIMIZER},
    "judge": {"width": 8, "optimizer": OPTIMIZER},
    "transformer": {"audio_to_image": TRANSFORMER, "image_to_audio": TRANSFORMER},
    "evaluate": {
        **{"retrieval_pool": 6, "retrieval_queries": 6, "waveforms": 8, "kernel_pairs": 4, "shown": 3},
        "rerank_candidates": [1, 2],
    },
    "sweep": {"pairs": 6, "guidances": [1.0, 3.0]},
    "report": {"shown": 1, "neighbours": 1},
}


def committed() -> dict[str, Any]:
    """The committed params.yaml, parsed."""
    return YAML(typ="safe").load(ROOT / "params.yaml")


def tree(**over: Any) -> dict[str, Any]:
    """The committed tree made tiny, and changed by `over`, such as data={"source": "folder"}."""
    return merged(merged(committed(), TINY), over)


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the leaves of `over` in it."""
    deeper = {key: merged(tree[key], value) if isinstance(value, Mapping) else value for key, value in over.items()}
    return {**tree, **deeper}


def write(folder: Path, **over: Any) -> None:
    """Write the tiny tree as folder/params.yaml."""
    YAML().dump(tree(**over), folder / "params.yaml")


def sharded(folder: Path, jpeg_quality: int = 0, **splits: Sequence[Sequence[Any]]) -> None:
    """Write shards of samples (`tars.Sample`), for each split so many tars, with their columns and index."""
    from cycle_sound.acquisition.manifest import Row
    from cycle_sound.dataset import indexing, tars

    contents = {}
    for split, shards in splits.items():
        paths = [folder / f"{split}-{number:06d}.tar" for number in range(len(shards))]
        for path, samples in zip(paths, shards, strict=True):
            tars.write_shard(path, samples, jpeg_quality)
            size = samples[0].image.shape[1] if jpeg_quality else None
        facts = [sample.facts for samples in shards for sample in samples]
        rows = [
            Row(one["id"], "train", one["label"], one["group"], "ok", "", one["attributes"], "0" * 64, "0" * 64)
            for one in facts
        ]
        contents[split] = indexing.Contents(rows, [tars.members(path) for path in paths])
    digests = {path.name: files.digest(path) for path in folder.glob("*.tar")}
    indexing.write(folder, contents, digests, committed()["audio"], size)


def small_network(name: str) -> Any:
    """Stands for a classifier of torchvision up to its pooling."""
    from torch import nn

    from cycle_sound.errors import UnknownNetwork

    if name != "resnet18":
        raise UnknownNetwork(name=name)
    return nn.Sequential(nn.Conv2d(3, 8, 32, stride=32), nn.ReLU())


@contextmanager
def small_networks() -> Iterator[None]:
    """Torchvision's one classifier is a small network meanwhile, of the name resnet18."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cycle_sound.models.features._torchvision", small_network)
        yield


def untrained(
    folder: Path, condition: Literal["encoder", "tokens", "features"] = "encoder", codebooks: int = 1
) -> Path:
    """Write tiny models with random weights, as in a project; returns its data/."""
    import torch

    from cycle_sound import paths
    from cycle_sound.models import classifier, dvae, features, learned_vocoder, transformer
    from cycle_sound.models.tokenizer import CodeShape

    vae, network = {"codebooks": codebooks}, {"network": "resnet18"}
    write(folder, vae={"image": vae, "audio": vae}, features={"source": {"image": network, "audio": network}})
    config, data = parameters.load(folder / "params.yaml"), folder / "data"
    torch.manual_seed(0)
    shapes = {"image": (3, 64, 64), "audio": (1, 64, 64)}
    for modality in MODALITIES:
        vae = dvae.DiscreteVAE(config.vae[modality], shapes[modality][0])
        dvae.save(paths.vae(modality, data), vae, shapes[modality], "of the shards", config.audio)
        judge = classifier.Classifier(config.classifier, shapes[modality][0], ["bell", "bird"])
        classifier.save(paths.classifier(modality, data), judge)
    digests = {modality: files.digest(paths.vae(modality, data)) for modality in MODALITIES}
    network, shape = "", None
    for direction in DIRECTIONS:
        if condition == "features":
            read, path = features.FeatureNetwork("resnet18"), paths.features(source_of(direction), data) / features.NAME
            features.save(path, read)
            network, shape = files.digest(path), read.shape
        source, target = shapes[source_of(direction)], shapes[target_of(direction)]
        codes = CodeShape(codebooks, 8, 8, 16)
        known = transformer.Shapes(codes, source, codes, target, shape)
        asked = config.transformer[direction].model_copy(update={"condition": condition, "source_downsamples": 3})
        model = transformer.Transformer(asked, known)
        torch.nn.init.normal_(model.head.linear[0].weight, std=1.0)  # as if it had learned to prefer some tokens
        torch.nn.init.normal_(model.summary_projection.weight, std=0.3)  # and to use the summary
        transformer.save(paths.transformer(direction, data), model, digests, network)
    learned_vocoder.save(paths.vocoder(data), learned_vocoder.LearnedVocoder(config.vocoder.learned, config.audio))
    (folder / "metrics").mkdir()
    figures = {"pairs": 16, "class_consistency": 0.5, "class_consistency_low": 0.3, "class_consistency_high": 0.7}
    (folder / "metrics/evaluate_audio_to_image.json").write_text(json.dumps(figures))
    return data
