"""The optional perceptual distance: VGG16 features (Johnson et al. 2016, arXiv:1603.08155)."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cycle_sound.errors import MissingWeights
from cycle_sound.media import pixels

MAX_REASON = 300  # characters: PyTorch names every weight
TAPS = (3, 8, 15)  # relu1_2, relu2_2, relu3_3


class Perceptual(nn.Module):
    """Mean squared distance of normalised VGG16 features, summed over three depths."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: str) -> None:
        """`weights`: a file of torchvision's VGG16 weights, or "" for torchvision's own download.

        Raises `MissingWeights` where they cannot be had: a perceptual loss is never silently zero.
        """
        super().__init__()
        state = _weights(weights)
        from torchvision.models import vgg16  # not above: it takes a second, and most trainings use no such distance

        model = vgg16()
        try:
            model.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:  # of a file that holds something else
            raise MissingWeights(reason=str(error)[:MAX_REASON]) from error
        self.features = model.features[: TAPS[-1] + 1].eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(pixels.IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(pixels.IMAGENET_DEVIATION).view(3, 1, 1))

    def forward(self, reconstructed: Tensor, real: Tensor) -> Tensor:
        """The mean distance of pictures (b, c, h, w) in [-1, 1], of one or three channels, from real ones: ()."""
        a, b = self._normalise(reconstructed), self._normalise(real)
        distance = reconstructed.new_zeros(())
        for depth, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if depth in TAPS:
                distance = distance + F.mse_loss(F.normalize(a, dim=1), F.normalize(b, dim=1))
        return distance

    def _normalise(self, pictures: Tensor) -> Tensor:
        return ((pictures.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std


def _weights(path: str) -> dict[str, Tensor]:
    try:
        if path:
            state: dict[str, Tensor] = torch.load(Path(path), map_location="cpu", weights_only=True)
        else:
            from torchvision.models import VGG16_Weights

            state = VGG16_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True)
    except Exception as error:
        raise MissingWeights(reason=error) from error
    return state
