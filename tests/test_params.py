"""params.yaml: what is wrong in it ends as one line that names the key, before any work."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

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
    "an unknown vocoder": ("vocoder.kind", "wavenet", "vocoder.kind: .*'wavenet'"),
    "a negative count": ("transformer.audio_to_image.depth", 0, "transformer.audio_to_image.depth: "),
    "a share above one": ("data.valid_share", 1.5, "data.valid_share: "),
    "no pairs at all": ("data.paired_share", 0.0, "data.paired_share: "),
    "another word for what is unpaired": ("data.unpaired", "drop", "data.unpaired: .*'drop'"),
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
    "the worst without an audit": ("data.drop_worst", 0.1, "data.drop_worst 0.1: .* audit.enabled"),
    "a seed of which bits would be lost": ("seed", 1 << 32, "seed: "),
    "all of the pairs dropped": ("data.drop_worst", 1.0, "data.drop_worst: .*1.0"),
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


@pytest.mark.parametrize("number", ["1e-5", "1E-5", "1e-05", "1.0e-5", "0.00001"])
def test_a_number_that_dvc_sets_is_that_number(number: str, tree: dict[str, Any], tmp_path: Path):
    YAML().dump(tree, tmp_path / "params.yaml")
    apply_overrides(str(tmp_path / "params.yaml"), [f"vae.audio.optimizer.learning_rate={number}"])  # as -S does
    assert parameters.load(tmp_path / "params.yaml").vae.audio.optimizer.learning_rate == 1e-5


@pytest.mark.parametrize("word", ["on", "off", "no", "yes", "y", "N", "'1e-5'", "12:30:45"])
def test_a_word_that_dvc_sets_is_that_word(word: str, tree: dict[str, Any], tmp_path: Path):
    YAML().dump(tree, tmp_path / "params.yaml")
    apply_overrides(str(tmp_path / "params.yaml"), [f"data.folder.path={word}"])
    assert parameters.load(tmp_path / "params.yaml").data.folder.path == word.strip("'")


@pytest.mark.parametrize("override", ["seed=1", "sampling.audio_to_image.guidance=9.5", "data.folder.path=elsewhere"])
def test_an_experiment_changes_one_line_of_params_yaml(override: str, tmp_path: Path):
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(before, encoding="utf-8")
    apply_overrides(str(tmp_path / "params.yaml"), [override])
    after = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    assert sum(old != new for old, new in zip(before.splitlines(), after.splitlines(), strict=True)) == 1


SCALARS = (
    *(
        "1e-5",
        "1E5",
        "1e+3",
        ".5",
        "5.",
        "-1e-5",
        "1e",
        "1.5e3",
        "1_000",
        "0o17",
        "017",
        "0x1F",
        "0b11",
        "+7",
        "-0",
        "00",
    ),
    *("on", "off", "yes", "no", "y", "n", "true", "True", "TRUE", "false", "null", "~", "Null", "=", "<<", "'on'"),
    *(
        "1:30",
        "190:20:30",
        "2024-01-31",
        "2024-01-31T10:00:00Z",
        ".inf",
        "-.INF",
        ".NaN",
        "|\n  text",
        ">-\n  text\n  on",
    ),
    *("[a, 1e-5]", "{a: no}", "&x 1e-5", "!!str 1e-5", "!!float 1", "a: # b", "a#b", "'1e-5'"),
)


@pytest.mark.filterwarnings("ignore::ruamel.yaml.error.MantissaNoDotYAML1_1Warning")
@pytest.mark.parametrize("version", ["", "%YAML 1.1\n---\n", "%YAML 1.2\n---\n"])
@pytest.mark.parametrize("scalar", SCALARS)
def test_the_program_reads_what_dvc_reads(scalar: str, version: str, tmp_path: Path):
    (tmp_path / "params.yaml").write_text(f"{version}key: {scalar}\n", encoding="utf-8")
    try:
        wanted = parse_yaml((tmp_path / "params.yaml").read_text(encoding="utf-8"), "params.yaml")
    except Exception:
        with pytest.raises(ParamsError):
            parameters.read(tmp_path / "params.yaml")
    else:
        assert repr(parameters.read(tmp_path / "params.yaml")) == repr(wanted)


def bomb(before: str, entry: str, after: str) -> str:
    """Nine lines, of which each holds the one before nine times."""
    lines = ["a0: &a0 {k: v}"]
    for level in range(1, 9):
        inside = ", ".join(entry.format(f"*a{level - 1}", place) for place in range(9))
        lines.append(f"a{level}: &a{level} {before}{inside}{after}")
    return "\n".join(lines)


BOMBS = {
    "lists of lists": bomb("[", "{0}", "]"),
    "maps of maps": bomb("{", "k{1}: {0}", "}"),
    "merged maps": bomb("{<<: [", "{0}", "]}"),
    "lists as keys": bomb("[", "? {0} : {1}", "]"),
    "a value of no use": bomb("[", "{0}", "]") + "\nseed: *a8",
    "a long text many times": f"a: &a {'x' * 30_000}\nseed: [{', '.join(['*a'] * 5000)}]",
    "itself": "a: &a [*a, *a]",
    "itself in a map": "a: &a {b: *a}",
    "itself merged": "a: &a {<<: *a}",
    "a thousand deep": "[\n" * 1000 + "]" * 1000,
    "a thousand deep in a map": "{a: " * 1000 + "b" + "}" * 1000,
    "a large file": "a: " + "x" * 100_000,
    "a long value": "seed: " + "x" * 60_000,
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_small_file_that_stands_for_too_much_is_one_line(what: str, tmp_path: Path):
    (tmp_path / "params.yaml").write_text(BOMBS[what], encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        parameters.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_few_aliases_are_read(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n", encoding="utf-8")
    assert parameters.read(tmp_path / "params.yaml")["c"] == {"x": 1, "y": 3}


@pytest.mark.parametrize(
    "text",
    [
        "seed: 2024-06-31",
        "seed: 0001-01-01 00:00:00 +23:59",
        "seed: !!bool 3",
        "seed: !!int ''",
        "seed: !!float x",
        "seed: !!timestamp x",
        "seed: !!binary 'a'",
        "seed: !!python/object/apply:os.getcwd []",
        "seed: *nowhere",
        "seed: 1\nseed: 2",
        "? {a: b}\n: c",
        "seed: \x00",
        "--- 1\n--- 2",
        "seed: " + "9" * 5000,
    ],
)
def test_what_yaml_cannot_hold_is_one_line(text: str, tmp_path: Path):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"params\.yaml: ") as caught:
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
    YAML().dump(tree, tmp_path / "params.yaml")
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
