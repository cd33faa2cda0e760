"""The table [guards]: liquidation guards to try on history."""

from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, Table
from perpcomp.incident.kinds import ADDRESSES, AMOUNT, COUNT, EXAMPLE_ADDRESS, LIMIT, PATH, TEXT, choice
from perpcomp.incident.sources import SOURCE

VERDICTS = (
    *("LIQUIDATED", "FLAG_ONLY_DELTA", "FLAG_ONLY_PD", "FLAG_ONLY_BOTH"),
    *("NOT_FLAGGABLE_AT_INDEX", "NO_INDEX", "UNKNOWN"),
)


class Limits(Struct, frozen=True):
    """A market's liquidation guards: the most one liquidation may move the price, and the most the price may differ from the index.

    Both are parts of the index price (/1); None: no limit. 0 lets nothing pass but a forced liquidation.
    """

    market: Annotated[
        str | None, Key(TEXT, "The market of these limits; without it, every market without limits of its own.", '"BTCUSDC"', default=None)
    ]
    max_liquidation_delta: Annotated[
        Decimal | None, Key(LIMIT, "The most by which one liquidation may move the price, of the index price.", "0.002", unit="/1")
    ]
    max_pd: Annotated[
        Decimal | None, Key(LIMIT, "The most by which the price may differ from the index price, of the index price.", "0.004", unit="/1")
    ]
    source: Annotated[tuple[str, ...], SOURCE]


class IndexPrices(Struct, frozen=True):
    """A file of index prices, with the columns market_name, time and price: a row every `interval` seconds or less of each market."""

    file: Annotated[str, Key(PATH, "The file of index prices, with the columns market_name, time and price.", '"index-prices.csv"')]
    interval: Annotated[int, Key(COUNT, "The most that lies between two rows of a market.", "60", unit="seconds")]
    source: Annotated[tuple[str, ...], SOURCE]


class Guards(Struct, frozen=True):
    """Liquidation guards to try on history. Without limits each market's own fees give them.

    flag_rule says at which price an account may be flagged: `index`, or `v1` by the contracts' own margin ratio. keeper: `historical`
    tries an account first when history liquidated it, `eager` as soon as it may be. Accounts of liquidators that are `endorsed` may be
    forced through the guards `forced_delay` seconds after the flag. The rest are settings of the contracts' own later guards.
    """

    flag_rule: Annotated[
        str, Key(choice("index", "v1"), "At which price an account is flagged: the index, or the contracts' own margin ratio.", '"index"')
    ] = "index"
    keeper: Annotated[
        str,
        Key(
            choice("historical", "eager"),
            "When an account is tried first: when history liquidated it, or as soon as it may be.",
            '"historical"',
        ),
    ] = "historical"
    endorsed: Annotated[
        tuple[str, ...],
        Key(ADDRESSES, "Liquidators that may force a liquidation through the guards.", f"[{EXAMPLE_ADDRESS}]"),
    ] = ()
    forced_delay: Annotated[int, Key(COUNT, "How long after the flag a liquidation may be forced.", "600", unit="seconds")] = 0
    fluctuation_limit: Annotated[
        Decimal | None,
        Key(AMOUNT, "The most by which the price may move within a block, a parameter of the contracts.", "0.012", unit="/1"),
    ] = None
    partial_liquidation_ratio: Annotated[
        Decimal | None, Key(AMOUNT, "The share that a partial liquidation closes, a parameter of the contracts.", "0.25", unit="/1")
    ] = None
    backstop_providers: Annotated[
        tuple[str, ...],
        Key(ADDRESSES, "Accounts that may liquidate with bad debt.", f"[{EXAMPLE_ADDRESS}]"),
    ] = ()
    limits: Annotated[
        tuple[Limits, ...], Table(Limits, "states the limits of one market, or of all others", required=False, many=True, absent=())
    ] = ()
    index: Annotated[IndexPrices | None, Table(IndexPrices, "names a file of index prices", required=False)] = None
    source: Annotated[tuple[str, ...], SOURCE] = ()

    @property
    def stated(self) -> bool:
        """Whether the incident file has them."""
        return bool(self.source)
