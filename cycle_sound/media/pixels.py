"""Pixels as models see them: float32 in [-1, 1], and back. Of tensors of any shape, on any device."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Of the red, green and blue of ImageNet's pixels from 0 to 1, which torchvision's networks have learned from.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def to_float(pixels: "Tensor") -> "Tensor":
    """Convert pixels 0 to 255 to float32 in [-1, 1]."""
    return pixels / 127.5 - 1


def to_bytes(values: "Tensor") -> "Tensor":
    """Convert floats, clipped to [-1, 1], to the nearest pixels 0 to 255, uint8."""
    return ((values.clamp(-1, 1) + 1) * 127.5).round().byte()
