"""What the page has to try: sources of test pairs, named by what they are, each with the real target it belongs to."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio import processing_utils

from cycle_sound.app import inputs
from cycle_sound.app.web import uploads
from cycle_sound.evaluation import samples
from cycle_sound.inference.system import Thing
from cycle_sound.io import files
from cycle_sound.params import DIRECTIONS, Direction


class Example(NamedTuple):
    """A source of the page, and what is known of it."""

    name: str  # its label; its id where it has none
    source: Path
    real: Path | None  # its own target, where it is there


class Examples:
    """The examples of each direction, from a folder that the evaluate stage has left; none without a folder.

    Raises `BadSamples` as `found` does.
    """

    def __init__(self, folder: Path | None) -> None:
        self.of: dict[Direction, list[Example]] = {one: found(folder, one) if folder else [] for one in DIRECTIONS}
        every = [one for some in self.of.values() for one in some]
        self._reals = {files.digest(one.source): one.real for one in every if one.real}

    def real(self, path: Path | None, size: int) -> Thing | None:
        """The own target of an uploaded file, if that is one of the examples.

        `size`: of what the models see of a picture, in pixels.
        """
        own = None if path is None else self._reals.get(files.digest(path))
        return None if own is None else inputs.either(own, size)


def found(folder: Path, direction: Direction) -> list[Example]:
    """The examples that the evaluate stage has left in FOLDER/DIRECTION/ID/, by name.

    Raises `BadSamples` where a file beside them holds no samples.
    """
    labels = _labels(folder / direction / samples.NAME)
    some = []
    for source in sorted((folder / direction).glob("*/source.*")):
        clip = source.parent.name
        real = next(iter(sorted(source.parent.glob("real.*"))), None)
        some.append(Example(labels.get(clip) or clip, source, real))
    return sorted(some)


def add(source: gr.components.Component, examples: Sequence[Example]) -> None:
    """A button for each example, which puts it into `source`. Those of gr.Examples go round the queue, and the gate."""
    if not examples:
        return
    copies = [processing_utils.save_file_to_cache(one.source, uploads.FOLDER) for one in examples]

    def chosen(row: Any) -> str:
        if not isinstance(row, int) or not 0 <= row < len(copies):
            raise gr.Error("no such example", print_exception=False)
        return copies[row]

    buttons = gr.Dataset(
        label="From the test pairs",
        components=[source],
        samples=[[path] for path in copies],
        sample_labels=[one.name for one in examples],
        type="index",
    )
    buttons.click(chosen, buttons, source, show_progress="hidden", concurrency_limit=None)


def _labels(path: Path) -> dict[str, str]:
    """The label of each clip of the samples in a file; none where it is missing."""
    if not path.is_file():
        return {}
    known = samples.described(path)
    return dict(zip(known.ids, known.labels, strict=True))
