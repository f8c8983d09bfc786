"""Templates: whatever a name or a label holds, it is text."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from jinja2 import nodes
from markupsafe import Markup
from PIL import Image

from cycle_sound import paths
from cycle_sound.app import cycle_page
from cycle_sound.inference import card, export
from cycle_sound.inference.card import Card
from cycle_sound.inference.system import Label, Station
from cycle_sound.io import templates
from cycle_sound.io.figures import sample_sizes
from cycle_sound.media.sounds import Sound
from cycle_sound.params import Params
from cycle_sound.report import page

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = {"report": page.TEMPLATES, "app": cycle_page.TEMPLATES, "inference": export.TEMPLATES}
RAW = (nodes.MarkSafe, nodes.MarkSafeIfAutoescape, nodes.ScopedEvalContextModifier, nodes.EvalContextModifier)


def test_every_template_belongs_to_an_environment_that_escapes():
    known = {name for environment in ENVIRONMENTS.values() for name in environment.list_templates()}
    assert known == {path.name for path in (ROOT / "cycle_sound").rglob("*.j2")}
    for environment in ENVIRONMENTS.values():
        assert environment.autoescape is True
        assert environment.undefined is jinja2.StrictUndefined


@pytest.mark.parametrize("room", ENVIRONMENTS)
def test_no_template_turns_escaping_off(room: str):
    environment = ENVIRONMENTS[room]
    for name in environment.list_templates():
        source, _, _ = environment.loader.get_source(environment, name)  # type: ignore[union-attr]
        tree = environment.parse(source)
        assert not list(tree.find_all(RAW)), name
        assert {found.name for found in tree.find_all(nodes.Filter)}.isdisjoint({"safe", "forceescape", "xmlattr"}), (
            name
        )


def test_a_value_is_escaped_and_a_missing_one_is_an_error():
    environment = templates.environment("cycle_sound.report")
    assert environment.from_string("<p>{{ name }}</p>").render(name="<b>&\"'") == "<p>&lt;b&gt;&amp;&#34;&#39;</p>"
    with pytest.raises(jinja2.UndefinedError):
        environment.from_string("{{ name }}").render()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("class_consistency", "class_consistency"),
        ("_a_ __b__", r"\_a\_ \_\_b\_\_"),
        ("a | b\n| c", r"a \| b \| c"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("[a](b) `c` *d* ~e~ \\", r"\[a\](b) \`c\` \*d\* \~e\~ " + "\\\\"),
        ("Ba$$in", "Ba$$in"),
        (0.5, "0.5"),
        (Markup("**as it is**"), "**as it is**"),
    ],
)
def test_what_markdown_would_read_as_markup_is_escaped(value: object, text: str):
    assert templates.markdown(value) == text


def test_the_page_of_a_cycle_shows_labels_and_names_letter_by_letter(params: Params):
    stations = [
        Station(Sound(np.zeros(16000, np.float32), 16000), Label('<em>&"', 0.5), None, None, 1.0),
        Station(Image.new("RGB", (8, 8)), Label("Ba$$in {{ x }}", 0.5), -2.0, 0.987, 0.5),
    ]
    text = cycle_page.cycle('<em>.wav & "', stations, params.audio)
    assert "<em>" not in text
    assert text.count("&lt;em&gt;.wav &amp; &#34;, around the cycle") == 2  # the title and the heading
    assert "<dd>&lt;em&gt;&amp;&#34; (0.50)</dd>" in text
    assert "<dd>Ba$$in {{ x }} (0.50)</dd>" in text
    assert text.count("<dt>confidence</dt><dd>0.99</dd>") == 1
    assert (text.count("<audio"), text.count("<img")) == (1, 2)
    assert cycle_page.STYLE in text
    assert cycle_page.stations_html([("start", stations[0])], params.audio).startswith('<div class="stations">')


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3000, 2000), (64, 64)], ids=str)
def test_a_picture_is_shown_on_a_page_as_models_see_it_however_large_or_narrow_it_is(
    size: tuple[int, int], params: Params
) -> None:
    text = cycle_page.stations_html(
        [("start", Station(Image.new("RGB", size, "red"), None, None, None, 1.0))], params.audio
    )
    encoded = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text)
    (shown,) = [Image.open(io.BytesIO(base64.b64decode(one))) for one in encoded]
    assert shown.width == shown.height < 2 * cycle_page.SHOWN


def test_the_legend_bounds_the_confidence_as_the_model_card_does(params: Params):
    assert "low for a source unlike the training data" in cycle_page.cycle("bell.wav", [], params.audio)
    bundled = (paths.PRETRAINED / "README.md").read_text(encoding="utf-8")
    assert (
        "A sound or picture unlike the training data still gives a result, with a confidence that is mostly low"
        in bundled
    )


def test_the_model_card_says_which_figures_are_not_of_all_test_pairs():
    described = card.exported(paths.PRETRAINED)
    evaluate: Any = described.params["evaluate"]
    counts = (evaluate[name] for name in ("retrieval_queries", "kernel_pairs", "waveforms"))
    assert f"\n{sample_sizes(400, *counts)}\n" in export.readme(described)


def test_no_name_breaks_the_tables_of_the_model_card():
    nasty = "a | b\n\n# <em>`c`_"
    described = Card.model_construct(
        params={"data": {"source": nasty}},
        metrics={"evaluate_audio_to_image": {nasty: 0.5, f"{nasty}_low": 0.25, "pairs": 3, f"{nasty}_high": 0.75}},
        models={name: {"kind": nasty, "sha256": nasty, "shards": nasty} for name in (nasty, "vae/image.safetensors")},
    )
    text = export.readme(described)
    shown = r"a \| b # &lt;em&gt;\`c\`\_"
    assert f"| {shown} | 0.500 | 0.250 – 0.750 |  |  |\n| pairs | 3 |  |  |  |\n" in text
    assert f"| {shown} | {shown} | <code>{shown}</code> |\n" in text
    assert "<em>" not in text
    assert "fewer than all" not in text  # this card does not tell how many pairs were asked for
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    cells = [{len(re.split(r"(?<!\\)\|", line)) - 2 for line in table.splitlines()} for table in tables]
    assert cells == [{3}, {5}]  # each row has as many as its head
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Cycle_Sound: models for sound → picture and picture → sound",
        "## audio to image, on test pairs",
        "## Use and license",
    ]
