"""Files of models that nobody should believe: refused in one line, before anything is allocated for what they say."""

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cycle_sound.app.cli import app
from cycle_sound.errors import BadCard, BadCheckpoint, BadTarget
from cycle_sound.inference import bundle, card, export
from cycle_sound.inference.bundle import Models
from cycle_sound.inference.system import CycleSound
from cycle_sound.io import files
from cycle_sound.models import classifier
from cycle_sound.nn import checkpoint
from cycle_sound.params import VocoderSection

VAE, TRANSFORMER, CLASSIFIER = "vae/image", "cycle/audio_to_image", "classifier/image"
VOCODER = "vocoder/learned"
KINDS = (VAE, TRANSFORMER, VOCODER, CLASSIFIER)
HUGE = 1 << 40


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    """A copy of a project's models, to spoil."""
    return shutil.copytree(data, tmp_path / "data")


def place(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def header(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def with_header(path: Path, changed: dict[str, Any] | bytes) -> None:
    """Put another header before the file's weights."""
    content = path.read_bytes()
    weights = content[8 + int.from_bytes(content[:8], "little") :]
    written = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + weights)


def with_facts(path: Path, text: str) -> None:
    changed = header(path)
    changed["__metadata__"]["facts"] = text
    with_header(path, changed)


def loaded(folder: Path) -> Models:
    config = VocoderSection.model_validate(tiny.tree()["vocoder"] | {"kind": "learned"})
    return bundle.load(folder, config, torch.device("cpu"))


def refused(folder: Path) -> str:
    """The line with which a folder is refused, which takes little memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadCheckpoint) as caught:
        loaded(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    assert len(str(caught.value)) < 1000
    return str(caught.value)


FACTS: list[tuple[str, str, Any]] = [  # the file, the key of its facts, and what it says there
    *((VAE, f"config.{key}", HUGE) for key in ("width", "blocks", "downsamples", "patch", "codebooks", "code_width")),
    (VAE, "config.width", 1 << 15),
    (VAE, "config.width", -8),
    (VAE, "config.blocks", 200),
    (VAE, "config.codebook_size", 65536),
    (VAE, "config.optimizer", None),
    (VAE, "config.more", 1),
    (VAE, "shape", [3, HUGE, HUGE]),
    (VAE, "shape", [3, 2048, 2048]),
    (VAE, "shape", [3, 60, 64]),
    (VAE, "shape", [3, 64, 128]),
    (VAE, "shape", [1, 64, 64]),
    (VAE, "shape", [3, -64, -64]),
    (VAE, "shape", 64),
    (VAE, "shape", "picture"),
    (VAE, "shards", 3),
    ("vae/audio", "audio.fft", HUGE),
    ("vae/audio", "audio.mels", 128),
    ("vae/audio", "audio.sample_rate", 1),
    ("vae/audio", "audio.min_db", float("nan")),
    ("vae/audio", "audio", {}),
    *(
        (TRANSFORMER, f"config.{key}", HUGE)
        for key in ("width", "depth", "heads", "source_width", "source_downsamples")
    ),
    (TRANSFORMER, "config.width", 1 << 15),
    (TRANSFORMER, "config.depth", 200),
    (TRANSFORMER, "config.heads", 3),
    (TRANSFORMER, "config.condition", "memory"),
    (TRANSFORMER, "shapes.target_codes", [1, HUGE, HUGE, 16]),
    (TRANSFORMER, "shapes.target_codes", [1, 2000, 2000, 16]),
    (TRANSFORMER, "shapes.target_codes", [1, 8, 8]),
    (TRANSFORMER, "shapes.source_codes", [0, 8, 8, 16]),
    (TRANSFORMER, "shapes.source_codes", [1, 8, 8, 32]),
    (TRANSFORMER, "shapes.source_picture", [1, 2048, 2048]),
    (TRANSFORMER, "shapes.source_picture", [1, 2, 64]),
    (TRANSFORMER, "shapes.target_picture", [3, 64, 128]),
    (TRANSFORMER, "shapes", {}),
    (TRANSFORMER, "shapes.source_features", [8, 4, 4]),
    (TRANSFORMER, "config.condition", "features"),
    (TRANSFORMER, "network_digest", "a" * 64),
    (TRANSFORMER, "tokenizers", ["image"]),
    *((VOCODER, f"config.{key}", HUGE) for key in ("width", "blocks", "griffin_lim_rounds")),
    (VOCODER, "config.width", 1 << 15),
    (VOCODER, "config.blocks", 200),
    (VOCODER, "audio.fft", 1 << 15),
    (VOCODER, "audio.mels", 2048),
    (VOCODER, "audio", {}),
    (CLASSIFIER, "config.width", 1 << 15),
    (CLASSIFIER, "labels", [str(number) for number in range(100_000)]),
    (CLASSIFIER, "labels", "bell"),
    (CLASSIFIER, "labels", [1, 2]),
    (CLASSIFIER, "network", "resnet18"),
    (CLASSIFIER, "network", "nothing"),
    (CLASSIFIER, "network", 3),
    (CLASSIFIER, "channels", HUGE),
    (CLASSIFIER, "channels", 1),
    *(
        (name, "kind", kind)
        for name in (VAE, TRANSFORMER, VOCODER, CLASSIFIER)
        for kind in ("samples", None, 3, "x" * 100_000)
    ),
]


@pytest.mark.parametrize(("name", "key", "value"), FACTS, ids=[f"{name} {key} {str(v)[:20]}" for name, key, v in FACTS])
def test_facts_that_cannot_be_are_refused_before_anything_is_allocated(
    folder: Path, name: str, key: str, value: Any
) -> None:
    path = place(folder, name)
    facts = json.loads(header(path)["__metadata__"]["facts"])
    *sections, last = key.split(".")
    node = facts
    for section in sections:
        node = node[section]
    node[last] = value
    with_facts(path, json.dumps(facts))
    assert refused(folder).startswith(str(path))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", '"kind"', "[" * 100_000, '{"kind":' * 100_000, "{}", "\ud7ff"]
)
def test_facts_that_are_no_facts_are_refused(folder: Path, name: str, text: str) -> None:
    with_facts(place(folder, name), text)
    assert refused(folder).startswith(str(place(folder, name)))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda weights, first: weights | {first: weights[first].repeat(2, *[1] * (weights[first].dim() - 1))},
        lambda weights, first: weights | {first: weights[first][None]},
        lambda weights, first: {key: weight for key, weight in weights.items() if key != first},
        lambda weights, first: weights | {"more": torch.zeros(3)},
        lambda weights, first: weights | {first: weights[first].double()},
        lambda weights, first: weights | {first: torch.full_like(weights[first], torch.nan)},
        lambda weights, first: weights | {first: torch.full_like(weights[first], -torch.inf)},
        lambda weights, first: {},
    ],
)
def test_weights_that_are_not_the_models_are_refused(folder: Path, name: str, spoil: Callable[..., Any]) -> None:
    path = place(folder, name)
    weights, facts = load_file(path), header(path)["__metadata__"]
    first = next(key for key, weight in sorted(weights.items()) if weight.dim() > 1)
    save_file(spoil(weights, first), path, metadata=facts)
    assert refused(folder).startswith(str(path))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 7, b"\xff" * 100, (HUGE).to_bytes(8, "little"), (1 << 30).to_bytes(8, "little") + b"{" * 99],
)
def test_what_is_no_safetensors_file_is_refused(folder: Path, content: bytes) -> None:
    place(folder, VAE).write_bytes(content)
    assert "not a safetensors file" in refused(folder)


@pytest.mark.parametrize(
    "changed", [b"[]", b"{", b"\xff\xfe", b'{"__metadata__": 3}', b'{"a": {"dtype": "F32", "shape": [9]}}']
)
def test_a_header_of_something_else_is_refused(folder: Path, changed: bytes) -> None:
    with_header(place(folder, VAE), changed)
    refused(folder)


def test_loading_gives_the_weights_that_were_saved_and_takes_no_random_numbers(folder: Path) -> None:
    state = torch.get_rng_state()
    model = loaded(folder).transformers["audio_to_image"]
    assert torch.equal(torch.get_rng_state(), state)
    saved = load_file(place(folder, TRANSFORMER))
    assert all(torch.equal(weight, saved[name]) for name, weight in model.state_dict().items())
    assert all(weight.data_ptr() % 64 == 0 for weight in model.parameters())
    assert not [name for name, tensor in [*model.named_parameters(), *model.named_buffers()] if tensor.is_meta]


def test_weights_of_16_bits_load_as_32_and_beyond_their_range_are_refused(folder: Path) -> None:
    path = place(folder, CLASSIFIER)
    wide = load_file(path)
    checkpoint.halve(path)
    model = classifier.load(path)
    for key, weight in model.state_dict().items():
        assert weight.dtype == wide[key].dtype
        assert torch.equal(weight, wide[key].half().float() if weight.is_floating_point() else wide[key])
    name = next(key for key, weight in wide.items() if weight.is_floating_point())
    changed = load_file(path) | {name: torch.full_like(wide[name], 1e6).half()}
    save_file(changed, path, metadata=header(path)["__metadata__"])
    assert "finite" in refused(folder)


def test_a_tensor_that_16_bits_cannot_hold_keeps_its_32(folder: Path) -> None:
    path = place(folder, CLASSIFIER)
    wide = load_file(path)
    name, other = sorted(key for key, weight in wide.items() if weight.is_floating_point())[:2]
    wide[name].view(-1)[0] = 65_520.0  # the least that rounds to infinity
    save_file(wide, path, metadata=header(path)["__metadata__"])
    checkpoint.halve(path)
    assert load_file(path)[other].dtype == torch.float16
    assert torch.equal(classifier.load(path).state_dict()[name], wide[name])


# --- an exported folder


@pytest.fixture
def exported(data: Path, tmp_path: Path) -> Path:
    export.export(data, tmp_path / "models")
    return tmp_path / "models"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_export_takes_the_place_of_an_earlier_one_and_leaves_what_lies_beside_it(
    exported: Path, data: Path, tmp_path: Path
) -> None:
    (exported / "samples").mkdir()
    (exported / "samples" / "bell.png").write_text("somebody's own")
    export.export(data, exported, half=True)
    export.export(data, tmp_path / "fresh", half=True)
    assert contents(exported) == {**contents(tmp_path / "fresh"), Path("samples/bell.png"): b"somebody's own"}


def with_readme(folder: Path) -> None:
    (folder / "README.md").write_text("How to use our models")


def without_card(folder: Path) -> None:
    (folder / "card.json").unlink()


def with_other_card(folder: Path) -> None:
    (folder / "card.json").write_text('{"card": "ace of spades"}')


def with_other_weights(folder: Path) -> None:
    place(folder, CLASSIFIER).write_bytes(b"somebody's own, trained for a week")


def with_weights_beside_its_own(folder: Path) -> None:
    (folder / "features/image").mkdir(parents=True)
    (folder / "features/image/network.safetensors").write_bytes(b"somebody's own")


def with_linked_card(folder: Path) -> None:
    (folder / "card.json").unlink()
    (folder / "card.json").symlink_to("nowhere")


def with_linked_models(folder: Path) -> None:
    original = (folder / "vae").rename(folder.with_name("original"))
    (folder / "vae").symlink_to(original)


@pytest.mark.parametrize(
    "spoil",
    [
        with_readme,
        without_card,
        with_other_card,
        with_other_weights,
        with_weights_beside_its_own,
        with_linked_card,
        with_linked_models,
    ],
    ids=lambda it: it.__name__,
)
def test_an_export_writes_over_an_earlier_export_alone(
    exported: Path, data: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(exported)
    before = contents(tmp_path)
    with pytest.raises(BadTarget):
        export.export(data, exported, half=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("left", [["vae"], ["vae", "cycle"], ["vae", "cycle", "card.json"]], ids="+".join)
def test_an_export_that_was_killed_can_be_done_again(exported: Path, data: Path, left: list[str]) -> None:
    whole = contents(exported)
    for path in exported.iterdir():
        if path.name not in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (exported / export.BEGUN).touch()
    for part in ("vae/.image.safetensors.0123abcd.part", ".card.json.0123abcd.part", ".README.md.0123abcd.part"):
        files.write_bytes(exported / part, b"as far as it was written")
    export.export(data, exported)
    assert contents(exported) == whole


def test_wherever_an_export_is_killed_the_next_one_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export.export(data, tmp_path / "whole")
    write, folder, left = files.write_bytes, tmp_path / "models", 0

    def killing(path: Path, content: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(files, "write_bytes", killing)
    models = len(bundle.model_files(data, card.read(data).vocoder))
    for most in (1, models, models + 1, models + 2):  # files: the mark, most of the models, all, and the card
        left = most
        with pytest.raises(KeyboardInterrupt):
            export.export(data, folder)
        assert (folder / card.NAME).exists() == (most == models + 2)
    monkeypatch.undo()
    export.export(data, folder)
    assert contents(folder) == contents(tmp_path / "whole")


def test_models_of_somebody_else_are_kept_though_no_card_lies_beside_them(data: Path, tmp_path: Path) -> None:
    for path in bundle.model_files(data, card.read(data).vocoder):
        files.write_bytes(tmp_path / "backup" / path.relative_to(data), b"my only copy")
    before = contents(tmp_path)
    with pytest.raises(BadTarget, match="backup: holds other files"):
        export.export(data, tmp_path / "backup")
    assert contents(tmp_path) == before


NAMES = [
    f"{kind}/{one}"
    for kind, both in (("vae", ("image", "audio")), ("cycle", ("audio_to_image", "image_to_audio")))
    for one in both
]


@pytest.mark.parametrize("name", [*NAMES, CLASSIFIER, "classifier/audio"])
def test_a_file_that_is_not_the_one_on_the_card_is_refused(exported: Path, name: str) -> None:
    content = bytearray(place(exported, name).read_bytes())
    content[-1] ^= 1
    place(exported, name).write_bytes(content)
    with pytest.raises(BadCheckpoint, match=rf"{name}.safetensors: not the file that card.json describes"):
        CycleSound.load(exported)


@pytest.mark.parametrize(
    "models",
    [{}, {f"{VAE}.safetensors": {}}, {f"{VAE}.safetensors": {"sha256": 3}}, {"../../etc/passwd": {"sha256": "0"}}],
)
def test_a_card_that_does_not_describe_its_files_is_refused(exported: Path, models: dict[str, Any]) -> None:
    tree = json.loads((exported / card.NAME).read_text(encoding="utf-8"))
    (exported / card.NAME).write_text(json.dumps(tree | {"models": models}), encoding="utf-8")
    with pytest.raises(BadCheckpoint, match=r"not the file that card.json describes"):
        CycleSound.load(exported)


def test_models_of_an_older_card_draw_one_candidate(exported: Path) -> None:
    tree = json.loads((exported / card.NAME).read_text(encoding="utf-8"))
    for of in tree["sampling"].values():
        del of["candidates"]
    (exported / card.NAME).write_text(json.dumps(tree), encoding="utf-8")
    sampling = CycleSound.load(exported).sampling
    assert [of.candidates for of in (sampling.audio_to_image, sampling.image_to_audio)] == [1, 1]


ODD: list[tuple[str, Any]] = [
    ("params", {}),
    ("params", {"data": 3}),
    ("params", {"data": {"source": ["a", "b"]}}),
    ("params", {"data": {"source": "| `x` |\n# no"}}),
    ("metrics", {}),
    ("metrics", {"evaluate_audio_to_image": {"class_consistency": "high", "name": "x"}}),
    ("metrics", {"evaluate_audio_to_image": {"a_low": 1.0, "a_floor": 0, "a": 2}}),
    ("metrics", {"evaluate_audio_to_image": {"a": 1e308, "b_low": 1, "b": 10**30, "": 3}}),
    ("metrics", {"evaluate_audio_to_image": {"a": [1]}}),
    ("metrics", {"evaluate_audio_to_image": None}),
    ("metrics", []),
    ("metrics", {"x": {"a": float("nan")}}),
    ("params", {"data": {"source": "folder"}, "x": float("inf")}),
    ("params", {"data": {"source": "folder"}, "x": "1e999"}),
    ("params", None),
    ("sampling", {}),
    ("sampling", 3),
    ("sampling", {"audio_to_image": None}),
    ("vocoder", {"griffin_lim_rounds": HUGE}),
    ("models", 3),
    ("more", 3),
]


@pytest.mark.parametrize(("key", "value"), ODD)
def test_an_odd_card_is_exported_or_refused_in_one_line(exported: Path, key: str, value: Any, tmp_path: Path) -> None:
    tree = json.loads((exported / card.NAME).read_text(encoding="utf-8"))
    (exported / card.NAME).write_text(json.dumps(tree | {key: value}).replace('"1e999"', "1e999"), encoding="utf-8")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "again"), "--models", str(exported)])
    if result.exit_code:
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert not (tmp_path / "again").exists()
    else:
        assert CycleSound.load(tmp_path / "again").models.size == 64


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"{" * 100, b"3", b" " * (card.MAX_BYTES + 1)])
def test_what_is_no_card_is_refused(exported: Path, content: bytes) -> None:
    (exported / card.NAME).write_bytes(content)
    with pytest.raises(BadCard, match=r"card.json: not a card"):
        CycleSound.load(exported)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": {}}', '{"a": NaN}'])
def test_odd_metrics_beside_a_project_are_one_line(data: Path, content: str, tmp_path: Path) -> None:
    project = shutil.copytree(data.parent, tmp_path / "project")
    (project / "metrics/shard.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadCard, match=r"shard.json: "):
        CycleSound.load(project / "data")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "x.safetensors", {"a": torch.ones(2, 3)}, '{"kind": "any"}')
    with checkpoint.opened(tmp_path / "x.safetensors") as file:
        assert torch.equal(file.get_tensor("a"), torch.ones(2, 3))
    assert checkpoint.facts(tmp_path / "x.safetensors", checkpoint.Kind, "any", "other").kind == "any"
