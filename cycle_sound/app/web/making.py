"""What the models make for a visitor: no more than one request may ask for, and shown with what is known of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from cycle_sound.app import cycle_page, knowledge
from cycle_sound.app.web.controls import SamplingRequest
from cycle_sound.app.web.sessions import Expect
from cycle_sound.errors import BadInput
from cycle_sound.inference.fixed_batches import size_for
from cycle_sound.inference.system import CycleSound, Station, Thing
from cycle_sound.media.contact_sheet import clock
from cycle_sound.params import Direction, SamplingConfig

T = TypeVar("T")

MAX_DRAWS = 160  # windows × results × candidates of one request: two minutes
REAL = "real"  # the caption of an example's own target
THIS = "This source"  # in a warning


def check_draws(windows: int, results: int, candidates: int) -> None:
    """Raise `BadInput` for more than MAX_DRAWS."""
    if windows * results * candidates > MAX_DRAWS:
        raise BadInput(
            f"{windows} windows × {results} results × {candidates} candidates: no more than {MAX_DRAWS} in all"
        )


def attended(
    system: CycleSound, make: Callable[..., list[T]], sampling: SamplingConfig, expect: Expect
) -> Callable[..., Iterator[T]]:
    """`make(sources, sampling=sampling, …)` as a function that makes a batch of the models at a time.

    It raises as `expect` does, before each.
    """
    together = max(1, size_for(system.models.device) // sampling.candidates)  # sources

    def made(sources: Sequence[Thing], **how: Any) -> Iterator[T]:
        for first in range(0, len(sources), together):
            expect()
            yield from make(sources[first : first + together], sampling=sampling, **how)

    return made


def results(
    system: CycleSound,
    sources: Sequence[Thing],
    make: Callable[..., list[Any]],
    request: SamplingRequest,
    direction: Direction,
    expect: Expect,
    real: Thing | None,
    each: int = 1,
) -> str:
    """HTML of what `make` generates from the sources, with label, score and confidence of each result.

    With a warning above if the sources, of many the first, are unlike the training data.

    `real`: the first source's own target, which is shown beside them; `each`: windows that are drawn for each source.
    Raises `BadInput` for more than MAX_DRAWS, and as `expect` does before each batch of the models and each result that
    is described.
    """
    sampling = request.sampling[direction]
    check_draws(len(sources) * each, request.results, sampling.candidates)
    shown: list[tuple[str, Station]] = []
    draw = attended(system, make, sampling, expect)
    for seed in range(request.seed, request.seed + request.results):
        for place, (source, thing) in enumerate(zip(sources, draw(sources, seed=seed), strict=True)):
            expect()
            moment = f"{clock(place * system.seconds)}, " if len(sources) > 1 else ""
            shown.append((f"{moment}seed {seed}", system.describe(thing, source, source)))
    warning = knowledge.warning(system, THIS, sources[: size_for(system.models.device)])
    return cycle_page.stations_html([*shown, *beside(system, real, sources[0])], system.models.audio, warning)


def beside(system: CycleSound, real: Thing | None, source: Thing) -> list[tuple[str, Station]]:
    """A source's own target as a station, with its caption; none where it has none."""
    return [] if real is None else [(REAL, system.describe(real, source, source))]
