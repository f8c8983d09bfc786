"""Inference with trained models on pictures in [-1, 1]: encode, sample, guide, re-rank, score, classify, invert.

The command line, `CycleSound` and evaluation all use this engine. The same source, seed and settings give the same
bytes in a batch of any size on one machine: models see batches of a fixed size, and every sample has a random generator
of its own, seeded by the seed and the source.
"""

import zlib
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cycle_sound.inference.bundle import Models
from cycle_sound.inference.cached_transformer import CachedTransformer, cache_bytes
from cycle_sound.inference.fixed_batches import map_fixed_batches, size_for
from cycle_sound.inference.sampling import sample
from cycle_sound.media import mel, pixels
from cycle_sound.models.classifier import Classifier
from cycle_sound.nn import device as devices
from cycle_sound.nn.rng import seeded
from cycle_sound.params import Direction, Modality, SamplingConfig, opposite_of, source_of, target_of


class Classified(NamedTuple):
    """What a classifier says of n pictures."""

    labels: list[str]  # the likeliest of each
    probabilities: list[float]  # of that label
    features: np.ndarray  # (n, d), from which it decides


class Steering(NamedTuple):
    """Other sources that steer sampling, each a picture of the source's modality, (1, c, h, w)."""

    unlike: Tensor | None = None  # that guidance leads away from, in place of no source
    blend: Tensor | None = None  # that is mixed with each source
    share: float = 0.0  # of `blend` in the mixture, in [0, 1]


class Drawing(NamedTuple):
    """How targets are drawn for each source."""

    sampling: SamplingConfig
    seed: int
    steering: Steering = Steering()


class Priming(NamedTuple):
    """The known beginning of a window of a longer target."""

    codes: Tensor  # (n, k, rows, c), the first c columns of each
    window: int  # its number, from 1: each draws apart


class Engine:
    """Trained models at work. Pictures are (n, c, h, w), codes (n, k, rows, columns), all on the CPU.

    `batch_size`: of tokenizers, source networks, likelihoods and embeddings; by default the device's fixed batch.
    Classifiers and vocoders always take that one, long codes are decoded one at a time, and sampling has its own.
    """

    def __init__(self, models: Models, batch_size: int | None = None) -> None:
        self.models, self._batch_size = models, batch_size
        self._cached: dict[tuple[Direction, bool, bool], CachedTransformer] = {}

    def encode(self, modality: Modality, pictures: Tensor) -> Tensor:
        """The codes of pictures."""
        return self._map(self.models.tokenizers[modality].model.encode, pictures)

    def decode(self, modality: Modality, codes: Tensor) -> Tensor:
        """The pictures of codes."""
        return self._map(self.models.tokenizers[modality].model.decode, codes)

    def reconstruction_error(self, modality: Modality, pictures: Tensor, codes: Tensor) -> Tensor:
        """The mean square error of each picture as it is reconstructed from its codes: (n, c, h, w), … → (n,)."""
        return (self.decode(modality, codes) - pictures).square().mean((1, 2, 3))

    def waveforms(self, log_mels: Tensor) -> np.ndarray:
        """Waveforms of log-mels: (n, 1, mels, frames) → float32 (n, samples)."""
        vocoder, size = self.models.vocoder, size_for(self.models.device)
        assert vocoder is not None
        parts = [vocoder.waveforms(part.to(self.models.device)).cpu() for part in log_mels.split(size)]
        return torch.cat(parts).numpy()

    def log_mels(self, waveforms: np.ndarray) -> Tensor:
        """Log-mels of waveforms at the models' own rate: (n, samples) → (n, 1, mels, frames)."""
        return torch.from_numpy(mel.of_clips(waveforms, self.models.audio, self.models.seconds))

    def as_perceived(self, modality: Modality, pictures: Tensor) -> Tensor:
        """Generated pictures as whoever sees or hears them gets them: with 8 bits a channel, or through a waveform."""
        if modality == "audio":
            return self.log_mels(self.waveforms(pictures))
        return pixels.to_float(pixels.to_bytes(pictures))

    def source_inputs(self, direction: Direction, sources: Tensor) -> Tensor:
        """What a direction's transformer reads of source pictures: themselves, their codes or their features."""
        condition, source = self.models.transformers[direction].config.condition, source_of(direction)
        if condition == "features":
            return self._map(self.models.networks[source], sources)
        return sources if condition == "encoder" else self.encode(source, sources)

    def prefixes(self, direction: Direction, sources: Tensor) -> Tensor:
        """What a direction's transformer makes of source pictures: (n, c, h, w) → (n, 1 + s, width)."""
        encode = self.models.transformers[direction].encode_source
        return self._map(encode, self.source_inputs(direction, sources))

    def null_prefixes(self, direction: Direction, count: int) -> Tensor:
        """The prefix that stands for no source, `count` times: (count, 1 + s, width)."""
        return self.models.transformers[direction].null_prefix(count).detach().cpu()

    def log_likelihood(self, direction: Direction, prefixes: Tensor, codes: Tensor) -> Tensor:
        """Exact log p(target codes | prefix) of a direction: (n, 1 + s, width), (n, k, rows, columns) → (n,) nats."""
        model = self.models.transformers[direction]
        return self._map(model.log_likelihood, prefixes, codes.flatten(2))

    def pointwise_mutual_information(self, direction: Direction, sources: Tensor, targets: Tensor) -> Tensor:
        """How much likelier each target of a direction makes its source, by the direction back, in nats.

        Sources (n, c, h, w) with m targets each, (n × m, c, h, w), the first m of the first source: → (n × m,).
        log p(source codes | target) − log p(source codes | null): without the second term, a source that is likely
        by itself would count as explained. Both directions estimate this quantity, so each can judge the other.
        """
        return self.information_of_codes(direction, self.encode(source_of(direction), sources), targets)

    def information_of_codes(self, direction: Direction, codes: Tensor, targets: Tensor) -> Tensor:
        """`pointwise_mutual_information` of sources that are encoded: (n, k, rows, columns), … → (n × m,)."""
        back = opposite_of(direction)
        each = len(targets) // len(codes)
        prefixes = torch.cat([self.null_prefixes(back, len(codes)), self.prefixes(back, targets)])
        nats = self.log_likelihood(back, prefixes, torch.cat([codes, codes.repeat_interleave(each, dim=0)]))
        null, given = nats.split([len(codes), len(targets)])
        return given - null.repeat_interleave(each)

    def decode_long(self, modality: Modality, codes: Tensor) -> Tensor:
        """The pictures of codes with any number of columns, one at a time: convolutions accept any width."""
        return map_fixed_batches(self.models.tokenizers[modality].model.decode, self.models.device, codes, size=1)

    def draw(self, direction: Direction, sources: Tensor, drawing: Drawing) -> Tensor:
        """Codes drawn for each source picture: (n, c, h, w) → (n, candidates, k, rows, columns)."""
        return self._draw(direction, self._blended(direction, sources, drawing.steering), _keys(sources), drawing)

    def windows(self, direction: Direction, source: Tensor, drawing: Drawing, carried: slice) -> Iterator[Tensor]:
        """Windows of codes for one source picture (1, c, h, w), without end: each (1, k, rows, columns).

        The first is drawn as ever. Each other one begins with the `carried` columns of the window before (primed
        sampling, as of Dhariwal et al. 2020, arXiv:2005.00341). Of several candidates the one is kept that, with its
        beginning, explains the source best.
        """
        prefix, keys = self._blended(direction, source, drawing.steering), _keys(source)
        window = self._best_codes(direction, source, self._draw(direction, prefix, keys, drawing), drawing)
        for number in count(1):
            yield window
            codes = self._draw(direction, prefix, keys, drawing, Priming(window[..., carried], number))
            window = self._best_codes(direction, source, codes, drawing)

    def _draw(
        self, direction: Direction, prefixes: Tensor, keys: list[int], drawing: Drawing, priming: Priming | None = None
    ) -> Tensor:
        """`draw` behind prefixes (n, 1 + s, width), by a key for each source.

        With a `priming` targets are drawn one at a time, since windows wait for each other.
        """
        model, device = self.models.transformers[direction], self.models.device
        sampling, seed, steering = drawing
        cached = self._cached_transformer(direction, sampling.guidance != 1, alone=priming is not None)
        if cached.copies == 2:
            unlike = steering.unlike
            cached.guide_from(model.null if unlike is None else self.prefixes(direction, unlike)[0].to(device))

        def drawn(prefix: Tensor, seeds: Tensor, *begin: Tensor) -> Tensor:
            generators = [seeded(seed, *numbers, device=device) for numbers in seeds.tolist()]
            return sample(cached, prefix, sampling, generators, *begin)

        window, begin = ((), []) if priming is None else ((priming.window,), [priming.codes])
        seeds = torch.tensor([(number, key, *window) for key in keys for number in range(sampling.candidates)])
        prefixes, *begin = (one.repeat_interleave(sampling.candidates, dim=0) for one in (prefixes, *begin))
        codes = map_fixed_batches(drawn, device, prefixes, seeds, *begin, size=cached.batch)
        shape = model.shapes.target_codes
        return codes.unflatten(2, (shape.rows, shape.columns)).unflatten(0, (-1, sampling.candidates))

    def generate(self, direction: Direction, sources: Tensor, drawing: Drawing) -> Tensor:
        """A target picture for each source picture: (n, c, h, w) → (n, c, h, w).

        Of several candidates the one that explains its source best is kept.
        """
        parts = sources.split(size_for(self.models.device))  # so that few candidates lie in memory at a time
        return torch.cat([self._generate(direction, part, drawing) for part in parts])

    def _generate(self, direction: Direction, sources: Tensor, drawing: Drawing) -> Tensor:
        if drawing.sampling.candidates == 1:
            return self.decode(target_of(direction), self.draw(direction, sources, drawing)[:, 0])
        return best(*self.candidates(direction, sources, drawing))

    def candidates(self, direction: Direction, sources: Tensor, drawing: Drawing) -> tuple[Tensor, Tensor]:
        """Target pictures drawn for each source picture, and their pointwise mutual information in nats.

        (n, c, h, w) → (n, candidates, c, h, w), (n, candidates). Steered, the nats are those with the mixture
        less those with `unlike`.
        """
        return self._decoded(direction, sources, self.draw(direction, sources, drawing), drawing)

    def _decoded(self, direction: Direction, sources: Tensor, codes: Tensor, drawing: Drawing) -> tuple[Tensor, Tensor]:
        """What `candidates` returns, of their codes (n, candidates, k, rows, columns)."""
        pictures = self.decode(target_of(direction), codes.flatten(0, 1))
        information = self._steered_information(direction, sources, pictures, drawing.steering)
        return pictures.unflatten(0, codes.shape[:2]), information.unflatten(0, codes.shape[:2])

    def _best_codes(self, direction: Direction, sources: Tensor, codes: Tensor, drawing: Drawing) -> Tensor:
        """Of each source's candidates the codes that `generate` keeps: → (n, k, rows, columns)."""
        if drawing.sampling.candidates == 1:
            return codes[:, 0]
        return best(codes, self._decoded(direction, sources, codes, drawing)[1])

    def _blended(self, direction: Direction, sources: Tensor, steering: Steering) -> Tensor:
        """The prefixes of source pictures, with the share in them that another has: (n, c, h, w) → as `prefixes`."""
        own = self.prefixes(direction, sources)
        return own if steering.blend is None else own.lerp(self.prefixes(direction, steering.blend), steering.share)

    def _steered_information(
        self, direction: Direction, sources: Tensor, targets: Tensor, steering: Steering
    ) -> Tensor:
        """`pointwise_mutual_information`, of a mixture in the mean by its shares, less that of an unwanted source."""
        information = self.pointwise_mutual_information(direction, sources, targets)
        if steering.blend is not None:
            other = self.pointwise_mutual_information(direction, steering.blend, targets)
            information = information.lerp(other, steering.share)
        if steering.unlike is not None:
            information = information - self.pointwise_mutual_information(direction, steering.unlike, targets)
        return information

    def summaries(self, direction: Direction, modality: Modality, pictures: Tensor) -> Tensor:
        """What pictures of either modality share with their pairs, in the space of a direction's alignment.

        (n, c, h, w) → (n, width), of unit length.
        """
        model = self.models.transformers[direction]
        if modality == target_of(direction):
            return self._map(model.target_encoder, pictures)
        inputs = self.source_inputs(direction, pictures)
        return self._map(lambda rows: model.source_encoder(rows).summary, inputs)

    def alignment(self, direction: Direction, sources: Tensor, targets: Tensor) -> Tensor:
        """Cosine of what sources and targets of a direction show: (n, c, h, w), (n, c, h, w) → (n,) in [-1, 1]."""
        shown = self.summaries(direction, source_of(direction), sources)
        made = self.summaries(direction, target_of(direction), targets)
        return self._map(lambda first, second: (first * second).sum(1), shown, made)

    def classify(self, modality: Modality, pictures: Tensor) -> Classified | None:
        """What the modality's classifier says of pictures; None without a classifier."""
        model = self.models.classifiers[modality]
        return None if model is None else classified(model, pictures)

    def _map(self, work: Callable[..., Tensor], *rows: Tensor) -> Tensor:
        """`work` on rows of tensors, a fixed batch of this engine at a time."""
        return map_fixed_batches(work, self.models.device, *rows, size=self._batch_size)

    def _cached_transformer(self, direction: Direction, guided: bool, alone: bool) -> CachedTransformer:
        """A direction's transformer, made ready the first time that it is asked for: for a fixed batch, or for one."""
        key = direction, guided, alone
        if key not in self._cached:
            model = self.models.transformers[direction]
            batch = 1 if alone else size_for(self.models.device, cache_bytes(model, guided))
            self._cached[key] = CachedTransformer(model, batch, guided)
        return self._cached[key]


def classified(model: Classifier, pictures: Tensor) -> Classified:
    """What a classifier says of pictures (n, c, h, w), to the byte the same in a batch of any size."""
    device = devices.of(model)
    features = map_fixed_batches(model.features, device, pictures)
    probabilities, places = F.softmax(map_fixed_batches(model.head, device, features), dim=-1).max(-1)
    return Classified([model.labels[place] for place in places.tolist()], probabilities.tolist(), features.numpy())


def best(candidates: Tensor, scores: Tensor) -> Tensor:
    """Of each row's candidates the one with the highest score: (n, m, …), (n, m) → (n, …)."""
    return candidates[torch.arange(len(scores)), scores.argmax(1)]


def _keys(pictures: Tensor) -> list[int]:
    """A number that each picture has as seen in 8 bits: sources draw apart from each other, whatever their batch."""
    return [zlib.crc32(picture.numpy().tobytes()) for picture in pixels.to_bytes(pictures)]
