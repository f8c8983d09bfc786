"""A classifier of one modality, trained on real pictures: small convolutions, or a layer over a frozen network."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from cycle_sound.models.features import FeatureNetwork, NetworkName
from cycle_sound.nn import checkpoint
from cycle_sound.nn.blocks import ResidualBlock, dropped, feature_extractor
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import FOLDED, ClassifierConfig

KIND = "classifier"
DOWNSAMPLES = 4  # the first ones by folding pixels into channels: full resolution would cost more than all the rest
MIN_LABELS = 2  # with fewer there is nothing to tell apart


class Facts(checkpoint.Facts):
    """What the file of a classifier says of it."""

    config: ClassifierConfig
    channels: Literal[1, 3]
    labels: list[str]  # as many as the file has weights for
    network: Literal[""] | NetworkName = ""  # whose features it judges by; "": those of its own convolutions


def max_pooling(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Convolutions, batch normalisation and max pooling: (b, channels, h, w) → (b, output width, h / 16, w / 16)."""
    stack, wider = feature_extractor(4 * channels, width, DOWNSAMPLES - 1)
    return nn.Sequential(nn.PixelUnshuffle(2), stack), wider


def residual(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Residual blocks between strided convolutions: (b, channels, h, w) → (b, output width, h / 16, w / 16)."""
    layers = [nn.PixelUnshuffle(FOLDED), nn.Conv2d(FOLDED**2 * channels, width, 1), ResidualBlock(width)]
    for _ in range(DOWNSAMPLES - 2):
        layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), ResidualBlock(2 * width)]
        width *= 2
    return nn.Sequential(*layers), width


class Classifier(nn.Module):
    """Pictures (b, c, h, w) in [-1, 1] → logits of the labels."""

    def __init__(
        self, config: ClassifierConfig, channels: int, labels: list[str], network: FeatureNetwork | None
    ) -> None:
        """`network`: one that stays frozen, whose features replace those of convolutions that are trained; or None."""
        super().__init__()
        self.config = config
        self.channels = channels
        self.labels = labels
        self.body: nn.Module
        if network is None:
            build = max_pooling if config.architecture == "max_pooling" else residual
            self.body, wider = build(channels, config.width)
        else:
            self.body, wider = network, network.shape.channels
        self.head = nn.Linear(2 * wider, len(labels))

    def features(self, pictures: Tensor) -> Tensor:
        """What the decision is made from, pooled by mean and by maximum: (b, c, h, w) → (b, d)."""
        places = self.body(pictures)
        return torch.cat([places.mean((2, 3)), places.amax((2, 3))], dim=1)

    def forward(self, pictures: Tensor, rng: BatchRng | None = None) -> Tensor:
        """Logits of the labels: (b, c, h, w) → (b, labels). `rng`: of dropout, in a training."""
        return self.head(dropped(self.features(pictures), self.config.dropout, rng))


def save(path: Path, model: Classifier) -> None:
    """Write a classifier with its configuration, and with the network that it judges by, if any."""
    config = model.config.model_dump(include={*ClassifierConfig.model_fields})
    facts = {"config": config, "channels": model.channels, "labels": model.labels}
    network = {"network": model.body.name} if isinstance(model.body, FeatureNetwork) else {}
    checkpoint.save(path, model, KIND, facts | network)


def load(path: Path) -> Classifier | None:
    """Rebuild a classifier from its file alone; None if there were too few labels to train one.

    Raises `BadCheckpoint`, and `MissingPackage` where its network needs the code of one.
    """
    facts = checkpoint.facts(path, Facts, KIND)
    if len(facts.labels) < MIN_LABELS:
        return None

    def build() -> Classifier:
        network = FeatureNetwork(facts.network) if facts.network else None
        return Classifier(facts.config, facts.channels, facts.labels, network)

    return checkpoint.load(path, build)
