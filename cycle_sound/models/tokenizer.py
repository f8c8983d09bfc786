"""The protocol of a tokenizer: pictures ⇄ codes, by any network.

The token cache, the transformer's shapes, export and evaluation use a tokenizer only through this protocol.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

from cycle_sound.nn import checkpoint
from cycle_sound.params import AudioConfig, Codebooks, CodebookSize, PictureShape, Side


class CodeShape(NamedTuple):
    """The codes of one picture: k at each place of a grid, each of a codebook of one size."""

    codebooks: Codebooks  # k
    rows: Side
    columns: Side
    codebook_size: CodebookSize  # v

    @property
    def places(self) -> int:
        """Places of the grid, t: that many tokens, of k codes each."""
        return self.rows * self.columns


class TokenizerFacts(checkpoint.Facts):
    """The metadata in the file of any tokenizer."""

    shape: PictureShape  # of the pictures it was trained on
    shards: str  # digest of the shards it was trained on
    audio: AudioConfig  # how their sounds became log-mels


class Tokenizer(Protocol):
    """Pictures (b, c, h, w) in [-1, 1] ⇄ codes (b, k, rows, columns) int64."""

    def code_shape(self, picture: tuple[int, int, int]) -> CodeShape:
        """The codes of a picture of a shape (c, h, w)."""

    def logits(self, pictures: Tensor) -> Tensor:
        """Log-odds of each code: (b, c, h, w) → (b, k, rows, columns, v), float32."""

    def encode(self, pictures: Tensor) -> Tensor:
        """The most likely codes, never sampled: (b, c, h, w) → (b, k, rows, columns)."""

    def decode(self, codes: Tensor) -> Tensor:
        """Pictures of codes: (b, k, rows, columns) → (b, c, h, w) in [-1, 1]."""

    def decode_relaxed(self, weights: Tensor) -> Tensor:
        """Pictures of weighted codes, with gradient: (b, k, rows, columns, v) → (b, c, h, w)."""
