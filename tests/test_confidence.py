"""Confidence: a probability that is calibrated, that no other pair touches, and below which nothing is written."""

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from commands import Run, is_one_line_of_error, running, told
from pairs import pictures, tones
from PIL import Image
from scipy.special import expit

from cycle_sound import paths
from cycle_sound.errors import BadCard, BadConfidence
from cycle_sound.evaluation import calibration, confidence_fit, metrics
from cycle_sound.inference import card, confidence, export
from cycle_sound.inference.confidence import Confidence, Evidence, Familiarity, ModelDigests, Terms
from cycle_sound.inference.system import CycleSound
from cycle_sound.models import dvae
from cycle_sound.params import DIRECTIONS, MODALITIES, Direction, Params, source_of, target_of

RATE = 16000
KINDS = tuple(Terms.model_fields)
FAMILIAR = Familiarity(
    mean=-4.0, scale=0.3, freedom=100, unfamiliar=1e-9
)  # all sources, as near as makes no difference
BY = ModelDigests(
    transformers=dict.fromkeys(DIRECTIONS, "a" * 64), classifiers=dict.fromkeys(MODALITIES, "b" * 64), decoders={}
)


def drawn(count: int, seed: int, spread: float = 1.0) -> Evidence:
    """Evidence of so many pairs with familiar sources, of different means and spreads."""
    values = np.random.default_rng(seed).normal(size=(len(KINDS), count)) * spread
    return given(*(values * [[0.1], [2.0], [1.0], [3.0]] + [[0.5], [-1.0], [0.0], [2.0]]))


def given(*values: np.ndarray) -> Evidence:
    """Evidence of pairs with familiar sources, of all kinds that speak for a target."""
    return Evidence(*values, source_error=np.full(len(values[0]), np.exp(FAMILIAR.mean)))


def happened(evidence: Evidence, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The true probabilities of evidence, and outcomes drawn by them."""
    information, alignment, back, agreement, _ = evidence
    likely = expit(1.0 + 12 * (information - 0.5) + 0.8 * (alignment + 1) + 0.5 * back + 0.3 * (agreement - 2))
    return likely, np.random.default_rng(seed).random(len(likely)) < likely


def fit(evidence: Evidence, right: np.ndarray, penalty: float = 1.0, drawn: np.ndarray | None = None) -> Confidence:
    own = np.ones(len(right), bool) if drawn is None else drawn
    return confidence_fit.fit(evidence, right, own, FAMILIAR, penalty, BY)


# --- the regression


def test_a_fitted_confidence_is_calibrated_and_close_to_the_truth() -> None:
    seen, fresh = drawn(4000, 0), drawn(4000, 1)
    fitted = fit(seen, happened(seen, 2)[1])
    likely, outcomes = happened(fresh, 3)
    found = np.array(fitted.of(fresh))
    assert np.abs(found - likely).max() < 0.05
    assert metrics.calibration_error(found, outcomes, 10).value < 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_confidence_rises_with_every_kind_of_evidence_that_speaks_for_it(kind: str) -> None:
    seen = drawn(4000, 0)
    fitted = fit(seen, happened(seen, 2)[1])
    level = given(*(np.full(50, getattr(seen, name).mean()) for name in KINDS))
    rising = fitted.of(level._replace(**{kind: np.linspace(-5, 5, 50)}))
    assert rising == sorted(rising)
    assert rising[0] < fitted.of(level)[0] < rising[-1]


@pytest.mark.parametrize("right", [np.ones(30, bool), np.zeros(30, bool)])
def test_where_all_or_none_are_right_the_odds_are_what_so_many_samples_tell(right: np.ndarray) -> None:
    found = np.array(fit(drawn(30, 0), right).of(drawn(30, 1)))
    assert np.allclose(found, 31 / 32 if right.all() else 1 / 32, atol=1e-6)


def test_evidence_that_parts_right_from_wrong_leaves_no_certainty() -> None:
    seen = drawn(40, 0)
    right = seen.alignment > -1
    fitted = fit(seen, right)
    assert np.mean((np.array(fitted.of(seen)) > 0.5) == right) > 0.9
    assert 0.9 < max(fitted.of(seen)) < 0.9999
    assert all(abs(term["weight"]) < 10 for term in fitted.terms.model_dump().values())


@pytest.mark.parametrize("wrong", [1, 2])
def test_few_errors_among_many_are_enough(wrong: int) -> None:
    seen = drawn(500, 0)
    right = np.arange(500) >= wrong
    fitted = fit(seen, right)
    assert np.mean(fitted.of(seen)) == pytest.approx(1 - wrong / 500, abs=0.01)


@pytest.mark.parametrize("wrong", [0, 3])
@pytest.mark.parametrize("others", [50, 500])
def test_targets_of_other_sources_teach_what_is_wrong_but_not_how_often(wrong: int, others: int) -> None:
    own, other = drawn(500, 0), drawn(others, 1)
    strange = given(*(part - 5 * part.std() for part in other[: len(KINDS)]))
    right = np.arange(500 + others) < 500 - wrong
    both = Evidence(*(np.concatenate(parts) for parts in zip(own, strange, strict=True)))
    fitted = fit(both, right, drawn=np.arange(500 + others) < 500)
    assert np.mean(fitted.of(own)) == pytest.approx((500 - wrong) / 500, abs=0.005)
    assert max(fitted.of(strange)) < 0.5
    assert np.median(fitted.of(strange)) < 0.05


def test_a_single_pair_and_evidence_that_is_always_the_same_tell_little() -> None:
    one = given(*np.full((len(KINDS), 1), 0.3))
    assert 0.5 < fit(one, np.array([True])).of(one)[0] < 0.9
    same = given(*np.full((len(KINDS), 20), 0.3))
    found = fit(same, np.arange(20) < 15).of(same)
    assert found == [pytest.approx(0.75, abs=0.05)] * 20


def test_the_weights_are_where_no_direction_leads_further_down() -> None:
    seen = drawn(200, 0)
    right, penalty = happened(seen, 2)[1], 0.7
    fitted = fit(seen, right, penalty)
    terms = [term for _, term in fitted.terms]
    design = np.array([(part - term.mean) / term.scale for part, term in zip(seen[: len(KINDS)], terms, strict=True)])
    weights = np.array([term.weight for term in terms])
    hits = right.sum()
    outcomes = np.where(right, (hits + 1) / (hits + 2), 1 / (200 - hits + 2))
    excess = expit(fitted.intercept + weights @ design) - outcomes
    assert np.allclose(excess.sum(), 0, atol=1e-5)
    assert np.allclose(design @ excess + penalty * weights, 0, atol=1e-5)


@pytest.mark.parametrize("far", [1e100, -1e100, 1e3])
def test_evidence_beyond_all_that_was_seen_still_gives_a_probability(far: float) -> None:
    seen = drawn(100, 0)
    (found,) = fit(seen, happened(seen, 1)[1]).of(Evidence(*np.full((len(Evidence._fields), 1), far)))
    assert 0 <= found <= 1


def test_the_confidence_in_a_pair_does_not_depend_on_the_others() -> None:
    seen = drawn(100, 0)
    fitted = fit(seen, happened(seen, 1)[1])
    assert fitted.of(seen) == [fitted.of(Evidence(*(part[row : row + 1] for part in seen)))[0] for row in range(100)]


# --- the familiarity


def errors(count: int, seed: int) -> np.ndarray:
    """Reconstruction errors of familiar sources."""
    return np.exp(np.random.default_rng(seed).normal(-4.0, 0.3, count))


def test_familiar_sources_hardly_lower_confidence_and_others_end_it() -> None:
    fitted = confidence_fit.fit_familiarity(errors(500, 0), 0.05)
    own = [fitted.of(error) for error in errors(500, 1)]
    assert 0.97 < np.mean(own) < 1 - 0.05 / 20
    assert [fitted.of(error) > 0.5 for error in np.exp(-4 + 0.3 * np.array([-9, 0, 2.5, 5, 9]))] == [True] * 3 + [
        False
    ] * 2
    seen = drawn(100, 0)
    regression = fit(seen, np.ones(100, bool)).model_copy(update={"familiarity": fitted})
    assert max(regression.of(seen._replace(source_error=np.full(100, np.exp(-4 + 0.3 * 6))))) < 0.01


def test_familiarity_falls_with_the_error_and_is_a_probability_everywhere() -> None:
    fitted = confidence_fit.fit_familiarity(errors(50, 0), 0.05)
    found = [fitted.of(error) for error in [0.0, *np.geomspace(1e-30, 1e30, 300)]]
    assert found == sorted(found, reverse=True)
    assert found[0] < 1
    assert found[-1] >= 0


@pytest.mark.parametrize("unfamiliar", [0.01, 0.1, 0.5])
def test_as_many_sources_are_suspect_as_are_unfamiliar(unfamiliar: float) -> None:
    rng = np.random.default_rng(1)
    fitted = confidence_fit.fit_familiarity(errors(5000, 0), unfamiliar)
    strange = np.exp(rng.uniform(-4.0, np.log(4), 20_000))
    others = round(20_000 * unfamiliar / (1 - unfamiliar))
    found = np.array([fitted.of(error) for error in (*errors(20_000, 2), *strange[:others])])
    assert (1 - found).mean() == pytest.approx(unfamiliar, rel=0.2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_sources_do_not_make_all_others_unfamiliar(count: int) -> None:
    fitted = confidence_fit.fit_familiarity(np.full(count, 0.02), 0.05)
    assert fitted.of(0.024) > 0.8
    assert fitted.of(0.02) > fitted.of(0.2)


def test_a_source_that_its_tokenizer_knows_is_more_familiar_than_one_that_it_does_not(confident: Path) -> None:
    system = CycleSound.load(confident)
    things = pictures(6)
    found = system.familiarities(things)
    assert found == [system.familiarities([thing])[0] for thing in things]
    flat = [Image.new("RGB", (64, 64), colour) for colour in ("black", "white", "red")]
    both = torch.cat([system._pictures(some) for some in (things, flat)])
    wrong = system.engine.reconstruction_error("image", both, system.engine.encode("image", both))
    assert wrong.shape == (9,)
    order = np.argsort(wrong.numpy())
    assert np.array(system.familiarities([*things, *flat]))[order].tolist() == sorted(
        found + system.familiarities(flat), reverse=True
    )


def test_familiarities_are_of_sounds_or_of_pictures(confident: Path) -> None:
    system = CycleSound.load(confident)
    assert system.familiarities([]) == []
    with pytest.raises(ValueError, match="a Sound"):
        system.familiarities([*tones(1), *pictures(1)])


def test_without_labels_nothing_is_fitted_and_no_source_is_read(params: Params) -> None:
    models = SimpleNamespace(target="image", judges={"image": None}, split=SimpleNamespace(labels=["", ""]))
    fitted, figures = calibration.fitted(models, params.confidence, 0, BY)  # type: ignore[arg-type]
    assert fitted is None
    assert figures == {"samples": 0}


# --- files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of a fitted confidence."""
    place = tmp_path / "confidence.json"
    confidence.save(place, fit(drawn(50, 0), np.arange(50) < 40))
    return place


def test_what_was_written_is_read(path: Path) -> None:
    fitted = fit(drawn(50, 0), np.arange(50) < 40)
    assert confidence.read(path) == fitted
    confidence.save(path, None)
    assert confidence.read(path) is None


ODD: list[tuple[str, Any]] = [
    ("kind", "vae"),
    ("intercept", float("nan")),
    ("intercept", float("inf")),
    ("intercept", 1e300),
    ("intercept", "3"),
    ("terms", {}),
    ("familiarity", {}),
    ("familiarity", {"mean": 0.5, "scale": 1.0, "freedom": 9, "unfamiliar": 0.1}),
    ("familiarity", {"mean": -4.0, "scale": 0.0, "freedom": 9, "unfamiliar": 0.1}),
    ("familiarity", {"mean": -4.0, "scale": 1.0, "freedom": 0, "unfamiliar": 0.1}),
    ("familiarity", {"mean": -4.0, "scale": 1.0, "freedom": 9, "unfamiliar": 1.0}),
    ("terms", {"information": {"mean": 0.0, "scale": 1.0, "weight": 1.0}}),
    ("models", {"transformers": {"audio_to_image": "../../etc/passwd"}, "classifiers": {}, "decoders": {}}),
    ("models", {"transformers": {"elsewhere": "a" * 64}, "classifiers": {}, "decoders": {}}),
    ("models", {"transformers": {}}),
    ("more", 3),
]


@pytest.mark.parametrize(("key", "value"), ODD)
def test_an_odd_file_is_refused_in_one_line(path: Path, key: str, value: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(BadConfidence, match=r"confidence.json: not a fitted confidence of this version") as refused:
        confidence.read(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("scale", [0.0, -1.0, 1e-300, 1e300])
def test_no_scale_makes_a_sum_overflow(path: Path, scale: float) -> None:
    tree = json.loads(path.read_text())
    tree["terms"]["alignment"]["scale"] = scale
    path.write_text(json.dumps(tree))
    with pytest.raises(BadConfidence, match="scale"):
        confidence.read(path)


LARGE = b'{"kind": "confidence"' + b" " * confidence.MAX_BYTES + b"}"


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 60_000, b"3", b"{}", b'{"a": 1e999}', LARGE])
def test_what_is_no_confidence_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BadConfidence):
        confidence.read(path)


# --- models that carry one


@pytest.fixture
def confident(data: Path, tmp_path: Path) -> Path:
    """The data/ of untrained models, with a confidence that differs from source to source."""
    folder = shutil.copytree(data.parent, tmp_path / "project") / "data"
    system = CycleSound.load(folder)
    for direction, given in zip(DIRECTIONS, (tones(6), pictures(6)), strict=True):
        made = system.images(given) if direction == "audio_to_image" else system.sounds(given)
        seen = confidence.evidence(system._evidence_engine, *system._pairs(given, made))
        fitted = confidence_fit.fit(
            seen,
            seen.alignment > np.median(seen.alignment),
            np.ones(len(seen.alignment), bool),
            confidence_fit.fit_familiarity(seen.source_error, 0.05),
            0.1,
            confidence.digests(folder),
        )
        confidence.save(paths.confidence(direction, folder), fitted)
    return folder


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda system: pickle.loads(pickle.dumps(system))])
def test_a_copy_is_as_confident(confident: Path, copied: Callable[[CycleSound], CycleSound]) -> None:
    system = CycleSound.load(confident)
    sources, targets = tones(2), pictures(2)
    assert copied(system).confidences(sources, targets) == system.confidences(sources, targets)


def test_the_same_confidence_in_any_batch_and_at_every_station(confident: Path) -> None:
    system = CycleSound.load(confident)
    for given, make in ((tones(6), system.images), (pictures(6), system.sounds)):
        made = make(given)
        whole = system.confidences(given, made)
        assert whole == [system.confidence(one, other) for one, other in zip(given, made, strict=True)]
        assert len(set(whole)) > 1
        assert all(0 <= one <= 1 for one in whole)
        assert system.describe(made[2], given[2], given[2]).confidence == whole[2]
    assert system.cycle(tones(1)[0])[0].confidence is None
    assert system.confidences([], []) == []


def test_a_confidence_needs_a_sound_and_a_picture(confident: Path) -> None:
    with pytest.raises(ValueError, match="a sound and a picture"):
        CycleSound.load(confident).confidence(tones(1)[0], tones(1)[0])


def test_an_export_carries_the_confidence(confident: Path, tmp_path: Path) -> None:
    export.export(confident, tmp_path / "models")
    here, there = CycleSound.load(confident), CycleSound.load(tmp_path / "models")
    given = tones(2)
    assert there.confidences(given, there.images(given)) == here.confidences(given, here.images(given))
    readme = (tmp_path / "models/README.md").read_text(encoding="utf-8")
    assert "| audio to image | alignment_back | " in readme
    again = export.export(tmp_path / "models", tmp_path / "again")
    assert [path.read_bytes() for path in again] == [
        (tmp_path / "models" / path.relative_to(tmp_path / "again")).read_bytes() for path in again
    ]


def test_a_hostile_card_is_refused(confident: Path, tmp_path: Path) -> None:
    export.export(confident, tmp_path / "models")
    place = tmp_path / "models" / card.NAME
    tree = json.loads(place.read_text(encoding="utf-8"))
    tree["confidence"]["audio_to_image"]["terms"]["alignment"]["scale"] = 0
    place.write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(BadCard, match=r"card.json: not a card.*scale"):
        CycleSound.load(tmp_path / "models")


def test_an_older_bundle_loads_without_a_confidence(confident: Path, tmp_path: Path) -> None:
    export.export(confident, tmp_path / "models")
    place = tmp_path / "models" / card.NAME
    tree = json.loads(place.read_text(encoding="utf-8"))
    del tree["confidence"]
    place.write_text(json.dumps(tree), encoding="utf-8")
    system = CycleSound.load(tmp_path / "models")
    assert not system.knows_confidence
    assert system.confidence(tones(1)[0], system.image(*tones(1)[0])) is None
    assert [station.confidence for station in system.cycle(tones(1)[0])] == [None] * 3


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_agreement_is_the_odds_that_both_classifiers_see_one_label(confident: Path, direction: Direction) -> None:
    system = CycleSound.load(confident)
    given = tones(5) if direction == "audio_to_image" else pictures(5)
    made = system.images(given) if direction == "audio_to_image" else system.sounds(given)
    _, sources, targets = system._pairs(given, made)
    likely = {}
    for modality, seen in ((source_of(direction), sources), (target_of(direction), targets)):
        classifier = system.models.classifiers[modality]
        likely[modality] = dict(zip(classifier.labels, classifier(seen).softmax(1).unbind(1), strict=True))
    same = sum(likely["image"][label] * likely["audio"][label] for label in likely["image"])
    found = confidence.evidence(system._evidence_engine, direction, sources, targets).agreement
    assert expit(found) == pytest.approx(same.detach().numpy(), abs=1e-5)


@pytest.mark.parametrize("model", ["cycle/image_to_audio", "classifier/image"])
def test_a_confidence_in_other_models_is_not_used(confident: Path, model: str) -> None:
    assert CycleSound.load(confident).knows_confidence
    path = confident / f"{model}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one weight
    path.write_bytes(content)
    assert not CycleSound.load(confident).knows_confidence


def test_a_confidence_in_another_decoder_is_not_used(confident: Path) -> None:
    vae = dvae.load(paths.vae("image", confident))[0]
    dvae.save_decoder(paths.decoder("image", confident) / dvae.DECODER_NAME, vae.decoder, paths.vae("image", confident))
    assert not CycleSound.load(confident).knows_confidence


def test_without_classifiers_an_export_has_no_confidence(confident: Path, tmp_path: Path) -> None:
    export.export(confident, tmp_path / "models")
    shutil.rmtree(tmp_path / "models/classifier")
    system = CycleSound.load(tmp_path / "models")
    assert not system.knows_confidence
    assert system.confidence(tones(1)[0], system.image(*tones(1)[0])) is None


# --- abstaining


@pytest.fixture
def run(confident: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*words)`: a command in a folder with sounds in `heard` and pictures in `seen`."""
    monkeypatch.chdir(tmp_path)
    for folder in ("heard", "seen"):
        (tmp_path / folder).mkdir()
    for number, (sound, picture) in enumerate(zip(tones(3), pictures(3), strict=True)):
        soundfile.write(tmp_path / f"heard/{number}.wav", *sound)
        picture.save(tmp_path / f"seen/{number}.png")
    return running(confident)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.mark.parametrize(("command", "given"), [("image", "heard"), ("sound", "seen")])
def test_what_is_not_confident_enough_is_not_written_and_the_rest_is_as_ever(
    run: Run, tmp_path: Path, command: str, given: str
) -> None:
    assert run(command, given, "-o", "all").exit_code == 0
    kept = run(command, given, "-o", "kept", "--min-confidence", 0)
    assert (kept.exit_code, told(kept)) == (0, [])
    none = run(command, given, "-o", "none", "--min-confidence", 1)
    lines = told(none)
    assert none.exit_code == 1
    assert not (tmp_path / "none").exists()
    assert [line.partition(": confidence ")[0] for line in lines] == [
        f"error: {path}" for path in sorted(Path(given).iterdir())
    ]
    found = sorted(float(line.split(" confidence ")[1].split()[0]) for line in lines)
    assert found[0] < found[-1]
    some = run(command, given, "-o", "some", "--min-confidence", (found[0] + found[-1]) / 2)
    assert some.exit_code == 1
    left_out = len(told(some))
    assert 0 < left_out < len(found)
    assert names(tmp_path / "kept") == names(tmp_path / "all")
    assert names(tmp_path / "some") < names(tmp_path / "all")
    for name in names(tmp_path / "some") - {"joined.wav", "joined.png"}:
        assert (tmp_path / "some" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_of_a_long_sound_all_windows_count_and_all_or_nothing_is_written(run: Run, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.concatenate([sound.waveform for sound in tones(3)]), RATE)
    result = run("image", "long.wav", "-o", "out", "--min-confidence", 1, "--samples", 2)
    assert (result.exit_code, len(told(result)), names(tmp_path / "out")) == (1, 2, set())
    assert run("image", "long.wav", "-o", "out", "--min-confidence", 0).stdout.split() == [
        *("out/long.png", "out/long.mp4")
    ]


def test_models_without_a_confidence_say_so_in_one_line(run: Run, tmp_path: Path, data: Path) -> None:
    result = run("image", "heard", "-o", "out", "--min-confidence", 0.5, models=data)
    assert is_one_line_of_error(result, "no confidence comes with these models")
    assert not (tmp_path / "out").exists()
    assert run("image", "heard", "-o", "out", models=data).exit_code == 0


def test_an_impossible_confidence_is_named(run: Run) -> None:
    for given in ("1.5", "-0.1", "nan"):
        result = run("image", "heard", "-o", "out", "--min-confidence", given)
        assert result.exit_code == 2
        assert "--min-confidence" in result.stderr
