"""Sequences whose values are made when they are asked for, so that those of a corpus of any size need no memory."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar, overload

T = TypeVar("T")


class Lazy(Sequence[T]):
    """A value for each of `count` rows, made when it is asked for; those of a slice are a list."""

    def __init__(self, count: int, value: Callable[[int], T]) -> None:
        self._rows, self._value = range(count), value

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> T: ...
    @overload
    def __getitem__(self, row: slice) -> list[T]: ...
    def __getitem__(self, row: int | slice) -> T | list[T]:
        if isinstance(row, slice):
            return [self._value(one) for one in self._rows[row]]
        return self._value(self._rows[row])


class Joined(Lazy[T]):
    """Sequences one behind another, as one."""

    def __init__(self, *parts: Sequence[T]) -> None:
        self.parts = parts
        self._ends = list(accumulate(map(len, parts)))
        super().__init__(self._ends[-1], self._at)

    def place(self, row: int) -> tuple[int, int]:
        """Which of the parts a row lies in, and its place there."""
        row = self._rows[row]
        part = bisect_right(self._ends, row)
        return part, row - (self._ends[part - 1] if part else 0)

    def _at(self, row: int) -> T:
        part, place = self.place(row)
        return self.parts[part][place]
