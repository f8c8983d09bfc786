"""Process clips in worker processes: one job per film; if it is lost, one job per clip."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from cycle_sound.acquisition.sources.clip import Clip
from cycle_sound.io import pool
from cycle_sound.io.pool import Job, Lost

Key = TypeVar("Key")

SECONDS = 60.0  # that any clip may take: the slowest good ones need a few, on a busy machine ten times as many
BYTES_PER_SECOND = 1_000_000  # that longer ones may take more: a slow disk, or a folder across a network


class Task(NamedTuple):
    """A clip, and what is to be done with it: `work` is called with its film, where it has one, and can be pickled."""

    clip: Clip
    work: Callable[..., Any]


def done(tasks: Mapping[Key, Task], jobs: int) -> Iterator[tuple[Key, Any]]:
    """Yield (key, result) of each task as it ends, from `jobs` processes (-1: one per core).

    Clips of one film, which follow one another, are one job, so that it is loaded once. Where its process dies or hangs
    they are tried again one by one; the result of one over which it does again is `Lost`.
    """
    films = [dict(film) for _, film in groupby(tasks.items(), lambda task: task[1].clip.load or task[0])]
    lost = dict[Key, Task]()
    for film, result in _done(films, jobs):
        if isinstance(result, Lost) and len(film) > 1:
            lost |= film
        else:
            yield from _of_each(film, result)
    for film, result in _done([{key: task} for key, task in lost.items()], jobs):
        yield from _of_each(film, result)


def seconds(clips: Collection[Clip]) -> float:
    """How long work on clips, made of the same files, may take before it counts as hanging."""
    return SECONDS * len(clips) + max(clip.size for clip in clips) / BYTES_PER_SECOND


def why(clip: Clip, lost: Lost) -> str:
    """Why a clip was lost, in words for the manifest."""
    late = f"reading it takes more than {seconds([clip]):.0f} s"
    return late if lost.late else "reading it ends the process: a decoder's fault"


def _done(films: Iterable[dict[Key, Task]], jobs: int) -> Iterator[tuple[dict[Key, Task], Any]]:
    """Yield (film, results by key, or `Lost`) as they end."""
    numbered = dict(enumerate(films))
    todo = {
        number: Job(
            partial(_each, {key: task.work for key, task in film.items()}),
            seconds([task.clip for task in film.values()]),
            next(iter(film.values())).clip.load,
        )
        for number, film in numbered.items()
    }
    for number, result in pool.here(todo, jobs):
        yield numbered[number], result


def _of_each(film: Iterable[Key], result: Any) -> Iterable[tuple[Key, Any]]:
    return (dict.fromkeys(film, result) if isinstance(result, Lost) else result).items()


def _each(works: Mapping[Key, Callable[..., Any]], *film: Any) -> dict[Key, Any]:
    return {key: work(*film) for key, work in works.items()}
