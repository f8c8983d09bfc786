"""The discrete VAE (Ramesh et al. 2021, arXiv:2102.12092): pictures in [-1, 1] ⇄ a grid of codes.

One class for both modalities: an image has three channels, a log-mel one. The picture is cut into patches at once,
since internal resolution sets the cost; the way back ends in a few channels at full resolution, without which edges
show the grid of the patches.
"""

from pathlib import Path
from typing import NamedTuple

from pydantic import model_validator
from torch import Tensor, nn

from cycle_sound.errors import MixedModels
from cycle_sound.io import files
from cycle_sound.models.gumbel import Gumbel
from cycle_sound.models.tokenizer import CodeShape, TokenizerFacts
from cycle_sound.nn import checkpoint
from cycle_sound.nn.blocks import GROUPS, residual_blocks
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import AudioConfig, VaeConfig

KIND = "discrete VAE"
DECODER_KIND = "decoder of a discrete VAE"
DECODER_NAME = "decoder.safetensors"  # in its folder, which is empty where none was fine-tuned


class Facts(TokenizerFacts):
    """The metadata in the file of a VAE."""

    config: VaeConfig

    @model_validator(mode="after")
    def _fits(self) -> "Facts":
        self.config.check(*self.shape[1:])
        return self


class DecoderFacts(checkpoint.Facts):
    """The metadata in the file of a fine-tuned decoder."""

    vae: str  # digest of the file of the VAE whose codes it decodes


class Encoder(nn.Sequential):
    """Pictures (b, c, h, w) → latents (b, k × code_width, h / stride, w / stride)."""

    def __init__(self, config: VaeConfig, channels: int) -> None:
        width = config.width
        patches = nn.Conv2d(channels * config.patch**2, width, 3, padding=1)
        layers: list[nn.Module] = [nn.PixelUnshuffle(config.patch), patches, residual_blocks(width, config.blocks)]
        for _ in range(config.downsamples):
            layers += [nn.Conv2d(width, 2 * width, 2, stride=2), residual_blocks(2 * width, config.blocks)]
            width *= 2
        super().__init__(*layers, nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, config.latent_width, 1))


class Decoder(nn.Sequential):
    """Code vectors (b, k × code_width, h / stride, w / stride) → pictures (b, c, h, w), unbounded."""

    def __init__(self, config: VaeConfig, channels: int) -> None:
        width = config.width * 2**config.downsamples
        layers: list[nn.Module] = [
            nn.Conv2d(config.latent_width, width, 3, padding=1),
            residual_blocks(width, config.blocks),
        ]
        for _ in range(config.downsamples):
            layers += [nn.Conv2d(width, 2 * width, 1), nn.PixelShuffle(2), residual_blocks(width // 2, config.blocks)]
            width //= 2
        pixels = config.pixel_width
        layers += [nn.GroupNorm(GROUPS, width), nn.SiLU()]
        layers += [nn.Conv2d(width, pixels * config.patch**2, 1), nn.PixelShuffle(config.patch), nn.SiLU()]
        layers += [nn.Conv2d(pixels, pixels, 3, padding=1), nn.SiLU(), nn.Conv2d(pixels, channels, 3, padding=1)]
        super().__init__(*layers)


class Reconstruction(NamedTuple):
    """The outputs of the VAE for a training step."""

    pictures: Tensor  # (b, c, h, w)
    logits: Tensor  # (b, k, h / stride, w / stride, v), float32


class DiscreteVAE(nn.Module):
    """Encoder, codebooks and decoder: a `Tokenizer`. `channels` is 3 for images, 1 for log-mels."""

    def __init__(self, config: VaeConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, channels)
        self.gumbel = Gumbel(config.codebooks, config.codebook_size, config.code_width)
        self.decoder = Decoder(config, channels)

    def forward(self, pictures: Tensor, temperature: float, rng: BatchRng) -> Reconstruction:
        """Reconstruct with a relaxed draw of codes: (b, c, h, w) in [-1, 1]."""
        quantized = self.gumbel(self.encoder(pictures), temperature, self.config.noise, rng)
        return Reconstruction(self.decoder(quantized.vectors), quantized.logits)

    def code_shape(self, picture: tuple[int, int, int]) -> CodeShape:
        """The codes of pictures of a shape (c, h, w)."""
        config, (_, height, width) = self.config, picture
        return CodeShape(config.codebooks, height // config.stride, width // config.stride, config.codebook_size)

    def logits(self, pictures: Tensor) -> Tensor:
        """Log-odds of each code: (b, c, h, w) → (b, k, h / stride, w / stride, v), float32."""
        return self.gumbel.logits(self.encoder(pictures))

    def encode(self, pictures: Tensor) -> Tensor:
        """The most likely codes, never sampled: (b, c, h, w) in [-1, 1] → (b, k, h / stride, w / stride) int64."""
        return self.logits(pictures).argmax(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Pictures of codes: (b, k, h / stride, w / stride) → (b, c, h, w) in [-1, 1]."""
        return self.decoder(self.gumbel.look_up(codes)).clamp(-1, 1)

    def decode_relaxed(self, weights: Tensor) -> Tensor:
        """Pictures of weighted codes, with gradient: (b, k, h / stride, w / stride, v) → (b, c, h, w)."""
        return self.decoder(self.gumbel.mix(weights))


def save(path: Path, model: DiscreteVAE, shape: tuple[int, int, int], shards: str, audio: AudioConfig) -> None:
    """Write a VAE with everything needed to use it.

    `shape`: of its pictures, (c, h, w); `shards`: digest of the shards it was trained on; `audio`: the log-mel settings
    of their sounds.
    """
    facts = {"config": model.config.model_dump(), "shape": shape, "shards": shards, "audio": audio.model_dump()}
    checkpoint.save(path, model, KIND, facts)


def load(path: Path, decoder: Path | None = None) -> tuple[DiscreteVAE, Facts]:
    """Rebuild a VAE from its file alone; the file of a fine-tuned `decoder`, if given, replaces its own.

    Raises `BadCheckpoint`, and `MixedModels` for the decoder of another VAE.
    """
    facts = checkpoint.facts(path, Facts, KIND)
    model = checkpoint.load(path, lambda: DiscreteVAE(facts.config, facts.shape[0]))
    if decoder is not None:
        model.decoder = _decoder(decoder, path, facts)
    return model, facts


def save_decoder(path: Path, model: Decoder, vae: Path) -> None:
    """Write a decoder that was fine-tuned on the codes of the VAE in the file `vae`."""
    checkpoint.save(path, model, DECODER_KIND, {"vae": files.digest(vae)})


def _decoder(path: Path, vae: Path, facts: Facts) -> Decoder:
    found = checkpoint.facts(path, DecoderFacts, DECODER_KIND)
    if found.vae != files.digest(vae):
        raise MixedModels(model=path, what="VAE", path=vae)
    return checkpoint.load(path, lambda: Decoder(facts.config, facts.shape[0]))
