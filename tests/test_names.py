"""Names and labels from outside: the same in every normal form, kept as they are, and obeyed by no terminal."""

import csv
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from folders import fill
from PIL import Image
from typer.testing import CliRunner

import cycle_sound
from cycle_sound import paths
from cycle_sound.acquisition import acquire, manifest
from cycle_sound.acquisition.manifest import Row
from cycle_sound.acquisition.sources import archives, folder, lists, moments, vggsound, videos
from cycle_sound.acquisition.sources.clip import Clip, Pair
from cycle_sound.acquisition.sources.lists import Excerpt
from cycle_sound.app import cli, inputs, outputs, terminal
from cycle_sound.dataset import writer
from cycle_sound.dataset.reader import Split
from cycle_sound.errors import BadInput, BadSource, UserError
from cycle_sound.io import files, names, stage
from cycle_sound.media import picture_files, sound_files
from cycle_sound.params import DataConfig, Params

KEPT = {
    "joined emoji": "\U0001f469\u200d\U0001f680",
    "an emoji newer than this Python": "\U0001fae9",
    "a flag of tags": "\U0001f3f4\U000e0067\U000e0062\U000e007f",
    "a variation selector": "\u2764\ufe0f",
    "a non-joiner": "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "a wide space": "\u6771\u4eac\u3000\u5854",
    "a space that does not break": "chant\xa0!",
    "a mark of direction": "\u05d0\u200f!",
    "a soft hyphen": "drum\xadstick",
    "dollars": "Ba$$in",
}
OBEYED = {
    "an escape sequence": "\x1b[2J",
    "a title": "\x1b]0;title\x07",
    "an 8-bit control": "\x9b31m",
    "a backspace": "a\x08b",
    "a carriage return": "a\rb",
    "a line break": "a\nb",
    "another line break": "a\x85b",
    "a delete": "\x7f",
    "a nul": "\0",
    "a line separator": "a\u2028b",
    "a paragraph separator": "a\u2029b",
    "an override of direction": "\u202egpj.exe",
    "an isolate": "\u2067a",
    "half of a surrogate pair": "caf\udce9",
}
FORMS = {  # each in two forms that are the same text
    "an accent": ("caf\xe9", "cafe\u0301"),
    "a syllable": ("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    "a unit": ("\xc5", "\u212b"),
    "marks in another order": ("q\u0323\u0307", "q\u0307\u0323"),
    "a kana": ("\u30ac", "\u30ab\u3099"),
}


def is_safe(text: str) -> bool:
    """Whether a terminal shows a text on its lines, and obeys nothing in it but line breaks."""
    return names.printable(text.replace("\n", "")) == text.replace("\n", "")


@pytest.fixture
def data(params: Params) -> Callable[..., DataConfig]:
    """`data(source, path, **changed)`: the committed settings of another source, with changes of its own section."""

    def settings(source: str, path: Path, **changed: Any) -> DataConfig:
        section = getattr(params.data, source).model_copy(update={"path": str(path), **changed})
        return params.data.model_copy(update={"source": source, source: section, "max_rejected": 1.0})

    return settings


def rows_of(*rows: tuple[str, ...]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue()


def labels(clips: list[Clip]) -> dict[str, str]:
    return {clip.id: clip.label for clip in clips}


def fail(text: str) -> Pair:
    raise ValueError(text)


# --- one text


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_what_no_terminal_obeys_is_kept(text: str) -> None:
    assert names.printable(text) == names.one_line(text) == names.normal(text) == text


@pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED)
def test_what_a_terminal_obeys_is_shown_as_an_escape(text: str) -> None:
    shown = names.printable(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == text
    assert is_safe(names.one_line(text))


@pytest.mark.parametrize(("one", "other"), FORMS.values(), ids=FORMS)
def test_two_forms_of_a_text_are_the_same(one: str, other: str) -> None:
    assert one != other
    assert names.normal(one) == names.normal(other)


# --- pairs and labels


@pytest.mark.parametrize(("one", "other"), FORMS.values(), ids=FORMS)
def test_files_and_rows_of_a_folder_are_paired_in_any_form(
    one: str, other: str, data: Callable[..., DataConfig], tmp_path: Path
) -> None:
    listed = rows_of(("id", "split", "label", "group"), (other, "train", one, other), ("b", "test", other, one))
    fill(
        tmp_path,
        **{f"train_data/{one}.jpg": "", f"train_data/{other}.mp3": "", "test_data/b.jpg": "", "labels.csv": listed},
    )
    a, b = sorted(folder.clips(data("folder", tmp_path)), key=lambda clip: clip.split)[::-1]
    assert (a.id, b.id) == (names.normal(one), "b")
    assert a.label == b.label
    assert a.group == b.group  # or they would stand on two sides of the split
    assert len(a.fetch.args[0]) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("one", "other"), FORMS.values(), ids=FORMS)
def test_videos_are_labelled_in_any_form(one: str, other: str, data: Callable[..., DataConfig], tmp_path: Path) -> None:
    listed = rows_of((f"{other}.mp4", one), ("b.mp4", other))
    fill(tmp_path, **{f"{one}.mp4": "", "b.mp4": "", "list.csv": listed})
    found = labels(videos.clips(data("videos", tmp_path, labels=str(tmp_path / "list.csv"), pairs_per_clip=1)))
    assert found == dict.fromkeys((names.normal(one), "b"), names.normal(one))


@pytest.mark.parametrize(("one", "other"), FORMS.values(), ids=FORMS)
def test_labels_are_selected_in_any_form(one: str, other: str, data: Callable[..., DataConfig], tmp_path: Path) -> None:
    listed = rows_of(
        *((f"{letter * 11}", "0", label, "train") for letter, label in zip("ab", (one, other), strict=True))
    )
    fill(tmp_path, **{"list.csv": listed})
    for asked in (one, other):
        settings = data("vggsound", tmp_path, list=str(tmp_path / "list.csv"), test_list="", labels=[asked]).vggsound
        assert [row.label for row in vggsound.selected(settings)] == [names.normal(one)] * 2


def test_names_and_labels_reach_the_shards_as_they_are(
    data: Callable[..., DataConfig], params: Params, tmp_path: Path
) -> None:
    root, raw, shards = tmp_path / "folder", tmp_path / "raw", tmp_path / "shards"
    listed = [("id", "split", "label")]
    for number, name in enumerate(KEPT.values()):
        noise = np.random.default_rng(number).normal(0, 0.1, 16000).astype(np.float32)
        blocks = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        split = "train" if number > 1 else "test"
        fill(
            root,
            **{
                f"{split}_data/{name}.jpg": picture_files.encode_jpeg(Image.fromarray(blocks)),
                f"{split}_data/{name}.mp3": sound_files.encode_mp3(noise, 16000),
            },
        )
        listed.append((name, split, f"of {name}"))
    fill(root, **{"labels.csv": rows_of(*listed)})
    params = params.model_copy(update={"data": data("folder", root)})
    rows = acquire.acquire(folder.clips(params.data), params.data, raw, 1)
    assert {(row.id, row.label, row.status) for row in rows} == {(name, f"of {name}", "ok") for name in KEPT.values()}
    assert manifest.read(raw / "manifest.csv") == sorted(rows, key=lambda row: (row.split, row.id))
    writer.shard(rows, raw, shards, tmp_path / "receipts", params, workers=1)
    split = Split(shards, "test")
    assert dict(zip(split.ids, split.labels, strict=True)) == {row.id: row.label for row in rows if row.split == "test"}


# --- contradictions

TWICE = {
    "folder": lambda one, other: [
        ("id", "split", "label"),
        ("a", "train", one),
        ("b", "train", one),
        ("a", "train", other),
    ],
    "videos": lambda one, other: [("a.mp4", one), ("b.mp4", one), ("a.mp4", other)],
    "videos, converted": lambda one, other: [("a.mp4", one), ("a.mkv", other)],
    "vggsound": lambda one, other: [("a" * 11, "30", one, "train"), ("a" * 11, "30", other, "train")],
    "vggsound, older": lambda one, other: [("a" * 11 + "_000030.mp4", one), ("a" * 11 + "_30000_40000.mp4", other)],
}


def reading(kind: str, data: Callable[..., DataConfig], root: Path) -> tuple[Path, Callable[[], object]]:
    """Where a list of some kind lies in a folder, and what reads it there."""
    fill(root, **{"train_data/a.jpg": "", "a.mp4": "", "c.mp4": ""})
    path = root / ("labels.csv" if kind == "folder" else "list.csv")
    if kind == "folder":
        return path, lambda: folder.clips(data("folder", root))
    if kind.startswith("videos"):
        return path, lambda: videos.clips(data("videos", root, labels=str(path)))
    return path, lambda: lists.read(path, None)


@pytest.mark.parametrize("kind", TWICE)
def test_a_list_may_repeat_a_row_and_not_contradict_it(
    kind: str, data: Callable[..., DataConfig], tmp_path: Path
) -> None:
    path, read = reading(kind, data, tmp_path)
    for one, other in (("dog", "dog"), FORMS["an accent"]):
        path.write_text(rows_of(*TWICE[kind](one, other)), encoding="utf-8")
        read()
    path.write_text(rows_of(*TWICE[kind]("dog", "cat")), encoding="utf-8")
    with pytest.raises(BadSource, match=rf"{path.name}: line \d: a.* is already listed, with different values"):
        read()


@pytest.mark.parametrize("label", ['"dog', '"dog" barks', '"the ""dog'])
@pytest.mark.parametrize("kind", TWICE)
def test_no_label_takes_the_rows_that_follow(
    kind: str, label: str, data: Callable[..., DataConfig], tmp_path: Path
) -> None:
    path, read = reading(kind, data, tmp_path)
    path.write_text(rows_of(*TWICE[kind]("dog", "dog")).replace("dog", label, 1), encoding="utf-8")
    with pytest.raises(BadSource, match=rf"{path.name}: not a CSV file in UTF-8: "):
        read()


def test_a_comma_cuts_no_label(data: Callable[..., DataConfig], tmp_path: Path) -> None:
    for header, row in (("id,split,label", "a,train,dog, barking"), ("id,split,label,group", "a,train,dog, barking,g")):
        fill(tmp_path, **{"train_data/a.jpg": "", "labels.csv": f"{header}\n{row}\n"})
        with pytest.raises(BadSource, match=r"labels\.csv: line 2: more columns than the header has"):
            folder.clips(data("folder", tmp_path))
    fill(tmp_path, **{"labels.csv": "id,split,label\na,train,dog,,\n"})  # as spreadsheets fill rows up
    assert [clip.label for clip in folder.clips(data("folder", tmp_path))] == ["dog"]


@pytest.mark.parametrize("text", ['[{{"{0}": [1]}}, {{"{0}": {1}}}]', '[{{"{0}": [1], "{0}": {1}}}]'])
def test_moments_may_be_repeated_and_not_contradicted(text: str, tmp_path: Path) -> None:
    path, name = tmp_path / "moments.json", "a" * 11 + "_0_10000"
    path.write_text(text.format(name, "[1]"), encoding="utf-8")
    assert len(moments.listed(path)) == 1
    path.write_text(text.format(name, "[2]"), encoding="utf-8")
    with pytest.raises(BadSource, match="is already listed, with different values"):
        moments.listed(path)


# --- hidden files

CLIP = "a" * 11 + "_000030"


def test_no_source_reads_hidden_files(data: Callable[..., DataConfig], tmp_path: Path) -> None:
    hidden = ("._x", ".x", ".y/x", "y/.z/x", ".AppleDouble/._x")
    for place, ending in (("train_data", "jpg"), ("train_data", "mp3"), (".", "mp4"), (".", "wav")):
        fill(tmp_path, **{f"{place}/{name}.{ending}": "" for name in hidden}, **{f"{place}/.DS_Store": ""})
    fill(tmp_path, **{"train_data/a.jpg": "", "b.mp4": "", "c.wav": ""})
    assert [clip.id for clip in folder.clips(data("folder", tmp_path))] == ["a"]
    assert [clip.id for clip in videos.clips(data("videos", tmp_path, pairs_per_clip=1))] == ["b"]
    assert inputs.listed(tmp_path, "audio") == [tmp_path / "c.wav"]
    with pytest.raises(BadInput, match="holds no picture"):
        inputs.listed(tmp_path, "image")


@pytest.mark.parametrize("place", ["._{}", ".x/{}", "x/.y/{}", "./.x/{}", "__MACOSX/._{}"])
def test_no_store_of_clips_offers_hidden_files(place: str, tmp_path: Path) -> None:
    name = place.format(f"{CLIP}.mp4")
    fill(tmp_path / "in a .folder", **{name: "hidden"})
    with tarfile.open(tmp_path / "in a .folder/clips.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    assert archives.find(tmp_path / "in a .folder") == {}


@pytest.mark.parametrize("place", ["{}", "./{}", "../{}", "x.y/{}"])
def test_a_path_in_an_archive_is_not_hidden_for_its_dots(place: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "clips.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(place.format(f"{CLIP}.mp4")))
    assert [*archives.find(tmp_path)] == [Excerpt("a" * 11, 30)]


# --- terminals


@pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED)
def test_no_error_reaches_a_terminal_raw(
    text: str, params: Params, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def main(_: object) -> None:
        raise UserError(f"{text}: wrong")

    monkeypatch.setattr(sys, "argv", ["stages/any.py"])
    monkeypatch.setattr(stage.params_file, "load", lambda: params)
    with pytest.raises(SystemExit):
        stage.run(main)
    terminal.complain(text)
    terminal.say(text)
    said = capsys.readouterr()
    assert is_safe(said.out)
    assert is_safe(said.err)
    assert (said.out.count("\n"), said.err.count("\n")) == (1, 2)


@pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED)
@pytest.mark.parametrize("words", [["--seconds", "3"], ["--format", "mp3"]], ids=" ".join)
def test_no_name_of_a_film_reaches_a_terminal_raw(words: list[str], text: str) -> None:
    done = CliRunner().invoke(cli.app, ["sound", f"a{text}.mp4", "-o", "out", *words])
    assert done.exit_code == 2
    assert is_safe(done.output)


@pytest.mark.parametrize("text", OBEYED.values(), ids=OBEYED)
def test_no_label_or_name_reaches_the_manifest_raw(
    text: str, data: Callable[..., DataConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clips = [Clip(f"{text}{split}", split, text, text, partial(fail, text)) for split in ("train", "test")]
    acquire.acquire(clips, data("folder", tmp_path), paths.RAW, 1)
    content = paths.MANIFEST.read_text(encoding="utf-8")
    assert is_safe(content)
    assert content.count("\n") == 3
    said = CliRunner().invoke(cli.app, ["data", "report"])
    assert said.exit_code == 0
    assert is_safe(said.stdout)


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_labels_are_reported_as_they_are(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manifest.write(paths.MANIFEST, [Row("a", "train", text, "a", "ok", "", {}, "1", "2")])
    assert text in CliRunner().invoke(cli.app, ["data", "report"]).stdout


def test_files_made_of_a_name_have_a_name_that_can_be_shown(tmp_path: Path) -> None:
    result = outputs.Names(tmp_path, []).result
    for text in OBEYED.values():
        assert is_safe(result(text, ".png").name)
    for text in KEPT.values():
        assert result(text, ".png").name == text


@pytest.mark.parametrize(("one", "other"), FORMS.values(), ids=FORMS)
def test_two_forms_of_a_name_are_two_files(one: str, other: str, tmp_path: Path) -> None:
    names_ = outputs.Names(tmp_path, [tmp_path / f"{one}.wav"])
    assert names_.free(other, ".wav") == f"{other}-2"
    assert names_.free(one, ".png") == one
    assert names_.free(other, ".png") == f"{other}-2"


BOUND = """
from pathlib import Path
from cycle_sound.app import outputs
free = outputs.Names(Path("out"), [Path("mine/bell.png")], overwrite=True).free
print(free("bell", ".png"), free("drum", ".png"))
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_source_is_not_replaced_in_its_folder_by_another_name(tmp_path: Path) -> None:
    for name in ("mine/bell.png", "mine/drum.png", "out/none"):
        files.write_bytes(tmp_path / name, b"")
    mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", 'mount --bind mine out && exec "$0" "$@"']
    environment = os.environ | {"PYTHONPATH": str(Path(cycle_sound.__file__).parents[1])}
    command = [*mounted, sys.executable, "-c", BOUND]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert done.stdout.split() == ["bell-2", "drum"], done.stderr
