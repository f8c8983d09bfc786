"""Caches are made shard by shard: a kill costs one shard, and two processes share them, to the same bytes."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from pipelines import digests
from processes import TWO, run
from torch import Tensor

from cycle_sound import params as parameters
from cycle_sound import paths
from cycle_sound.dataset import encoding
from cycle_sound.io import code, params_file
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import MODALITIES, Modality
from cycle_sound.training.objectives.transformer import TransformerObjective
from stages import cache_features, cache_tokens, train_transformer

PAIRS = {"train": 11, "valid": 5, "test": 4}
SHARDS = 3 + 2  # of 4 pairs each at most; those of test are for the evaluation alone
SHARE = """
import json
from cycle_sound.dataset import encoding
from cycle_sound.io.params_file import load
from cycle_sound.nn import distributed
from stages import cache_tokens

made, encoded = [], encoding.codes
encoding.codes = lambda *given, **named: made.append(str(given[-1])) or encoded(*given, **named)
with distributed.process_group():
    cache_tokens.main("image", load())
    open(f"{distributed.rank()}.json", "w").write(json.dumps(made))
"""


class Encodings:
    """The rows that were encoded, a shard at a time; one of them may be killed when a part of it is written."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.rows: list[range] = []
        self.killed = -1
        self._encode = getattr(encoding, name)
        patch.setattr(encoding, "BATCH", 2)
        patch.setattr(encoding, name, self)

    def __call__(self, *given: Any, **named: Any) -> Iterator[Any]:
        self.rows.append(given[-1])
        for part in self._encode(*given, **named):
            yield part
            if self.killed == len(self.rows):
                raise KeyboardInterrupt

    def kill(self, shard: int, make: Callable[[], None]) -> None:
        """Run what makes a cache, and is killed in the n-th of its shards."""
        self.killed = shard
        with pytest.raises(KeyboardInterrupt):
            make()
        self.killed = -1


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Shards, and models that nobody trained."""
    tiny.write_shards(tmp_path, PAIRS)
    tiny.untrained(tmp_path, codebooks=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(top: int = 1) -> None:
    tree = tiny.tree(tokens={"views": 2, "top": top})
    cache_tokens.main("image", parameters.parse(tree))


def made() -> dict[str, str]:
    """The files of the cache."""
    return {name: sha for name, sha in digests(Path.cwd()).items() if name.startswith("data/tokens")}


@pytest.mark.parametrize("top", [1, 3])
@pytest.mark.parametrize("shard", [1, 3, SHARDS - 1])
def test_a_killed_cache_redoes_one_shard_to_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch, shard: int, top: int
) -> None:
    encodings = Encodings(monkeypatch, "codes")
    make(top)
    whole = made()
    assert len(encodings.rows) == SHARDS
    encodings.rows.clear()
    encodings.kill(shard, lambda: make(top))
    assert not made()  # nothing that looks whole
    make(top)
    assert len(encodings.rows) == SHARDS + 1
    assert made() == whole
    assert not paths.unfinished("cache_tokens", "image").exists()


def test_no_tokens_are_made_of_the_test_split(project: Path) -> None:
    make()
    assert {Path(name).name.partition(".")[0] for name in made()} == {"train", "valid"}


def test_killed_again_and_again_a_cache_comes_to_its_end(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encodings = Encodings(monkeypatch, "codes")
    for _ in range(SHARDS - 1):
        encodings.rows.clear()
        encodings.kill(2, make)  # one shard is done each time
    encodings.rows.clear()
    make()
    assert len(encodings.rows) == 1


def test_what_is_kept_is_only_what_would_be_made_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    whole, encodings = made(), Encodings(monkeypatch, "codes")
    encodings.kill(4, lambda: make(top=2))
    encodings.rows.clear()
    encodings.kill(4, make)
    assert len(encodings.rows) == 4  # those of other settings are none
    path = paths.unfinished("cache_tokens", "image") / "train.codes.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # in the last row of the third shard, as if the machine had lost its power
    path.write_bytes(content)
    encodings.rows.clear()
    make()
    assert encodings.rows[0] == range(8, 11)
    assert len(encodings.rows) == SHARDS - 2
    assert made() == whole


def test_a_killed_cache_of_features_redoes_one_shard_to_the_same_bytes(
    project: Path, small_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> None:
        cache_features.main("image", params_file.load())

    monkeypatch.setattr("cycle_sound.models.features.pretrained", lambda config: network)
    with tiny.small_networks():
        from cycle_sound.models.features import FeatureNetwork

        network = FeatureNetwork("resnet18").eval()
    encodings = Encodings(monkeypatch, "features")
    make()
    whole = digests(project)
    encodings.rows.clear()
    encodings.kill(2, make)
    assert not list(paths.features("image").glob("*.npy"))
    make()
    assert len(encodings.rows) == 5 + 1  # test is not cached
    assert digests(project) == whole


@pytest.mark.parametrize("changed", [{}, {"views": 3}, {"top": 2}, "stages.cache_tokens", "stages.cache_features"])
def test_a_training_goes_on_with_the_cache_that_it_began_with_alone(
    project: Path,
    kill: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, int] | str,
) -> None:
    def make(**tokens: int) -> Callable[[], None]:
        params = parameters.parse(tiny.tree(tokens=tokens))
        for modality in MODALITIES:
            cache_tokens.main(modality, params)
        return lambda: train_transformer.main("audio_to_image", params)

    kill(TransformerObjective, 2, make())
    digest = code.digest
    monkeypatch.setattr(code, "digest", lambda module: "of other code" if module == changed else digest(module))
    make(**changed if isinstance(changed, dict) else {})()
    assert ("going on after step" if changed == {} else "of other data") in capsys.readouterr().out


def test_two_processes_encode_half_of_the_shards_each_to_the_same_bytes(project: Path) -> None:
    cache_tokens.main("image", params_file.load())
    alone = made()
    run(project, SHARE, TWO)
    shares = [json.loads((project / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 2]
    assert made() == alone


class Dots:
    """Stands for a split: pictures of one pixel."""

    def pictures(self, _modality: Modality, rows: Sequence[int]) -> Tensor:
        return torch.zeros(len(rows), 1, 1, 1)


def test_the_views_of_a_picture_are_shifted_by_other_amounts_than_those_of_its_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "BATCH", 300)
    shifts: list[Tensor] = []

    def shifted(pictures: Tensor, rng: BatchRng) -> Tensor:
        shifts.extend(rng.integers(7) for _ in ("rows", "columns"))
        return pictures

    for modality in MODALITIES:
        list(encoding.seen(modality, Dots(), range(300), 4, shifted, 0))  # type: ignore[arg-type]
    amounts = torch.stack(shifts).float()
    assert amounts.shape == (2 * 3 * 2, 300)  # of either modality, in each view but the first
    assert torch.corrcoef(amounts).fill_diagonal_(0).abs().max() < 0.3
