"""The table [valuation]: when and at which price positions are valued."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Struct

from perpcomp.incident import kinds, times
from perpcomp.incident.description import Key, Kind, Raw
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.toml import shown

SERIES = ".csv"  # how the name of a file of prices ends

PRICES = ("reference", "mark", "curve", "twap", "index")


def _price(value: Any) -> str | Decimal:
    if isinstance(value, str) and value.endswith(SERIES):
        return kinds.path(value)
    if isinstance(value, str):
        try:
            return str(kinds.choice(*PRICES).read(value))
        except ValueError as error:
            raise ValueError(error.args[0], f"{error.args[1]} Or a number without quotes, or a {SERIES} file of prices.") from None
    return kinds.amount(value)


def _block_or_time(*words: str) -> Callable[[Any], int | datetime | None]:
    def read(value: Any) -> int | datetime | None:
        if value in words:
            return None
        if isinstance(value, datetime):
            return times.moment(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return kinds.count(value)
        listed = "".join(f'"{word}", ' for word in words)
        raise ValueError(f"is {shown(value)}.", f"Write {listed}a block as 13_500_195, or a time as 2021-02-20T22:45:00Z.")

    return read


_SHAPE = {"anyOf": [kinds.COUNT.shape, times.TIME.shape]}
BLOCK_OR_TIME = Kind("block or time", "a block as 13_500_195, or a time as 2021-02-20T22:45:00Z", _block_or_time(), shape=_SHAPE)
_AT = Kind(
    "block or time",
    f'"liquidation", {BLOCK_OR_TIME.allowed}',
    _block_or_time("liquidation"),
    ("liquidation",),
    shape={"anyOf": [{"const": "liquidation"}, _SHAPE]},
)
_WORDS = ", ".join(f'"{word}"' for word in PRICES)
_FILE = {"allOf": [kinds.PATH.shape, {"pattern": r"\.csv$"}]}
_ANY_PRICE = {"anyOf": [{"enum": [*PRICES]}, kinds.AMOUNT.shape, _FILE]}
_PRICE = Kind(
    "price", f"{_WORDS}, a number above 0 without quotes, or the name of a {SERIES} file of prices", _price, PRICES, shape=_ANY_PRICE
)


class Valuation(Struct, frozen=True):
    """When a position is looked at, and what it is worth then.

    at None: each position at its own liquidation, by the event alone; else a block or a time for all. price: reference (each market's
    reference_price), mark (the market's spot price), curve, twap, index, or the name of a file of prices. one_price is the number where
    the file states one: it is the reference price of the affected market.
    """

    at: Annotated[
        int | datetime | None,
        Key(_AT, 'When every position is valued: at its own liquidation ("liquidation"), or at one block or time for all.', "13_500_195"),
    ] = None
    price: Annotated[
        str,
        Key(
            _PRICE,
            "The price: each market's reference_price, the market's spot price (mark), what a close on the curve fetches, the market's twap, "
            "the index price, one number for the affected market, or a file of prices.",
            '"curve"',
            unit="quote asset per base",
        ),
    ] = "reference"
    source: Annotated[tuple[str, ...], SOURCE] = ()
    interval: Annotated[
        int | None,
        Key(kinds.COUNT, "The most that lies between two rows of a market in the file of prices.", "60", unit="seconds", default=None),
    ] = None
    one_price: Decimal | None = None

    @property
    def series(self) -> str | None:
        """The file of prices, where `price` names one."""
        return self.price if self.price.endswith(SERIES) else None

    @property
    def by_event_alone(self) -> bool:
        """Whether it needs nothing but the liquidation's own event: no other moment, and no price of the market's."""
        return self.at is None and (self.price == "reference" or self.series is not None)


def read_valuation(table: TableReader) -> Valuation | None:
    """The valuation; a price that is a number becomes the reference price of the affected market."""
    values = table.values()
    if isinstance(values.get("price"), Decimal):
        values |= {"price": "reference", "one_price": values["price"]}
    if values.get("interval") is not None and not str(values.get("price", "")).endswith(SERIES):
        table.problem("interval", "is given, but price names no file.", f"Name a {SERIES} file of prices, or remove interval.")
    return table.build(Valuation, values)


def states_price(file: Raw) -> bool:
    """Whether the [valuation] of a file, as TOML gives it, states another price than each market's reference_price."""
    table = file.get("valuation")
    price = table.get("price", "reference") if isinstance(table, dict) else "reference"
    number = isinstance(price, int | Decimal) and not isinstance(price, bool)
    return number or price in PRICES[1:] or (isinstance(price, str) and price.endswith(SERIES))
