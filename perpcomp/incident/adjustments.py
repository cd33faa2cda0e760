"""The tables [[adjustment]] and [ledger]: corrections of what one trader is owed, each by a ruling; and the freeze that ends them."""

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from msgspec import Struct
from msgspec.structs import replace

from perpcomp.incident.description import Condition, Key
from perpcomp.incident.kinds import (
    ADDRESS,
    AMOUNT_OR_ZERO,
    EXAMPLE_ADDRESS,
    EXAMPLE_SHA256,
    PATH,
    SHA256,
    SHARE,
    TEXT,
    choice,
)
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.times import TIME
from perpcomp.tables.schema import CSV_TIME

ADD, DEDUCT, SET, SCALE = KINDS = ("add", "deduct", "set", "scale")
FREEZE = "freeze"
_BY_AMOUNT = Condition('kind is not "scale"', lambda table, _: table.get("kind") != SCALE)
_BY_FACTOR = Condition('kind = "scale"', lambda table, _: table.get("kind") == SCALE)


class Adjustment(Struct, frozen=True):
    """A correction of what one trader is owed: after the formula, and after what it received is taken off. `place` is where it is written."""

    trader: Annotated[str, Key(ADDRESS, "The account that traded.", EXAMPLE_ADDRESS)]
    kind: Annotated[str, Key(choice(*KINDS), "What is done to its entitlement: set: it becomes the amount.", '"deduct"')]
    amount: Annotated[
        Decimal | None,
        Key(
            AMOUNT_OR_ZERO, "The amount that is added, deducted or set.", "4_000", unit="quote asset", default=None, required_if=_BY_AMOUNT
        ),
    ]
    factor: Annotated[
        Fraction | None, Key(SHARE, "The share of the entitlement that stays.", '"1/2"', unit="/1", default=None, required_if=_BY_FACTOR)
    ]
    reason: Annotated[str, Key(TEXT, "Why.", '"counted twice: the same person trades from two accounts"')]
    evidence: Annotated[str, Key(TEXT, "What shows the reason.", '"forum post 51"')]
    author: Annotated[str, Key(TEXT, "Who asks for it.", '"the claims committee"')]
    ruling: Annotated[str, Key(TEXT, "Who decided it, and where that is written.", '"vote 17, passed"')]
    date: Annotated[datetime, Key(TIME, "When it was decided.", "2021-03-01T00:00:00Z", unit="UTC")]
    source: Annotated[tuple[str, ...], SOURCE]
    place: str = ""

    @property
    def in_words(self) -> str:
        """What is done, as "deduct 4000"."""
        return f"{self.kind} {self.factor if self.amount is None else self.amount}"


def read_adjustment(reader: TableReader) -> Adjustment | None:
    """One [[adjustment]], or one line of the ledger; a problem where it has both an amount and a factor."""
    unneeded = "amount" if reader.raw.get("kind") == SCALE else "factor"
    if unneeded in reader.raw:
        reader.problem(unneeded, f'does nothing where kind = "{reader.raw.get("kind")}".', "Remove it, or correct the kind.")
    built = reader.build(Adjustment, reader.values())
    return None if built is None else replace(built, place=" ".join(part for part in (reader.header, str(reader.number or "")) if part))


class LedgerFile(Struct, frozen=True):
    """The ledger of adjustments beside the incident file; None where there is none."""

    file: Annotated[str | None, Key(PATH, "A .csv that `perpcomp ledger` appends to; an empty file to begin with.", '"ledger.csv"')] = None
    source: Annotated[tuple[str, ...], SOURCE] = ()


class Freeze(Struct, frozen=True):
    """A line that freezes a run: whose manifest and payouts, and until when comments may still change it. `signed`: by the author's key."""

    run_sha256: Annotated[str, Key(SHA256, "The sha256 of the run's manifest.json.", EXAMPLE_SHA256)]
    payouts_sha256: Annotated[str, Key(SHA256, "The row hash of its payouts, as the manifest states it.", EXAMPLE_SHA256)]
    comment_until: Annotated[datetime, Key(TIME, "The end of the comment window.", "2021-03-08T00:00:00Z", unit="UTC")]
    author: Annotated[str, Key(TEXT, "Who freezes it; an address where the line is signed.", '"the claims committee"')]
    date: Annotated[datetime, Key(TIME, "When.", "2021-03-01T00:00:00Z", unit="UTC")]
    reason: Annotated[str, Key(TEXT, "What a reader should know of it.", '"first list"', default="")]
    evidence: Annotated[str, Key(TEXT, "Where comments are collected.", '"forum thread 12"', default="")]
    ruling: Annotated[str, Key(TEXT, "Who decided it.", '"vote 18"', default="")]
    signature: Annotated[str, Key(TEXT, "The author's signature of the message of this line.", '"0x…"', default="")]
    place: str = ""

    @property
    def message(self) -> str:
        """What the author signs, as a wallet shows it."""
        return (
            f"perpcomp freezes the payouts {self.payouts_sha256} of the run {self.run_sha256};"
            f" comments until {self.comment_until.strftime(CSV_TIME)}"
        )

    @property
    def by(self) -> str:
        """Who froze it, and whether that is proved."""
        return f"signed by {self.author}" if self.signature else f"by {self.author}, not signed"


class Ledger(Struct, frozen=True):
    """A ledger that was read: its lines, its last hash, the freeze that stands, and the place of the change that undid the last one."""

    lines: int
    head: str
    freeze: Freeze | None
    undone_by: str = ""
