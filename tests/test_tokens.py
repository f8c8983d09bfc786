"""The token cache: what goes in comes out, and what does not belong together is refused."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import write_cache

from cycle_sound.dataset import token_cache
from cycle_sound.dataset.token_cache import Header, TokenCache
from cycle_sound.errors import BadTokens, StaleCache
from cycle_sound.models.tokenizer import CodeShape
from cycle_sound.nn.rng import BatchRng

COUNT, VIEWS, TOP = 5, 3, 2
SHAPE = CodeShape(codebooks=2, rows=2, columns=4, codebook_size=65536)
HEADER = Header("a" * 64, "b" * 64, SHAPE, COUNT)


def arrays(top: int = TOP) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = rng.integers(65536, size=(COUNT, VIEWS, SHAPE.codebooks, SHAPE.places, top))
    shares = np.sort(rng.uniform(0.1, 0.5, size=codes.shape))[..., ::-1]
    return codes, shares


def write(folder: Path, codes: np.ndarray, probabilities: np.ndarray, header: Header = HEADER) -> None:
    layouts = token_cache.arrays(header, codes.shape[1], codes.shape[-1])
    kept = {"probabilities": probabilities} if codes.shape[-1] > 1 else {}
    write_cache(folder, "train", header, layouts, codes=codes, **kept)


def cache(folder: Path, tokenizer: str = HEADER.tokenizer, shards: str = HEADER.shards) -> TokenCache:
    return TokenCache(folder, "train", tokenizer, shards)


def test_what_is_written_is_read(tmp_path: Path):
    codes, shares = arrays()
    write(tmp_path, codes, shares)
    read = cache(tmp_path)
    assert read.header == HEADER
    assert (len(read), read.views) == (COUNT, VIEWS)
    rows = torch.tensor([4, 0, 4])
    assert torch.equal(read.most_likely(rows), torch.from_numpy(codes[[4, 0, 4], 0, ..., 0]))


def test_another_process_opens_the_files_itself(tmp_path: Path):
    write(tmp_path, *arrays())
    read, sent = cache(tmp_path), pickle.dumps(cache(tmp_path))
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent).most_likely(torch.arange(COUNT)), read.most_likely(torch.arange(COUNT)))


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path):
    write(tmp_path, *arrays())
    with pytest.raises(StaleCache, match=r"train: made with tokenizer aaaaaaaaaaaa, not cccccccccccc"):
        cache(tmp_path, tokenizer="c" * 64)


def test_tokens_of_other_shards_are_refused(tmp_path: Path):
    write(tmp_path, *arrays())
    with pytest.raises(StaleCache, match=r"train: made with shards bbbbbbbbbbbb, not cccccccccccc"):
        cache(tmp_path, shards="c" * 64)


@pytest.mark.parametrize(
    "header",
    ["", "{", "[]", "3", "{}", "[" * 9999, '{"tokenizer": 1, "shards": 2, "shape": [1, 2, 3, 4], "pairs": 0}']
    + [
        json.dumps(HEADER._asdict() | changed)
        for changed in (
            *({"shape": shape} for shape in ([], [2, 2, 4], [2, 2, 4, -1], [2, 2, 5, 9], [1, 2, 4, 9], "x", 8)),
            *({"pairs": pairs} for pairs in (0, -1, 6, 5.0, "5", [1, 2, 3, 4, 5])),
            {"more": 1},
        )
    ],
)
def test_a_header_of_something_else_is_one_clear_error(tmp_path: Path, header: str):
    write(tmp_path, *arrays())
    (tmp_path / "train.json").write_text(header, encoding="utf-8")
    with pytest.raises(BadTokens, match=r"train.json: not tokens of this version"):
        cache(tmp_path)


HEADERS = {  # of arrays, over which numpy's own reader fails with errors of all kinds
    "a word without end": "{'descr': '<u2",
    "brackets": "[" * 9000,
    "indented lines": "{\n  3\n 4",
    "keys of two types": "{'descr': '<u2', 3: 4}",
    "a key that is a list": "{[]: 3}",
    "a type that is a list": "{'descr': [('<u2',)], 'fortran_order': False, 'shape': (5, 3, 2, 8, 2), }",
    "more than can be counted": "{'descr': '<u2', 'fortran_order': False, 'shape': (9223372036854775808, 1), }",
    "less than nothing": "{'descr': '<u2', 'fortran_order': False, 'shape': (-5, -3, 2, 8, 2), }",
    "no views": "{'descr': '<u2', 'fortran_order': False, 'shape': (5, 0, 2, 8, 2), }",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (5, 3, 2, 8, 2), }",
}


@pytest.mark.parametrize("name", ["codes", "probabilities"])
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_arrays_with_an_odd_header_are_one_clear_error(tmp_path: Path, name: str, header: str):
    write(tmp_path, *arrays())
    length = (len(header) + 1).to_bytes(2, "little")
    (tmp_path / f"train.{name}.npy").write_bytes(b"\x93NUMPY\x01\x00" + length + header.encode() + b"\n")
    with pytest.raises(BadTokens, match=r"train.json: not tokens of this version"):
        cache(tmp_path)


@pytest.mark.parametrize("name", ["codes", "probabilities"])
@pytest.mark.parametrize("content", [b"", b"x" * 100, lambda good: good[:-1], lambda good: good.replace(b"<", b">")])
def test_arrays_of_something_else_are_one_clear_error(tmp_path: Path, name: str, content: Any):
    write(tmp_path, *arrays())
    path = tmp_path / f"train.{name}.npy"
    path.write_bytes(content(path.read_bytes()) if callable(content) else content)
    with pytest.raises(BadTokens, match=r"train.json: not tokens of this version"):
        cache(tmp_path)


def test_arrays_are_written_as_numpy_writes_them(tmp_path: Path):
    codes, shares = arrays()
    write(tmp_path, codes, shares)
    np.save(tmp_path / "codes.npy", codes.astype(np.uint16))
    np.save(tmp_path / "shares.npy", shares.astype(np.float16))
    assert (tmp_path / "train.codes.npy").read_bytes() == (tmp_path / "codes.npy").read_bytes()
    assert (tmp_path / "train.probabilities.npy").read_bytes() == (tmp_path / "shares.npy").read_bytes()


def test_draws_follow_the_kept_probabilities(tmp_path: Path):
    codes = np.tile(np.array([7, 9]), (1, 1, 2, 8, 1))
    shares = np.tile(np.array([0.6, 0.2]), (1, 1, 2, 8, 1))  # 3 : 1, and not 1 in all
    write(tmp_path, codes, shares, HEADER._replace(pairs=1))
    drawn = cache(tmp_path).draw(torch.zeros(1000, dtype=torch.long), BatchRng(1, places=range(1000)))
    assert drawn.shape == (1000, 2, 8)
    assert set(drawn.unique().tolist()) == {7, 9}
    assert abs((drawn == 7).float().mean() - 0.75) < 0.02


def test_a_draw_is_of_one_view_and_follows_from_the_generator_alone(tmp_path: Path):
    codes, shares = arrays()
    write(tmp_path, codes, shares)
    read, rows = cache(tmp_path), torch.arange(COUNT).repeat(20)
    drawn = read.draw(rows, BatchRng(1, places=range(len(rows))))
    assert torch.equal(drawn, read.draw(rows, BatchRng(1, places=range(len(rows)))))
    kept = torch.from_numpy(codes[rows])  # (100, views, 2, 8, top)
    whole = (drawn[:, None, ..., None] == kept).any(-1).all((-1, -2))  # (100, views)
    assert whole.any(1).all()
    assert whole.any(0).all()


def test_how_a_batch_is_divided_changes_no_draw(tmp_path: Path):
    write(tmp_path, *arrays())
    read, rows = cache(tmp_path), torch.arange(COUNT).repeat(2)
    whole = read.draw(rows, BatchRng(1, places=range(10)))
    for part in (slice(0, 4), slice(4, 10)):
        assert torch.equal(read.draw(rows[part], BatchRng(1, places=range(10)[part])), whole[part])


def test_one_code_kept_is_the_code_drawn(tmp_path: Path):
    codes, shares = arrays(top=1)
    write(tmp_path, codes[:, :1], shares[:, :1])
    assert not (tmp_path / "train.probabilities.npy").exists()
    drawn = cache(tmp_path).draw(torch.arange(COUNT), BatchRng(0, places=range(COUNT)))
    assert torch.equal(drawn, torch.from_numpy(codes[:, 0, ..., 0]))
