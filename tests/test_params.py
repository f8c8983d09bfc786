"""params.yaml: what is wrong in it ends as one line that names the key, before any work."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cycle_sound import params as parameters
from cycle_sound.errors import ParamsError
from cycle_sound.params import DIRECTIONS, MODALITIES, Params

ROOT = Path(__file__).resolve().parents[1]

WRONG = {  # what is changed: the key, its new value, and what the line must say
    "a string for a number": (
        "vae.image.optimizer.learning_rate",
        "3e-4",
        "vae.image.optimizer.learning_rate: .*'3e-4'",
    ),
    "a bool for an int": ("seed", True, "seed: .*True"),
    "a float for an int": ("vae.audio.codebook_size", 256.0, "vae.audio.codebook_size: "),
    "nothing for a number": ("audio.mels", None, "audio.mels: .*None"),
    "a list for a section": ("sampling.audio_to_image", [1.0], "sampling.audio_to_image: "),
    "an unknown source": ("data.source", "youtube", "data.source: .*'youtube'"),
    "a negative count": ("transformer.audio_to_image.depth", 0, "transformer.audio_to_image.depth: "),
    "a share above one": ("data.valid_share", 1.5, "data.valid_share: "),
    "not a number": ("sampling.audio_to_image.guidance", float("nan"), "sampling.audio_to_image.guidance: "),
    "infinity": ("vae.image.optimizer.learning_rate", float("inf"), "vae.image.optimizer.learning_rate: "),
    "a level that is no number": ("audio.min_db", float("nan"), "audio.min_db: "),
    "a width that GroupNorm cannot cut": ("vae.image.width", 20, "vae.image.width: .*8"),
    "mels that the stride does not divide": ("audio.mels", 60, "audio.mels = 60 .* stride 8"),
    "a picture that the stride does not divide": ("image.size", 60, "image.size = 60 .* stride 8"),
    "frames that the stride does not divide": ("data.clip_seconds", 1.464, "audio frames .* = 61 .* stride 8"),
    "a sound of no whole number of hops": ("data.clip_seconds", 1.5, r"data.clip_seconds 1.5 is 62.500 hops"),
    "hops too long to invert": ("audio.hop_length", 768, "audio: .*hop_length 768 .* fft 1024"),
    "heads that do not divide the width": (
        "transformer.image_to_audio.heads",
        3,
        "transformer.image_to_audio: .*heads 3",
    ),
    "an empty range of decibels": ("audio.min_db", 30.0, "audio: .*min_db 30.0 must lie below"),
    "mels above the highest frequency": ("audio.fmin", 8000.0, "audio: .*fmin 8000.0"),
}


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        tree = tree[section]
    tree[last] = value


def complaint(tree: Any) -> str:
    """The one line about a wrong tree."""
    with pytest.raises(ParamsError) as caught:
        parameters.parse(tree)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_value_is_one_line_that_names_the_key(tree: dict[str, Any], what: str):
    key, value, said = WRONG[what]
    put(tree, key, value)
    with pytest.raises(ParamsError, match=f"^params.yaml: .*{said}"):
        parameters.parse(tree)
    complaint(tree)


def test_a_misspelt_key_is_named(tree: dict[str, Any]):
    tree["sampling"]["image_to_audio"]["temprature"] = 1.0
    assert complaint(tree).startswith("params.yaml: sampling.image_to_audio.temprature: ")


def test_a_missing_key_is_named(tree: dict[str, Any]):
    del tree["vae"]["audio"]["patch"]
    assert complaint(tree).startswith("params.yaml: vae.audio.patch: Field required")


def test_a_missing_section_is_named(tree: dict[str, Any]):
    del tree["tokens"]
    assert complaint(tree).startswith("params.yaml: tokens: Field required")


def test_of_several_faults_the_number_is_told(tree: dict[str, Any]):
    tree["seed"], tree["shard"]["pairs_per_shard"] = -1, 0
    assert complaint(tree).endswith("[and 1 more]")


def leaves(tree: dict[str, Any], before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    deeper = [
        leaves(value, (*before, key)) if isinstance(value, dict) else [(*before, key)] for key, value in tree.items()
    ]
    return [leaf for part in deeper for leaf in part]


def test_no_number_has_a_default_in_code(tree: dict[str, Any]):
    for leaf in leaves(tree):
        without = copy.deepcopy(tree)
        section = without
        for part in leaf[:-1]:
            section = section[part]
        del section[leaf[-1]]
        assert complaint(without).startswith(f"params.yaml: {'.'.join(leaf)}: Field required")


def test_the_tree_cannot_be_changed(params: Params):
    with pytest.raises(ValidationError, match="frozen"):
        params.seed = 1


def test_words_choose_their_own_sections(params: Params):
    for modality in MODALITIES:
        assert params.vae[modality] is getattr(params.vae, modality)
        assert params.augment[modality] is getattr(params.augment, modality)
    for direction in DIRECTIONS:
        assert params.transformer[direction] is getattr(params.transformer, direction)
        assert params.sampling[direction] is getattr(params.sampling, direction)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: [0", "not YAML"),
        ("seed: 0\n\tdata: 1", "not YAML"),
        ("", "expected a mapping"),
        ("- seed", "expected a mapping"),
        ("seed", "expected a mapping"),
    ],
)
def test_what_is_no_params_file_is_one_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=said) as caught:
        parameters.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(ParamsError, match=r"params.yaml: no such file; run from the project's root$"):
        parameters.load(tmp_path / "params.yaml")


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path):
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ParamsError, match=r"params.yaml: ") as caught:
        parameters.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_a_stage_with_wrong_params_says_so_in_one_line_and_ends_with_2(tree: dict[str, Any], tmp_path: Path):
    put(tree, "audio.mels", "64")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "stages.shard"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: params.yaml: audio.mels: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()
