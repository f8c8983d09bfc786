"""What one direction made of test pairs, as a file: for the report, which looks at no test data itself."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor

from cycle_sound.errors import BadSamples, NoSafetensors
from cycle_sound.media import pixels
from cycle_sound.nn import checkpoint
from cycle_sound.params import Config, Direction, Modality, source_of, target_of

KIND: Literal["samples"] = "samples"
NAME = "all.safetensors"  # among the samples of a direction
SHOWS = ("source", "generated", "returned", "real", "tokenized")


class Samples(NamedTuple):
    """Of n pairs the pictures (n, c, h, w) in [-1, 1] and what is known of them."""

    direction: Direction
    source: Tensor
    generated: Tensor  # by the direction, of the source
    returned: Tensor  # by the direction back, of what was generated
    real: Tensor  # the source's own target
    tokenized: Tensor  # the real target through the tokenizer alone
    pointwise_mutual_information: Tensor  # (n,): by how many nats what was generated makes its source likelier
    ids: Sequence[str]
    labels: Sequence[str]  # "": none

    def first(self, count: int) -> "Samples":
        """At most `count` of them."""
        each = (*SHOWS, "pointwise_mutual_information", "ids", "labels")
        return self._replace(**{name: getattr(self, name)[:count] for name in each})

    def modality(self, show: str) -> Modality:
        """What kind of picture one of SHOWS is."""
        return source_of(self.direction) if show in ("source", "returned") else target_of(self.direction)


class Facts(Config):
    """What the file of samples says of them."""

    kind: Literal["samples"]
    direction: Direction
    ids: list[str]
    labels: list[str]


def save(path: Path, samples: Samples) -> None:
    """Write samples atomically: pictures of the image modality as bytes, log-mels in half precision."""
    tensors = {show: _packed(getattr(samples, show), samples.modality(show)) for show in SHOWS}
    tensors["pointwise_mutual_information"] = samples.pointwise_mutual_information.float()
    facts = {
        "kind": KIND,
        "direction": samples.direction,
        "ids": list(samples.ids),
        "labels": list(samples.labels),
    }
    checkpoint.write(path, tensors, json.dumps(facts, sort_keys=True))


def described(path: Path) -> Facts:
    """What a file of samples says of them. Raises `BadSamples` for another file, FileNotFoundError."""
    try:
        with checkpoint.opened(path) as file:
            return Facts.model_validate_json((file.metadata() or {}).get("facts", ""))
    except (NoSafetensors, ValidationError):
        raise BadSamples(path=path) from None


def load(path: Path) -> Samples:
    """Read samples. Raises `BadSamples` for another file, FileNotFoundError."""
    facts = described(path)
    try:
        with checkpoint.opened(path) as file:
            tensors = {show: _unpacked(file.get_tensor(show)) for show in SHOWS}
            pointwise_mutual_information = file.get_tensor("pointwise_mutual_information")
    except NoSafetensors:
        raise BadSamples(path=path) from None
    return Samples(
        facts.direction,
        **tensors,
        pointwise_mutual_information=pointwise_mutual_information,
        ids=facts.ids,
        labels=facts.labels,
    )


def _packed(pictures: Tensor, modality: Modality) -> Tensor:
    values = pictures.float().contiguous()
    return pixels.to_bytes(values) if modality == "image" else values.clamp(-1, 1).half()


def _unpacked(packed: Tensor) -> Tensor:
    return pixels.to_float(packed) if packed.dtype == torch.uint8 else packed.float()
