"""Models go to the Hugging Face Hub and come from it, as its conventions have it: against a stand-in of the Hub."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hub import Hub
from typer.testing import CliRunner

from cycle_sound.app.cli import app
from cycle_sound.errors import BadCheckpoint, HubRefused, NoModels
from cycle_sound.inference import card, export
from cycle_sound.inference import hub as client
from cycle_sound.inference.system import CycleSound

huggingface_hub = pytest.importorskip("huggingface_hub")
importlib.import_module("huggingface_hub.constants")

NAME = "ann/orchestra"
NOBODY = "http://127.0.0.1:1"
WAVE = np.sin(np.arange(16000, dtype=np.float32) / 7) / 2


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with no repositories, which the client asks; what it fetches is kept in a folder of its own."""
    constants = huggingface_hub.constants
    with Hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = f"{served.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "kept"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield served


@pytest.fixture
def pushed(hub: Hub, data: Path) -> Hub:
    """A Hub with one repository of models."""
    client.upload(NAME, data)
    return hub


def test_what_was_pushed_generates_the_same_elsewhere(pushed: Hub, data: Path) -> None:
    here, there = CycleSound.load(data, "cpu"), CycleSound.from_pretrained(NAME, device="cpu")
    assert there.image(WAVE, 16000).tobytes() == here.image(WAVE, 16000).tobytes()
    assert there.sampling == here.sampling


def test_a_repository_is_a_folder_with_a_card_as_the_hub_reads_one(pushed: Hub, data: Path, tmp_path: Path) -> None:
    wanted = export.export(data, tmp_path / "models")
    assert pushed.repositories[NAME] == {
        path.relative_to(tmp_path / "models").as_posix(): path.read_bytes() for path in wanted
    }
    facts = yaml.safe_load(pushed.repositories[NAME]["README.md"].decode().split("---\n")[1])
    assert facts["library_name"] == "cycle-sound"
    assert facts["license"] == "mit"  # of models of data that the program makes itself


def test_models_are_fetched_once_and_then_need_no_network(pushed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.download(NAME)
    sent = pushed.sent.copy()
    assert set(sent.values()) == {1}
    assert client.download(NAME) == first
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOBODY)
    assert client.download(NAME) == first
    assert pushed.sent == sent


def test_safetensors_and_their_card_are_fetched_and_nothing_else(pushed: Hub) -> None:
    pushed.repositories[NAME] |= {"model.py": b"raise SystemExit", "weights.pkl": b"", "vae/hook.bin": b""}
    folder = client.download(NAME)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {".safetensors", ".json", ".md"}
    assert not pushed.sent.keys() & {"model.py", "weights.pkl", "vae/hook.bin"}


def test_a_revision_is_the_models_of_that_time(pushed: Hub, data: Path) -> None:
    before = pushed.commit(NAME)
    client.upload(NAME, data, "cc-by-4.0")
    assert card.read(client.download(NAME)).license == "cc-by-4.0"
    assert card.read(client.download(NAME, before)).license == "mit"


def test_what_was_looked_at_is_fetched_whatever_the_branch_becomes_meanwhile(
    pushed: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, before = huggingface_hub.HfApi.model_info, pushed.commit(NAME)

    def look(*asked: Any, **how: Any) -> Any:
        found = looked(*asked, **how)
        pushed.repositories[NAME] |= {"card.json": b"{}", "vae/other.safetensors": b"unseen"}
        return found

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", look)
    folder = client.download(NAME)
    assert folder.name == before
    assert card.read(folder).license == "mit"
    assert not (folder / "vae/other.safetensors").exists()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOBODY)
    assert client.download(NAME) == folder  # and so it is kept


def test_a_network_that_goes_while_files_come_is_one_line(pushed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = huggingface_hub.HfApi.model_info

    def look(*asked: Any, **how: Any) -> Any:
        found = looked(*asked, **how)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOBODY)
        return found

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", look)
    with pytest.raises(HubRefused, match=NAME) as refused:
        client.download(NAME)
    assert "\n" not in str(refused.value)


def test_models_that_are_no_more_leave_the_repository(pushed: Hub, data: Path) -> None:
    path, repository = "decoder/image/decoder.safetensors", pushed.repositories[NAME]
    described = card.Card.model_validate_json(repository["card.json"])
    models = {**described.models, path: described.models["vae/image.safetensors"]}
    described = described.model_copy(update={"models": models})
    about = export.readme(described).encode()
    repository |= {"card.json": described.model_dump_json().encode(), "README.md": about, path: b"old"}
    repository["notes.txt"] = b"kept"
    client.upload(NAME, data)
    assert path not in repository
    assert repository["notes.txt"] == b"kept"
    assert CycleSound.from_pretrained(NAME)


OTHERS = {
    "weights": ({"model.safetensors": b"another's"}, "model.safetensors"),
    "readme": ({"README.md": b"# Mine"}, "README.md"),
    "card": ({"card.json": b"{}"}, "card.json"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("is_before", [False, True])  # models of this program
def test_what_is_of_something_else_in_a_repository_is_neither_replaced_nor_removed(
    kind: str, is_before: bool, hub: Hub, data: Path
) -> None:
    if is_before:
        client.upload(NAME, data)
    held, word = OTHERS[kind]
    repository = hub.repositories.setdefault(NAME, {})
    repository |= held
    before = dict(repository)
    with pytest.raises(HubRefused, match=f"^{NAME} on the Hugging Face Hub: .*{word}") as refused:
        client.upload(NAME, data)
    assert "\n" not in str(refused.value)
    assert hub.repositories[NAME] == before


@pytest.mark.parametrize("error", [RuntimeError("CAS service error"), ConnectionError("reset\nby peer")])
def test_what_breaks_off_a_transfer_is_one_line_that_names_the_repository(
    error: Exception, pushed: Hub, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    before = dict(pushed.repositories[NAME])
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", broken)
    for ask in (lambda: client.upload(NAME, data), lambda: client.download(NAME)):
        with pytest.raises(HubRefused, match=f"^{NAME} on the Hugging Face Hub: (CAS service error|reset by peer)$"):
            ask()
        monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    assert pushed.repositories[NAME] == before


def test_a_file_that_is_not_the_cards_is_refused(pushed: Hub) -> None:
    path = "vae/image.safetensors"
    pushed.repositories[NAME][path] = pushed.repositories[NAME][path][:-1] + b"\x01"
    with pytest.raises(BadCheckpoint, match=r"not the file that card.json describes"):
        CycleSound.from_pretrained(NAME)


def test_more_than_models_take_is_not_fetched(pushed: Hub) -> None:
    pushed.claimed["vae/image.safetensors"] = client.MAX_BYTES
    with pytest.raises(HubRefused, match="more than models take"):
        client.download(NAME)
    assert not pushed.sent


@pytest.mark.parametrize("name", ["ann/nothing", "ann/other", "ann/-.-", "ann"])
def test_what_the_hub_does_not_have_is_one_line(pushed: Hub, name: str) -> None:
    pushed.repositories["ann/other"] = {"pytorch_model.bin": b""}
    with pytest.raises(HubRefused, match=name) as refused:
        client.download(name)
    assert "\n" not in str(refused.value)


def test_without_a_network_and_unfetched_is_one_line(pushed: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOBODY)
    with pytest.raises(HubRefused, match=NAME) as refused:
        client.download(NAME)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("network", [True, False])
def test_that_no_folder_is_here_either_is_said(hub: Hub, network: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not network:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOBODY)
    with pytest.raises(HubRefused, match=r"^data/models on the .* Hub: .*; there is no folder of that name here$"):
        CycleSound.from_pretrained("data/models")


def test_a_folder_goes_before_the_hub(pushed: Hub, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    export.export(data, Path(NAME))
    CycleSound.from_pretrained(NAME, device="cpu")
    assert not pushed.sent
    with pytest.raises(HubRefused, match=r"no revision 'v1': this is a folder here"):
        CycleSound.from_pretrained(NAME, "v1")


@pytest.mark.parametrize(
    "name", ["./models", "../models", "~/models", ".cache/models", "models/", "/ann/orchestra", "models", Path(NAME)]
)
def test_a_path_without_models_is_not_asked_of_the_hub(
    name: str | Path, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(client, "download", None)
    with pytest.raises(NoModels, match="no models here"):
        CycleSound.from_pretrained(name)


def test_the_command_pushes_and_says_where(hub: Hub, data: Path) -> None:
    words = ["push-to-hub", NAME, "--private", "--license", "cc-by-4.0", "--models", str(data)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [f"{hub.url}/{NAME}"]
    assert hub.private[NAME]
    assert json.loads(hub.repositories[NAME]["card.json"])["license"] == "cc-by-4.0"
