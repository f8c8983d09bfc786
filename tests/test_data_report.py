"""What is said of the data: a table per label, and a name for the split."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cycle_sound import paths
from cycle_sound.acquisition import manifest, summary
from cycle_sound.acquisition.manifest import Row
from cycle_sound.app import cli
from cycle_sound.io import files

LINE = "a,train,,a,ok,,{},1,2"
ODD = {
    "nothing": "",
    "a split of its own": LINE.replace("train", "else"),
    "a row that is short": "a,train",
    "a row that is long": f"{LINE},more",
    "attributes in words": LINE.replace("{}", "many"),
    "attributes without end": LINE.replace("{}", "[" * 5000),
    "a cell without end": "a" * 200_000,
    "a quote without end": f'{LINE}"\n"',
    "no text": "\xff",
}
ROWS = [
    Row("c", "test", "dog, barking", "c", "ok", "", {}, "5", "6"),
    Row("a", "train", "dog, barking", "a", "ok", "", {}, "1", "2"),
    Row("b", "train", "dog, barking", "b", "silent", "too quiet"),
    Row("d", "train", "cat", "d", "duplicate", "of c"),
    Row("e", "train", "", "e", "ok", "", {}, "3", "4"),
]


def report(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    return CliRunner().invoke(cli.app, ["data", "report"])


def test_the_report_counts_every_fate_of_every_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    manifest.write(tmp_path / paths.MANIFEST, ROWS)
    said = report(tmp_path, monkeypatch)
    assert said.exit_code == 0
    assert said.stdout == (
        "label         asked  train  test  duplicate  silent\n"
        "(no label)        1      1     0          0       0\n"
        "cat               1      0     0          1       0\n"
        "dog, barking      3      1     1          0       1\n"
        "(all)             5      2     1          1       1\n"
        "\n"
        f"split {manifest.split_digest(ROWS)}\n"
    )


def test_the_table_adds_up_and_survives_csv(tmp_path: Path):
    files.write_csv(tmp_path / "table.csv", summary.table(ROWS))
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line.pop("label") for line in lines] == ["(no label)", "cat", "dog, barking"]
    assert all(int(line.pop("asked")) == sum(map(int, line.values())) for line in lines)


def test_no_label_ends_the_script_that_dvc_puts_the_table_into(tmp_path: Path):
    labels = ["</script><img src=x onerror=alert(1)>", "<!--<script>", "1 < 2, a <3"]
    rows = [Row(f"{number}", "train", label, "a", "ok", "", {}, "1", "2") for number, label in enumerate(labels)]
    files.write_csv(tmp_path / "table.csv", summary.table(rows))
    shown = {row["label"] for row in files.read_csv(tmp_path / "table.csv")}
    assert shown == {"< /script>< img src=x onerror=alert(1)>", "< !--< script>", "1 < 2, a <3"}


def test_without_a_manifest_the_report_is_one_line_of_regret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = report(tmp_path, monkeypatch)
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr == "error: no such file: data/raw/manifest.csv; `dvc repro download` makes it\n"
    for content in (b"a,b\n1,2\n", b"\xff\xfe\n", b""):
        files.write_bytes(tmp_path / paths.MANIFEST, content)
        said = report(tmp_path, monkeypatch)
        assert said.exit_code == 1
        assert said.stderr.startswith("error: data/raw/manifest.csv: ")
        assert said.stderr.count("\n") == 1


def test_the_digest_names_the_split_and_not_the_files():
    digest = manifest.split_digest(ROWS)
    assert len(digest) == 16
    again = [Row("a", "train", "dog, barking", "other", "ok", "", {"pitch": 1.0}, "7", "8"), ROWS[4], ROWS[0]]
    assert manifest.split_digest(again) == digest  # downloaded again, in another order, without those rejected
    for other in (Row("f", "train", "", "f", "ok", ""), Row("c", "train", "", "c", "ok", "")):
        assert manifest.split_digest([*ROWS, other]) != digest
    commas = [Row("a,b", "train", "c", "", "ok", ""), Row("a", "train", "b,c", "", "ok", "")]
    assert len({manifest.split_digest([row]) for row in commas}) == 2


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_manifest_of_anything_else_is_one_line(odd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    manifest.write(tmp_path / paths.MANIFEST, ROWS)
    header = (tmp_path / paths.MANIFEST).read_bytes().partition(b"\n")[0]
    (tmp_path / paths.MANIFEST).write_bytes(header + b"\n" + odd.encode("latin-1") if odd else b"")
    said = report(tmp_path, monkeypatch)
    assert said.exit_code == 1
    assert said.stderr.count("\n") == 1
    assert "not a manifest of this version" in said.stderr
