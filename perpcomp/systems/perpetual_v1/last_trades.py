"""Whether a trade behind a market's last log of its pool is missing: the rate of each later funding payment follows from the pools.

The sums of market_sums.py end with the last pool. A funding payment logs no pool, but its rate is that of the last hour's average price, so
a lost trade before it makes another rate than the pools in the logs.
"""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp.curve import Reserves
from perpcomp.findings import Finding
from perpcomp.fixed import div_integers, from_integer, to_integer
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.perpetual_v1.events import FUNDING_RATE_UPDATED, RESERVE_SNAPSHOTTED
from perpcomp.systems.perpetual_v1.replay.contract import HOUR, premium_fraction, twap

ADVICE = "A trade or a liquidation between them is missing: pull blocks {} to {} again, of the ClearingHouse and of the markets."


def lost_last_trades(others: Mapping[str, pl.LazyFrame]) -> Iterator[Finding]:
    """An error for the first funding payment of each market, behind its last pool, whose rate the pools in the logs do not make."""
    if not {FUNDING_RATE_UPDATED.name, RESERVE_SNAPSHOTTED.name} <= others.keys():
        return
    place, pools = LOG_ORDER.alias("place"), others[RESERVE_SNAPSHOTTED.name]
    last = pools.group_by("market").agg(LOG_ORDER.max().alias("last"), pl.col("timestamp").max().alias("until"))
    paid = others[FUNDING_RATE_UPDATED.name].with_columns(place).join(last, on="market").filter(pl.col("place") > pl.col("last"))
    payments = paid.collect(engine="streaming").sort("place")
    if payments.is_empty():
        return
    ends = payments.lazy().unique("market").select("market", (pl.col("until") - HOUR).alias("from"))
    # The pool that an hour begins with was logged before it: the last one of each market before the hour is kept too.
    line = pools.with_columns(place).join(ends, on="market")
    earlier = line.filter(pl.col("timestamp") <= pl.col("from")).group_by("market").agg(pl.col("place").max().alias("first"))
    near = line.join(earlier, on="market", how="left").filter(pl.col("place") >= pl.col("first").fill_null(0))
    known = near.sort("place").unique(["market", "block_number"], keep="last", maintain_order=True).collect()
    for (market,), own in payments.group_by("market", maintain_order=True):
        rows = known.filter(market=market)
        times = rows.get_column("timestamp").to_list()
        reserves = [
            Reserves.of(to_integer(quote), to_integer(base))
            for quote, base in rows.select("quote_asset_reserve", "base_asset_reserve").iter_rows()
        ]
        for row in own.iter_rows(named=True):
            average = twap(times, reserves, len(times), 0, int(row["block_time"].timestamp()), HOUR, whole=False)
            underlying = to_integer(row["underlying_price"])
            if average is None or not underlying:
                continue
            made = div_integers(premium_fraction(average.of(lambda pool: pool.spot), underlying), underlying)
            if made != to_integer(row["rate"]):
                what = (
                    f"The funding rate of market {market} is {row['rate']:f}, but the pools up to the last one in the input make"
                    f" {from_integer(made):f}."
                )
                advice = ADVICE.format(rows.item(-1, "block_number"), row["block_number"])
                yield Finding("error", f"tx {row['transaction_hash']} log {row['log_index']}", what, advice, code="logs-missing")
                break
