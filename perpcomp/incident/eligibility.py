"""The table [eligibility]: who is compensated."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, Kind, Table, absent, given
from perpcomp.incident.guards import VERDICTS
from perpcomp.incident.kinds import (
    ADDRESS,
    AMOUNT,
    AMOUNT_OR_ZERO,
    COUNT,
    EXAMPLE_ADDRESS,
    EXAMPLE_SHA256,
    PATH,
    SHA256,
    TEXT,
    choice,
    choices,
)
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.times import WRITTEN_TIME, ZONE, in_utc
from perpcomp.tables.schema import CSV_TIME

_BLOCKS = ("from_block", "to_block")
_IN_TIMES = absent(*_BLOCKS)
_POLICY = choice("include", "exclude")


def _policy(meaning: str, example: str) -> Key:
    return Key(_POLICY, f"Whether {meaning} are compensated.", f'"{example}"')


def _limit(meaning: str, example: str, unit: str = "/1", kind: Kind = AMOUNT) -> Key:
    return Key(kind, f"{meaning} Without it, nothing is left out for this reason.", example, unit, default=None)


class Exclusion(Struct, frozen=True):
    """names an address that is never compensated"""

    address: Annotated[str, Key(ADDRESS, "The account that is not compensated.", EXAMPLE_ADDRESS)]
    reason: Annotated[str, Key(TEXT, "Why it is excluded.", '"the protocol\'s own arbitrageur"')]
    evidence: Annotated[str, Key(TEXT, "What shows the reason.", '"whitelisted account in the protocol\'s published metadata"')]


class Eligibility(Struct, frozen=True):
    """Who is compensated. The policies are 'include' or 'exclude'.

    The window is stated in times, [from_time, to_time) in UTC, or in blocks, of which both ends are inside. Where it is stated in blocks,
    the times are None until the input has dated them (window.py). as_written is the window in the words of the file. Limits are None and
    lists empty where the file does not state them.
    """

    from_time: Annotated[
        datetime | None,
        Key(
            WRITTEN_TIME,
            "When the window begins; this second is inside.",
            "2021-02-20T22:45:00Z",
            name="from",
            default=None,
            required_if=_IN_TIMES,
        ),
    ]
    to_time: Annotated[
        datetime | None,
        Key(
            WRITTEN_TIME,
            "When the window ends; this second is outside.",
            "2021-02-21T00:00:00Z",
            name="to",
            default=None,
            required_if=_IN_TIMES,
        ),
    ]
    from_block: Annotated[
        int | None,
        Key(COUNT, "The first block of the window, instead of from; it is inside.", "13_500_195", "block", None, given("to_block")),
    ]
    to_block: Annotated[
        int | None,
        Key(COUNT, "The last block of the window, instead of to; it is inside.", "13_500_366", "block", None, given("from_block")),
    ]
    time_zone: Annotated[
        str | None, Key(ZONE, "The time zone of from and to where they are written without an offset.", '"Asia/Taipei"', default=None)
    ]
    as_written: str
    rebound_shorts: Annotated[str, _policy("shorts, which only the rebound can liquidate,", "exclude")]
    opened_in_window: Annotated[str, _policy("positions that were opened inside the window", "exclude")]
    second_life: Annotated[
        str, _policy("positions that were opened inside the window after the trader's earlier one was liquidated there", "exclude")
    ]
    self_liquidation: Annotated[str, _policy("positions that their own trader liquidated", "include")]
    surviving_life: Annotated[
        str,
        Key(
            choice("closed-share", "whole"),
            "How much of a position that survived a partial liquidation is compensated: the share that was closed, or all of it.",
            '"closed-share"',
            default="closed-share",
        ),
    ]
    minimum_leverage: Annotated[Decimal | None, _limit("The lowest leverage at opening that is compensated.", "2")]
    maximum_leverage: Annotated[Decimal | None, _limit("The highest leverage at opening that is compensated.", "10")]
    minimum_leverage_before_crash: Annotated[Decimal | None, _limit("The lowest leverage before the crash that is compensated.", "2")]
    maximum_leverage_before_crash: Annotated[Decimal | None, _limit("The highest leverage before the crash that is compensated.", "10")]
    liquidation_price_below: Annotated[
        Decimal | None,
        _limit("Compensated are positions whose liquidation price before the crash was below this.", "45_000", "quote asset per base"),
    ]
    minimum_index_drawdown: Annotated[
        Decimal | None, _limit("The least by which a market's index price fell over the window, as a share.", "0.05")
    ]
    maximum_index_drawdown: Annotated[
        Decimal | None, _limit("The most by which a market's index price fell over the window, as a share.", "0.2", kind=AMOUNT_OR_ZERO)
    ]
    guard_verdicts: Annotated[
        tuple[str, ...],
        Key(
            choices(*VERDICTS),
            "Only liquidations on which the guards have one of these verdicts are compensated.",
            '["FLAG_ONLY_DELTA", "FLAG_ONLY_PD", "FLAG_ONLY_BOTH"]',
            default=(),
        ),
    ]
    exclusions: Annotated[
        tuple[Exclusion, ...],
        Table(Exclusion, "names an address that is never compensated", required=False, many=True, absent=(), name="exclude"),
    ]
    exclude_file: Annotated[
        str | None, Key(PATH, "A list of more exclusions: a .csv with address, reason, evidence.", '"excluded.csv"', default=None)
    ]
    exclude_sha256: Annotated[
        str | None,
        Key(
            SHA256,
            "The sha256 of the file that exclude_file names.",
            EXAMPLE_SHA256,
            default=None,
            required_if=given("exclude_file"),
        ),
    ]
    source: Annotated[tuple[str, ...], SOURCE]

    @property
    def start(self) -> datetime:
        """When the window begins; this second is inside."""
        assert self.from_time is not None, "a window in blocks has no times before the input dates it"
        return self.from_time

    @property
    def end(self) -> datetime:
        """When the window ends; this second is outside."""
        assert self.to_time is not None, "a window in blocks has no times before the input dates it"
        return self.to_time

    @property
    def window(self) -> str:
        """The window in words: "2021-02-20T22:45:00Z to 2021-02-21T00:00:00Z", or "blocks 13500195 to 13500366, both included"."""
        if self.from_block is not None:
            return f"blocks {self.from_block} to {self.to_block}, both included"
        return f"{self.start.strftime(CSV_TIME)} to {self.end.strftime(CSV_TIME)}"

    @property
    def by_replay(self) -> bool:
        """Whether a rule needs the market's state before the crash, which only a replay of the market gives."""
        asked = (self.minimum_leverage_before_crash, self.maximum_leverage_before_crash, self.liquidation_price_below)
        return any(limit is not None for limit in asked)


def read_eligibility(table: TableReader) -> Eligibility | None:
    """The table, with from and to in UTC: by their offset, or else by time_zone. The window is in times or in blocks, not in both."""
    values = table.values()
    zone = values.get("time_zone")
    if in_blocks := {*_BLOCKS} & table.raw.keys():
        written = f"blocks {values.get('from_block')} to {values.get('to_block')}"
        for key in [key for key in ("from", "to", "time_zone") if key in table.raw]:
            what = f"is given beside {' and '.join(sorted(in_blocks))}."
            table.problem(key, what, "State the window in one way: from and to in times, or from_block and to_block.")
    else:
        written = f"{values.get('from_time')} to {values.get('to_time')}" + (f" ({zone})" if zone else "")
    for field, key in (("from_time", "from"), ("to_time", "to")):
        try:
            if values.get(field) is not None:
                values[field] = in_utc(values[field], zone)
        except ValueError as error:
            table.problem(key, *error.args)
    return table.build(Eligibility, {**values, "as_written": written})
