"""The events of Synthetix Perps V2 (market proxies, PerpsV2MarketSettings), read from raw logs, and the events table made of them.

Names are ours where one thing has two names on chain: `trader` for account, `market` for the market's proxy. Three events changed with
SIP-2005: their older layouts are read too, into one table, with null for what they do not say. Amounts are sUSD.
"""

from collections.abc import Collection, Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.findings import refusal
from perpcomp.incident.funds import InsuranceFund
from perpcomp.ingest.decode import Event, decode, event
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.systems.columns import kind_of
from perpcomp.systems.synthetix_v2.timeline import before_each
from perpcomp.tables.events import EVENTS
from perpcomp.tables.schema import LOG_COLUMNS

SYSTEM = "synthetix_v2"

POSITION_MODIFIED = event(
    "0xc0d933baa356386a245ade48f9a9c59db4612af2b5b9c17de5b451c628760f43",
    """PositionModified(count indexed id, address indexed trader, uint256 margin, int256 size, int256 trade_size, uint256 last_price,
    count funding_index, uint256 fee, int256 skew)""",
)
POSITION_MODIFIED_WITHOUT_SKEW = event(
    "0x930fd93131df035ac630ef616ad4212af6370377bf327e905c2724cd01d95097",
    """PositionModified(count indexed id, address indexed trader, uint256 margin, int256 size, int256 trade_size, uint256 last_price,
    count funding_index, uint256 fee)""",
)
POSITION_LIQUIDATED = event(
    "0x8e83cfbf9c95216dce50909e376c0dcc3e23129a3aa1edd5013fa8b41648f883",
    """PositionLiquidated(count id, address trader, address liquidator, int256 size, uint256 price, uint256 flagger_fee,
    uint256 liquidator_fee, uint256 stakers_fee)""",
)
POSITION_LIQUIDATED_WITHOUT_FLAG = event(
    "0x62e7eb6698aabc6740afc94f06bbdfb947fc109fd24d4adb26014d44053ac2c3",
    "PositionLiquidated(count id, address trader, address liquidator, int256 size, uint256 price, uint256 liquidator_fee)",
)
POSITION_FLAGGED = event(
    "0x68f13e2f9a2abe2d658fcd5ec2405a8ccf6521ff0ec3915d2ad638981d37e697",
    "PositionFlagged(count id, address trader, address flagger, uint256 price, count timestamp)",
)
POSITION_FLAGGED_WITHOUT_PRICE = event(
    "0x3972cd04c4e9cd13103fd0e47c1a1c8ed80d8929f5849d54d64e8db24056c38f",
    "PositionFlagged(count id, address trader, address flagger, count timestamp)",
)
FUNDING_RECOMPUTED = event(
    "0xfc48da481fcf86ce12ffab287c2f0876771bfd89d024ed05e59d8640035d603e",
    "FundingRecomputed(int256 funding, int256 funding_rate, count funding_index, count timestamp)",
)
MARGIN_TRANSFERRED = event(
    "0xe20b33a51269d7e4c48682ccfacaf1ca004fdec7b161e7098e4847a0c05d0ce2",
    "MarginTransferred(address indexed trader, int256 margin_delta)",
)
# A round's number has up to 80 bits, more than a count: it is read as an amount.
DELAYED_ORDER_SUBMITTED = event(
    "0x9deb3648ccf8efc44205985ac6ead4ffb30791fea9ce7f9437ae398b31cf9d5a",
    """DelayedOrderSubmitted(address indexed trader, bool is_offchain, int256 size_delta, uint256 target_round, count intention_time,
    count executable_at, uint256 commit_deposit, uint256 keeper_deposit, bytes32 tracking_code)""",
)
DELAYED_ORDER_REMOVED = event(
    "0xb47a6f7db9b75acb005050d7dabb7a604b169c9f5669259b53bec86092ee6434",
    """DelayedOrderRemoved(address indexed trader, bool is_offchain, uint256 current_round, int256 size_delta, uint256 target_round,
    uint256 commit_deposit, uint256 keeper_deposit, bytes32 tracking_code)""",
)
PARAMETER_UPDATED = event(
    "0xb1e024a1aed9a1f08ef2258cedd5c544e48dcb5befc1ec2aa0ff9ea60997d14f",
    "ParameterUpdated(bytes32 indexed market_key, bytes32 indexed parameter, uint256 value)",
)

# Each event of a market with its layouts, the newest first: its columns are the table's.
MARKET_EVENTS: tuple[tuple[Event, ...], ...] = (
    (POSITION_MODIFIED, POSITION_MODIFIED_WITHOUT_SKEW),
    (POSITION_LIQUIDATED, POSITION_LIQUIDATED_WITHOUT_FLAG),
    (POSITION_FLAGGED, POSITION_FLAGGED_WITHOUT_PRICE),
    (FUNDING_RECOMPUTED,),
    (MARGIN_TRANSFERRED,),
    (DELAYED_ORDER_SUBMITTED,),
    (DELAYED_ORDER_REMOVED,),
)
TOPICS = frozenset(layout.topic0 for layouts in (*MARKET_EVENTS, (PARAMETER_UPDATED,)) for layout in layouts)
# A liquidation or a flag in a market that the incident file does not name is a victim whom nobody would see.
MARKET_TOPICS = frozenset(
    layout.topic0 for layout in (POSITION_LIQUIDATED, POSITION_LIQUIDATED_WITHOUT_FLAG, POSITION_FLAGGED, POSITION_FLAGGED_WITHOUT_PRICE)
)
OTHER_ACTIONS = {MARGIN_TRANSFERRED.name: "margin change"}  # an event in which a trader acts without a trade -> what left-out calls it


def wanted(chain_id: int, settings: str, addresses: Collection[str], _: InsuranceFund | None = None) -> Wanted:
    """What an import must find in an export of another tool: raw logs of the events of this file."""
    return Wanted(chain_id, settings, addresses, TOPICS, (), (POSITION_MODIFIED,), (POSITION_MODIFIED.name,), MARKET_TOPICS)


def decode_all(raw: pl.DataFrame, chain_id: int, _: str, __: InsuranceFund | None = None) -> dict[str, pl.DataFrame]:
    """Event name -> typed frame (identity columns, market, arguments) from a raw frame.

    Which contract logs what needs no check here: markets and settings have no event in common, and the raw frame holds the logs of the
    incident's contracts, beside the MARKET_TOPICS of every market.
    """
    keys = [pl.lit(chain_id, dtype=pl.Int64).alias("chain_id"), *(pl.col(c.name) for c in LOG_COLUMNS if c.name != "chain_id")]
    tables = {}
    for layouts in MARKET_EVENTS:
        parts = [decode(raw.filter(_logs(layout)), layout) for layout in layouts]
        rows = pl.concat(
            [part.select(*keys, pl.col("address").alias("market"), *e.schema) for part, e in zip(parts, layouts, strict=True)],
            how="diagonal",
        )
        tables[layouts[0].name] = rows.select(*(c.name for c in LOG_COLUMNS), "market", *layouts[0].schema)
    updated = decode(raw.filter(_logs(PARAMETER_UPDATED)), PARAMETER_UPDATED)
    tables[PARAMETER_UPDATED.name] = updated.select(*keys, *(_ascii(name) for name in ("market_key", "parameter")), "value")
    return tables


def contracts_in(raw: pl.DataFrame) -> pl.DataFrame:
    """Each settings contract that logged a ParameterUpdated, and each market that logged a PositionModified (CONTRACTS)."""
    traded = pl.any_horizontal(_logs(layout) for layout in (POSITION_MODIFIED, POSITION_MODIFIED_WITHOUT_SKEW))
    counted = raw.group_by("address").agg(settings=_logs(PARAMETER_UPDATED).sum(), traded=traded.sum())
    none = pl.lit(None, dtype=pl.String)
    settings = counted.filter(pl.col("settings") > 0).select(contract="address", market=none, logs="settings")
    markets = counted.filter(pl.col("traded") > 0).select(contract=none, market="address", logs="traded")
    return pl.concat([settings, markets])


def prices(_: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """The oracle's price as each PositionModified states it."""
    rows = tables[POSITION_MODIFIED.name].filter(pl.col("last_price") > 0)
    return rows.select("market", "block_number", "log_index", "block_time", price="last_price")


def _logs(layout: Event) -> pl.Expr:
    """Whether a raw row is of this layout. Perps V1 logged its liquidations under a topic0 of MARKET_TOPICS, with three more topics."""
    same = pl.col("topic0") == layout.topic0
    return same & (pl.col("topics") != 4) if layout.topic0 in MARKET_TOPICS else same


def _ascii(name: str) -> pl.Expr:
    """A name that is stored as right-padded ASCII in 32 bytes."""
    return pl.col(name).str.slice(2).str.replace(r"(00)+$", "").str.decode("hex").cast(pl.String).alias(name)


def events_table(tables: Mapping[str, pl.LazyFrame], _: Collection[str] | None = None) -> pl.LazyFrame:
    """The published events table: every trade and every liquidation, that is, every PositionModified that changed a size.

    Null is what the logs do not state: the spot price after a trade (the oracle's price is not logged there), what a contract of another
    system states (unrealized_pnl_after, liquidation_penalty), and what depends on a position's earlier logs where these are missing. A
    PositionLiquidated without its PositionModified is a missing victim: InputError, as for an export that another tool decoded.
    """
    if any(layouts[0].name not in tables for layouts in MARKET_EVENTS):
        raise refusal("the export", "Its events were decoded by another tool.", "Export raw logs: address, topics and data.")
    rows = before_each({name: table.collect() for name, table in tables.items()})
    liquidated = pl.col("liquidator").is_not_null()
    none = pl.lit(None, dtype=fixed.AMOUNT)
    return (
        rows.filter((pl.col("trade_size") != 0) | liquidated)
        .with_columns(
            pl.lit(SYSTEM).alias("system"),
            kind_of(pl.col("size_before"), pl.col("exchanged_position_size"), pl.col("size"), liquidated).alias("kind"),
            pl.col("size").alias("position_size_after"),
            pl.when(liquidated).then(fixed.amount(0)).otherwise("fee").alias("fee"),
            none.alias("unrealized_pnl_after"),
            none.alias("liquidation_penalty"),
            pl.when(liquidated).then("last_price").otherwise(none).alias("spot_price"),
            pl.when(liquidated).then("liquidator_fee").otherwise(none).alias("liquidation_fee"),
        )
        .select(*EVENTS.schema)
        .sort(EVENTS.key)
        .lazy()
    )
