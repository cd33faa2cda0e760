"""A text that must not be longer than a limit: lists in it are cut in a stated order, and how much is left out is counted."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import accumulate, islice
from typing import overload

from msgspec import Struct

from perpcomp.publish.proposal.limits import characters, cut

LONGEST = 300  # to so many characters a line is cut, once every list is empty and the text is still too long
MORE = "**The text ends here: it is too long. README.md of the run has all of it.**"


class Listed(Struct, frozen=True):
    """Lines of a list that may be cut from its end. `rest` gives the lines that follow when so many are kept."""

    name: str
    lines: Sequence[str]
    rest: Callable[[int], Sequence[str]]


class Made(Sequence[str]):
    """So many lines, each made when it is read, because a text has room for few of thousands."""

    def __init__(self, count: int, line: Callable[[int], str]) -> None:
        self._count, self._line = count, cache(line)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, n: int) -> str: ...
    @overload
    def __getitem__(self, n: slice) -> list[str]: ...
    def __getitem__(self, n: int | slice) -> str | list[str]:
        places = range(self._count)[n]
        return self._line(places) if isinstance(places, int) else [*map(self._line, places)]


Text = Sequence[str | Listed]


def fitted(text: Text, most: int, order: Sequence[str]) -> tuple[str, dict[str, int]]:
    """The text in at most so many characters; and for each list, of `order`, how many of its lines are left out, where any are.

    The lists are cut one after the other, each only as far as needed. Where that is not enough, long lines are cut, and then the text's
    end; `lines` is how many lines that met.
    """
    lists = {n: part for n, part in enumerate(text) if isinstance(part, Listed)}
    kept = {n: len(part.lines) for n, part in lists.items()}
    for n in sorted(lists, key=lambda n: order.index(lists[n].name)):
        if _fits(text, kept, most):
            break
        kept[n] = _most(kept[n], partial(_fits_with, text, kept, most, n))
    left_out: dict[str, int] = {}
    for n, part in lists.items():
        if less := len(part.lines) - kept[n]:
            left_out[part.name] = left_out.get(part.name, 0) + less
    whole = "\n".join(_lines(text, kept))
    if characters(whole) <= most:
        return whole, left_out
    lines = whole.split("\n")
    short = [cut(line, LONGEST) for line in lines]
    left_out["lines"] = sum(a != b for a, b in zip(lines, short, strict=True))
    if characters("\n".join(short)) <= most:
        return "\n".join(short), left_out
    lengths = accumulate(characters(line) + 1 for line in short)  # each with the end of its line
    beginning = short[: bisect_right(list(lengths), most - characters(MORE))]
    left_out["lines"] += sum(a == b for a, b in zip(lines[len(beginning) :], short[len(beginning) :], strict=True))
    return "\n".join([*beginning, MORE]), left_out


def _lines(text: Text, kept: Mapping[int, int]) -> Iterator[str]:
    for n, part in enumerate(text):
        if isinstance(part, Listed):
            yield from islice(part.lines, kept[n])
            yield from part.rest(kept[n])
        else:
            yield part


def _fits(text: Text, kept: Mapping[int, int], most: int) -> bool:
    """Whether the text fits with so many lines of each list; no line is read after the first that does not."""
    room = most + 1  # as no line ends after the last one
    return all((room := room - characters(line) - 1) >= 0 for line in _lines(text, kept))


def _fits_with(text: Text, kept: Mapping[int, int], most: int, n: int, lines: int) -> bool:
    """Whether it fits with so many lines of its n-th part."""
    return _fits(text, {**kept, n: lines}, most)


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """The largest number below `count` that fits; 0 where none does. A line is longer than what its absence adds to the rest."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
