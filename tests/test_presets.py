"""Presets: each fits params.yaml, is told as DVC takes it, and leaves the rest of the file alone."""

import math
import re
from functools import reduce
from operator import attrgetter, getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from dvc.cli import DvcParserError, parse_args
from dvc.utils.hydra import apply_overrides
from torch import nn
from typer.testing import CliRunner

from cycle_sound.app import presets
from cycle_sound.app.cli import app
from cycle_sound.dataset import token_cache
from cycle_sound.errors import ParamsError
from cycle_sound.io import params_file
from cycle_sound.models import features
from cycle_sound.models.classifier import Classifier
from cycle_sound.models.dvae import DiscreteVAE
from cycle_sound.models.transformer import Shapes, Transformer
from cycle_sound.params import DIRECTIONS, MODALITIES, Params, source_of, target_of
from cycle_sound.training.objectives.discriminator import Discriminator

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("cycle", "fine", "finetune", "tiny", "vggsound")
LABELS = [str(number) for number in range(309)]  # of VGGSound


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the presets, which is also the current one."""
    (tmp_path / "presets").mkdir()
    for path in (Path("params.yaml"), *(Path(f"presets/{name}.yaml") for name in NAMES)):
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(*words: str) -> tuple[int, str]:
    """The exit code of the command, and what it says: the options, or the one line of an error."""
    result = CliRunner().invoke(app, ["preset", *words])
    return result.exit_code, result.stdout if result.exit_code == 0 else result.stderr


def lines(path: Path) -> list[str]:
    """A file's lines, without those of single elements of lists."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("- ")]


def test_every_preset_is_tested() -> None:
    assert {path.name for path in (ROOT / "presets").iterdir()} == {f"{name}.yaml" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_fits_and_says_nothing_twice(name: str, project: Path, params: Params) -> None:
    changed = params_file.with_preset(params, name).model_dump()
    for key, value in params_file.preset(name).items():
        assert reduce(getitem, key.split("."), changed) == value
        assert reduce(getitem, key.split("."), params.model_dump()) != value, f"{name}: {key} is nothing new"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_to_dvc_is_the_preset(name: str, project: Path, params: Params) -> None:
    code, said = told(name)
    words = said.split()
    assert (code, set(words[::2])) == (0, {"-S"})
    apply_overrides("params.yaml", words[1::2])  # as -S does
    assert params_file.load() == params_file.with_preset(params, name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_the_preset_and_all_else_stays(name: str, project: Path, params: Params) -> None:
    before = lines(project / "params.yaml")
    assert told(name, "--write") == (0, "")
    assert params_file.load() == params_file.with_preset(params, name)
    after = lines(project / "params.yaml")
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert 0 < len(changed) <= len(params_file.preset(name))
    for old, new in changed:
        assert old.partition(" #")[2] == new.partition(" #")[2]  # the comment
        assert old.partition(":")[0] == new.partition(":")[0]


@pytest.mark.parametrize("guidances", [[1.0], [1.0, 2.0, 3.0, 5.0, 6.0, 7.0]])
@pytest.mark.parametrize(
    "form",
    [
        "guidances: {flow} # each with one candidate",
        "guidances: {flow} # each with one candidate\n\n  # of valid",
        "guidances: # each with one candidate\n{block}",
        "guidances: # each with one candidate\n{block} # the last",
        "guidances: # each with one candidate\n{block}\n\n  # of valid",
    ],
)
def test_a_list_is_written_in_the_form_of_the_one_in_its_place(
    form: str, guidances: list[float], project: Path
) -> None:
    def written(values: list[float]) -> str:
        return form.format(flow=values, block="\n".join(f"  - {value}" for value in values))

    path = project / "params.yaml"
    tree, _, rest = path.read_text(encoding="utf-8").partition("guidances:")
    rest = rest[rest.index("\n  pairs:") :]
    path.write_text(f"{tree}{written([1.5, 2.0])}{rest}", encoding="utf-8")
    (project / "presets/other.yaml").write_text(f"sweep.guidances: {guidances}", encoding="utf-8")
    assert told("other", "--write") == (0, "")
    assert re.sub("\\] +#", "] #", path.read_text(encoding="utf-8")) == f"{tree}{written(guidances)}{rest}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image.sise: 96", "image.sise: no such key"),
        ("seed.size: 96", "seed.size: no such key"),
        ("vae.image: 3", "vae.image: no such key"),
        ("image:\n  size: 96", "image: no such key"),
        ("image.size: large", "image.size: "),
        ("image.size: 90", "image.size = 90 is not a multiple"),
        ("- image.size", "expected lines"),
        ("96", "expected lines"),
        ("image.size: [", "not YAML"),
        ("data.folder.path: my data", "data.folder.path: 'my data' is not one word"),
        ("data.videos.labels: ''", "data.videos.labels: '' is not one word"),
    ],
)
def test_what_is_wrong_with_a_preset_is_one_line_that_names_it(content: str, said: str, project: Path) -> None:
    (project / "presets/other.yaml").write_text(content, encoding="utf-8")
    code, line = told("other")
    assert code == 1
    assert line.startswith("error: presets/other.yaml: ")
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("name", ["nope", "../params", "fine.yaml", ""])
def test_an_unknown_preset_is_one_line_that_names_the_others(name: str, project: Path) -> None:
    for words in ([name], [name, "--write"]):
        code, line = told(*words)
        assert (code, line.count("\n")) == (1, 1)
        assert "fine, finetune, tiny, vggsound" in line
    assert (project / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize("content", ["image.size: 90", "image.sise: 96", "data.folder.path: my data"])
@pytest.mark.parametrize("name", ["other", "nope"])
def test_where_a_preset_is_refused_dvc_starts_nothing(name: str, content: str, project: Path) -> None:
    """`dvc exp run $(cycle-sound preset NAME)`: without a word it would run one in which nothing is changed."""
    (project / "presets/other.yaml").write_text(content, encoding="utf-8")
    words = CliRunner().invoke(app, ["preset", name]).stdout.split()
    with pytest.raises(DvcParserError):
        parse_args(["exp", "run", *words, "-S", "data.source=folder"])


def test_a_preset_that_does_not_fit_is_not_written(project: Path) -> None:
    (project / "presets/other.yaml").write_text("seed: 1\nimage.size: 90", encoding="utf-8")
    with pytest.raises(ParamsError, match="multiple"):
        presets.write("other")
    assert (project / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_fine_tuning_takes_about_a_quarter_of_the_steps_at_a_quarter_of_the_rates(params: Params) -> None:
    tuned = params_file.with_preset(params, "finetune", ROOT / "presets")
    names = [*(f"vae.{one}" for one in MODALITIES), *(f"transformer.{one}" for one in DIRECTIONS), "vocoder.learned"]
    for name in names:
        before, after = (attrgetter(f"{name}.optimizer")(one) for one in (params, tuned))
        assert 0.2 <= after.steps / before.steps <= 0.3, name
        assert after.learning_rate == before.learning_rate / 4
    for page in ("presets/finetune.yaml", "docs/own-data.md"):
        assert "about a quarter of the steps" in (ROOT / page).read_text(encoding="utf-8")


# --- vggsound: the sizes of which README and the file tell


@pytest.fixture(scope="module")
def sizes() -> dict[str, Any]:
    """Millions of weights of every model, and the codes and positions of each side."""
    pytest.importorskip("efficientnet_lite_pytorch")
    params = params_file.with_preset(params_file.load(ROOT / "params.yaml"), "vggsound", ROOT / "presets")
    shapes: dict[Any, tuple[Any, int, int]] = {
        "image": (3, params.image.size, params.image.size),
        "audio": (1, params.audio.mels, params.audio.frames(params.data.clip_seconds)),
    }
    found: dict[str, Any] = {}
    with torch.device("meta"):
        network = features.FeatureNetwork(params.features.source.image.network)
        codes = {}
        for modality in MODALITIES:
            vae = DiscreteVAE(params.vae[modality], shapes[modality][0])
            codes[modality] = found[f"codes {modality}"] = vae.code_shape(shapes[modality])
            found[f"vae {modality}"] = millions(vae)
            found[f"classifier {modality}"] = millions(Classifier(params.classifier, shapes[modality][0], LABELS, None))
        found["judge image"] = millions(Classifier(params.judge, 3, LABELS, network))
        found["judge audio"] = millions(Classifier(params.judge, 1, LABELS, None))
        found["discriminator"] = millions(Discriminator(3, params.decoder.image.discriminator_width))
        for direction in DIRECTIONS:
            config, source, target = params.transformer[direction], source_of(direction), target_of(direction)
            read = network.shape if config.condition == "features" else None
            known = Shapes(codes[source], shapes[source], codes[target], shapes[target], read)
            model = Transformer(config, known)
            found[f"transformer {direction}"] = millions(model)
            found[f"positions {direction}"] = len(model.null) + codes[target].places
    return found


def millions(model: nn.Module) -> int:
    """Weights, rounded."""
    return round(sum(weight.numel() for weight in model.parameters()) / 1e6)


def test_the_models_of_vggsound_have_the_sizes_that_are_told(sizes: dict[str, Any]) -> None:
    assert sizes == {
        "codes image": (4, 16, 16, 1024),
        "codes audio": (4, 5, 54, 1024),
        "vae image": 7,
        "vae audio": 15,
        "classifier image": 1,
        "classifier audio": 1,
        "judge image": 3,
        "judge audio": 2,
        "discriminator": 1,
        "transformer audio_to_image": 130,
        "transformer image_to_audio": 126,
        "positions audio_to_image": 311,
        "positions image_to_audio": 287,
    }


def test_vggsound_takes_the_room_on_disk_that_is_told(sizes: dict[str, Any]) -> None:
    params = params_file.with_preset(params_file.load(ROOT / "params.yaml"), "vggsound", ROOT / "presets")
    preset, page = ((ROOT / name).read_text(encoding="utf-8") for name in ("presets/vggsound.yaml", "docs/vggsound.md"))
    pairs, raw = 200_000, 3 * params.image.size**2
    assert f"its {pairs:,} clips as pairs of {params.image.size} × {params.image.size} pixels" in preset
    told = f"pictures take {pairs * raw / 6e9:.1f} GB, not {pairs * raw / 1e9:.1f}"
    assert f"a sixth of the size of raw pixels: {told}" in preset
    tokens = 0
    for modality in MODALITIES:
        header = token_cache.Header("", "", sizes[f"codes {modality}"], 1)
        arrays = token_cache.arrays(header, params.tokens.views, params.tokens.top).values()
        tokens += sum(math.prod(array.shape) * array.kind(0).nbytes for array in arrays)
    assert f"is {raw / 6e3:.0f} kB, {tokens / 1e3:.0f} kB in tokens" in page
