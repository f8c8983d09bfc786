"""The audit of pairs: judged by models of the other half, spoiled pairs rank low, and the worst alone are dropped."""

import io
import pickle
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import chdir
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny as tiny_project
import torch
from tiny import sharded, write_cache, write_shards
from torch import Tensor
from typer.testing import CliRunner

from benchmarks import audit as benchmark
from cycle_sound import paths
from cycle_sound.app import cli
from cycle_sound.dataset import dropping, halves, pairing, token_cache, writer
from cycle_sound.dataset.pairing import Pairing
from cycle_sound.dataset.reader import Split
from cycle_sound.dataset.tars import Sample
from cycle_sound.dataset.token_cache import TokenCache
from cycle_sound.errors import BadPairing, BadShard, StaleCache, TooFewGroups
from cycle_sound.evaluation import audit
from cycle_sound.io import files, params_file
from cycle_sound.models.dual_encoder import DualEncoder, pointwise_mutual_information
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import MODALITIES, Modality, Params
from cycle_sound.report import audit_page
from cycle_sound.training.objectives.dual_encoder import DualEncoderObjective
from cycle_sound.training.objectives.transformer import AugmentedPairs, SplitInputs
from stages import audit_pairs, download, drop_pairs, shard

SIDE = 32
COUNT = 240
HOSTILE = "<script>alert('\u202e')</script>"


def pairs(count: int, seed: int, groups: int = COUNT) -> list[Sample]:
    """Pairs of two labels: a stripe lies in the picture where it lies in the log-mel, and its colour is the label."""
    rng = np.random.default_rng(seed)

    def sample(number: int) -> Sample:
        place, label = rng.integers(2, SIDE - 2), number % 2
        picture = rng.integers(0, 60, (3, SIDE, SIDE), np.uint8)
        picture[label, :, place - 2 : place + 2] = 255
        log_mel = rng.uniform(-1, -0.8, (1, SIDE, SIDE))
        log_mel[0, place - 2 : place + 2] = 1 if label else 0.3
        group = f"group{number % groups}" if number % 3 else ""
        facts = {"id": f"{seed}.{number}", "label": ("bell", "bird")[label], "group": group, "attributes": {}}
        return Sample(picture, log_mel.astype(np.float16), facts)

    return [sample(number) for number in range(count)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of pairs, of which every group has two or so."""
    folder = tmp_path_factory.mktemp("shards")
    sharded(folder, train=writer.batched(pairs(COUNT, 1, COUNT // 2), 50), valid=[pairs(40, 2)])
    return folder


@pytest.fixture
def config(params: Params) -> Params:
    """An audit that takes a second or two."""
    optimizer = {"steps": 60, "batch_size": 64, "valid_every": 30, "warmup": 5}
    optimizer = params.audit.optimizer.model_copy(update=optimizer)
    sizes = {"width": 16, "downsamples": 1, "embedding": 16, "partners": 64, "optimizer": optimizer}
    return params.model_copy(update={"audit": params.audit.model_copy(update=sizes)})


# --- halves


def test_halves_are_disjoint_by_group_and_both_there(shards: Path):
    train = Split(shards, "train")
    of = halves.of_rows(shards, train)
    samples = pairs(COUNT, 1, COUNT // 2)
    assert train.ids[:] == [sample.facts["id"] for sample in samples]
    owners: dict[str, set[int]] = {}
    for half, sample in zip(of.tolist(), samples, strict=True):
        owners.setdefault(sample.facts["group"] or sample.facts["id"], set()).add(half)
    assert all(len(found) == 1 for found in owners.values())
    assert len(owners) < COUNT
    assert 0.35 < of.mean() < 0.65


def test_a_tar_that_says_no_group_is_one_line(shards: Path, tmp_path: Path):
    for path in shards.iterdir():
        content = path.read_bytes()
        spoiled = content.replace(b'"group": ', b'"grope": ') if path.name == "train-000001.tar" else content
        (tmp_path / path.name).write_bytes(spoiled)
    with pytest.raises(BadShard, match=r"train-000001.tar: not a shard .*group"):
        halves.of_rows(tmp_path, Split(tmp_path, "train"))


@pytest.mark.parametrize("facts", [b'{"id":' + b"[" * 200_000, b"{", b"3", b"[]", b"\xff"], ids=lambda facts: facts[:7])
def test_facts_that_no_shard_holds_are_one_line(facts: bytes, tmp_path: Path):
    with tarfile.open(tmp_path / "train-000000.tar", "w") as tar:
        member = tarfile.TarInfo("a.json")
        member.size = len(facts)
        tar.addfile(member, io.BytesIO(facts))
    with pytest.raises(BadShard, match=r"train-000000.tar: not a shard"):
        halves._halves(tmp_path / "train-000000.tar", 1)


class Judge(NamedTuple):
    """Stands for a model, and says of which half it is."""

    learner: int


def test_each_half_is_judged_by_the_model_of_the_other(shards: Path, monkeypatch: pytest.MonkeyPatch):
    train = Split(shards, "train")
    of = halves.of_rows(shards, train)

    def scores(judge: Judge, _pairs: Split, rows: np.ndarray, *_: int) -> np.ndarray:
        assert set(of[rows]) == {1 - judge.learner}
        return rows.astype(np.float64)

    monkeypatch.setattr(audit, "scores", scores)
    found = audit.cross_fitted(Judge, train, of, 8, 0)  # type: ignore[arg-type]
    assert found.tolist() == list(range(COUNT))  # each where it belongs


# --- scores


def test_the_estimate_of_information_is_the_log_ratio_to_the_mean_over_others():
    own, others = torch.tensor([2.0, 0.0]), torch.tensor([[1.0, 3.0, -torch.inf], [0.0, 0.0, 0.0]])
    found = pointwise_mutual_information(own, others)
    wanted = 2 - np.log((np.e + np.e**3) / 2)
    assert found.tolist() == pytest.approx([wanted, 0.0])


class Watched(Split):
    """A split that notes how many clips are asked for at a time."""

    most = 0

    def pictures(self, modality: Modality, rows: Iterable[int]) -> Tensor:
        rows = list(rows)
        Watched.most = max(Watched.most, len(rows))
        return super().pictures(modality, rows)


def test_scores_do_not_depend_on_how_many_are_judged_and_few_are_in_memory(
    shards: Path, config: Params, monkeypatch: pytest.MonkeyPatch
):
    train = Watched(shards, "train")
    torch.manual_seed(0)
    model = DualEncoder(config.audit, {one: train.shape(one)[0] for one in MODALITIES}).eval()
    rows = np.arange(0, COUNT, 2)
    found = audit.scores(model, train, rows, 16, 0)
    assert found.shape == (len(rows),)
    monkeypatch.setattr(audit, "BATCH", 7)
    Watched.most = 0
    assert audit.scores(model, train, rows, 16, 0) == pytest.approx(found, abs=1e-4)
    assert Watched.most == 7
    assert (found.dtype, audit.scores(model, train, rows, 10**6, 0).shape) == (np.float64, found.shape)


def test_swapped_pairs_rank_lowest_among_labels_and_within(shards: Path, config: Params):
    sounds, swapped = benchmark.spoiled(np.array(list(Split(shards, "train").labels)), 0)
    figures = benchmark.found(benchmark.spoiled_scores(shards, sounds, config), swapped)
    assert figures["auc_among_labels"] > 0.9
    assert figures["auc_within_labels"] > 0.8


def test_the_benchmark_swaps_what_it_says():
    labels = np.array(["bell", "bird", "drum"])[np.random.default_rng(0).integers(3, size=200)]
    sounds, swapped = benchmark.spoiled(labels, 0)
    assert sorted(sounds) == list(range(200))
    among, within = swapped["among_labels"], swapped["within_labels"]
    assert (len(among), len(within)) == (20, 20)
    assert (labels[sounds[among]] != labels[among]).all()
    assert (labels[sounds[within]] == labels[within]).all()
    assert (sounds[np.concatenate([among, within])] != np.concatenate([among, within])).all()
    assert (sounds != np.arange(200)).sum() == 40
    assert benchmark.found(np.array([3.0, 1.0, 2.0, 2.0]), {"kind": np.array([1, 2])}) == {"auc_kind": 0.875}


# --- the stage, on a few pairs of the toy orchestra


@pytest.fixture(scope="module")
def orchestra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with pairs and shards, whose parameters ask for an audit."""
    folder = tmp_path_factory.mktemp("orchestra")
    tiny_project.write(folder, audit={"enabled": True, "worst": 3})
    with chdir(folder):
        params = params_file.load()
        download.main(params)
        shard.main(params)
    return folder


@pytest.fixture
def audited(orchestra: Path) -> Iterator[Path]:
    """The project's folder of the audit, as the stage makes it."""
    with chdir(orchestra):
        audit_pairs.main(params_file.load())
        yield orchestra / paths.AUDIT


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_table_has_every_training_pair_the_worst_first(audited: Path):
    train, table = Split(paths.SHARDS, "train"), files.read_csv(audited / "pairs.csv")
    assert list(table[0]) == ["rank", "id", "label", "half", "pointwise_mutual_information"]
    assert [line["rank"] for line in table] == [str(rank + 1) for rank in range(len(train))]
    assert {line["id"]: line["label"] for line in table} == dict(zip(train.ids, train.labels, strict=True))
    nats = [float(line["pointwise_mutual_information"]) for line in table]
    assert nats == sorted(nats)
    of = dict(zip(train.ids, halves.of_rows(paths.SHARDS, train).tolist(), strict=True))
    assert {line["id"]: int(line["half"]) for line in table} == of
    page = (audited / "index.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 3
    for line in table[:3]:
        assert line["id"] in page


def test_an_audit_that_was_killed_goes_on_to_the_same_bytes(
    audited: Path, kill: Callable[..., None], capsys: pytest.CaptureFixture[str]
):
    whole = contents(audited)
    run = partial(audit_pairs.main, params_file.load())
    kill(DualEncoderObjective, 2, run)
    run()
    assert "going on after step" in capsys.readouterr().out
    assert contents(audited) == whole
    assert not list(paths.WORK.glob("audit_pairs*"))


@pytest.mark.parametrize("most", [1, 2])
def test_a_single_pair_judges_no_encoder(audited: Path, most: int) -> None:
    params, valid = params_file.load(), Split(paths.SHARDS, "valid")
    model = DualEncoder(params.audit, {modality: valid.shape(modality)[0] for modality in MODALITIES})
    objective = DualEncoderObjective(model, (valid, valid), np.arange(2), {}, most)
    assert objective.validate(model).keys() == ({"loss"} if most > 1 else set())


def test_where_no_audit_is_wanted_nothing_is_read_and_the_folder_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tiny_project.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    audit_pairs.main(params_file.load())  # there are no shards
    drop_pairs.main(params_file.load())
    assert (contents(paths.AUDIT), contents(paths.PAIRING)) == ({}, {})
    assert pairing.of(paths.PAIRING, "any") is None


def test_one_group_makes_no_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny_project.write(tmp_path, audit={"enabled": True})
    monkeypatch.chdir(tmp_path)
    sharded(
        paths.SHARDS,
        train=[[one._replace(facts={**one.facts, "group": "g"}) for one in pairs(6, 1)]],
        valid=[pairs(2, 2)],
    )
    with pytest.raises(TooFewGroups, match="at least two pairs"):
        audit_pairs.main(params_file.load())


# --- dropping


def audit_of(folder: Path, scores: Sequence[float], shards: str = "a" * 64) -> None:
    """Write an audit of so many pairs, called p0, p1, …"""
    found = np.array(scores, np.float64)
    table = [
        dropping.Audited(rank, f"p{row}", "bell", 0, float(found[row]))
        for rank, row in enumerate(dropping.worst_first(found).tolist(), start=1)
    ]
    dropping.write_scores(folder, found, shards)
    files.write_csv(folder / dropping.TABLE, (pair._asdict() for pair in table))


@pytest.mark.parametrize(("share", "left"), [(0.2, [0, 1, 3, 4]), (0.29, [0, 1, 3, 4]), (0.4, [0, 3, 4]), (0.99, [4])])
def test_dropping_drops_exactly_the_worst_share(share: float, left: list[int], tmp_path: Path):
    audit_of(tmp_path / "audit", [3, -1, -2, 2, 4])
    dropping.drop(tmp_path / "audit", tmp_path / "kept", share)
    kept = Pairing(tmp_path / "kept", "a" * 64)
    assert kept.rows(torch.arange(len(kept))).tolist() == left
    fates = files.read_csv(tmp_path / "kept/dropped.csv")
    assert {line["id"] for line in fates} == {f"p{row}" for row in range(5) if row not in left}
    assert {line["status"] for line in fates} == {"mismatched"}
    assert fates[0]["reason"] == "its sound and its picture explain each other by -2.00 nats: rank 1 of 5"


@pytest.mark.parametrize(("share", "pairs"), [(0.29, 100), (0.57, 100), (0.07, 300), (0.1, 30), (0.05, 3745)])
def test_a_share_of_pairs_is_rounded_not_cut_off(share: float, pairs: int, tmp_path: Path):
    audit_of(tmp_path / "audit", list(range(pairs)))
    dropping.drop(tmp_path / "audit", tmp_path / "kept", share)
    assert len(files.read_csv(tmp_path / "kept/dropped.csv")) == round(Fraction(str(share)) * pairs)


@pytest.mark.parametrize("share", [0.0, 0.09])
def test_where_nothing_is_dropped_nothing_is_written(share: float, tmp_path: Path):
    audit_of(tmp_path / "audit", [3, -1, -2, 2, 4])
    dropping.drop(tmp_path / "audit", tmp_path / "kept", share)
    assert not (tmp_path / "kept").exists()


def test_what_is_no_audit_or_of_other_shards_is_refused(tmp_path: Path):
    audit_of(tmp_path / "audit", [3, -1, -2])
    dropping.drop(tmp_path / "audit", tmp_path / "kept", 0.5)
    with pytest.raises(StaleCache, match="made with shards aaaaaaaaaaaa, not b"):
        Pairing(tmp_path / "kept", "b")
    for content in ([0, 3], [-1, 0], np.zeros(0), np.zeros((2, 2), np.int64), np.zeros(2)):
        np.save(tmp_path / "kept" / dropping.ROWS, np.array(content))
        with pytest.raises(BadPairing, match=r"train.rows.npy: not from an audit"):
            Pairing(tmp_path / "kept", "a" * 64)
    for odd in (b"rank,id\n1,a\n", b"rank,id,label,half,pointwise_mutual_information\none,a,b,0,1\n", b"\xff\n"):
        (tmp_path / "audit" / dropping.TABLE).write_bytes(odd)
        with pytest.raises(BadPairing, match=r"pairs.csv: not from an audit"):
            list(dropping.worst(tmp_path / "audit", 3))


def test_a_transformer_learns_from_the_kept_pairs_alone(tmp_path: Path, params: Params):
    count, shape = 8, CodeShape(1, 8, 8, 16)
    write_shards(tmp_path, {"train": count})
    folder = tmp_path / paths.SHARDS
    codes = np.arange(count)[:, None, None, None, None] * np.ones((1, 1, 1, 64, 1), int)
    for modality in MODALITIES:
        header = token_cache.Header("t", "s", shape, count)
        write_cache(tmp_path / modality, "train", header, token_cache.arrays(header, 1, 1), codes=codes)
    audit_of(tmp_path / "audit", [1, 0, 3, -1, 5, 6, 7, 8], "s")
    dropping.drop(tmp_path / "audit", tmp_path / "kept", 0.25)
    image, audio = (TokenCache(tmp_path / one, "train", "t", "s") for one in MODALITIES)
    inputs = SplitInputs(Split(folder, "train"), audio, image, None)

    def source(inputs: SplitInputs) -> AugmentedPairs:
        return AugmentedPairs(inputs, "audio_to_image", "encoder", shape, params.augment)

    kept = source(inputs._replace(pairing=pairing.of(tmp_path / "kept", "s")))
    assert (source(inputs).pairs, kept.pairs) == (8, 6)
    rng = partial(BatchRng, 0, places=range(6))
    batch = pickle.loads(pickle.dumps(kept)).batch(torch.arange(6), rng())
    assert batch.codes[:, 0, 0].tolist() == [0, 2, 4, 5, 6, 7]
    alike = source(inputs).batch(torch.tensor([0, 2, 4, 5, 6, 7]), rng())
    assert all(torch.equal(one, other) for one, other in zip(batch, alike, strict=True))


# --- for people


def test_the_command_prints_the_worst_and_says_which_were_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = partial(CliRunner().invoke, cli.app, ["data", "audit", "--worst", "2"])
    assert run().exit_code == 1
    assert run().stderr == "error: no such file: data/audit/pairs.csv; `dvc exp run -S audit.enabled=true` makes it\n"
    audit_of(paths.AUDIT, [3, -1, -2])
    assert run().stdout.splitlines() == [
        "     1     -2.00 nats  bell  p2",
        "     2     -1.00 nats  bell  p1",
        "data/audit/pairs.csv",
        "data/audit/index.html",
    ]
    dropping.drop(paths.AUDIT, paths.PAIRING, 0.4)
    assert run().stdout.splitlines()[:2] == [
        "     1     -2.00 nats  bell  p2 (mismatched)",
        "     2     -1.00 nats  bell  p1",
    ]


class Silence(NamedTuple):
    """Stands for the sounds of a split."""

    sample_rate: int = 16000

    def waveforms(self, rows: Sequence[int]) -> Tensor:
        return torch.zeros(len(rows), 1600)


def test_the_page_holds_only_escaped_text_and_needs_no_file_beside_it(tmp_path: Path):
    facts = {"id": HOSTILE, "label": '"><img src=x onerror=alert(1)>', "group": "", "attributes": {}}
    sharded(tmp_path, train=[[pairs(1, 1)[0]._replace(facts=facts)]])
    page = audit_page.document(Split(tmp_path, "train"), Silence(), np.array([-1.5]), [0])  # type: ignore[arg-type]
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert "-1.5 nats" in page
    assert "http" not in page.replace("http-equiv", "")
