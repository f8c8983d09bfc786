"""A classifier of one modality: a small convolutional network trained on real pictures, and its features."""

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.nn import checkpoint
from cycle_sound.nn.blocks import ResidualBlock, feature_extractor
from cycle_sound.params import ClassifierConfig

KIND = "classifier"
DOWNSAMPLES = 4  # the first ones by folding pixels into channels: full resolution would cost more than all the rest
MIN_LABELS = 2  # with fewer there is nothing to tell apart


class Facts(checkpoint.Facts):
    """What the file of a classifier says of it."""

    config: ClassifierConfig
    channels: Literal[1, 3]
    labels: list[str]  # as many as the file has weights for


def max_pooling(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Convolutions, batch normalisation and max pooling: (b, channels, h, w) → (b, output width, h / 16, w / 16)."""
    stack, wider = feature_extractor(4 * channels, width, DOWNSAMPLES - 1)
    return nn.Sequential(nn.PixelUnshuffle(2), stack), wider


def residual(channels: int, width: int) -> tuple[nn.Sequential, int]:
    """Residual blocks between strided convolutions: (b, channels, h, w) → (b, output width, h / 16, w / 16)."""
    layers = [nn.PixelUnshuffle(4), nn.Conv2d(16 * channels, width, 1), ResidualBlock(width)]
    for _ in range(DOWNSAMPLES - 2):
        layers += [nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), ResidualBlock(2 * width)]
        width *= 2
    return nn.Sequential(*layers), width


class Classifier(nn.Module):
    """Pictures (b, c, h, w) in [-1, 1] → logits of the labels."""

    def __init__(self, config: ClassifierConfig, channels: int, labels: list[str]) -> None:
        super().__init__()
        self.config = config
        self.channels = channels
        self.labels = labels
        build = max_pooling if config.architecture == "max_pooling" else residual
        self.body, wider = build(channels, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * wider, len(labels))

    def features(self, pictures: Tensor) -> Tensor:
        """What the decision is made from, pooled by mean and by maximum: (b, c, h, w) → (b, 8 × width)."""
        places = self.body(pictures)
        return torch.cat([places.mean((2, 3)), places.amax((2, 3))], dim=1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of the labels: (b, c, h, w) → (b, labels)."""
        return self.head(self.dropout(self.features(pictures)))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy with a little label smoothing, in nats: logits (b, labels), places of labels (b,) → ()."""
        return F.cross_entropy(logits, targets, label_smoothing=0.05)


def save(path: Path, model: Classifier) -> None:
    """Write a classifier with its configuration."""
    checkpoint.save(
        path, model, KIND, {"config": model.config.model_dump(), "channels": model.channels, "labels": model.labels}
    )


def load(path: Path) -> Classifier | None:
    """Rebuild a classifier from its file alone; None if there were too few labels to train one.

    Raises `BadCheckpoint`.
    """
    facts = checkpoint.facts(path, Facts, KIND)
    if len(facts.labels) < MIN_LABELS:
        return None
    return checkpoint.load(path, lambda: Classifier(facts.config, facts.channels, facts.labels))
