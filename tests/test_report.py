"""The report: one page that needs nothing beside it, from what the other stages wrote."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import sharded

from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.tars import Sample
from cycle_sound.errors import BadSamples
from cycle_sound.evaluation import samples as stored
from cycle_sound.evaluation.samples import Samples
from cycle_sound.io.figures import Figure, grouped, sample_sizes
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.griffin_lim import GriffinLim
from cycle_sound.params import DIRECTIONS, MODALITIES, Direction, EvaluateConfig, Params, source_of
from cycle_sound.report import neighbours, page, strips
from cycle_sound.report.charts import Line, axis, chart
from cycle_sound.report.strips import ReportContext

NASTY = """<em>&"' Ba$$in {{ x }}"""  # a name that somebody gave a file, or a label
FIGURES = {"pairs": 5.0, "cross_entropy": 2.0, "cross_entropy_shuffled": 3.0}
CLASSES = {
    **{"class_consistency": 0.8, "class_consistency_low": 0.6, "class_consistency_high": 0.9},
    **{"class_consistency_floor": 0.1, "class_consistency_ceiling": 0.95},
}
SIZES = EvaluateConfig(
    retrieval_pool=3, retrieval_queries=4, rerank_candidates=[1], waveforms=2, kernel_pairs=9, shown=1, kept=1
)
CURVE = [{"step": f"{step}.0", "train_loss": "1.5", "valid_loss": f"{1 / step}"} for step in (1, 2, 3)]
UNSURE = [
    {"setting": f"<em>{setting}", "samples": "0", "confidence": "", "right": "", "right_low": "", "right_high": ""}
    for setting in ("own", "other")
]
BIN = {"samples": "9", "confidence": "0.94", "right": "0.9", "right_low": "0.8", "right_high": "0.95"}
SURE = [UNSURE[0], *({**row, **BIN} for row in UNSURE)]
WRITTEN = {"setting": "guidance 2", "pointwise_mutual_information": "3.5"}


class Text(HTMLParser):
    """What a browser shows of a page, its attributes among it, and which elements there are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.shown += [f"{value}" for name, value in attrs if name in ("alt", "aria-label")]

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def samples(direction: Direction, count: int, label: str) -> Samples:
    torch.manual_seed(count)
    shapes = {"image": (3, 16, 16), "audio": (1, 16, 16)}
    source = shapes[source_of(direction)]
    target = shapes["image" if source == shapes["audio"] else "audio"]
    pictures = {
        show: torch.rand(count, *(source if show in ("source", "returned") else target)) * 2 - 1
        for show in stored.SHOWS
    }
    ids = [f"{NASTY} {number}" for number in range(count)]
    return Samples(
        direction, **pictures, pointwise_mutual_information=torch.randn(count), ids=ids, labels=[label] * count
    )


@pytest.fixture
def train(tmp_path: Path) -> Split:
    generator = np.random.default_rng(0)
    pairs = [
        Sample(
            generator.integers(256, size=(3, 16, 16), dtype=np.uint8),
            generator.uniform(-1, 1, (1, 16, 16)).astype(np.float16),
            {"id": f"{NASTY} {number}", "label": NASTY, "group": "", "attributes": {}},
        )
        for number in range(6)
    ]
    sharded(tmp_path, train=[pairs])
    return Split(tmp_path, "train")


def context_of(train: Split, params: Params, labelled: bool) -> ReportContext:
    audio = params.audio.model_copy(update={"mels": 16, "fft": 256, "hop_length": 64})
    classifiers = {
        "image": Classifier(params.classifier, 3, ["bell", NASTY], None).eval(),
        "audio": Classifier(params.classifier, 1, ["bell", NASTY], None).eval(),
    }
    return ReportContext(
        train=dict.fromkeys(MODALITIES, train),
        classifiers=classifiers if labelled else {"image": None, "audio": None},
        vocoder=GriffinLim(audio, rounds=1),
        audio=audio,
        config=params.report,
        seed=0,
    )


def whole(context: ReportContext, count: int, labelled: bool) -> str:
    figures = {**FIGURES, NASTY: 0.5, f"{NASTY}_low": 0.4, f"{NASTY}_high": 0.6} | (CLASSES if labelled else {})
    row = WRITTEN | {name: str(value) if labelled else "" for name, value in CLASSES.items()}
    guidances = [row, {**row, "setting": f"guidance {NASTY}"}]
    tables = {"guidance": guidances, "candidates": [{**row, "setting": "best of 4"}]}
    both = [samples(direction, count, NASTY if labelled else "") for direction in DIRECTIONS]
    sections = [
        page.measurements(dict.fromkeys(DIRECTIONS, figures), SIZES),
        page.learning([("train_classifier", NASTY, CURVE), ("train_classifier", "audio", CURVE[:1])]),
        page.codebooks({NASTY: [{"step": "1.0", "valid_usage": "0.5", "valid_perplexity": "9"}] * 2}),
        page.sampling(dict.fromkeys(DIRECTIONS, tables)),
        page.confidence(dict.fromkeys(DIRECTIONS, SURE if labelled else UNSURE)),
        *(page.examples(one, context) for one in both),
        page.memorisation(both, context),
    ]
    return page.document(sections)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("count", [1, 5])
def test_the_page_needs_nothing_beside_it(train: Split, params: Params, labelled: bool, count: int):
    text = whole(context_of(train, params, labelled), count, labelled)
    outside = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"|https?://|url\(|@import|<script|<link', text)
    assert not outside
    assert "<audio" in text
    assert text.count("<img") == len(re.findall(r'<img alt="[^"]+"', text))


def test_names_and_labels_are_shown_letter_by_letter(train: Split, params: Params):
    text = Text(whole(context_of(train, params, labelled=True), 5, labelled=True))
    shown = "\n".join(text.shown)
    places = {
        "a pair, best": f"generated, {NASTY} ",
        "its label": f", {NASTY}: ",
        "a training pair": f" – {NASTY} ",
        "a label": f"\n{NASTY}\n",
        "a setting": f"\nguidance {NASTY}\n",
        "a figure": f"\n{NASTY}\n0.5",
        "a training": f"train_classifier {NASTY}: cross-entropy: train ends at 1.5",
        "a modality": f"{NASTY}: codes used",
    }
    assert [place for place, words in places.items() if words not in shown] == []
    assert "em" not in text.tags
    assert "&lt;" not in shown  # nothing is escaped twice


def test_data_with_fewer_than_two_labels_are_not_said_to_have_none(train: Split, params: Params):
    text = " ".join(whole(context_of(train, params, labelled=False), 5, labelled=False).split())
    few = "there are fewer than two labels to tell apart"
    assert f"There are no class figures, since {few}, or the test pairs have none of them;" in text
    assert f"pixels, since {few}, to the nearest" in text
    assert f"{few}, so nothing is named".capitalize() in text
    assert "nats by guidance" in text
    assert "class consistency" not in text
    assert text.count(f"It is not fitted: {few}, or these pairs have none of them.") == 2
    assert "no labels" not in text
    assert few not in " ".join(whole(context_of(train, params, labelled=True), 5, labelled=True).split()).lower()


@pytest.mark.parametrize("rows", [SURE, UNSURE, SURE[1:]])
@pytest.mark.parametrize("directions", [DIRECTIONS, DIRECTIONS[:1]])
def test_the_report_says_that_confidence_is_fitted_to_the_judge_and_held_against_it(
    rows: list[dict[str, str]], directions: Sequence[Direction]
):
    """As `calibration` does it: the classifiers are a part of the evidence."""
    said = " ".join(page.confidence(dict.fromkeys(directions, rows)).body.split())
    assert "fitted to the judge's decisions on validation pairs and compared here with its decisions on test" in said
    assert "classifier" not in said


def test_the_report_of_equal_inputs_has_equal_bytes(train: Split, params: Params):
    context = context_of(train, params, labelled=True)
    assert whole(context, 5, labelled=True) == whole(context, 5, labelled=True)


def test_a_figure_carries_its_interval_floor_and_ceiling():
    assert grouped(FIGURES | CLASSES) == [
        Figure("pairs", 5.0, None, None, None, None),
        Figure("cross_entropy", 2.0, None, None, 3.0, None),
        Figure("class_consistency", 0.8, 0.6, 0.9, 0.1, 0.95),
    ]
    assert [one.name for one in grouped({"recall_low": 0.5})] == ["recall_low"]  # of no other figure


def test_a_bar_lies_where_its_figure_does():
    text = str(page.measurements({"audio_to_image": {"pairs": 5.0, **CLASSES}}, SIZES).body)
    assert '<i class="room" style="left:10.0%;width:85.0%"></i>' in text
    assert '<i class="interval" style="left:60.0%;width:30.0%"></i>' in text
    assert '<i class="dot" style="left:80.0%"></i>' in text
    assert "class consistency 0.800, 95 % interval 0.600 to 0.900, floor 0.100, ceiling 0.950" in text


def test_the_report_says_which_figures_are_not_of_all_test_pairs():
    text = " ".join(page.measurements(dict.fromkeys(DIRECTIONS, FIGURES), SIZES).body.split())
    assert "fewer than all 5 test pairs: recall is of 4 sources, the kernel distance of 5 pairs, and what" in text
    assert f"{sample_sizes(5, queries=4, kernel_pairs=9, waveforms=2)}" in text
    assert text.count("on the 5 test pairs</h3>") == 2


def test_a_training_that_was_validated_once_is_named_instead_of_drawn():
    text = str(page.learning([("train_vae", "image", []), ("train_classifier", "image", CURVE)]).body)
    assert "fewer than two times: train_vae image." in text
    assert text.count("<svg") == 1


@pytest.mark.parametrize("labelled", [True, False])
def test_a_copy_of_a_training_target_is_its_own_neighbour(train: Split, params: Params, labelled: bool):
    classifier = context_of(train, params, labelled).classifiers["image"]
    queries = train.pictures("image", [4, 2])
    queries = torch.cat([queries, torch.rand(1, 3, 16, 16) * 2 - 1])
    found = neighbours.nearest(classifier, train, "image", queries, len(train))
    assert found.rows[:2].tolist() == [4, 2]
    assert found.distances[:2] == pytest.approx(0, abs=1e-5)
    assert found.distances[2] > 1e-3


def test_the_nearest_is_the_nearest_whatever_the_batches(train: Split, params: Params, monkeypatch: pytest.MonkeyPatch):
    queries = torch.rand(4, 1, 16, 16) * 2 - 1
    known = train.pictures("audio", range(len(train))).flatten(1)
    wanted = torch.cdist(queries.flatten(1), known)
    monkeypatch.setattr(neighbours, "BATCH", 4)
    found = neighbours.nearest(None, train, "audio", queries, len(train))
    assert found.rows.tolist() == wanted.argmin(1).tolist()
    assert torch.allclose(found.distances, wanted.min(1).values, rtol=1e-4)


def test_no_more_training_targets_are_looked_through_than_wanted_and_the_page_says_how_many(
    train: Split, params: Params, monkeypatch: pytest.MonkeyPatch
):
    read: set[int] = set()
    pictures = Split.pictures

    def noted(self: Split, modality: Any, rows: Any) -> Any:
        read.update(rows)
        return pictures(self, modality, rows)

    monkeypatch.setattr(Split, "pictures", noted)
    monkeypatch.setattr(neighbours, "BATCH", 2)
    found = neighbours.nearest(None, train, "audio", torch.zeros(2, 1, 16, 16), 5)
    assert read == set(range(5))
    assert (found.rows < 5).all()
    context = context_of(train, params, labelled=False)
    few = context._replace(config=params.report.model_copy(update={"neighbours_among": 5}))
    assert f"of {len(train)} training targets.</p>" in whole(context, 5, labelled=False)
    assert f"of 5 training targets, of {len(train)} that there are.</p>" in whole(few, 5, labelled=False)


def test_the_ratio_is_one_for_equal_distances_and_small_for_copies():
    real = torch.linspace(1, 2, 50)
    same, copies = neighbours.ratio(real, real, 0), neighbours.ratio(real / 10, real, 0)
    assert same == (1, 1, 1)
    assert copies == pytest.approx((0.1, 0.1, 0.1))  # pairs are drawn, not one side for itself
    assert neighbours.ratio(real, torch.zeros(50), 0) is None
    assert neighbours.ratio(real[:1], real[:1], 0) is None


def test_the_interval_of_the_ratio_is_that_of_a_bootstrap_over_pairs():
    generated, real = 1 + np.random.default_rng(1).random((2, 200))
    found = neighbours.ratio(torch.tensor(generated), torch.tensor(real), 0)
    drawn = np.random.default_rng(2).integers(200, size=(4000, 200))
    ratios = np.median(generated[drawn], axis=1) / np.median(real[drawn], axis=1)
    expected = [np.median(generated) / np.median(real), *np.quantile(ratios, [0.025, 0.975])]
    assert found == pytest.approx(expected, abs=0.01)
    assert found == neighbours.ratio(torch.tensor(generated), torch.tensor(real), 0)
    assert found != neighbours.ratio(torch.tensor(generated), torch.tensor(real), 1)


def test_real_targets_on_training_targets_give_no_verdict_by_chance():
    real = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0])  # its median is not 0, but that of many resamples is
    assert neighbours.ratio(torch.ones(5), real, 0) is None


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_best_explain_more_than_the_median_and_those_more_than_the_worst(count: int):
    given = samples("audio_to_image", count, "")
    ranked = strips.ranked(given, 3)
    assert list(ranked) == ["best", "median", "worst"]
    best, median, worst = (given.pointwise_mutual_information[rows] for rows in ranked.values())
    assert best.max() == given.pointwise_mutual_information.max()
    assert worst.min() == given.pointwise_mutual_information.min()
    assert best.min() >= median.max() >= median.min() >= worst.max()


def test_samples_survive_their_file_within_its_precision(tmp_path: Path):
    for direction in DIRECTIONS:
        given = samples(direction, 5, "bell")
        stored.save(tmp_path / "samples", given)
        once = (tmp_path / "samples").read_bytes()
        found = stored.load(tmp_path / "samples")
        stored.save(tmp_path / "samples", found)
        assert (tmp_path / "samples").read_bytes() == once
        assert (found.direction, found.ids, found.labels) == (direction, given.ids, given.labels)
        for show in stored.SHOWS:
            assert torch.allclose(getattr(found, show), getattr(given, show), atol=1 / 127)
        assert torch.equal(found.pointwise_mutual_information, given.pointwise_mutual_information)
    (tmp_path / "other").write_bytes(b"not samples")
    with pytest.raises(BadSamples):
        stored.load(tmp_path / "other")


@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [0.001, 0.0012], [-5.0, 12345.0], [0.0, 1.0]])
def test_an_axis_holds_its_values_between_few_round_ticks(values: list[float]):
    found = axis(values)
    assert found.low <= min(values)
    assert max(values) <= found.high
    assert 2 <= len(found.ticks) <= 7


def test_a_chart_leaves_out_empty_lines_and_tells_its_lines_in_words():
    (drawn,) = chart("loss", [Line("train", [1, 2], [3, 0.5]), Line("none", [], [])], "steps")
    assert [line.name for line in drawn.lines] == ["train"]
    text = page.TEMPLATES.get_template("charts.html.j2").make_module().draw(drawn)
    assert 'aria-label="loss: train ends at 0.5"' in text
    assert chart("nothing", [], "steps") == []


def test_a_line_goes_through_its_points_between_its_axes():
    (drawn,) = chart("loss", [Line("train", [0, 1], [0, 1], lows=[0, 0.5], highs=[0.5, 1])], "steps")
    text = page.TEMPLATES.get_template("charts.html.j2").make_module().draw(drawn)
    assert '<path d="M40.0 164.0L320.0 10.0"/>' in text  # left and low to right and high
    assert 'd="M40.0 164.0L320.0 87.0L320.0 10.0L40.0 87.0Z"' in text
