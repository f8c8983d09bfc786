"""The trained models as one: tokenizers, transformers, the vocoder, and what there is of classifiers and networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from cycle_sound import paths
from cycle_sound.errors import MixedModels, OtherVersion
from cycle_sound.io import files
from cycle_sound.models import classifier, dvae, features, transformer, vocoder
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.features import FeatureNetwork
from cycle_sound.models.loading import LoadedTokenizer, load_tokenizer
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.models.vocoder import Vocoder
from cycle_sound.params import (
    DIRECTIONS,
    MODALITIES,
    AudioConfig,
    Direction,
    Modality,
    PictureShape,
    VocoderConfig,
    source_of,
    target_of,
)


class Models(NamedTuple):
    """The models, on one device and ready to use."""

    tokenizers: dict[Modality, LoadedTokenizer]
    transformers: dict[Direction, Transformer]
    classifiers: dict[
        Modality, Classifier | None
    ]  # None: the data had fewer than two labels, or no classifier is there
    networks: dict[Modality, FeatureNetwork]  # of sources whose features are read
    vocoder: Vocoder | None  # None: nothing is to be heard
    audio: AudioConfig  # how a sound becomes a log-mel
    device: torch.device

    @property
    def size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.tokenizers["image"].picture[1]

    @property
    def seconds(self) -> float:
        """Length of the sound that belongs to one picture."""
        return self.tokenizers["audio"].picture[2] * self.audio.hop_length / self.audio.sample_rate


def model_files(folder: Path, config: VocoderConfig) -> list[Path]:
    """The files of a folder's models: all that must be there with such a vocoder, and the decoders, classifiers and
    networks that are.
    """
    needed = paths.generators(folder) + ([paths.vocoder(folder)] if config.kind == "learned" else [])
    others = [of(one, folder) for of in (decoder_file, paths.classifier, network_file) for one in MODALITIES]
    return needed + [path for path in others if path.is_file()]


def decoder_file(modality: Modality, folder: Path) -> Path:
    """The decoder of a modality that was fine-tuned, where one was."""
    return paths.decoder(modality, folder) / dvae.DECODER_NAME


def network_file(modality: Modality, folder: Path) -> Path:
    """The network whose features of a modality a transformer reads."""
    return paths.features(modality, folder) / features.NAME


def load(folder: Path, config: VocoderConfig, device: torch.device) -> Models:
    """Read the models of a project's `data/` or of an exported folder.

    Raises what `generators` raises.
    """
    models = generators(folder, {direction: paths.cycle(direction, folder) for direction in DIRECTIONS}, device)
    shapes = {one: models.tokenizers[one].picture for one in MODALITIES}
    return models._replace(
        classifiers={one: _classifier(one, folder, shapes[one][0], device) for one in MODALITIES},
        vocoder=vocoder.load(paths.vocoder(folder), config, models.audio, device),
    )


def generators(folder: Path, checkpoints: Mapping[Direction, Path], device: torch.device) -> Models:
    """Transformers of any files with the tokenizers and networks of a folder; nothing classifies, nothing is heard.

    Raises `MixedModels` where they do not belong together, `BadCheckpoint`, and `MissingPackage` where a network needs
    the code of one.
    """
    tokenizers = {modality: _tokenizer(modality, folder, device) for modality in MODALITIES}
    audio = tokenizers["audio"].audio
    _check_pictures(folder, tokenizers, audio)
    transformers = {one: _transformer(one, path, folder, tokenizers).to(device) for one, path in checkpoints.items()}
    reading = {source_of(one): model.shapes for one, model in transformers.items() if model.shapes.source_features}
    return Models(
        tokenizers,
        transformers,
        dict.fromkeys(MODALITIES),
        {one: _network(one, folder, shapes).to(device) for one, shapes in reading.items()},
        None,
        audio,
        device,
    )


def _tokenizer(modality: Modality, folder: Path, device: torch.device) -> LoadedTokenizer:
    decoder = decoder_file(modality, folder)
    return load_tokenizer(paths.vae(modality, folder), device, decoder if decoder.is_file() else None)


def _check_pictures(folder: Path, tokenizers: dict[Modality, LoadedTokenizer], audio: AudioConfig) -> None:
    """Refuse tokenizers of pictures that are none of their modality."""
    size, frames = tokenizers["image"].picture[1], tokenizers["audio"].picture[2]
    wanted: dict[Modality, PictureShape] = {"image": (3, size, size), "audio": (1, audio.mels, frames)}
    for modality in MODALITIES:
        if tokenizers[modality].picture != wanted[modality]:
            path, found = paths.vae(modality, folder), tokenizers[modality].picture
            raise OtherVersion(path=path, reason=f"its pictures, {found}, are not of the modality {modality}")


def _transformer(
    direction: Direction, path: Path, folder: Path, tokenizers: dict[Modality, LoadedTokenizer]
) -> Transformer:
    """The transformer of a direction. Raises `MixedModels` beside other models than those it was trained with."""
    model, facts = transformer.load(path)
    for modality, tokenizer in tokenizers.items():
        if facts.tokenizers.get(modality) != tokenizer.digest:
            raise MixedModels(model=path, what="VAE", path=paths.vae(modality, folder))
    network = network_file(source_of(direction), folder)
    if facts.network_digest and network.is_file() and files.digest(network) != facts.network_digest:
        raise MixedModels(model=path, what="network", path=network)
    source, target = tokenizers[source_of(direction)], tokenizers[target_of(direction)]
    shapes = Shapes(source.codes, source.picture, target.codes, target.picture, facts.shapes.source_features)
    if facts.shapes != shapes:
        raise OtherVersion(path=path, reason="its shapes are not those of its tokenizers")
    return model


def _network(modality: Modality, folder: Path, shapes: Shapes) -> FeatureNetwork:
    path = network_file(modality, folder)
    model = features.load(path)
    if model.shape != shapes.source_features:
        raise OtherVersion(path=path, reason=f"features of {model.shape} are not {shapes.source_features}")
    return model


def _classifier(modality: Modality, folder: Path, channels: int, device: torch.device) -> Classifier | None:
    path = paths.classifier(modality, folder)
    model = classifier.load(path) if path.is_file() else None
    if model and model.channels != channels:
        raise OtherVersion(
            path=path, reason=f"its pictures have {model.channels} channels, unlike those of the modality {modality}"
        )
    return model and model.to(device)
