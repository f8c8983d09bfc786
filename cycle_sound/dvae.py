"""The discrete VAE (Ramesh et al. 2021, arXiv:2102.12092): pictures in [-1, 1] ⇄ a grid of tokens.

One class for both modalities: an image has three channels, a log-mel one. The picture is cut into patches at once,
since internal resolution sets the cost; the way back is a convolution and a pixel shuffle.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from cycle_sound import checkpoint
from cycle_sound.batches import Draws
from cycle_sound.convolutions import GROUPS, residuals
from cycle_sound.gumbel import Gumbel
from cycle_sound.params import Vae as Config

KIND = "discrete VAE"


class Encoder(nn.Sequential):
    """Pictures (b, c, h, w) → latents (b, code_width, h / stride, w / stride)."""

    def __init__(self, config: Config, channels: int) -> None:
        width = config.width
        patches = nn.Conv2d(channels * config.patch**2, width, 3, padding=1)
        layers: list[nn.Module] = [nn.PixelUnshuffle(config.patch), patches, residuals(width, config.blocks)]
        for _ in range(config.downsamples):
            layers += [nn.Conv2d(width, 2 * width, 2, stride=2), residuals(2 * width, config.blocks)]
            width *= 2
        super().__init__(*layers, nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, config.code_width, 1))


class Decoder(nn.Sequential):
    """Codes (b, code_width, h / stride, w / stride) → pictures (b, c, h, w), unbounded."""

    def __init__(self, config: Config, channels: int) -> None:
        width = config.width * 2**config.downsamples
        layers: list[nn.Module] = [nn.Conv2d(config.code_width, width, 3, padding=1), residuals(width, config.blocks)]
        for _ in range(config.downsamples):
            layers += [nn.Conv2d(width, 2 * width, 1), nn.PixelShuffle(2), residuals(width // 2, config.blocks)]
            width //= 2
        last = nn.Conv2d(width, channels * config.patch**2, 3, padding=1)
        super().__init__(*layers, nn.GroupNorm(GROUPS, width), nn.SiLU(), last, nn.PixelShuffle(config.patch))


class Reconstruction(NamedTuple):
    """What a training step of the VAE looks at."""

    pictures: Tensor  # (b, c, h, w)
    logits: Tensor  # (b, h / stride, w / stride, v), float32


class DiscreteVAE(nn.Module):
    """Encoder, codebook and decoder. `channels` is 3 for images, 1 for log-mels."""

    def __init__(self, config: Config, channels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, channels)
        self.gumbel = Gumbel(config.codebook_size, config.code_width)
        self.decoder = Decoder(config, channels)

    def forward(self, pictures: Tensor, temperature: float, draws: Draws) -> Reconstruction:
        """Reconstruct with a relaxed draw of codes: (b, c, h, w) in [-1, 1]."""
        quantized = self.gumbel(self.encoder(pictures), temperature, self.config.noise, draws)
        return Reconstruction(self.decoder(quantized.vectors), quantized.logits)

    def grid(self, shape: tuple[int, int, int]) -> tuple[int, int]:
        """Rows and columns of the tokens of pictures of a shape (c, h, w)."""
        return shape[1] // self.config.stride, shape[2] // self.config.stride

    def logits(self, pictures: Tensor) -> Tensor:
        """Log-odds of each code at each place: (b, c, h, w) → (b, h / stride, w / stride, v), float32."""
        return self.gumbel.logits(self.encoder(pictures))

    def encode(self, pictures: Tensor) -> Tensor:
        """The most likely tokens: (b, c, h, w) in [-1, 1] → (b, h / stride, w / stride) int64. Never sampled."""
        return self.logits(pictures).argmax(-1)

    def decode(self, tokens: Tensor) -> Tensor:
        """Pictures of tokens: (b, h / stride, w / stride) → (b, c, h, w) in [-1, 1]."""
        return self.decoder(self.gumbel.look_up(tokens)).clamp(-1, 1)

    def decode_relaxed(self, weights: Tensor) -> Tensor:
        """Pictures of weighted codes, with gradient: (b, h / stride, w / stride, v) → (b, c, h, w)."""
        return self.decoder(self.gumbel.mix(weights))


def save(path: Path, model: DiscreteVAE, shape: tuple[int, int, int], index: Mapping[str, Any]) -> None:
    """Write a VAE with all that is needed to use it.

    `shape`: of its pictures, (c, h, w); `index`: of the shards it was trained on, which says how a sound becomes a
    log-mel and back.
    """
    facts = {"config": model.config.model_dump(), "shape": shape}
    checkpoint.save(path, model, KIND, {**facts, "shards": index["digest"], "audio": index["audio"]})


def load(path: Path) -> DiscreteVAE:
    """Rebuild a VAE from its file alone. Raises `BadCheckpoint`, FileNotFoundError."""
    facts = checkpoint.facts(path, KIND)
    model = DiscreteVAE(Config.model_validate(facts["config"]), facts["shape"][0])
    checkpoint.load_weights(path, model)
    return model
