"""Models that trainings go on from, checked and copied to where DVC knows them: other folders may change, or vanish."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from cycle_sound import paths
from cycle_sound.errors import MixedInit, OtherInit
from cycle_sound.io import files
from cycle_sound.models import dvae, learned_vocoder, transformer
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Shapes
from cycle_sound.nn import checkpoint
from cycle_sound.params import (
    DIRECTIONS,
    MODALITIES,
    AudioConfig,
    Direction,
    InitConfigs,
    Modality,
    Params,
    PictureShape,
    TransformerConfig,
    VaeConfig,
    source_of,
    target_of,
)
from cycle_sound.training import init

Settings = Mapping[str, Any]  # of a model, those that decide what its weights are and mean


class Wanted(NamedTuple):
    """The models that params.yaml describes."""

    vaes: Mapping[Modality, Settings]
    transformers: Mapping[Direction, Settings]
    vocoder: Settings
    pictures: Mapping[Modality, PictureShape]
    audio: AudioConfig  # how sounds become log-mels

    def codes(self, modality: Modality) -> CodeShape:
        """The codes of a modality's pictures."""
        vae, (_, rows, columns) = self.vaes[modality], self.pictures[modality]
        stride = vae["patch"] * 2 ** vae["downsamples"]
        return CodeShape(vae["codebooks"], rows // stride, columns // stride, vae["codebook_size"])


def take(params: Params) -> None:
    """Copy the models that `init` names to data/init, whose other folders are left empty.

    Raises `OtherInit`, `MixedInit` or another `BadCheckpoint` where one of them does not fit what params.yaml
    describes; nothing is copied then.
    """
    named = _checked(params.init, _wanted(params))
    for folder in folders():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for folder, path in named.items():
        with files.replacing(folder / init.NAME, path.stat().st_size) as part:
            shutil.copyfile(path, part)


def folders() -> list[Path]:
    """Where the model lies, if there is one, that each training goes on from."""
    vaes = [paths.init("vae", modality) for modality in MODALITIES]
    return [*vaes, *(paths.init("transformer", direction) for direction in DIRECTIONS), paths.init("vocoder")]


def _checked(asked: InitConfigs, wanted: Wanted) -> dict[Path, Path]:
    """The models that are asked for: the folder of each in data/init → its file."""
    named = {}
    for modality in MODALITIES:
        if asked.vae[modality]:
            path = named[paths.init("vae", modality)] = paths.vae(modality, Path(asked.vae[modality]))
            _check_vae(path, modality, wanted)
    for direction in DIRECTIONS:
        if asked.transformer[direction]:
            path = paths.cycle(direction, Path(asked.transformer[direction]))
            named[paths.init("transformer", direction)] = path
            _check_transformer(path, direction, wanted, asked)
    if asked.vocoder:
        path = named[paths.init("vocoder")] = paths.vocoder(Path(asked.vocoder))
        _check_vocoder(path, wanted)
    return named


def _check_vae(path: Path, modality: Modality, wanted: Wanted) -> None:
    _, facts = dvae.load(path)
    key = f"init.vae.{modality}"
    _compare(key, path, "channels", facts.shape[0], wanted.pictures[modality][0])
    _compare_all(key, path, facts.config, wanted.vaes[modality])
    if modality == "audio":
        _compare_all(key, path, facts.audio, wanted.audio.model_dump())


def _check_transformer(path: Path, direction: Direction, wanted: Wanted, asked: InitConfigs) -> None:
    _, facts = transformer.load(path)
    key, source, target = f"init.transformer.{direction}", source_of(direction), target_of(direction)
    _compare_all(key, path, facts.config, wanted.transformers[direction])
    shapes = Shapes(wanted.codes(source), wanted.pictures[source], wanted.codes(target), wanted.pictures[target])
    for name in Shapes._fields[:4]:  # which network a condition on features is of, no parameter tells
        _compare(key, path, name, tuple(getattr(facts.shapes, name)), tuple(getattr(shapes, name)))
    for modality in MODALITIES:
        vae = paths.vae(modality, Path(asked.vae[modality])) if asked.vae[modality] else None
        if vae is None or facts.tokenizers.get(modality) != files.digest(vae):
            raise MixedInit(key=key, path=path, modality=modality)


def _check_vocoder(path: Path, wanted: Wanted) -> None:
    facts = checkpoint.facts(path, learned_vocoder.Facts, learned_vocoder.KIND)
    _compare_all("init.vocoder", path, facts.config, wanted.vocoder)
    _compare_all("init.vocoder", path, facts.audio, wanted.audio.model_dump())
    learned_vocoder.load(path, wanted.audio)


def _compare_all(key: str, path: Path, found: BaseModel, wanted: Settings) -> None:
    for name, value in wanted.items():
        _compare(key, path, name, getattr(found, name), value)


def _compare(key: str, path: Path, what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise OtherInit(key=key, path=path, what=what, found=found, wanted=wanted)


def _wanted(params: Params) -> Wanted:
    size, frames = params.image.size, params.audio.frames(params.data.clip_seconds)
    return Wanted(
        vaes={"image": _vae(params.vae.image), "audio": _vae(params.vae.audio)},
        transformers={
            "audio_to_image": _transformer(params.transformer.audio_to_image),
            "image_to_audio": _transformer(params.transformer.image_to_audio),
        },
        vocoder={"width": params.vocoder.learned.width, "blocks": params.vocoder.learned.blocks},
        pictures={"image": (3, size, size), "audio": (1, params.audio.mels, frames)},
        audio=params.audio,
    )


def _vae(config: VaeConfig) -> Settings:
    return {
        "patch": config.patch,
        "pixel_width": config.pixel_width,
        "width": config.width,
        "blocks": config.blocks,
        "downsamples": config.downsamples,
        "codebooks": config.codebooks,
        "codebook_size": config.codebook_size,
        "code_width": config.code_width,
    }


def _transformer(config: TransformerConfig) -> Settings:
    return {
        "condition": config.condition,
        "source_width": config.source_width,
        "source_downsamples": config.source_downsamples,
        "width": config.width,
        "depth": config.depth,
        "heads": config.heads,
        "above": config.above,
    }
