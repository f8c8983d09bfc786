"""Evaluation holds few pairs at a time and reads no more than it needs; two processes measure what one does."""

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import tiny
from pipelines import digests
from processes import TWO, run
from torch import Tensor

from cycle_sound import paths
from cycle_sound.acquisition.claims import Claims
from cycle_sound.dataset.reader import Split
from cycle_sound.inference import export, fixed_batches
from cycle_sound.io import params_file
from cycle_sound.params import DIRECTIONS, Direction, Modality, target_of
from cycle_sound.report import page
from stages import evaluate, fit_confidence, sweep_sampling

BATCH = 8  # pairs, in place of a CPU's 32
TEST, VALID = 20, 12
BOTH = f"""
from torch import distributed as dist

from cycle_sound.inference import fixed_batches
from cycle_sound.nn import distributed
from cycle_sound.io.params_file import load
from cycle_sound.params import DIRECTIONS
from stages import evaluate, fit_confidence, sweep_sampling

fixed_batches.FIXED_BATCH["cpu"] = {BATCH}
with distributed.process_group():
    for direction in DIRECTIONS:
        sweep_sampling.main(direction, load())
        fit_confidence.main(direction, load())
        dist.barrier()  # what a stage's first process has written, each process of the next one reads
        evaluate.main(direction, load())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of random pairs, and of models that nobody trained."""
    folder = tmp_path_factory.mktemp("streaming") / "project"
    tiny.write_shards(folder, {"valid": VALID, "test": TEST})
    data = tiny.untrained(folder, codebooks=2)
    shutil.copytree(data / "classifier", data / "judge")
    originals = Split(folder / paths.SHARDS, "test").originals
    for path in (place for original in originals for place in original.places(folder / paths.RAW)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tiny.ORIGINAL)
    Claims(folder / paths.RAW).note(originals)
    return folder


@pytest.fixture
def project(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shutil.copytree(models, tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setitem(fixed_batches.FIXED_BATCH, "cpu", BATCH)
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """What is read of any split, in the order in which it is: a modality, and rows at a time."""
    reads: list[tuple[str, list[int]]] = []
    pictures = Split.pictures

    def noted(self: Split, modality: Any, rows: Any) -> Any:
        reads.append((modality, list(rows)))
        return pictures(self, modality, reads[-1][1])

    monkeypatch.setattr(Split, "pictures", noted)
    return reads


def test_a_sweep_reads_the_sources_that_it_tries_once_and_nothing_else(
    project: Path, read: list[tuple[str, list[int]]]
) -> None:
    params = params_file.load()
    assert len(params.sweep.guidances) > 1
    sweep_sampling.main("audio_to_image", params)
    assert read == [("audio", list(range(params.sweep.pairs)))]


def test_an_evaluation_reads_every_pair_and_few_at_a_time(project: Path, read: list[tuple[str, list[int]]]) -> None:
    params = params_file.load()
    pool = params.evaluate.retrieval_pool + params.evaluate.retrieval_queries - 1
    evaluate.main("audio_to_image", params)
    assert {row for modality, rows in read for row in rows if modality == "image"} == set(range(TEST))
    *batches, targets, queries, shape = (rows for _, rows in read)
    assert max(map(len, batches)) == BATCH
    assert [len(rows) for rows in (targets, queries, shape)] == [pool, params.evaluate.retrieval_queries, 1]


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_targets_that_repeat_themselves_are_evaluated_without_a_diversity(
    project: Path, direction: Direction, kinds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are one, or those of each label are: nothing to compare with is no figure, and nothing stumbles over it."""
    pictures = Split.pictures

    def repeated(self: Split, modality: Modality, rows: Iterable[int]) -> Tensor:
        return pictures(self, modality, [row % kinds if modality == target_of(direction) else row for row in rows])

    monkeypatch.setattr(Split, "pictures", repeated)
    evaluate.main(direction, params_file.load())
    found = json.loads((project / paths.metrics("evaluate", direction)).read_text())
    assert "diversity" not in found
    assert found.keys() >= {"class_consistency", "frechet_distance", "recall_at_1", "cycle_consistency"}
    table = list(csv.DictReader((project / paths.figures(direction)).open()))
    assert "class_consistency" in {row["figure"] for row in table}
    assert "class consistency" in page.measurements({direction: found}, params_file.load().evaluate).body
    export.export(project / "data", project / "exported")
    assert "| class_consistency |" in (project / "exported" / export.README).read_text(encoding="utf-8")


def test_a_confidence_is_fitted_to_the_first_of_valid_and_nothing_else(
    project: Path, read: list[tuple[str, list[int]]]
) -> None:
    params = params_file.load()
    fit_confidence.main("audio_to_image", params)
    rows = list(range(params.confidence.pairs))
    assert read == [("audio", rows), ("audio", [rows[-1], *rows[:-1]])]


def test_two_processes_measure_and_make_what_one_does(project: Path, models: Path, tmp_path: Path) -> None:
    together = shutil.copytree(models, tmp_path / "together")
    params = params_file.load()
    for direction in DIRECTIONS:
        sweep_sampling.main(direction, params)
        fit_confidence.main(direction, params)
        evaluate.main(direction, params)
    run(together, BOTH, TWO)
    for direction in DIRECTIONS:
        alone, both = (
            json.loads((one / paths.metrics("evaluate", direction)).read_text()) for one in (project, together)
        )
        assert both == pytest.approx(alone, rel=1e-6)
        assert alone.keys() >= {"frechet_distance", "diversity", "recall_at_1", "cycle_consistency", "gradient_ratio"}
        assert alone.keys() >= {"confidence_ece", "confidence_ece_unguided"}
        places = [paths.settings(stage, direction) for stage in ("sweep_sampling", "evaluate")]
        for place in (*places, paths.reliability(direction)):
            tables = [list(csv.reader((one / place).open())) for one in (project, together)]
            assert tables[0] == tables[1]
    made = {name: sha for name, sha in digests(project).items() if name.startswith("data/samples")}
    assert made == {name: sha for name, sha in digests(together).items() if name.startswith("data/samples")}
