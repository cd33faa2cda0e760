"""A table fitted into so many columns of a terminal: one line a row, no digit and no address cut or folded.

What does not fit is made to fit in this order: the header is folded, texts of several words are folded, addresses and hashes are shortened
(below FULL_ADDRESSES always), and then columns are dropped from the right. So a table names its columns in the order of importance.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells

FULL_ADDRESSES = 120  # columns from which addresses are shown whole, if nothing is dropped for them
NARROWEST_HEADER = 12  # columns, to which a header is folded before others are
GAP = 2  # columns between two columns of a table
NARROWEST_TEXT = 16  # columns, to which a text of several words is folded at most
HANGING = 2  # columns by which the second line of a text is indented
HEX = re.compile(r"0x(?:[0-9a-f]{40}|[0-9a-f]{64})")


@dataclass(frozen=True)
class Fitted:
    """The columns that fit: their headers, which may have several lines, their widths, and the names of those dropped."""

    headers: list[str]
    widths: list[int]
    dropped: list[str]


def fitted(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int], width: int) -> Fitted:
    """Fit a table of text cells into `width` columns. `right` holds the numbers of the columns of figures, which are never folded."""
    cells = [[row[n] for row in rows] for n in range(len(header))]
    widest = [max(map(cell_len, column), default=0) for column in cells]
    for count in range(len(header), 0, -1):
        for narrowest in (10_000, NARROWEST_HEADER, 0):
            names = [_folded(name, max(widest[n], narrowest)) for n, name in enumerate(header[:count])]
            natural = [max(_width(name), widest[n]) for n, name in enumerate(names)]
            if _sum(natural) <= width:
                return Fitted(names, natural, list(header[count:]))
        least = [natural[n] if n in right else _least(names[n], cells[n], natural[n]) for n in range(count)]
        if _sum(least) <= width:
            return Fitted(names, _shared(least, natural, width - _sum(least)), list(header[count:]))
    return Fitted([header[0]], [width], list(header[1:]))


def shortened(rows: Sequence[Sequence[str]], ellipsis: str) -> list[list[str]]:
    """The rows with each address and hash as 0x1234…abcd, with as many more digits as keep different ones different."""
    longs = {cell for row in rows for cell in row if HEX.fullmatch(cell)}
    for digits in range(4, 32):
        short = {cell: f"{cell[: 2 + digits]}{ellipsis}{cell[-digits:]}" for cell in longs}
        if len({*short.values()}) == len(longs):
            break
    return [[short.get(cell, cell) for cell in row] for row in rows]


def lines(row: Sequence[str], fit: Fitted, right: Collection[int]) -> Iterator[str]:
    """A row of cells as the lines of a table: one, unless a cell holds line ends or a text that is folded."""
    cells = [_wrapped(cell, width) for cell, width in zip(row, fit.widths, strict=False)]
    for height in range(max(map(len, cells))):
        parts = []
        for n, cell in enumerate(cells):
            text = cell[height] if height < len(cell) else ""
            blanks = " " * (fit.widths[n] - cell_len(text))
            parts.append(blanks + text if n in right else text + blanks)
        yield (" " * GAP).join(parts).rstrip()


def paragraph(line: str, width: int) -> list[str]:
    """A line of text in lines of at most `width` columns, folded at blanks; the later ones are indented more than the first."""
    indent = len(line) - len(line.lstrip(" "))
    first, *rest = _wrapped(line[indent:], width - indent - HANGING) if cell_len(line) > width else [line[indent:]]
    return [" " * indent + first, *(" " * (indent + HANGING) + more for more in rest)]


def _wrapped(cell: str, width: int) -> list[str]:
    """A cell in lines of at most `width` columns, broken at blanks and line ends, and within a word only where it is wider."""
    if "\n" not in cell and cell_len(cell) <= width:
        return [cell]
    words = (
        part
        for word in re.findall(r"[^ \n]+ ?|\n", cell)
        for part in (chop_cells(word, width) if cell_len(word.rstrip()) > width else [word])
    )
    return _packed(words, width)


def _packed(words: Iterable[str], width: int) -> list[str]:
    """The words in as few lines of at most `width` columns as hold them. A line end begins a new one."""
    packed = [""]
    for word in words:
        if word == "\n" or (cell_len(packed[-1] + word.rstrip(" ")) > width and packed[-1]):
            packed.append("")
        packed[-1] += word.strip("\n")
    return [line.rstrip(" ") for line in packed]


def _folded(name: str, width: int) -> str:
    """A header in lines of at most `width` columns, broken at blanks and after underscores and hyphens as far as it has any.

    A unit in brackets gets lines of its own.
    """
    if cell_len(name) <= width:
        return name
    title, bracket, unit = name.partition(" (")
    if bracket:
        return f"{_folded(title, width)}\n{_folded('(' + unit, width)}"
    return "\n".join(_packed(re.findall(r"[^ _-]*[_-]|[^ _-]+ ?", name), width))


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _least(name: str, cells: Sequence[str], natural: int) -> int:
    """The narrowest that a column of texts may be: no word of it is broken."""
    longest_word = max((cell_len(word) for cell in cells for word in cell.split()), default=0)
    return min(natural, max(_width(name), longest_word, NARROWEST_TEXT))


def _shared(least: Sequence[int], natural: Sequence[int], spare: int) -> list[int]:
    """The widths with the spare columns given one by one to the columns that want them."""
    widths = list(least)
    while spare and (wanting := [n for n, width in enumerate(widths) if width < natural[n]]):
        for n in wanting[:spare]:
            widths[n] += 1
        spare -= len(wanting[:spare])
    return widths
