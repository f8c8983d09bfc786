"""A button that sets the models to work, for a visitor who waits, with values that its controls allow."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from cycle_sound.app import cycle_page
from cycle_sound.app.web.controls import Control
from cycle_sound.app.web.sessions import Page
from cycle_sound.errors import BadInput, UserError

PATIENCE = 10.0  # seconds until a browser that asked for a result must listen for it: meanwhile all others wait


def add(
    page: Page,
    name: str,
    sources: Sequence[gr.components.Component],
    controls: Sequence[Control],
    work: Callable[..., str],
    legend: str = cycle_page.LEGEND,
) -> None:
    """A button that calls `work(expect, *paths, *controls)`, the HTML that it returns, and the legend."""

    def pressed(visitor: gr.Request, *values: Any) -> str:
        paths, session = [_path_of(value) for value in values[: len(sources)]], str(visitor.session_hash)
        page.expect(session, PATIENCE)
        with friendly(paths):
            given = _within(controls, values[len(sources) :])
            return page.worker.submit(work, partial(page.expect, session), *paths, *given).result()

    button = gr.Button(name, variant="primary")
    shown = gr.HTML(min_height=40)
    gr.Markdown(legend)
    # Without `preprocess` a value is what the gate let in; the components would decode files of any size.
    button.click(
        pressed, [*sources, *controls], shown, show_progress="full", preprocess=False, concurrency_id="the models"
    )


@contextmanager
def friendly(paths: Sequence[Path | None]) -> Iterator[None]:
    """Show a `UserError` as a message that names uploaded files as the user does, without the folders they lie in."""
    try:
        yield
    except UserError as error:
        text = str(error)
        for path in filter(None, paths):
            text = text.replace(str(path), path.name)
        raise gr.Error(text, title="That did not work", print_exception=False) from None


def _path_of(value: Any) -> Path | None:
    """The uploaded file in the value of a component; of a drawing, the whole of it."""
    if isinstance(value, dict) and "composite" in value:
        value = value["composite"]
    return Path(value["path"]) if isinstance(value, dict) else None


def _within(controls: Sequence[Control], values: Sequence[Any]) -> Sequence[Any]:
    """The values of controls. Raises `BadInput` for one that its control does not allow."""
    for control, value in zip(controls, values, strict=True):
        if isinstance(control, gr.Checkbox):
            if not isinstance(value, bool):
                raise BadInput(f"{control.label}: must be yes or no")
            continue
        least, most = control.minimum or 0, control.maximum or 0
        if not isinstance(value, int | float) or not least <= value <= most:
            raise BadInput(f"{control.label}: must be from {least} to {most}")
    return values
