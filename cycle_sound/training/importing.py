"""Models that trainings are to go on from, checked: whether they are what params.yaml describes."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from cycle_sound import paths
from cycle_sound.errors import MisplacedInit, MixedInit, OtherInit
from cycle_sound.io import files
from cycle_sound.models import dvae, learned_vocoder, transformer
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.models.transformer import Shapes
from cycle_sound.nn import checkpoint
from cycle_sound.params import (
    DIRECTIONS,
    MODALITIES,
    AudioConfig,
    Config,
    Direction,
    Modality,
    Params,
    PerModality,
    PictureShape,
    TransformerArchitecture,
    VaeArchitecture,
    VocoderArchitecture,
    source_of,
    target_of,
)


def checked(params: Params) -> dict[Path, Path]:
    """The models that `init` names: where each belongs in data/init → its file.

    Raises `OtherInit`, `MixedInit` or another `BadCheckpoint` where one of them does not fit what params.yaml
    describes, and `MisplacedInit` where one lies in data/init itself.
    """
    asked, audio, named = params.init, params.audio, dict[Path, Path]()
    size, frames = params.image.size, audio.frames(params.data.clip_seconds)
    pictures: dict[Modality, PictureShape] = {"image": (3, size, size), "audio": (1, audio.mels, frames)}
    codes = {modality: _codes(params.vae[modality], pictures[modality]) for modality in MODALITIES}
    for modality in MODALITIES:
        if asked.vae[modality]:
            path = named[paths.init("vae", modality)] = paths.vae(modality, Path(asked.vae[modality]))
            _check_vae(path, modality, params.vae[modality], pictures[modality][0], audio)
    for direction in DIRECTIONS:
        if asked.transformer[direction]:
            path = paths.cycle(direction, Path(asked.transformer[direction]))
            named[paths.init("transformer", direction)] = path
            source, target = source_of(direction), target_of(direction)
            shapes = Shapes(codes[source], pictures[source], codes[target], pictures[target])
            _check_transformer(path, direction, params.transformer[direction], shapes, asked.vae)
    if asked.vocoder:
        path = named[paths.init("vocoder")] = paths.vocoder(Path(asked.vocoder))
        _check_vocoder(path, params.vocoder.learned, audio)
    return named


def _codes(vae: VaeArchitecture, picture: PictureShape) -> CodeShape:
    """The codes that a VAE has of such pictures."""
    return CodeShape(vae.codebooks, picture[1] // vae.stride, picture[2] // vae.stride, vae.codebook_size)


def _check_vae(path: Path, modality: Modality, wanted: VaeArchitecture, channels: int, audio: AudioConfig) -> None:
    key = f"init.vae.{modality}"
    _keep_apart(key, path)
    _, facts = dvae.load(path)
    _compare(key, path, "channels", facts.shape[0], channels)
    _compare_all(key, path, VaeArchitecture, facts.config, wanted)
    if modality == "audio":
        _compare_all(key, path, AudioConfig, facts.audio, audio)


def _check_transformer(
    path: Path, direction: Direction, wanted: TransformerArchitecture, shapes: Shapes, vaes: PerModality[str]
) -> None:
    key = f"init.transformer.{direction}"
    _keep_apart(key, path)
    _, facts = transformer.load(path)
    _compare_all(key, path, TransformerArchitecture, facts.config, wanted)
    for name in Shapes._fields[:4]:  # which network a condition on features is of, no parameter tells
        _compare(key, path, name, tuple(getattr(facts.shapes, name)), tuple(getattr(shapes, name)))
    for modality in MODALITIES:
        vae = paths.vae(modality, Path(vaes[modality])) if vaes[modality] else None
        if vae is None or facts.tokenizers.get(modality) != files.digest(vae):
            raise MixedInit(key=key, path=path, modality=modality)


def _check_vocoder(path: Path, wanted: VocoderArchitecture, audio: AudioConfig) -> None:
    _keep_apart("init.vocoder", path)
    facts = checkpoint.facts(path, learned_vocoder.Facts, learned_vocoder.KIND)
    _compare_all("init.vocoder", path, VocoderArchitecture, facts.config, wanted)
    _compare_all("init.vocoder", path, AudioConfig, facts.audio, audio)
    learned_vocoder.load(path, audio)


def _keep_apart(key: str, path: Path) -> None:
    """Refuse a model that copying would remove first: it lies in data/init, or a link on the way to it does."""
    with suppress(RuntimeError):  # of a link that leads back to itself, in Pythons before 3.13: there is no such model
        if any(files.lies_in(part, paths.INIT) for part in (path, *path.parents)):
            raise MisplacedInit(key=key, path=path, folder=paths.INIT)


def _compare_all(key: str, path: Path, schema: type[Config], found: Config, wanted: Config) -> None:
    """Refuse a model of which one of the fields of a schema is another one than is wanted."""
    for name in schema.model_fields:
        _compare(key, path, name, getattr(found, name), getattr(wanted, name))


def _compare(key: str, path: Path, what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise OtherInit(key=key, path=path, what=what, found=found, wanted=wanted)
