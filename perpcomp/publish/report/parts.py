"""What a page is made of. Each part is data without markup; the template draws each kind in its way, and escapes every text."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

import polars as pl
from markupsafe import Markup
from msgspec import Struct

MOST_ROWS = 5_000  # of a table; a longer one shows its first FIRST rows and names the file that has all
FIRST = 500


class Text(Struct, frozen=True):
    """A paragraph. `style` is "" or the class of one that stands out: lead, notice, warning, quote."""

    text: str
    style: str = ""
    kind: ClassVar[str] = "text"


class Listing(Struct, frozen=True):
    """A list of sentences."""

    items: Sequence[str]
    kind: ClassVar[str] = "listing"


class Code(Struct, frozen=True):
    """Lines as they are typed or printed, in a box of that name."""

    name: str
    lines: Sequence[str]
    kind: ClassVar[str] = "code"


class Term(Struct, frozen=True):
    """A term and what it stands for, with the source of that; `link` is an address of the web."""

    term: str
    meaning: str
    source: str = ""
    link: str = ""


class Terms(Struct, frozen=True):
    """A list of terms."""

    terms: Sequence[Term]
    kind: ClassVar[str] = "terms"


class Tiles(Struct, frozen=True):
    """A few figures in large type, each above its label."""

    figures: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "tiles"


class Grid(Struct, frozen=True):
    """A table. `name` is its caption, which no other table of the page has; the first column names the rows.

    `right` are the columns that are aligned to the right. `ids` are the ids of rows, "" for none. `last` sets the last row apart, a total.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()
    ids: Sequence[str] = ()
    last: bool = False
    kind: ClassVar[str] = "grid"

    @property
    def numbers(self) -> bool:
        """Whether most columns behind the first are numbers."""
        return 2 * len(self.right) >= len(self.header)


class Figure(Struct, frozen=True):
    """A chart: its drawing, the sentence that says its result, and its figures as a table, or where they are."""

    title: str
    svg: Markup
    sentence: str
    figures: Grid | Text
    kind: ClassVar[str] = "figure"


class Folded(Struct, frozen=True):
    """Parts that a reader opens by their summary."""

    summary: str
    parts: Sequence["Part"]
    anchor: str = ""
    kind: ClassVar[str] = "folded"


class Heading(Struct, frozen=True):
    """A heading inside a section."""

    text: str
    kind: ClassVar[str] = "heading"


class Line(Struct, frozen=True):
    """A row of the table of accounts: an account as a whole where `account` is its address, else a part of the account above it.

    `paid` are the cells of the tokens; then come the entitlement, the position or what else the line is, and what stands `behind` it.
    """

    account: str
    paid: Sequence[str]
    entitlement: str
    label: str
    behind: Sequence[str]
    note: str = ""
    link: str = ""  # of the position's transaction, where an explorer of the chain is known
    steps: str = ""  # the id of its full steps, where the page has them


class Accounts(Struct, frozen=True):
    """The table of accounts. `few` are so few that digits after the second place are set back for the eye. `notes`: the last column has notes."""

    name: str
    header: Sequence[str]
    lines: Sequence[Line]
    total: Line
    few: bool
    notes: bool
    kind: ClassVar[str] = "accounts"


Part = Text | Listing | Code | Terms | Tiles | Grid | Figure | Folded | Heading | Accounts


Rows = TypeVar("Rows", Sequence[Sequence[str]], pl.DataFrame)


class Section(Struct, frozen=True):
    """A section of the page; `anchor` is its id."""

    anchor: str
    title: str
    parts: Sequence[Part]


def first_rows(rows: Rows, file: str) -> tuple[Rows, list[Part]]:
    """The rows of a table that a page shows; and a sentence on the others, where it does not show all."""
    if len(rows) <= MOST_ROWS:
        return rows, []
    return rows[:FIRST], [Text(f"The first {FIRST} of {len(rows):,} rows: all are in {file}.")]
