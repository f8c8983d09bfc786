"""What other sources do to a draw, audio → image, by the judge of pictures, by which nothing is chosen.

python -m benchmarks.steering unlike|blend [--split test] [--clips 2] [--guidance X] [--rerank K] [--json]

In the folder of a built project whose data has labels. Intervals are 95 %, by the jackknife over the clips that count
first: N of each label.

unlike: each of them, the unwanted, is mixed, equally loud, with a clip of each other label but one. Figures are shares
of the pictures drawn of the mixtures: `unwanted` shows the label of the one, `wanted` that of the other; `…_unlike`
with another clip of the unwanted label as `unlike`, and `…_floor` with one of the label left out, which should change
little; `wanted_alone` is of the other clip without the mixture. `fall` is by how much `unlike` makes the unwanted
rarer, and `wanted_kept` what remains of the wanted. `ambiguous_…` is the same of the mixtures of which both labels are
drawn without `unlike`.

blend: half and half of two clips, by the share of their prefixes (what the program does) and by the mean of the logits
that guidance gives for each. `either_…` shows one of both labels; `less_…` is by how many nats a picture makes that
clip likelier which it makes less likely; of two clips of one label, `between_…` has a hue between those of their own
pictures, and `apart_…` is how far it lies from their middle, by the distance of both, and 1 at most.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import printing
from cycle_sound import paths
from cycle_sound.dataset import sounds
from cycle_sound.dataset.sounds import Sounds
from cycle_sound.evaluation import analysis, generation, metrics
from cycle_sound.evaluation.generation import DirectionModels
from cycle_sound.evaluation.label_metrics import named
from cycle_sound.inference import sampling
from cycle_sound.inference.cached_transformer import CachedTransformer
from cycle_sound.inference.engine import Drawing, Steering, best, classified
from cycle_sound.io import params_file
from cycle_sound.nn import device
from cycle_sound.nn.rng import seeded
from cycle_sound.params import Direction, SamplingConfig

DIRECTION: Direction = "audio_to_image"
PLAIN = Steering()  # by no other source
DRAWS, SEED = 4, 0
SILENCE = 1e-9  # added to a level that is divided by


class Mixtures(NamedTuple):
    """Mixtures of one unwanted clip with clips of other labels."""

    unwanted: str
    wanted: list[str]
    mixed: Tensor  # (n, 1, mels, frames)
    alone: Tensor  # of the wanted clips
    unlike: Tensor  # (1, 1, mels, frames): another clip of the unwanted label
    stranger: Tensor  # a clip of a label that is in none of the mixtures


class Measure(NamedTuple):
    """A split, its sounds, and the rows of each label."""

    models: DirectionModels
    recorded: Sounds
    rows: dict[str, list[int]]
    sampling: SamplingConfig

    def log_mels(self, rows: Sequence[int]) -> Tensor:
        """The sounds of clips as the models see them."""
        return self.models.sources(rows)

    def pictures(self, sources: Tensor, steering: Steering = PLAIN) -> Tensor:
        """DRAWS pictures of each source, one after another: (n, …) → (n × DRAWS, 3, h, w)."""
        engine, candidates = self.models.engine, self.sampling.candidates
        sampling = self.sampling.model_copy(update={"candidates": DRAWS * candidates})
        drawing = Drawing(sampling, SEED, steering)
        if candidates == 1:
            return engine.decode("image", engine.draw(DIRECTION, sources, drawing).flatten(0, 1))
        made, information = engine.candidates(DIRECTION, sources, drawing)
        each = -1, candidates
        return best(made.flatten(0, 1).unflatten(0, each), information.reshape(each))

    def seen(self, pictures: Tensor) -> np.ndarray:
        """What the judge calls pictures: (n × DRAWS, 3, h, w) → labels (n, DRAWS)."""
        judge = self.models.judges["image"]
        assert judge is not None
        return np.array(classified(judge, pictures).labels).reshape(-1, DRAWS)


def loud_as(sound: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Waveforms (n, samples) as loud, each, as others (n, samples) are."""
    level, wanted = (np.sqrt((some**2).mean(1, keepdims=True)) for some in (sound, other))
    return sound * wanted / (level + SILENCE)


def mixtures(measure: Measure, label: str, number: int) -> Mixtures:
    """The mixtures of a label's clip of that number."""
    rows, labels = measure.rows, sorted(measure.rows)
    left_out = labels[(labels.index(label) + 1 + number) % len(labels)]
    left_out = labels[labels.index(label) - 1] if left_out == label else left_out
    wanted = [one for one in labels if one not in (label, left_out)]
    others = [rows[one][-1 - number - labels.index(label)] for one in wanted]
    one, other = (measure.recorded.waveforms(some).numpy() for some in ([rows[label][number]] * len(others), others))
    mixed = (loud_as(one, other) + other) / np.sqrt(2)
    return Mixtures(
        label,
        wanted,
        measure.models.engine.log_mels(mixed.clip(-1, 1).astype(np.float32)),
        measure.log_mels(others),
        measure.log_mels([rows[label][len(rows[label]) // 2 + number]]),
        measure.log_mels([rows[left_out][len(rows[left_out]) // 2 + number]]),
    )


# --- unlike


def unlike(measure: Measure, mixed: Mixtures) -> dict[str, np.ndarray]:
    """Of one unwanted clip the pictures that show either label, as counts: (all mixtures, the ambiguous ones)."""
    ways = {
        "": measure.pictures(mixed.mixed),
        "_unlike": measure.pictures(mixed.mixed, Steering(unlike=mixed.unlike)),
        "_floor": measure.pictures(mixed.mixed, Steering(unlike=mixed.stranger)),
        "_alone": measure.pictures(mixed.alone),
    }
    seen = {way: measure.seen(pictures) for way, pictures in ways.items()}
    hits = {f"unwanted{way}": labels == mixed.unwanted for way, labels in seen.items()}
    hits |= {f"wanted{way}": labels == np.array(mixed.wanted)[:, None] for way, labels in seen.items()}
    ambiguous = hits["unwanted"].any(1) & hits["wanted"].any(1)
    every = np.full(len(mixed.wanted), True)
    hits["pictures"] = np.full((len(mixed.wanted), DRAWS), True)
    return {name: np.array([hit[every].sum(), hit[ambiguous].sum()], float) for name, hit in hits.items()}


def unlike_figures(measure: Measure, clips: int) -> dict[str, float]:
    """The figures of `unlike`."""
    counted = [unlike(measure, mixtures(measure, label, number)) for label in measure.rows for number in range(clips)]
    sums = {name: np.stack([one[name] for one in counted]) for name in counted[0]}  # (clips, 2)
    figures: dict[str, float] = {}
    for place, prefix in enumerate(("", "ambiguous_")):
        of = {name: values[:, place] for name, values in sums.items()}
        figures[f"{prefix}pictures"] = of["pictures"].sum()
        for name in [name for name in sums if name not in ("pictures", "unwanted_alone")]:
            figures |= named(f"{prefix}{name}", metrics.ratio(of[name], of["pictures"]))
        left = metrics.ratio(of["unwanted_unlike"], of["unwanted_floor"])  # ambiguous ones are chosen by `unwanted`
        figures |= named(f"{prefix}fall", metrics.Interval(1 - left.value, 1 - left.high, 1 - left.low))
        figures |= named(f"{prefix}wanted_kept", metrics.ratio(of["wanted_unlike"], of["wanted"]))
    return figures


# --- blend


@torch.inference_mode()
def mean_of_logits(measure: Measure, sources: Tensor, other: Tensor) -> Tensor:
    """DRAWS pictures of each source blended with one other, drawn by the mean of their guided logits."""
    engine, config = measure.models.engine, measure.sampling
    model, where = engine.models.transformers[DIRECTION], engine.models.device
    rows, shape = len(sources) * DRAWS, engine.models.transformers[DIRECTION].shapes.target_codes
    each = [CachedTransformer(model, rows, guided=True) for _ in range(2)]
    for cached, given in zip(each, (sources, other.expand_as(sources)), strict=True):
        cached.start(engine.prefixes(DIRECTION, given).repeat_interleave(DRAWS, dim=0).to(where))
    generators = [seeded(SEED, row, device=where) for row in range(rows)]
    known = torch.full((rows, shape.codebooks, shape.columns + shape.places), model.bos, device=where)
    for place in range(shape.places):
        before, above = known[..., shape.columns + place - 1], known[..., place]
        states, codes = [cached.step(before, above, place) for cached in each], known[..., shape.columns + place]
        for number in range(shape.codebooks):
            guided = []
            for cached, state in zip(each, states, strict=True):
                conditional, negative = cached.logits(state, codes[:, :number]).float().chunk(2)
                guided.append(negative + config.guidance * (conditional - negative))
            codes[:, number] = sampling.draw(
                sum(guided, torch.zeros(())) / 2, config, sampling.exponentials(generators, shape.codebook_size)
            )
    drawn = known[..., shape.columns :].unflatten(2, (shape.rows, shape.columns))
    return engine.decode("image", drawn.cpu())


def share_of_prefix(measure: Measure, sources: Tensor, other: Tensor) -> Tensor:
    """DRAWS pictures of each source blended half and half with one other, by the program's own way."""
    return measure.pictures(sources, Steering(blend=other, share=0.5))


WAYS: dict[str, Callable[[Measure, Tensor, Tensor], Tensor]] = {"prefix": share_of_prefix, "logits": mean_of_logits}


def blend(measure: Measure, label: str, number: int) -> dict[str, np.ndarray]:
    """Of a label's clip of that number, blended with one of each other label and with one of its own: sums."""
    rows, engine = measure.rows, measure.models.engine
    ends = [rows[label][number], rows[label][-1 - number]]
    others = [one for one in rows if one != label]
    own, same = measure.log_mels(ends).split(1)
    sources = measure.log_mels([rows[one][-1 - number] for one in others])
    first, second = (analysis.hue(picture) for picture in measure.models.split.pictures("image", ends).numpy())
    found: dict[str, np.ndarray] = {}
    for way, make in WAYS.items():
        pictures, of_one_label = make(measure, sources, own), make(measure, same, own).numpy()
        seen = measure.seen(pictures)
        either = (seen == label) | (seen == np.array(others)[:, None])
        given = sources, own.expand_as(sources)
        nats = [engine.pointwise_mutual_information(DIRECTION, of, pictures) for of in given]
        place = (np.array([analysis.hue(picture) for picture in of_one_label]) - first) / (second - first)
        known = place[np.isfinite(place)]
        found |= {
            f"either_{way}": np.array([either.sum(), either.size]),
            f"less_{way}": np.array([float(torch.minimum(*nats).sum()), len(pictures)]),
            f"between_{way}": np.array([((known > 0) & (known < 1)).sum(), len(known)]),
            f"apart_{way}": np.array([np.abs(known - 0.5).clip(max=1).sum(), len(known)]),
        }
    return found


def blend_figures(measure: Measure, clips: int) -> dict[str, float]:
    """The figures of a blend by each way."""
    found = [blend(measure, label, number) for label in measure.rows for number in range(clips)]
    sums = {name: np.stack([one[name] for one in found]) for name in found[0]}
    return {key: value for name, of in sums.items() for key, value in named(name, metrics.ratio(*of.T)).items()}


def sampling_at(own: SamplingConfig, guidance: float | None, candidates: int | None, what: str) -> SamplingConfig:
    """The models' own way of sampling, by another guidance and number of candidates if they are given.

    Raises ValueError where `unlike` would be measured at a guidance of 1 or less, at which it is not computed with.
    """
    given = {"guidance": guidance, "candidates": candidates}
    config = own.model_copy(update={name: value for name, value in given.items() if value is not None})
    if what == "unlike" and config.guidance <= 1:
        raise ValueError(f"--guidance {config.guidance:g}: above 1 alone `unlike` takes part in a draw")
    return config


def main() -> None:
    """Print the table, and with --json one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("unlike", "blend"))
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--clips", type=int, default=2, help="of each label")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--rerank", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    tree = params_file.load()
    device.prepare(tree.seed)
    models = generation.load(DIRECTION, given.split, tree.sampling, tree.vocoder)
    rows = {label: models.split.labelled([label]).tolist() for label in sorted(models.split.known_labels())}
    recorded = sounds.of(models.split, paths.RAW, models.engine.models.audio)
    try:
        config = sampling_at(models.forward_sampling, given.guidance, given.rerank, given.what)
    except ValueError as error:
        parser.error(str(error))
    measure = Measure(models, recorded, rows, config)
    figures = unlike_figures if given.what == "unlike" else blend_figures
    printing.show(figures(measure, given.clips), given.json)


if __name__ == "__main__":
    main()
