"""The incident file's [valuation]."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from perpcomp.incident import toml
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section

SERIES = ".csv"  # how the name of a file of prices ends

PRICES = ("reference", "mark", "curve", "twap", "index")


@dataclass(frozen=True)
class Valuation:
    """When a position is looked at, and what it is worth then.

    at None: each at its own liquidation, by the event alone; else a block, or a time, for all. price: reference (each market's
    reference_price), mark (the market's spot), curve, twap, index, or the name of a file of prices.
    """

    at: int | datetime | None = None
    price: str = "reference"
    source: tuple[str, ...] = ()

    @property
    def series(self) -> str | None:
        """The file of prices, where `price` names one."""
        return self.price if self.price.endswith(SERIES) else None

    @property
    def by_event_alone(self) -> bool:
        """Whether it needs nothing but the liquidation's own event: no other moment, and no price of the market's."""
        return self.at is None and (self.price == "reference" or self.series is not None)


def read_valuation(section: Section, known: dict[str, Source]) -> tuple[Valuation, Decimal | None]:
    """The valuation, and its price where that is a number: it then is the reference price of the affected market."""
    price: str | Decimal | None = section.take("price", _price, required=False)
    valuation = Valuation(
        at=section.take("at", partial(block_or_moment, or_words=("liquidation",)), required=False),
        price=price if isinstance(price, str) else "reference",
        source=read_source(section, known),
    )
    section.close()
    return valuation, price if isinstance(price, Decimal) else None


def _price(value: Any) -> str | Decimal:
    if isinstance(value, str) and value.endswith(SERIES):
        return toml.inside(value)
    if isinstance(value, str):
        try:
            return toml.choice(PRICES)(value)
        except ValueError as error:
            raise ValueError(error.args[0], f"{error.args[1]} Or a number without quotes, or a {SERIES} file of prices.") from None
    return toml.amount(value)


def block_or_moment(value: Any, or_words: tuple[str, ...] = ()) -> int | datetime | None:
    """A block or a time for all; None for one of the words."""
    if value in or_words:
        return None
    if isinstance(value, datetime):
        return toml.moment(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return toml.count(value)
    words = "".join(f'"{word}", ' for word in or_words)
    raise ValueError(f"is {toml.shown(value)}.", f"Write {words}a block as 13_500_195, or a time as 2021-02-20T22:45:00Z.")
