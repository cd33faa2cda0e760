"""The table [vesting]: when payouts unlock."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from msgspec import Struct

from perpcomp.findings import Finding, InputError
from perpcomp.incident.description import Condition, Key, Raw, absent, equals, given, keys
from perpcomp.incident.kinds import AMOUNT, COUNT, SHARE, choice
from perpcomp.incident.reader import Problem, TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.times import TIME

_WHOLE = (1, "1/1")
_MOST_TRANCHES = 1000
_MOST_WEEKS = 5200  # a century

# Readings of a cliff. They differ in whether amounts accrue before it, and in whether the length holds it or follows it.
ACCRUES, REST_FROM_CLIFF, LENGTH_FROM_CLIFF = "accrues", "rest-from-cliff", "length-from-cliff"

_READINGS = (
    "With accrues, what has accrued since the start unlocks at the cliff. With the others nothing accrues before the cliff: the length "
    "holds the cliff (rest-from-cliff), or begins there (length-from-cliff)."
)

# How the Open Cap Format names the rounding of equal tranches.
ROUND_DOWN = "CUMULATIVE_ROUND_DOWN"
ROUNDINGS = (
    ROUND_DOWN,
    "CUMULATIVE_ROUNDING",
    "FRONT_LOADED",
    "BACK_LOADED",
    "FRONT_LOADED_TO_SINGLE_TRANCHE",
    "BACK_LOADED_TO_SINGLE_TRANCHE",
)


def _preset(upfront: Fraction, months: int, binding: str) -> dict[str, Any]:
    return {"upfront": upfront, "calendar": "calendar-months", "length": months, "tranches": months, "binding": binding}


# Source: forum F4 (perp-3m: half at once, the rest within 3 months) and F41 (the drips: nothing at once, 6 or 12 months in a line).
PRESETS: dict[str, dict[str, Any]] = {
    "perp-3m": _preset(Fraction(1, 2), 3, "tranches"),
    "drip-6m": _preset(Fraction(0), 6, "line"),
    "drip-12m": _preset(Fraction(0), 12, "line"),
    "instant": {"upfront": Fraction(1), "calendar": "seconds", "length": 0, "tranches": 0, "binding": "tranches"},
}


_NO_PRESET = absent("preset")
_LATER = Condition(
    "upfront is below 1 and no preset is given",
    lambda table, _: "preset" not in table and table.get("upfront") not in _WHOLE,
    {"not": {"anyOf": [{"required": ["preset"]}, {"required": ["upfront"], "properties": {"upfront": {"enum": [*_WHOLE]}}}]}},
)
_IN_BLOCKS = equals("calendar", "blocks")
_WITH_CLIFF = given("cliff")


class Vesting(Struct, frozen=True, kw_only=True):
    """When it unlocks: `upfront` at the start, the rest in `tranches` (or along a line) until the end.

    calendar is calendar-months, fixed-days, seconds or blocks, and `length` and `cliff` count that unit. binding is tranches or line.
    start_block and block_seconds belong to a calendar of blocks. Where all of it unlocks at the start (upfront 1), `length` and
    `tranches` are 0. A preset has set the first five already.
    """

    preset: Annotated[
        str | None,
        Key(
            choice(*PRESETS),
            "Short for upfront, calendar, length, tranches and binding: perp-3m is 0.5 at the start and 3 monthly tranches; drip-6m and "
            "drip-12m are a line over so many calendar months; instant is all at the start.",
            '"perp-3m"',
        ),
    ] = None
    upfront: Annotated[
        Fraction,
        Key(SHARE, "The share that unlocks at the start.", "0.5", unit="/1", default=Fraction(1), required_if=_NO_PRESET),
    ]
    calendar: Annotated[
        str,
        Key(
            choice("calendar-months", "fixed-days", "seconds", "blocks"),
            "What `length` and `cliff` count. Calendar months are counted from the start, in UTC, and end with a shorter month.",
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
    rounding: Annotated[
        str,
        Key(choice(*ROUNDINGS), "How equal tranches are rounded, as the Open Cap Format names it.", f'"{ROUND_DOWN}"'),
    ] = ROUND_DOWN
    granularity: Annotated[
        int, Key(COUNT, "The line moves once in so many seconds, or blocks where those are counted.", "604_800", unit="s or blocks")
    ] = 1
    cliff: Annotated[
        int | None, Key(COUNT, "How long after the start nothing but the upfront part unlocks.", "3", unit="as `calendar`")
    ] = None
    cliff_reading: Annotated[
        str | None,
        Key(
            choice(ACCRUES, REST_FROM_CLIFF, LENGTH_FROM_CLIFF),
            f"How the cliff is read. {_READINGS}",
            f'"{ACCRUES}"',
            default=None,
            required_if=_WITH_CLIFF,
            why=_READINGS,
        ),
    ] = None
    lock_weeks: Annotated[
        int | None, Key(COUNT, f"A claim is paid only into a lock of at least so many weeks; at most {_MOST_WEEKS}.", "26", unit="weeks")
    ] = None
    start: Annotated[datetime, Key(TIME, "When the upfront part unlocks and the length begins.", "2021-03-01T00:00:00Z")]
    start_block: Annotated[
        int | None, Key(COUNT, "The block of the start.", "14_000_000", unit="block", default=None, required_if=_IN_BLOCKS)
    ] = None
    block_seconds: Annotated[
        Decimal | None, Key(AMOUNT, "How long a block takes.", "5.2", unit="seconds", default=None, required_if=_IN_BLOCKS)
    ] = None
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
    """The vesting, with what its preset sets. Keys that another key makes idle, or contradicts, are refused."""
    values = table.values()
    preset = values.get("preset")
    if preset is not None:
        for key in [key for key in PRESETS[preset] if key in table.raw]:
            table.problem(key, f'is given beside preset = "{preset}", which sets it.', "Remove one of the two.")
        values |= PRESETS[preset]
    if values.get("calendar", "blocks") != "blocks":
        for key in {"start_block", "block_seconds"} & table.raw.keys():
            table.problem(key, "belongs to a calendar of blocks.", 'Remove it, or set calendar = "blocks".')
    if values.get("tranches", 0) > _MOST_TRANCHES:
        table.problem(
            "tranches", f"is {values['tranches']}.", f'Write at most {_MOST_TRANCHES}; for a finer schedule set binding = "line".'
        )
    counts_steps = values.get("calendar") in ("seconds", "blocks") and values.get("upfront") != 1
    inside = values.get("cliff") or 0 if values.get("cliff_reading") == REST_FROM_CLIFF else 0
    if counts_steps and "length" in values and 0 < values["length"] - inside < values.get("tranches", 0):
        what = f"is {values['tranches']}, more than the {values['length'] - inside} {values['calendar']} in which they unlock."
        table.problem("tranches", what, "Several would unlock at once: write fewer.")
    if (values.get("lock_weeks") or 0) > _MOST_WEEKS:
        table.problem("lock_weeks", f"is {values['lock_weeks']}.", f"Write at most {_MOST_WEEKS}, a century.")
    for key, belongs_to in (("rounding", "tranches"), ("granularity", "line")):
        if key in table.raw and values.get("binding", belongs_to) != belongs_to:
            table.problem(key, f'does nothing where binding = "{values["binding"]}".', f'Remove it, or set binding = "{belongs_to}".')
    _check_cliff(table, values)
    return table.build(Vesting, values)


def _check_cliff(table: TableReader, values: Mapping[str, Any]) -> None:
    cliff, reading, length = values.get("cliff"), values.get("cliff_reading"), values.get("length")
    if cliff is None:
        if "cliff_reading" in table.raw and "cliff" not in table.raw:
            table.problem("cliff_reading", "is given without a cliff.", "Add cliff, or remove it.")
        return
    if values.get("upfront") == 1:
        table.problem("cliff", "is given, but all unlocks at the start.", "Remove it, or let less than 1 unlock at the start.")
    elif length is not None and ((reading == ACCRUES and cliff > length) or (reading == REST_FROM_CLIFF and cliff >= length)):
        advice = f'Let it end inside the length, or set cliff_reading = "{LENGTH_FROM_CLIFF}".'
        table.problem("cliff", f"is {cliff}, and the length is {length}.", advice)


def read_alone(raw: Raw, header: str, place: Callable[[str], str], written: Callable[[Key], str]) -> Vesting:
    """The vesting of a [vesting] table that stands in no incident file and needs no source. InputError with all its problems.

    `header` is what the table is called, `place` names the place of a key, and `written` says how a key is given there.
    """
    problems: list[Problem] = []
    document = {"sources": {"given": "given alone"}}
    reader = TableReader(document, keys(Vesting), problems, {**raw, "source": "given"}, header)
    reader.written = written
    vesting = read_vesting(reader)
    if vesting is None:
        raise InputError(Finding("error", place(one.key), f"It {one.what}", one.what_to_do) for one in problems)
    return vesting
