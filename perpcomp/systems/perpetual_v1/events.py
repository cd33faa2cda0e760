"""The events of Perpetual Protocol V1 (ClearingHouse and Amm), decoded from raw logs, and the events table made of them.

Names are ours where one thing has two names on chain: `trader` for MarginChanged's sender, `market` for an amm. The arguments'
order and types are the contracts' own; topic0 is the keccak of those types (a test computes it).
"""

from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import cache

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.funds import InsuranceFund
from perpcomp.ingest.decode import Event, decode, event
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.columns import kind_of
from perpcomp.tables.events import EVENTS
from perpcomp.tables.schema import KINDS, LOG_COLUMNS, check

SYSTEM = "perpetual-v1"

POSITION_CHANGED = event(
    "0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2",
    """PositionChanged(address indexed trader, address indexed market, uint256 margin, uint256 position_notional,
    int256 exchanged_position_size, uint256 fee, int256 position_size_after, int256 realized_pnl, int256 unrealized_pnl_after,
    uint256 bad_debt, uint256 liquidation_penalty, uint256 spot_price, int256 funding_payment)""",
)
POSITION_LIQUIDATED = event(
    "0x5225638a979dd133f201045ab4169ec2189874d864f2b5a10be72ac6e4b421b4",
    """PositionLiquidated(address indexed trader, address indexed market, uint256 position_notional, uint256 position_size,
    uint256 liquidation_fee, address liquidator, uint256 fee_shortfall)""",
)
MARGIN_CHANGED = event(
    "0x1c822fe92555a7e529201522fbd166b03a55712d945737f4cc5c1e18199caa7b",
    "MarginChanged(address indexed trader, address indexed market, int256 amount, int256 funding_payment)",
)
POSITION_ADJUSTED = event(
    "0xdbb898e847eca1f5626ba536593caa10241fb631e7c8a1cb06dfdce8d3934f49",
    """PositionAdjusted(address indexed market, address indexed trader, int256 new_position_size, count old_liquidity_index,
    count new_liquidity_index)""",
)
POSITION_SETTLED = event(
    "0xba70e8457921bdd49042182753cb6259c62f923e2b64216b68372cd85ec3af6c",
    "PositionSettled(address indexed market, address indexed trader, uint256 value_transferred)",
)
LIQUIDATION_FEE_RATIO_CHANGED = event(
    "0x6f825f18b787836f7cf974799b160538ab237aa0d14af3611fa69683a40c6d22", "LiquidationFeeRatioChanged(uint256 liquidation_fee_ratio)"
)
MARGIN_RATIO_CHANGED = event(
    "0xce738a6382894b012492e42016c4321ac69da80c4827f80a2e0907585818ac31", "MarginRatioChanged(uint256 margin_ratio)"
)
UPGRADED = event("0xbc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b", "Upgraded(address indexed implementation)")
RESERVE_SNAPSHOTTED = event(
    "0x3a3348362552c3897fd1f06a3233519ebd8bd76ad6e99a418a9741155fe90515",
    "ReserveSnapshotted(uint256 quote_asset_reserve, uint256 base_asset_reserve, count timestamp)",
)
SWAP_INPUT = event(
    "0xae6a2b946841d9afc0e1e19a94ae4af26f01125b87b5095bbfb177a9741a2ede",
    "SwapInput(count dir, uint256 quote_asset_amount, uint256 base_asset_amount)",
)
SWAP_OUTPUT = event(
    "0x0dd4066b1a6ce97fb670c3e4201e908c644193f38cbdaffd0229d7e26da3e533",
    "SwapOutput(count dir, uint256 quote_asset_amount, uint256 base_asset_amount)",
)
FUNDING_RATE_UPDATED = event(
    "0xd2805fe76d30598332a67c1061cee82e2e102b0f59f5457b1729bce028a054a0", "FundingRateUpdated(int256 rate, uint256 underlying_price)"
)
LIQUIDITY_CHANGED = event(
    "0xeba648fc83514e32ba75e27696ee5fa3610ebc7a77460a3ac3e8724ffa1be4cc",
    "LiquidityChanged(uint256 quote_reserve, uint256 base_reserve, int256 cumulative_notional)",
)

TRANSFER = event(
    "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    "Transfer(address indexed sender, address indexed recipient, uint256 amount)",
)

CLEARING_HOUSE_EVENTS = (
    POSITION_CHANGED,
    POSITION_LIQUIDATED,
    MARGIN_CHANGED,
    POSITION_ADJUSTED,
    POSITION_SETTLED,
    LIQUIDATION_FEE_RATIO_CHANGED,
    MARGIN_RATIO_CHANGED,
    UPGRADED,
)
MARKET_EVENTS = (RESERVE_SNAPSHOTTED, SWAP_INPUT, SWAP_OUTPUT, FUNDING_RATE_UPDATED, LIQUIDITY_CHANGED)
TOPICS = frozenset(e.topic0 for e in CLEARING_HOUSE_EVENTS + MARKET_EVENTS)

# Events in which a trader acts without a PositionChanged -> what the left-out table calls it.
OTHER_ACTIONS = {
    MARGIN_CHANGED.name: "margin change",
    POSITION_ADJUSTED.name: "migration",
    POSITION_SETTLED.name: "settlement",
}

# PositionChanged as laid out before the launch of December 2020: other words under other topics. A log of one is refused.
OLD_LAYOUTS = ("0x279a1ed9", "0x1f3f260e", "0x3cbc78e9")


def wanted(chain_id: int, clearing_house: str, addresses: Collection[str], fund: InsuranceFund | None = None) -> Wanted:
    """What an import must find in an export of another tool: the events of this file, logged by these contracts."""
    topics = TOPICS if fund is None else TOPICS | {TRANSFER.topic0}
    needed = (POSITION_CHANGED.name, POSITION_LIQUIDATED.name)
    return Wanted(chain_id, clearing_house, addresses, topics, OLD_LAYOUTS, CLEARING_HOUSE_EVENTS, needed)


# Source: Perpetual Protocol V1, maintenanceMarginRatio of the ClearingHouse as deployed in February 2021.
MAINTENANCE = Decimal("0.0625")  # the margin ratio below which a position may be liquidated, until a MarginRatioChanged states another
DUST = fixed.amount("0.000000000001")  # a notional above this has a fee above 0


def decode_all(raw: pl.DataFrame, chain_id: int, clearing_house: str, fund: InsuranceFund | None = None) -> dict[str, pl.DataFrame]:
    """Event name -> typed frame (identity columns, then arguments) for every event of this file, from a raw frame.

    Logs of the ClearingHouse's events elsewhere, or of a market's events at the ClearingHouse, are not ours and are dropped. So is
    every Transfer but those of the fund's token to or from the fund, where one is given; their table is there only then.
    """
    tables, chain = {}, pl.lit(chain_id, dtype=pl.Int64).alias("chain_id")
    if fund is not None:
        of_token = pl.col("address") == fund.token
        rows = _transfers(raw.filter(of_token), fund).with_columns(chain)
        tables[TRANSFER.name] = rows.select(*(c.name for c in LOG_COLUMNS), *TRANSFER.schema)
        raw = raw.filter(~of_token)
    ours, topic0, raw = raw.get_column("address") == clearing_house, raw.get_column("topic0"), raw.drop("topic0")
    for group, at_house in ((CLEARING_HOUSE_EVENTS, True), (MARKET_EVENTS, False)):
        for kind in group:
            tables[kind.name] = _no_rows(kind, at_house)  # most pieces hold few of the events
            wanted_here = (topic0 == kind.topic0) & (ours if at_house else ~ours)
            if wanted_here.any():
                rows = decode(raw.filter(wanted_here), kind)
                market = () if at_house else (pl.col("address").alias("market"),)
                tables[kind.name] = rows.select(chain, *IDENTITY, *market, *kind.schema)
    return tables


IDENTITY = tuple(c.name for c in LOG_COLUMNS if c.name != "chain_id")


@cache
def _no_rows(kind: Event, at_house: bool) -> pl.DataFrame:
    """The table of an event without rows. Made once: a column each costs as much as decoding some hundred rows."""
    identity = {c.name: KINDS[c.kind][0] for c in LOG_COLUMNS}
    return pl.DataFrame(schema=identity | ({} if at_house else {"market": pl.String()}) | kind.schema)


def contracts_in(raw: pl.DataFrame) -> pl.DataFrame:
    """Each ClearingHouse that logged a PositionChanged, with the markets that it named (CONTRACTS)."""
    market = pl.lit("0x") + pl.col("topic2").bin.slice(12, 20).bin.encode("hex")
    return (
        raw.filter(pl.col("topic0") == POSITION_CHANGED.topic0)
        .group_by(pl.col("address").alias("contract"), market.alias("market"))
        .len("logs")
    )


def fee_ratio(events: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame]) -> Decimal | None:
    """The ratio of the last LiquidationFeeRatioChanged; without one, that of which every partial liquidation's penalty is the exact product.

    A full liquidation proves nothing: its fee is the whole or half of the ratio, by the code that ran.
    """
    if LIQUIDATION_FEE_RATIO_CHANGED.name in tables:
        stated = tables[LIQUIDATION_FEE_RATIO_CHANGED.name].sort("block_number", "log_index").tail(1).collect()
        if not stated.is_empty():
            return Decimal(stated.item(0, "liquidation_fee_ratio"))
    partial = events.filter(pl.col("kind") == "partial-liquidation").select("position_notional", "liquidation_penalty").collect()
    pairs = [(fixed.to_integer(notional), fixed.to_integer(penalty)) for notional, penalty in partial.iter_rows()]
    if not pairs:
        return None
    notional, penalty = max(pairs)
    ratio = -(-penalty * fixed.ONE // notional)  # the product was truncated: the least ratio that gives the penalty
    return fixed.from_integer(ratio) if all(fixed.mul_integers(one, ratio) == other for one, other in pairs) else None


def _transfers(raw: pl.DataFrame, fund: InsuranceFund) -> pl.DataFrame:
    """The Transfer logs of one token to or from the fund, decoded; amounts in whole tokens instead of 1e-18 of one."""
    party = bytes(12) + bytes.fromhex(fund.address[2:])
    mine = (pl.col("topic0") == TRANSFER.topic0) & ((pl.col("topic1") == party) | (pl.col("topic2") == party))
    rows = decode(raw.filter(mine), TRANSFER)
    base_units, unit = pl.col("amount").reinterpret(dtype=pl.Int128), 10 ** (18 - fund.decimals)
    for row, transaction, log in rows.filter(base_units >= fixed.LIMIT // unit).select("row", "transaction_hash", "log_index").iter_rows():
        what = f"The transfer moves 1e20 or more of a token of {fund.decimals} decimals."
        raise refusal(f"row {row} (tx {transaction} log {log})", what, "Correct decimals in [insurance_fund].")
    return rows.with_columns((base_units * pl.lit(unit, dtype=pl.Int128)).reinterpret(dtype=fixed.AMOUNT).alias("amount"))


def charging(tables: Mapping[str, pl.LazyFrame]) -> set[str]:
    """The markets in which a trade paid a fee."""
    return set(tables[POSITION_CHANGED.name].filter(pl.col("fee") > 0).select("market").unique().collect(engine="streaming")["market"])


def events_table(tables: Mapping[str, pl.LazyFrame], charge: Collection[str] | None = None) -> pl.LazyFrame:
    """The published events table, lazily: every PositionChanged, with the PositionLiquidated that belongs to it.

    A liquidation logs PositionLiquidated and then its PositionChanged, in one transaction, for one trader and market; several may
    share a transaction, and the same trader may trade there too. So each PositionLiquidated takes the first PositionChanged of its
    (transaction, trader, market) behind it. One that finds none is a missing victim: InputError. `charge` are the `charging` markets
    of the whole input, where the tables hold a part of it.
    """
    changed, liquidated = tables[POSITION_CHANGED.name], tables[POSITION_LIQUIDATED.name].collect()
    of_one = ["transaction_hash", "trader", "market"]
    beside = changed.join(liquidated.lazy(), on="block_number", how="semi")
    candidates = beside.select(*of_one, "block_number", "log_index", "position_notional", "exchanged_position_size").collect(
        engine="streaming"
    )
    pairs = (
        liquidated.select(
            *of_one,
            pl.col("log_index").alias("liquidated_index"),
            *("liquidator", "liquidation_fee", "fee_shortfall"),
            pl.col("position_notional").alias("liquidated_notional"),
            pl.col("position_size").alias("liquidated_size"),
        )
        .join(candidates, on=of_one)
        .filter(pl.col("log_index") > pl.col("liquidated_index"))
        .sort("log_index")
        .unique([*of_one, "liquidated_index"], keep="first", maintain_order=True)
    )
    same = (pl.col("position_notional") == pl.col("liquidated_notional")) & (
        pl.col("exchanged_position_size").abs() == pl.col("liquidated_size")
    )
    pairs = pairs.filter(same & ~pl.struct("transaction_hash", "log_index").is_duplicated())
    alone = liquidated.join(
        pairs.select("transaction_hash", pl.col("liquidated_index").alias("log_index")), on=["transaction_hash", "log_index"], how="anti"
    )
    told = pairs.select(LOG_ORDER.alias("place"), "liquidator", "liquidation_fee", "fee_shortfall").sort("place").lazy()
    # Both rise: five times as fast as a join that looks each log up.
    joined = changed.with_columns(LOG_ORDER.alias("place")).join_asof(told, on="place", tolerance=0)
    problems = [
        Finding(
            "error",
            f"tx {transaction} log {log}",
            f"{name} of {trader} has no {other} in the logs.",
            "Logs are missing: pull both events again.",
        )
        for name, other, frame in (
            ("PositionLiquidated", "PositionChanged", alone),
            ("PositionChanged", "PositionLiquidated", _without_their_log(changed, pairs, charging(tables) if charge is None else charge)),
        )
        for transaction, log, trader in frame.select("transaction_hash", "log_index", "trader").head(20).iter_rows()
    ]
    if problems:
        raise InputError(problems)
    return joined.with_columns(pl.lit(SYSTEM).alias("system"), _kind().alias("kind")).select(*EVENTS.schema)


def _without_their_log(changed: pl.LazyFrame, pairs: pl.DataFrame, charging: Collection[str]) -> pl.DataFrame:
    """PositionChanged events that show a liquidation but are not among the pairs: they have no PositionLiquidated beside them.

    Only liquidations show a penalty, and only they close for no fee where the market charges one.
    """
    free = pl.col("market").is_in([*charging]) & (pl.col("fee") == 0) & (pl.col("position_size_after") == 0)
    shows = (pl.col("liquidation_penalty") > 0) | (free & (pl.col("position_notional") >= DUST))
    showing = changed.filter(shows).select("transaction_hash", "log_index", "block_number", "trader").collect(engine="streaming")
    return showing.join(pairs, on=["transaction_hash", "log_index"], how="anti").sort("block_number", "log_index").head(20)


def recheck(events: pl.DataFrame, chain_id: int) -> pl.DataFrame:
    """An events table from a file, if it is of this chain and protocol and each row's kind is what its numbers say."""
    liquidation = ("liquidator", "liquidation_fee", "fee_shortfall")
    stated = [name for name in POSITION_CHANGED.schema if name in EVENTS.schema]
    unsigned = [
        a.name for kind in (POSITION_CHANGED, POSITION_LIQUIDATED) for a in kind.words if a.type == "uint" and a.name in EVENTS.schema
    ]
    whole = [column.name for column in LOG_COLUMNS if column.kind == "integer"]
    rules = [
        (pl.col("chain_id") != chain_id, f"The row is not of chain {chain_id}"),
        (pl.col("system") != SYSTEM, f"The row's system is not {SYSTEM}"),
        (
            pl.sum_horizontal(pl.col(n).is_null() for n in liquidation).is_between(1, 2),
            f"Some of {', '.join(liquidation)} are empty and some are not",
        ),
        (pl.any_horizontal(pl.col(name).is_null() for name in stated), f"Some of {', '.join(stated)} are empty"),
        *((pl.col(name) < 0, f"{name} is below 0, which the contract cannot log") for name in dict.fromkeys([*whole, *unsigned])),
        (pl.col("kind") != _kind(), "The row's kind contradicts its sizes and its liquidator"),
    ]
    problems = [
        Finding("error", f"tx {transaction} log {log}", what + ".", "Export the table again.")
        for rule, what in rules
        for transaction, log in events.filter(rule).select("transaction_hash", "log_index").head(20).iter_rows()
    ]
    if problems:
        raise InputError(problems[:20])
    return check(events, EVENTS)


def _kind() -> pl.Expr:
    exchanged, after = pl.col("exchanged_position_size"), pl.col("position_size_after")
    return kind_of(after - exchanged, exchanged, after, pl.col("liquidator").is_not_null())
