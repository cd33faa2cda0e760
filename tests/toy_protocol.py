"""A made-up third protocol, whole: one event, an oracle's price; no pool, no insurance fund and no replay."""

import polars as pl
from eth_utils import keccak

from perpcomp import fixed
from perpcomp.ingest.decode import decode, event
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.systems import continuity
from perpcomp.systems.columns import COLUMNS, kind_of
from perpcomp.systems.system import System
from perpcomp.tables.events import EVENTS
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.schema import LOG_COLUMNS

TOPIC = "0x" + keccak(text="Traded(address,int256,int256,uint256,uint256,uint256)").hex()
TRADED = event(TOPIC, "Traded(address indexed trader, int256 exchanged, int256 size, uint256 margin, uint256 price, count liquidated)")
ZERO = fixed.amount(0)


class Toy(System):
    """Every trade logs the position after it; a liquidation is a trade with `liquidated` = 1. A position is opened by one trade."""

    key, contract_key, quote_unit = "toy", "exchange", "USD"
    topics = frozenset({TOPIC})
    required_event = "Traded of the markets"

    def wanted(self, chain_id, contract, addresses, fund, /):
        return Wanted(chain_id, contract, addresses, self.topics, (), (TRADED,), (TRADED.name,))

    def decode(self, raw, chain_id, contract, fund, /):
        rows = decode(raw.filter(pl.col("topic0") == TOPIC), TRADED)
        rows = rows.with_columns(chain_id=pl.lit(chain_id, pl.Int64()), market=pl.col("address"))
        return {TRADED.name: rows.select(*(c.name for c in LOG_COLUMNS), "market", *TRADED.schema)}

    def events_table(self, tables, /):
        exchanged, size, liquidated = pl.col("exchanged"), pl.col("size"), pl.col("liquidated") == 1
        rows = tables[TRADED.name].with_columns(
            system=pl.lit(self.key),
            kind=kind_of(size - exchanged, exchanged, size, liquidated),
            position_notional=fixed.mul(exchanged.abs(), pl.col("price")),
            exchanged_position_size=exchanged,
            position_size_after=size,
            fee=ZERO,
            spot_price=pl.col("price"),
            liquidator=pl.when(liquidated).then("market"),
            liquidation_fee=pl.when(liquidated).then(ZERO),
        )
        return pl.concat([EVENTS.empty().lazy(), rows], how="diagonal").select(*EVENTS.schema)

    def liquidations(self, events, others, chain, before_crash, engine, /):
        notional, opened, long = pl.col("position_notional"), pl.col("open_notional"), pl.col("side") == "long"
        before = {"margin": "margin", "open_notional": "position_notional", "opened_at": "block_time"}
        rows = events.sort(EVENTS.key).with_columns(pl.col(old).shift(1).over("trader", "market").alias(new) for new, old in before.items())
        rows = rows.filter(pl.col("liquidator").is_not_null()).with_columns(
            side=pl.when(pl.col("exchanged_position_size") < 0).then(pl.lit("long")).otherwise(pl.lit("short")),
            size=-pl.col("exchanged_position_size"),
            partial=pl.lit(False),
            size_after=ZERO,
            funding_payment=ZERO,
            fee_shortfall=ZERO,
            life=pl.lit(1, pl.Int64()),
        )
        rows = rows.with_columns(realized_pnl=pl.when(long).then(notional - opened).otherwise(opened - notional))
        left = pl.col("margin") + pl.col("realized_pnl")
        rows = rows.with_columns(
            remaining_margin=left.clip(ZERO), bad_debt=(ZERO - left).clip(ZERO), entry_price=fixed.div(opened, pl.col("size").abs())
        )
        return pl.concat([LIQUIDATIONS.empty().lazy(), rows], how="diagonal").select(COLUMNS).collect(), []

    def gaps(self, events, others, /):
        after = pl.col("position_size_after")
        keys = ("trader", "market", "block_number", "log_index", "transaction_hash")
        sizes = events.select(*keys, size_before=after - pl.col("exchanged_position_size"), size_after=after)
        return continuity.gaps(sizes, "error", "Pull the logs again.")


TOY = Toy()
