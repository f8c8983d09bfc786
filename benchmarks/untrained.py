"""Small projects of a few random clips, with models that nobody trained, by the preset `tiny`.

The tests use them too, so what loads PyTorch is imported where it is needed: many tests do without.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from ruamel.yaml import YAML

from cycle_sound.io import files, params_file
from cycle_sound.params import DIRECTIONS, MODALITIES, PictureShape, SplitName, source_of, target_of

ROOT = Path(__file__).resolve().parents[1]
ORIGINAL = b"as it was obtained"  # both files of every pair that has been sharded


def committed() -> dict[str, Any]:
    """The committed params.yaml, parsed."""
    return YAML(typ="safe").load(ROOT / "params.yaml")


def tree(**over: Any) -> dict[str, Any]:
    """The committed tree made tiny, and changed by `over`, such as data={"source": "folder"}."""
    made = committed()
    params_file.put(made, params_file.preset("tiny", ROOT / params_file.PRESETS))
    return merged(made, over)


def merged(tree: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with the leaves of `over` in it."""
    deeper = {key: merged(tree[key], value) if isinstance(value, Mapping) else value for key, value in over.items()}
    return {**tree, **deeper}


def write(folder: Path, **over: Any) -> None:
    """Write the tiny tree as folder/params.yaml."""
    YAML().dump(tree(**over), folder / "params.yaml")


def write_shards(folder: Path, pairs: Mapping[str, int], size: int = 4, side: int = 64) -> None:
    """Write shards of random clips into a project's data/, so many for each split, `size` in a shard."""
    from cycle_sound import paths
    from cycle_sound.dataset.tars import Sample

    rng = np.random.default_rng(0)

    def sample(split: str, row: int) -> Sample:
        return Sample(
            None if split == "lone_audio" else rng.integers(0, 256, (3, side, side), np.uint8),
            None if split == "lone_image" else rng.uniform(-1, 1, (1, side, side)).astype(np.float16),
            {"id": f"{split}{row}", "label": ("bell", "bird")[row % 2], "group": "", "attributes": {}},
        )

    def shards(split: str, count: int) -> list[list[Sample]]:
        every = [sample(split, row) for row in range(count)]
        return [every[start : start + size] for start in range(0, count, size)]

    sharded(folder / paths.SHARDS, 0, **{split: shards(split, count) for split, count in pairs.items()})


def sharded(folder: Path, jpeg_quality: int = 0, **splits: Sequence[Sequence[Any]]) -> None:
    """Write shards of samples (`tars.Sample`), for each split so many tars, with their columns and index."""
    from cycle_sound.acquisition.manifest import Row
    from cycle_sound.dataset import indexing, tars

    contents: dict[SplitName, indexing.Contents] = {}
    digest = hashlib.sha256(ORIGINAL).hexdigest()
    for split, shards in splits.items():
        paths = [folder / f"{split}-{number:06d}.tar" for number in range(len(shards))]
        for path, samples in zip(paths, shards, strict=True):
            tars.write_shard(path, samples, jpeg_quality)
            size = samples[0].image.shape[1] if jpeg_quality else None
        facts = [sample.facts for samples in shards for sample in samples]
        rows = [
            Row(one["id"], "train", one["label"], one["group"], "ok", "", one["attributes"], digest, digest)
            for one in facts
        ]
        contents[cast(SplitName, split)] = indexing.Contents(rows, [tars.members(path) for path in paths])
    digests = {path.name: files.digest(path) for path in folder.glob("*.tar")}
    indexing.write(folder, contents, digests, committed()["audio"], size)


def untrained(
    folder: Path, condition: Literal["encoder", "tokens", "features"] = "encoder", codebooks: int = 1
) -> Path:
    """Write tiny models with random weights, as in a project; returns its data/."""
    import torch

    from cycle_sound import paths
    from cycle_sound.inference import confidence
    from cycle_sound.models import classifier, dvae, features, learned_vocoder, transformer
    from cycle_sound.models.tokenizer import CodeShape

    codes, known = {"codebooks": codebooks}, {"network": "resnet18"}
    write(folder, vae=dict.fromkeys(MODALITIES, codes), features={"source": dict.fromkeys(MODALITIES, known)})
    config, data = params_file.load(folder / "params.yaml"), folder / "data"
    torch.manual_seed(0)
    shapes: dict[str, PictureShape] = {"image": (3, 64, 64), "audio": (1, 64, 64)}
    for modality in MODALITIES:
        vae = dvae.DiscreteVAE(config.vae[modality], shapes[modality][0])
        dvae.save(paths.vae(modality, data), vae, shapes[modality], "of the shards", config.audio)
        judge = classifier.Classifier(config.classifier, shapes[modality][0], ["bell", "bird"], None)
        classifier.save(paths.classifier(modality, data), judge)
    digests = {modality: files.digest(paths.vae(modality, data)) for modality in MODALITIES}
    network, shape = "", None
    for direction in DIRECTIONS:
        if condition == "features":
            read, path = features.FeatureNetwork("resnet18"), paths.features(source_of(direction), data) / features.NAME
            features.save(path, read)
            network, shape = files.digest(path), read.shape
        source, target = shapes[source_of(direction)], shapes[target_of(direction)]
        grid = CodeShape(codebooks, 8, 8, 16)
        around = transformer.Shapes(grid, source, grid, target, shape)
        asked = config.transformer[direction].model_copy(update={"condition": condition, "source_downsamples": 3})
        model = transformer.Transformer(asked, around)
        torch.nn.init.normal_(
            model.get_parameter("head.linear.0.weight"), std=1.0
        )  # as if it had learned to prefer some tokens
        torch.nn.init.normal_(model.summary_projection.weight, std=0.3)  # and to use the summary
        transformer.save(paths.cycle(direction, data), model, digests, network)
        confidence.save(paths.confidence(direction, data), None)
    learned_vocoder.save(paths.vocoder(data), learned_vocoder.LearnedVocoder(config.vocoder.learned, config.audio))
    (folder / "metrics").mkdir()
    figures = {"pairs": 16, "class_consistency": 0.5, "class_consistency_low": 0.3, "class_consistency_high": 0.7}
    (folder / "metrics/evaluate_audio_to_image.json").write_text(json.dumps(figures))
    return data
