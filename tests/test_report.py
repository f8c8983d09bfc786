"""The report: one page that needs nothing beside it, from what the other stages wrote."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cycle_sound import samples as made
from cycle_sound.classifier import Classifier
from cycle_sound.params import DIRECTIONS, Direction, Params, source_of
from cycle_sound.report import neighbours, page, strips
from cycle_sound.report.charts import Line, axis, chart
from cycle_sound.report.page import Ground
from cycle_sound.samples import BadSamples, Samples
from cycle_sound.shards import Sample, Split, write_shard

FIGURES = {"pairs": 5.0, "cross_entropy": 2.0, "cross_entropy_shuffled": 3.0}
CLASSES = {
    **{"class_consistency": 0.8, "class_consistency_low": 0.6, "class_consistency_high": 0.9},
    **{"class_consistency_floor": 0.1, "class_consistency_ceiling": 0.95},
}
CURVE = [{"step": f"{step}.0", "train_loss": "1.5", "valid_loss": f"{1 / step}"} for step in (1, 2, 3)]
WRITTEN = {"setting": "guidance 2", "explained": "3.5"}


def samples(direction: Direction, count: int, label: str) -> Samples:
    torch.manual_seed(count)
    shapes = {"image": (3, 16, 16), "audio": (1, 16, 16)}
    source = shapes[source_of(direction)]
    target = shapes["image" if source == shapes["audio"] else "audio"]
    pictures = {
        show: torch.rand(count, *(source if show in ("source", "returned") else target)) * 2 - 1 for show in made.SHOWS
    }
    ids = [f"<pair> {number}" for number in range(count)]
    return Samples(direction, **pictures, explained=torch.randn(count), ids=ids, labels=[label] * count)


@pytest.fixture
def train(tmp_path: Path) -> Split:
    generator = np.random.default_rng(0)
    pairs = [
        Sample(
            generator.integers(256, size=(3, 16, 16), dtype=np.uint8),
            generator.uniform(-1, 1, (1, 16, 16)).astype(np.float16),
            {"id": f"train {number}", "label": "bell", "group": "", "attributes": {}},
        )
        for number in range(6)
    ]
    write_shard(tmp_path / "train-000000.tar", pairs)
    return Split(tmp_path, "train")


def ground(train: Split, params: Params, labelled: bool) -> Ground:
    sound = params.audio.model_copy(update={"mels": 16, "fft": 256, "hop_length": 64, "griffin_lim_rounds": 1})
    judges = {
        "image": Classifier(params.classifier, 3, ["bell", "bird"]).eval(),
        "audio": Classifier(params.classifier, 1, ["bell", "bird"]).eval(),
    }
    return Ground(train, judges if labelled else {"image": None, "audio": None}, sound, params.report, 0)


def whole(ground: Ground, count: int, labelled: bool) -> str:
    figures = FIGURES | (CLASSES if labelled else {})
    row = WRITTEN | ({name: str(value) for name, value in CLASSES.items()} if labelled else {})
    rows = [row, {**row, "setting": "best of 4"}]
    tables = {"valid": rows, "test": rows}
    both = [samples(direction, count, "bell" if labelled else "") for direction in DIRECTIONS]
    sections = [
        page.measured(dict.fromkeys(DIRECTIONS, figures)),
        page.learned([("train_classifier", "image", CURVE if labelled else CURVE[:1])]),
        page.codebooks({"image": [{"step": "1.0", "valid_usage": "0.5", "valid_perplexity": "9"}] * 2}),
        page.tried(dict.fromkeys(DIRECTIONS, tables)),
        *(page.made(one, ground) for one in both),
        page.memorised(both, ground),
    ]
    return page.document(sections)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_the_page_needs_nothing_beside_it(train: Split, params: Params, labelled: bool, count: int):
    text = whole(ground(train, params, labelled), count, labelled)
    outside = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|https?://|url\(|@import|<script|<link', text)
    assert not outside
    assert "<audio" in text
    assert text.count("<img") == len(re.findall(r'<img alt="[^"]+"', text))
    assert "<pair>" not in text  # names come from files


def test_data_without_labels_are_said_to_have_none(train: Split, params: Params):
    text = whole(ground(train, params, labelled=False), 5, labelled=False)
    assert "The data have no labels, so there are no class figures" in text
    assert "in pixels, since the data have no labels" in text
    assert "nats explained by guidance" in text
    assert "class consistency" not in text
    assert "no labels" not in whole(ground(train, params, labelled=True), 5, labelled=True)


def test_the_same_evidence_makes_the_same_bytes(train: Split, params: Params):
    evidence = ground(train, params, labelled=True)
    assert whole(evidence, 5, labelled=True) == whole(evidence, 5, labelled=True)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_copy_of_a_training_target_is_its_own_neighbour(train: Split, params: Params, labelled: bool):
    judge = ground(train, params, labelled).judges["image"]
    queries = train.pictures("image", [4, 2])
    queries = torch.cat([queries, torch.rand(1, 3, 16, 16) * 2 - 1])
    found = neighbours.nearest(judge, train, "image", queries)
    assert found.rows[:2].tolist() == [4, 2]
    assert found.distances[:2] == pytest.approx(0, abs=1e-5)
    assert found.distances[2] > 1e-3


def test_the_nearest_is_the_nearest_whatever_the_batches(train: Split, params: Params, monkeypatch: pytest.MonkeyPatch):
    queries = torch.rand(4, 1, 16, 16) * 2 - 1
    known = train.pictures("audio", range(len(train))).flatten(1)
    wanted = torch.cdist(queries.flatten(1), known)
    monkeypatch.setattr(neighbours, "BATCH", 4)
    found = neighbours.nearest(None, train, "audio", queries)
    assert found.rows.tolist() == wanted.argmin(1).tolist()
    assert torch.allclose(found.distances, wanted.min(1).values, rtol=1e-4)


def test_the_ratio_is_one_for_the_same_distances_and_small_for_copies():
    real = torch.linspace(1, 2, 50)
    same, copies = neighbours.ratio(real, real, 0), neighbours.ratio(real / 10, real, 0)
    assert same == (1, 1, 1)
    assert copies is not None
    assert copies.low <= copies.value <= copies.high < 0.2
    assert neighbours.ratio(real, torch.zeros(50), 0) is None


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_best_explain_more_than_the_median_and_those_more_than_the_worst(count: int):
    given = samples("audio_to_image", count, "")
    ranked = strips.ranked(given, 3)
    assert list(ranked) == ["best", "median", "worst"]
    best, median, worst = (given.explained[rows] for rows in ranked.values())
    assert best.max() == given.explained.max()
    assert worst.min() == given.explained.min()
    assert best.min() >= median.max() >= median.min() >= worst.max()


def test_samples_survive_their_file_within_its_precision(tmp_path: Path):
    for direction in DIRECTIONS:
        given = samples(direction, 5, "bell")
        made.save(tmp_path / "samples", given)
        once = (tmp_path / "samples").read_bytes()
        found = made.load(tmp_path / "samples")
        made.save(tmp_path / "samples", found)
        assert (tmp_path / "samples").read_bytes() == once
        assert (found.direction, found.ids, found.labels) == (direction, given.ids, given.labels)
        for show in made.SHOWS:
            assert torch.allclose(getattr(found, show), getattr(given, show), atol=1 / 127)
        assert torch.equal(found.explained, given.explained)
    (tmp_path / "other").write_bytes(b"not samples")
    with pytest.raises(BadSamples):
        made.load(tmp_path / "other")


@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [0.001, 0.0012], [-5.0, 12345.0], [0.0, 1.0]])
def test_an_axis_holds_its_values_between_few_round_ticks(values: list[float]):
    found = axis(values)
    assert found.low <= min(values)
    assert max(values) <= found.high
    assert 2 <= len(found.ticks) <= 7


def test_a_chart_says_its_lines_in_words_too():
    text = chart("loss", [Line("train <1>", [1, 2], [3, 0.5]), Line("none", [], [])], "steps")
    assert "train &lt;1&gt; ends at 0.5" in text
    assert "none" not in text
    assert chart("nothing", [], "steps") == ""
