"""The table [vesting]: when payouts unlock."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from perpcomp.incident.description import Condition, Key, equals
from perpcomp.incident.kinds import AMOUNT, COUNT, SHARE, choice
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.times import TIME

_WHOLE = (1, "1/1")
_LATER = Condition(
    "upfront is below 1",
    lambda table, _: table.get("upfront") not in _WHOLE,
    {"not": {"required": ["upfront"], "properties": {"upfront": {"enum": [*_WHOLE]}}}},
)
_IN_BLOCKS = equals("calendar", "blocks")
_MOST_TRANCHES = 1000


@dataclass(frozen=True)
class Vesting:
    """When it unlocks: `upfront` at the start, the rest in `tranches` (or along a line) until the end.

    calendar is calendar-months, fixed-days, seconds or blocks, and `length` counts that unit. binding is tranches or line.
    start_block and block_seconds belong to a calendar of blocks. Where all of it unlocks at the start (upfront 1), `length` and
    `tranches` are 0.
    """

    upfront: Annotated[Fraction, Key(SHARE, "The share that unlocks at the start.", "0.5", unit="/1")]
    calendar: Annotated[
        str,
        Key(
            choice("calendar-months", "fixed-days", "seconds", "blocks"),
            "What `length` counts.",
            '"calendar-months"',
            default="seconds",
            required_if=_LATER,
        ),
    ]
    length: Annotated[
        int,
        Key(COUNT, "How long after the start the last tranche unlocks.", "3", unit="as `calendar`", default=0, required_if=_LATER),
    ]
    tranches: Annotated[
        int,
        Key(
            COUNT,
            f"In how many equal parts the rest unlocks after the start; at most {_MOST_TRANCHES}.",
            "3",
            default=0,
            required_if=_LATER,
        ),
    ]
    binding: Annotated[
        str,
        Key(
            choice("tranches", "line"),
            "Whether the dates bind (tranches), or a straight line from start to end of which the dates are points (line).",
            '"tranches"',
            default="tranches",
        ),
    ]
    start: Annotated[datetime, Key(TIME, "When the upfront part unlocks and the length begins.", "2021-03-01T00:00:00Z")]
    start_block: Annotated[
        int | None, Key(COUNT, "The block of the start.", "14_000_000", unit="block", default=None, required_if=_IN_BLOCKS)
    ]
    block_seconds: Annotated[
        Decimal | None, Key(AMOUNT, "How long a block takes.", "5.2", unit="seconds", default=None, required_if=_IN_BLOCKS)
    ]
    source: Annotated[tuple[str, ...], SOURCE]

    @property
    def all_at_once(self) -> bool:
        """Whether everything unlocks at the start, so that there is one tranche."""
        return self.upfront == 1

    @property
    def estimated(self) -> bool:
        """Whether blocks bind, so that every date is an estimate."""
        return self.calendar == "blocks"


def read_vesting(table: TableReader) -> Vesting | None:
    """The vesting; keys of a calendar of blocks under another calendar, and too many tranches, are refused."""
    values = table.values()
    if values.get("calendar", "blocks") != "blocks":
        for key in {"start_block", "block_seconds"} & table.raw.keys():
            table.problem(key, "belongs to a calendar of blocks.", 'Remove it, or set calendar = "blocks".')
    if values.get("tranches", 0) > _MOST_TRANCHES:
        table.problem(
            "tranches", f"is {values['tranches']}.", f'Write at most {_MOST_TRANCHES}; for a finer schedule set binding = "line".'
        )
    return table.build(Vesting, values)
