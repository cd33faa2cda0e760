"""A text that must not be longer than a limit: lists in it are cut in a stated order, and how much is left out is counted."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from perpcomp.publish.proposal.limits import characters, cut

LONGEST = 300  # to so many characters a line is cut, once every list is empty and the text is still too long
MORE = "**The text ends here: it is too long. README.md of the run has all of it.**"


@dataclass(frozen=True)
class Listed:
    """Lines of a list that may be cut from its end. `rest` gives the lines that follow when so many are kept."""

    name: str
    lines: Sequence[str]
    rest: Callable[[int], Sequence[str]]


Text = Sequence[str | Listed]


def fitted(text: Text, most: int, order: Sequence[str]) -> tuple[str, dict[str, int]]:
    """The text in at most so many characters; and for each list, of `order`, how many of its lines are left out, where any are.

    The lists are cut one after the other, each only as far as needed. Where that is not enough, long lines are cut, and then the text's
    end; `lines` is how many lines that met.
    """
    lists = {n: part for n, part in enumerate(text) if isinstance(part, Listed)}
    kept = {n: len(part.lines) for n, part in lists.items()}
    for n in sorted(lists, key=lambda n: order.index(lists[n].name)):
        if characters(_joined(text, kept)) <= most:
            break
        kept[n] = _most(kept[n], partial(_fits, text, kept, n, most))
    left_out: dict[str, int] = {}
    for n, part in lists.items():
        if less := len(part.lines) - kept[n]:
            left_out[part.name] = left_out.get(part.name, 0) + less
    whole = _joined(text, kept)
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


def _joined(text: Text, kept: Mapping[int, int]) -> str:
    lines: list[str] = []
    for n, part in enumerate(text):
        if isinstance(part, Listed):
            lines += [*part.lines[: kept[n]], *part.rest(kept[n])]
        else:
            lines.append(part)
    return "\n".join(lines)


def _fits(text: Text, kept: Mapping[int, int], n: int, most: int, lines: int) -> bool:
    """Whether the text fits with so many lines of its n-th part."""
    return characters(_joined(text, {**kept, n: lines})) <= most


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """The largest number below `count` that fits; 0 where none does. A line is longer than what its absence adds to the rest."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
