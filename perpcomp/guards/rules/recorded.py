"""The schema of recorded answers of the real Perps V2 contracts: files of random states ("vectors") or of scenarios ("setup", "cases").

Integers are decimal texts of 1e-18 (ids may be numbers), times are unix seconds. Accounts are named by their role: A is the trader.
"""

import gzip
import zlib
from pathlib import Path
from typing import Annotated

import msgspec

from perpcomp.findings import refusal
from perpcomp.guards.rules.margins import Position

Number = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,78}$")] | int
Event = tuple[str, list[str]]


class StoredPosition(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A position as the contract stores it."""

    id: Number
    last_funding_index: Number
    margin: Number
    last_price: Number
    size: Number

    def position(self) -> Position:
        """The same as integers."""
        return Position(*(int(getattr(self, name)) for name in Position._fields))


class StoredMarket(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What a market stores, and its oracle."""

    price: Number
    skew: Number
    size: Number
    funding_sequence: Annotated[list[Number], msgspec.Meta(min_length=1)]
    funding_last_recomputed: int
    funding_rate_last_recomputed: Number
    entry_debt_correction: Number
    broken: bool
    invalid: bool
    suspended: bool


class StoredOrder(msgspec.Struct, rename={"size_delta": "sizeDelta"}, forbid_unknown_fields=True):
    """A pending order and its deposits."""

    off: bool
    size_delta: Number
    commit: Number
    keeper: Number


class Input(msgspec.Struct, rename={"preflagged_by": "preflaggedBy"}, forbid_unknown_fields=True):
    """The state before the first step. Position, order and flag are those of A."""

    settings: dict[str, Number]
    market: StoredMarket
    position: StoredPosition
    order: StoredOrder | None
    preflagged_by: str | None


class Step(msgspec.Struct):
    """One call and the contract's answer: the revert's text or null, and the events as [name, arguments]."""

    call: str
    sender: str
    revert: str | None
    events: list[Event]
    args: list[str] = []
    timestamp: int | None = None


class View(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The 17 values that the views returned at a time."""

    timestamp: int
    remaining_margin: Number
    liquidation_margin: Number
    can_liquidate: bool
    flagged: bool
    liquidation_fee_view: Number
    accrued_funding: Number
    profit_loss: Number
    notional: Number
    funding_rate: Number
    funding_velocity: Number
    unrecorded_funding: Number
    liquidation_price: Number
    fill_price_close: Number
    market_skew: Number
    market_size: Number
    market_debt: Number


class Vector(msgspec.Struct, rename={"new_price": "newPrice", "entry_debt_correction_end": "entryDebtCorrectionEnd"}):
    """One random state: a view, an attempt to flag it, a view, a new price, a view, attempts to liquidate it, a view."""

    id: int
    market: str
    input: Input
    view_before: View
    steps: list[Step]
    view_after_flag: View
    new_price: Number
    view_before_liquidation: View
    liquidation_steps: list[Step]
    view_end: View
    minted: dict[str, Number]
    entry_debt_correction_end: Number


class Fees(msgspec.Struct, rename="camel"):
    """The fees of every trade of a scenario."""

    taker_fee: Number
    maker_fee: Number


class Opening(msgspec.Struct):
    """The oracle while the scenario's positions are opened."""

    timestamp: int
    price: Number


class Setup(msgspec.Struct, rename={"flag_price": "flagPrice"}):
    """What all scenarios have in common at their beginning."""

    settings: dict[str, Number]
    fees: Fees
    flag_price: Number
    state: Opening


class CaseView(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The values that were read before and after a scenario's steps."""

    timestamp: int
    price: Number
    market_skew: Number
    position: StoredPosition
    flagged: bool
    can_liquidate: bool
    remaining_margin: Number
    liquidation_margin: Number
    liquidation_price: Number


class Case(msgspec.Struct):
    """One scenario; `setup` and `system` say in words what is special about its beginning."""

    no: str
    title: str
    overrides: dict[str, Number]
    before: CaseView
    steps: list[Step]
    after: CaseView
    minted: dict[str, Number]
    sip_test: str | None = None
    sip_expects: str | None = None
    setup: str | None = None
    system: str | None = None


class Vectors(msgspec.Struct):
    """A file of random states."""

    vectors: Annotated[list[Vector], msgspec.Meta(min_length=1)]


class Cases(msgspec.Struct):
    """A file of scenarios."""

    setup: Setup
    cases: Annotated[list[Case], msgspec.Meta(min_length=1)]


def read(path: Path) -> Vectors | Cases:
    """The file's content, checked against its schema. InputError where it cannot be read, is not JSON, or is of neither kind."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise refusal(path.name, f"The file cannot be read ({reason}).", "Give a file of recorded answers, .json or .json.gz.") from None
    try:
        keys = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        if "vectors" not in keys and "cases" not in keys:
            shown = ", ".join([*keys][:5]) or "nothing"
            what = f'The file holds neither "vectors" nor "cases", but {shown}.'
            raise refusal(path.name, what, "Give a file of recorded answers.")
        return msgspec.json.decode(data, type=Vectors) if "vectors" in keys else msgspec.json.decode(data, type=Cases)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(path.name, f"The file is not one of recorded answers: {error}.", "Correct the named place.") from None
