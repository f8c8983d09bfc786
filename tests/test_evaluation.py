"""Floors are floors: what makes each one of them can be seen to be there."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.text import Text
from ruamel.yaml import YAML
from torch import Tensor, nn

from cycle_sound.evaluation import direction_metrics, examples, label_metrics, metrics, sweep
from cycle_sound.evaluation.generation import DirectionModels, Generated
from cycle_sound.evaluation.samples import Samples
from cycle_sound.io import files
from cycle_sound.media import spectrogram
from cycle_sound.params import Params

COUNT = 12


class KnownEngine:
    """Stands for an engine: a source is its number, and so are a target's codes."""

    def __init__(self, common: Tensor, match: float = 2.0) -> None:
        self.common, self.match = common, match  # log p(target | null), (n,); what its own source adds
        self.models = SimpleNamespace(classifiers={"image": None, "audio": None})

    def encode(self, _modality: str, pictures: Tensor) -> Tensor:
        return pictures

    def prefixes(self, _direction: str, sources: Tensor) -> Tensor:
        return sources.view(-1, 1, 1)

    def null_prefixes(self, _direction: str, count: int) -> Tensor:
        return torch.full((count, 1, 1), -1.0)

    def log_likelihood(self, _direction: str, prefixes: Tensor, codes: Tensor) -> Tensor:
        own = prefixes.flatten() == codes.flatten()
        return self.common[codes.flatten().long()] + self.match * own


class Names(nn.Linear):
    """Stands for a classifier: it reads a picture's label off its first pixel."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__(1, 1)  # there is a weight to say on which device it is
        self.labels = list(labels)

    def features(self, pictures: Tensor) -> Tensor:
        return pictures.flatten(1)[:, :1]

    def head(self, features: Tensor) -> Tensor:
        return F.one_hot(features[:, 0].long(), len(self.labels)).float()


class Numbered:
    """Stands for a split: a picture is the number of its row, and which rows were read is noted."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.read: set[int] = set()

    def pictures(self, _modality: str, rows: Iterable[int]) -> Tensor:
        chosen = list(rows)
        self.read |= set(chosen)
        return torch.tensor([float(row) for row in chosen]).view(-1, 1, 1, 1)


def direction(engine: object, labels: Sequence[str] = ("a",) * COUNT) -> DirectionModels:
    return DirectionModels(engine, "audio_to_image", None, None, Numbered(labels), {})  # type: ignore[arg-type]


def recall(models: DirectionModels, params: Params, **sizes: int) -> dict[str, float]:
    config = params.evaluate.model_copy(update={f"retrieval_{name}": size for name, size in sizes.items()})
    return direction_metrics.retrieval(direction_metrics.ranks(models, config), sizes["pool"])


def test_a_target_that_is_likely_under_any_source_wins_no_retrieval(params: Params) -> None:
    """Without log p(target | null) the likely one would come first for every source."""
    common = torch.zeros(COUNT)
    common[3] = 10.0
    found = recall(direction(KnownEngine(common)), params, pool=COUNT, queries=COUNT)
    assert found["recall_at_1"] == 1.0
    assert found["recall_at_1_floor"] == pytest.approx(1 / COUNT)


@pytest.mark.parametrize(("pool", "kinds"), [(1, 1), (3, 1), (COUNT, 1), (COUNT, 2), (COUNT, 3), (COUNT, COUNT)])
def test_targets_that_a_model_does_not_tell_apart_are_retrieved_by_lot(params: Params, pool: int, kinds: int) -> None:
    """A source of a kind finds that kind of targets, and within it none."""

    class Kinds(KnownEngine):
        def log_likelihood(self, direction: str, prefixes: Tensor, codes: Tensor) -> Tensor:
            known = torch.where(prefixes < 0, prefixes, prefixes % kinds)  # the null source is below 0
            return super().log_likelihood(direction, known, codes % kinds)

    found = recall(direction(Kinds(torch.zeros(COUNT))), params, pool=pool, queries=COUNT)
    alike = pool // kinds
    assert found["recall_at_1"] == pytest.approx(1 / alike)
    assert found["recall_at_5"] == pytest.approx(min(5 / alike, 1))
    for k in (1, 5):
        assert kinds > 1 or found[f"recall_at_{k}"] == pytest.approx(found[f"recall_at_{k}_floor"])
        assert 0 <= found[f"recall_at_{k}_low"] <= found[f"recall_at_{k}"] <= found[f"recall_at_{k}_high"] <= 1


def test_the_recall_of_ties_is_its_mean_over_all_orders_of_them() -> None:
    ranks = np.array([[0, 0], [0, 1], [0, 9], [3, 6], [4, 4], [5, 7]])
    for k in (1, 5):
        shares = [np.mean([rank < k for rank in range(first, last + 1)]) for first, last in ranks]
        assert direction_metrics.retrieval(ranks, 10)[f"recall_at_{k}"] == pytest.approx(np.mean(shares))


def test_retrieval_looks_at_no_more_pairs_than_it_ranks(params: Params) -> None:
    models = direction(KnownEngine(torch.zeros(COUNT)))
    recall(models, params, pool=3, queries=5)
    assert models.split.read == set(range(5 + 3 - 1))  # type: ignore[attr-defined]


def cross_entropies(models: DirectionModels, size: int) -> dict[str, list[float]]:
    """Of all pairs, so many at a time."""
    batches = [range(start, min(start + size, COUNT)) for start in range(0, COUNT, size)]
    parts = [direction_metrics.likelihood(models, rows, models.codes(rows)) for rows in batches]
    return {name: [value for part in parts for value in part[name].tolist()] for name in parts[0]}


def test_a_single_pair_has_no_other_source_to_compare_with() -> None:
    for pairs in (1, 2, 3):
        models = direction(KnownEngine(torch.zeros(COUNT)), ("a",) * pairs)
        found = direction_metrics.likelihood(models, range(pairs), models.codes(range(pairs)))
        assert ("cross_entropy_shuffled" in found) == (pairs > 1)
        assert (found["cross_entropy"] < found.get("cross_entropy_shuffled", np.inf)).all()


def test_a_model_that_does_not_hear_its_source_retrieves_by_chance_and_gains_nothing() -> None:
    common = torch.randn(COUNT, generator=torch.Generator().manual_seed(0))
    deaf = cross_entropies(direction(KnownEngine(common, match=0.0)), COUNT)
    assert deaf["cross_entropy"] == deaf["cross_entropy_shuffled"]
    hearing = cross_entropies(direction(KnownEngine(common)), COUNT)
    assert hearing["cross_entropy"] == pytest.approx([value - 2.0 for value in hearing["cross_entropy_shuffled"]])
    assert cross_entropies(direction(KnownEngine(common)), 5) == hearing


@pytest.mark.parametrize("labels", [["a", "b", "c", "d"] * 5, sorted(["a", "b", "c", "d"] * 5)])
def test_the_floor_of_a_consistency_is_what_chance_gives_in_whatever_order(labels: list[str]) -> None:
    names = Names(["a", "b", "c", "d"])
    found = label_metrics.consistency("x", labels, names, {"x": np.array(labels)})
    assert found["x"] == 1.0
    assert found["x_floor"] == 0.25
    one_for_all = label_metrics.consistency("x", labels, names, {"x": np.array(["a"] * 20)})
    assert one_for_all["x"] == one_for_all["x_floor"] == 0.25  # a sample that fits anything is no better than its floor


@pytest.mark.parametrize("labels", [["", "", ""], ["unknown", "", "other"]])
def test_pairs_without_a_label_that_the_classifier_knows_have_no_consistency(labels: list[str]) -> None:
    assert label_metrics.consistency("x", labels, Names(["a", "b"]), {"x": np.array(["a"] * 3)}) == {}
    assert label_metrics.consistency("x", labels, None, {}) == {}


def test_of_partly_labelled_pairs_the_labelled_ones_count() -> None:
    names = Names(["a", "b"])
    found = label_metrics.classify("x", names, torch.zeros(4, 1, 1, 1))
    assert label_metrics.consistency("x", ["a", "", "b", "unknown"], names, found)["x"] == 0.5


def spread(labels: str, features: np.ndarray) -> dict[str, float]:
    """The diversity of samples that lie 2 apart, beside real targets of such labels, a letter each, and features."""
    found = {"features": features.astype(np.float32), "between": np.full(len(labels), 2.0)}
    return direction_metrics.diversity([*labels], range(len(labels)), found)


@pytest.mark.parametrize("far", [0.0, 1.0, 30.0])
@pytest.mark.parametrize("labels", ["aa", "aabbb", "abcabc", "aab"])
def test_a_diversity_is_that_of_samples_over_that_of_real_targets_of_their_label(labels: str, far: float) -> None:
    """Wherever the features lie: differences of large squares would lose them."""
    real = np.random.default_rng(0).normal(far, 0.1, (len(labels), 64)).astype(np.float32)
    each = [
        np.mean([np.linalg.norm(real[i].astype(float) - real[j]) for i, j in combinations(rows, 2)])
        for rows in ([row for row, own in enumerate(labels) if own == label] for label in sorted(set(labels)))
        if len(rows) > 1
    ]
    assert spread(labels, real)["diversity"] == pytest.approx(2 / np.mean(each), rel=1e-6)


@pytest.mark.parametrize("labels", ["a", "ab", "aa", "aabb", "aaabbbccc", "aabc", "a" * 40 + "b" * 40])
def test_where_the_real_targets_of_each_label_are_one_there_is_no_diversity(labels: str) -> None:
    each = np.random.default_rng(0).normal(3, 1, (3, 192))
    same = each[["abc".index(label) for label in labels]]
    assert spread(labels, same) == {}
    if "aa" in labels:
        same[0] += 1
        assert 0 < spread(labels, same)["diversity"] < np.inf


def test_the_judge_says_what_it_sees_whatever_the_classifier_says() -> None:
    labels, judge = ["a", "b", "c", "d"], Names(["a", "b", "c", "e"])
    models = direction(KnownEngine(torch.zeros(4)), labels)._replace(judges={"image": judge})
    made, pairs = torch.tensor([0.0, 1.0, 0.0, 3.0]).view(-1, 1, 1, 1), models.pairs(range(4))
    generated = Generated(
        *(made[:, None], torch.zeros(4, 1), made, torch.zeros(4), np.empty((4, 0)), made, made, pairs.target)
    )
    found = direction_metrics.judge_figures(labels, judge, direction_metrics.judged(models, pairs, generated))
    assert found["class_consistency_judge"] == pytest.approx(2 / 3)  # of those whose label it knows
    assert found["class_consistency_judge_ceiling"] == found["judge_accuracy"] == 1.0
    without = models._replace(judges={"image": None})
    assert direction_metrics.judge_figures(labels, None, direction_metrics.judged(without, pairs, generated)) == {}


def test_pairs_held_are_the_wanted_ones_of_whatever_batch() -> None:
    models, wanted = direction(KnownEngine(torch.zeros(COUNT))), {1, 2, 9, 30}
    parts = []
    for rows in (range(8), range(8, COUNT)):
        pairs = models.pairs(rows)
        generated = Generated(
            *(pairs.target[:, None], torch.zeros(len(rows), 1), pairs.target, torch.zeros(len(rows))),
            *(np.zeros((len(rows), 2)), *[pairs.target] * 3),
        )
        parts.append(examples.hold(rows, wanted, pairs, generated))
    assert [part["real"].flatten().tolist() for part in parts] == [[1, 2], [9]]
    assert [len(part["waveform"]) for part in parts] == [2, 1]


def test_moments_of_parts_make_the_frechet_distance_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(3, 1, (70, 4)).astype(np.float32), rng.normal(2, 2, (50, 4)).astype(np.float32)
    moments = direction_metrics.FeatureMoments()
    for start, end in ((0, 0), (0, 1), (1, 40), (40, 70)):
        moments.add("a", range(start, end), a[start:end])
    found = moments.whole()["a"]
    assert found[:, 0, 0].tolist() == [4] * 10 + [3] * 10  # 70 rows by their remainders
    whole = metrics.frechet_distance(metrics.moments(a), metrics.moments(b))
    assert metrics.frechet_distance(found.sum(0), metrics.moments(b)) == pytest.approx(whole, rel=1e-9)
    mean, covariance = metrics._gaussian(found.sum(0))
    assert np.allclose(mean, a.mean(0))
    assert np.allclose(covariance, np.cov(a, rowvar=False))


@pytest.mark.parametrize("count", [2, 19, 20, 60])
def test_the_frechet_distance_has_an_interval_where_no_group_is_empty(count: int) -> None:
    moments = direction_metrics.FeatureMoments()
    for number, name in enumerate(("generated", "tokenized", "real")):
        moments.add(name, range(count), np.random.default_rng(number).normal(number, 1, (count, 3)))
    found = direction_metrics.frechet_distances(moments.whole())
    assert ("frechet_distance_low" in found) == (count >= 20)
    if count >= 20:
        assert 0 <= found["frechet_distance_low"] < found["frechet_distance"] < found["frechet_distance_high"]


@pytest.mark.parametrize("label", ["Ba$$in", "$", "a $5 bell, a $9 drum", "$\\frac{$", "$x^{$ & _{", "\\$x$"])
def test_a_label_is_drawn_letter_by_letter_and_never_as_mathematics(label: str, tmp_path: Path) -> None:
    pictures, information = torch.zeros(2, 3, 8, 8), torch.zeros(2)
    samples = Samples("audio_to_image", *[pictures] * 5, information, ["1", "2"], [label, "plain"])
    examples.contact_sheet(tmp_path / "sheet.png", samples, [0, 1])
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=label)
    axes.set_xlabel(label)
    axes.set_xticks([0], [label])
    axes.legend()
    figure.suptitle(label)
    figure.text(0, 0, label)
    spectrogram.save(figure, tmp_path / "plot.png")
    assert not any(text.get_parse_math() for text in figure.findobj(Text))  # some labels are valid mathematics


# --- tables of settings


def table(tmp_path: Path, labels: Sequence[str], classifier: nn.Module | None) -> tuple[list[str], list[str]]:
    """The columns of a table of two settings, and those of them in which something stands."""
    models = direction(KnownEngine(torch.zeros(COUNT)), labels)
    both = {"image": classifier, "audio": classifier}
    models.engine.models.classifiers = both
    found = np.array(["a", "b"] * (COUNT // 2))
    measured = {
        f"best of {count}: {name}": np.ones(COUNT) if name == "pointwise_mutual_information" else found
        for count in (1, 4)
        for name in ("pointwise_mutual_information", *sweep.CONSISTENCIES)
    }
    rows = sweep.table(models._replace(judges=both), ["best of 1", "best of 4"], measured)  # type: ignore[arg-type]
    files.write_csv(tmp_path / "table.csv", rows)
    first, second = files.read_csv(tmp_path / "table.csv")
    assert [name for name, value in first.items() if value] == [name for name, value in second.items() if value]
    return list(first), [name for name, value in first.items() if value]


def test_without_labels_a_table_has_the_same_columns_which_the_plots_name(tmp_path: Path) -> None:
    columns, filled = table(tmp_path, ["a", "b"] * (COUNT // 2), Names(["a", "b"]))
    assert filled == columns
    for labels, classifier in ((["c"] * COUNT, Names(["a", "b"])), ([""] * COUNT, None)):
        assert table(tmp_path, labels, classifier) == (columns, ["setting", "pointwise_mutual_information"])
    plots = YAML(typ="safe").load(Path(__file__).resolve().parents[1] / "dvc.yaml")["plots"]
    shown = [plot[one]["y"] for plot in plots for one in ("sweep_sampling", "candidates") if one in plot]
    named = {name for tables in shown for names in tables.values() for name in names}
    assert {f"{name}{end}" for name in named for end in ("", "_low", "_high", "_floor")} < set(columns)
