"""The table [[market]]: the markets of the incident."""

from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Condition, Key, Raw
from perpcomp.incident.kinds import ADDRESS, AMOUNT, EXAMPLE_ADDRESS, FLAG, TEXT
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.valuation import states_price


def _needs_price(market: Raw, file: Raw) -> bool:
    return market.get("affected") is True and not states_price(file)


class Market(Struct, frozen=True):
    """One market. Only the affected ones are compensated; reference_price is in the quote asset, per base."""

    name: Annotated[str, Key(TEXT, "The name of the market in every table.", '"BTCUSDC"')]
    amm: Annotated[str, Key(ADDRESS, "The market's contract.", EXAMPLE_ADDRESS)]
    affected: Annotated[bool, Key(FLAG, "Whether liquidations in this market are compensated.", "true", default=False)]
    reference_price: Annotated[
        Decimal | None,
        Key(
            AMOUNT,
            "The price at which positions are valued.",
            "50_000",
            unit="quote asset per base",
            default=None,
            required_if=Condition("affected = true and [valuation] states no other price", _needs_price),
        ),
    ]
    crash_below: Annotated[
        Decimal | None, Key(AMOUNT, "The spot price below which the crash has begun.", "54_500", unit="quote asset per base", default=None)
    ]
    source: Annotated[tuple[str, ...], SOURCE]


def read_market(table: TableReader) -> Market | None:
    """The market; a reference price beside the price of [valuation] is refused."""
    values = table.values()
    if "reference_price" in table.raw and states_price(table.document):
        table.problem("reference_price", "is given although [valuation] states a price.", "Keep one of the two.")
    return table.build(Market, values)
