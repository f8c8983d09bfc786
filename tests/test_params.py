"""params.yaml: what is wrong in it ends as one line that names the key, before any work."""

import copy
import os
import re
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import parse_yaml
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from cycle_sound import params as parameters
from cycle_sound.dataset import augment, encoding
from cycle_sound.errors import ParamsError
from cycle_sound.io import params_file
from cycle_sound.media import sound_files
from cycle_sound.models import transformer
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.griffin_lim import GriffinLim
from cycle_sound.models.learned_vocoder import LearnedVocoder
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.nn import fidelity
from cycle_sound.nn.rng import BatchRng
from cycle_sound.params import DIRECTIONS, MODALITIES, Params, PictureShape, source_of, target_of
from cycle_sound.training.objectives.discriminator import Discriminator

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
    "a clip of more frames than a model's file may say": (
        "data.clip_seconds",
        49.92,
        r"audio frames .* = 2080: .* from 16 to 2048",
    ),
    "a sound of no whole number of hops": ("data.clip_seconds", 1.5, r"data.clip_seconds 1.5 is 62.500 hops"),
    "a transform of an odd length": ("audio.fft", 1023, r"audio.fft: .*multiple of 2 \(got 1023\)$"),
    "hops too long to invert": ("audio.hop_length", 768, "audio: .*hop_length 768 .* fft 1024"),
    "heads that do not divide the width": (
        "transformer.image_to_audio.heads",
        3,
        "transformer.image_to_audio: .*heads 3",
    ),
    "heads too narrow for rows and columns": (
        "transformer.image_to_audio.heads",
        64,
        "transformer.image_to_audio: .*rotary: heads of 2 channels",
    ),
    "an empty range of decibels": ("audio.min_db", 30.0, "audio: .*min_db 30.0 must lie below"),
    "the worst without an audit": ("data.drop_worst", 0.1, "data.drop_worst 0.1 needs .* audit.enabled"),
    "a seed of which bits would be lost": ("seed", 1 << 32, "seed: "),
    "all of the pairs dropped": ("data.drop_worst", 1.0, "data.drop_worst: .*1.0"),
    "mels above the highest frequency": ("audio.fmin", 8000.0, "audio: .*fmin 8000.0"),
    "a sound without end": ("data.clip_seconds", 1e308, "data.clip_seconds: .*600"),
    "clips that are all too short": (
        "data.min_seconds",
        1.6,
        "data: min_seconds 1.6 is more than the clip_seconds 1.5",
    ),
    "nothing held out to choose by": ("data.valid_share", 0.0, "data.valid_share: "),
    "no film held out to test on": ("data.videos.test_share", 0.0, "data.videos.test_share: "),
    "a folder without a name": ("data.folder.path", "", "data.folder.path: "),
    "a store in the project itself": ("data.vggsound.path", "", "data.vggsound.path: "),
    "a pause that no clock measures": ("data.vggsound.backoff_seconds", 1e300, "data.vggsound.backoff_seconds: "),
    "no command to launch by": ("launcher", " ", "launcher: must be a command"),
    "a launcher of two lines": ("launcher", "python\ntrue", "launcher: .*one line"),
    "decibels of no finite power": ("audio.max_db", 1e5, "audio.max_db: "),
    "steps beyond any count": ("vae.image.optimizer.steps", 10**400, "vae.image.optimizer.steps: "),
    "a number that Python does not write": ("seed", 1 << 20_000, "seed: "),
    "a batch that its portions do not divide": (
        "judge.optimizer.accumulation",
        3,
        "judge.optimizer: batch_size 64 is not a multiple of accumulation 3",
    ),
    "an average of squares that stays nothing": ("classifier.optimizer.beta2", 1.0, "classifier.optimizer.beta2: "),
    "an average of weights that never moves": ("vae.audio.optimizer.ema_decay", 1.0, "vae.audio.optimizer.ema_decay: "),
    "all dropped out": ("transformer.audio_to_image.dropout", 1.0, "transformer.audio_to_image.dropout: "),
    "a null source that nothing has taught": (
        "transformer.audio_to_image.condition_dropout",
        0.0,
        r"transformer.audio_to_image.condition_dropout: .*greater than 0 \(got 0.0\)",
    ),
    "summaries that nothing has aligned": (
        "transformer.image_to_audio.alignment_weight",
        0.0,
        r"transformer.image_to_audio.alignment_weight: .*greater than 0 \(got 0.0\)",
    ),
    "a temperature that divides beyond float32": (
        "cycle.sampling.temperature",
        1e-40,
        "cycle.sampling.temperature: .*0",
    ),
    "a guidance that multiplies beyond float32": ("sweep.guidances", [1.0, 1e38], "sweep.guidances.1: "),
    "more codes kept than there are": ("tokens.top", 129, "tokens.top 129: vae.image.codebook_size is 128"),
    "blur over more than a picture": (
        "augment.degradation.blur",
        65,
        "augment.degradation.blur 65 is more than the 64",
    ),
    "pictures shifted out of sight": ("augment.image.rows", 64, "augment.image shifts pictures of 64 x 64 "),
    "log-mels shifted out of sight": ("augment.audio.columns", 10**6, "augment.audio shifts pictures of 64 x 64 "),
    "pictures too small to be classified": ("image.size", 8, "image.size = 8: .* from 16 to 2048"),
    "log-mels too small to be classified": ("audio.mels", 8, "audio.mels = 8: .* from 16 to 2048"),
    "pictures too small for a source to be halved": (
        "transformer.image_to_audio.source_downsamples",
        7,
        "transformer.image_to_audio.source_downsamples 7 needs pictures of at least 128 pixels",
    ),
}
TOGETHER: dict[str, tuple[dict[str, Any], str]] = {  # what each of several keys allows alone
    "a sound of no frame": (
        {"data.clip_seconds": 1e-300, "data.min_seconds": 1e-300},
        "audio frames .* = 0: .* from 16",
    ),
    "sides that cannot be folded": (
        {"vae.image.patch": 3, "vae.image.downsamples": 1, "image.size": 66},
        "= 66: .* of 4",
    ),
    "a picture of one token": ({"vae.image.patch": 64, "vae.image.downsamples": 0}, "image.size = 64 is one token"),
    "more latents than a transformer's file may say": (
        {"image.size": 1024, "vae.image.patch": 16, "transformer.image_to_audio.source_downsamples": 3},
        "transformer.image_to_audio.source_downsamples 3 leaves 128 x 128 latents",
    ),
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


PLACES = (
    *("data.folder.path", "data.videos.path", "data.videos.labels", "data.vggsound.list", "data.vggsound.test_list"),
    *("data.vggsound.path", "data.vggsound.moments", "data.vggsound.cookies", "init.vae.image", "init.vocoder"),
    *("init.transformer.audio_to_image", "vae.audio.perceptual_weights", "features.judge.image.weights"),
)


@pytest.mark.parametrize("key", PLACES)
def test_in_paths_a_tilde_is_a_home(tree: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("USERPROFILE", "/home/ann")
    put(tree, "features.judge.image.network", "resnet18")
    for path, wanted in {"~/clips": "/home/ann/clips", "./~": "./~", "a~/b": "a~/b", "~": "/home/ann"}.items():
        put(tree, key, path)
        assert attrgetter(key)(parameters.parse(tree)) == wanted
    put(tree, key, "~no such user/clips")
    with pytest.raises(ParamsError, match=rf"^params.yaml: {key}: .*\./~… \(got '~no such user/clips'\)$"):
        parameters.parse(tree)


@pytest.mark.parametrize("key", PLACES)
def test_a_null_character_in_a_path_is_refused(tree: dict[str, Any], key: str):
    put(tree, key, "a\0b")
    with pytest.raises(ParamsError, match=rf"^params.yaml: {key}: a path cannot contain a null character"):
        parameters.parse(tree)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_value_is_one_line_that_names_the_key(tree: dict[str, Any], what: str):
    key, value, said = WRONG[what]
    put(tree, key, value)
    with pytest.raises(ParamsError, match=f"^params.yaml: .*{said}"):
        parameters.parse(tree)
    complaint(tree)


@pytest.mark.parametrize("what", TOGETHER)
def test_values_that_do_not_go_together_are_one_line(what: str, tree: dict[str, Any]):
    values, said = TOGETHER[what]
    params_file.put(tree, values)
    assert re.match(f"^params.yaml: .*{said}", complaint(tree))


@pytest.mark.parametrize(
    ("size", "mels", "frames", "patch", "halved"),
    [(16, 16, 16, 4, 4), (64, 128, 2048, 4, 4), (2048, 64, 64, 16, 5), (512, 2048, 128, 16, 5)],
)
def test_a_shape_that_is_allowed_is_one_that_files_may_say(
    size: int, mels: int, frames: int, patch: int, halved: int, tree: dict[str, Any]
):
    """Of another one a model would be trained whose file nobody may read."""
    seconds = frames * tree["audio"]["hop_length"] / tree["audio"]["sample_rate"]
    params_file.put(tree, {"image.size": size, "audio.mels": mels, "data.clip_seconds": seconds})
    params_file.put(tree, {f"vae.{modality}.patch": patch for modality in MODALITIES})
    params_file.put(tree, {f"transformer.{direction}.source_downsamples": halved for direction in DIRECTIONS})
    params_file.put(tree, {"data.min_seconds": seconds})
    for channels, shape in zip((3, 1), parameters.parse(tree).shapes.values(), strict=True):
        TypeAdapter(PictureShape).validate_python((channels, *shape))


@torch.inference_mode()
@pytest.mark.parametrize("size", [16, 20, 48])
@pytest.mark.parametrize("architecture", ["max_pooling", "residual"])
def test_a_size_that_is_allowed_is_one_that_every_network_takes(
    size: int, architecture: Literal["max_pooling", "residual"], tree: dict[str, Any]
):
    """Of other sizes a training would end, or write a model whose file nobody may read."""
    halved = {f"transformer.{direction}.source_downsamples": 4 for direction in DIRECTIONS}
    params_file.put(tree, {"image.size": size, "vae.image.patch": 2, "vae.image.downsamples": 1, **halved})
    params_file.put(tree, {"augment.degradation.blur": 16, "tokens.top": 128, "classifier.architecture": architecture})
    params = parameters.parse(tree)
    whole = {"image": (3, *params.shapes["image"]), "audio": (1, *params.shapes["audio"])}
    pictures = {modality: torch.zeros(2, *shape) for modality, shape in whole.items()}
    codes = {}
    for modality, some in pictures.items():
        degraded = augment.degrade(some, params.augment.degradation, BatchRng(0, places=range(2)))
        assert Classifier(params.classifier, some.shape[1], ["a", "b"], None)(degraded).shape == (2, 2)
        assert Discriminator(some.shape[1], 8)(some).logits.numel()
        vae = DiscreteVAE(params.vae[modality].model_copy(update={"width": 8, "pixel_width": 8}), some.shape[1])
        assert fidelity.ssim(vae.decode(vae.encode(some)), some).shape == (2,)
        assert encoding.top_codes(vae, some, params.tokens.top)["codes"].shape[-1] == params.tokens.top
        codes[modality] = vae.code_shape(whole[modality])
    for direction in DIRECTIONS:
        source, target = source_of(direction), target_of(direction)
        shapes = Shapes(codes[source], whole[source], codes[target], whole[target])
        config = params.transformer[direction].model_copy(
            update={"width": 8, "heads": 1, "depth": 1, "source_width": 8}
        )
        model = Transformer(config, shapes)
        assert model.encode_source(pictures[source]).isfinite().all()
        assert model.target_encoder(pictures[target]).isfinite().all()
        known = {modality: "" for modality in MODALITIES}
        transformer.Facts(kind=transformer.KIND, config=config, shapes=shapes, tokenizers=known)  # raises nothing


@pytest.mark.parametrize("fft", [1, 769, 1001, 1023, 1025, 2047, 32767])
def test_a_transform_of_an_odd_length_is_refused(fft: int, tree: dict[str, Any]):
    """Windows of odd length, a half of one of silence around the sound, are a frame too few for a vocoder."""
    put(tree, "audio.fft", fft)
    assert re.match(rf"^params.yaml: audio.fft: .*multiple of 2 \(got {fft}\)$", complaint(tree))


@pytest.mark.parametrize("fft", [768, 1000, 1022, 1024, 2050])
def test_a_transform_of_an_even_length_is_one_that_every_vocoder_inverts(fft: int, tree: dict[str, Any]):
    put(tree, "audio.fft", fft)
    params = parameters.parse(tree)
    log_mels = torch.zeros(1, 1, 64, 64)
    for vocoder in (GriffinLim(params.audio, rounds=1), LearnedVocoder(params.vocoder.learned, params.audio)):
        assert vocoder.waveforms(log_mels).shape == (1, 64 * params.audio.hop_length)


def test_as_much_of_a_sound_is_a_clip_as_is_decoded_of_any():
    assert parameters.MAX_SECONDS == sound_files.MAX_SECONDS


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
        params_file.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["1e-5", "1E-5", "1e-05", "1.0e-5", "0.00001"])
def test_a_number_that_dvc_sets_is_that_number(number: str, tree: dict[str, Any], tmp_path: Path):
    YAML().dump(tree, tmp_path / "params.yaml")
    apply_overrides(str(tmp_path / "params.yaml"), [f"vae.audio.optimizer.learning_rate={number}"])  # as -S does
    assert params_file.load(tmp_path / "params.yaml").vae.audio.optimizer.learning_rate == 1e-5


@pytest.mark.parametrize("word", ["on", "off", "no", "yes", "y", "N", "'1e-5'", "12:30:45"])
def test_a_word_that_dvc_sets_is_that_word(word: str, tree: dict[str, Any], tmp_path: Path):
    YAML().dump(tree, tmp_path / "params.yaml")
    apply_overrides(str(tmp_path / "params.yaml"), [f"data.folder.path={word}"])
    assert params_file.load(tmp_path / "params.yaml").data.folder.path == word.strip("'")


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
            params_file.read(tmp_path / "params.yaml")
    else:
        assert repr(params_file.read(tmp_path / "params.yaml")) == repr(wanted)


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
        params_file.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_few_aliases_are_read(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n", encoding="utf-8")
    assert params_file.read(tmp_path / "params.yaml")["c"] == {"x": 1, "y": 3}


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
        params_file.load(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(ParamsError, match=r"params.yaml: no such file; run from the project's root$"):
        params_file.load(tmp_path / "params.yaml")


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path):
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ParamsError, match=r"params.yaml: ") as caught:
        params_file.load(tmp_path / "params.yaml")
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
