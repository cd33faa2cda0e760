"""What restoring the positions costs in each order, and the list of positions to restore in kind."""

from collections import Counter
from collections.abc import Iterable

import polars as pl

from perpcomp import fixed
from perpcomp.curve import Reserves
from perpcomp.entitlement import compensated, net, of_traders
from perpcomp.formulas.restore_position import restore_position
from perpcomp.incident.incident import Incident
from perpcomp.incident.restore import ORDERS
from perpcomp.restore import ALONE, Opening, after, openings, openings_frame, with_costs
from perpcomp.tables.decide import IN_KIND, RESTORE_ORDERS
from perpcomp.tables.schema import LOG_KEY, check


def orders(liquidations: pl.DataFrame, incident: Incident, at: dict[str, Reserves]) -> pl.DataFrame:
    """The restore-orders table: what each order costs, market by market; empty without [restore].

    What a trader received already is taken off the first market's entitlement, the rest of it off the next one's.
    """
    rows: list[dict[str, object]] = []
    received = {order: Counter(incident.received_by) for order in ORDERS}
    names = {market.amm: market.name for market in incident.affected}
    for market, pool in at.items():
        assert incident.restore is not None
        eligible = liquidations.filter(pl.col("eligible") & (pl.col("market") == market))
        sizes = dict(zip(eligible.select(LOG_KEY).iter_rows(), eligible.get_column("size_at_reference"), strict=True))
        alone: dict[str, int] = {}
        for order in ORDERS:  # each-alone is the first
            opened = list(openings(eligible, {market: pool}, incident.restore, order))
            entitlements = net(of_traders(restore_position, with_costs(eligible, opened)), received[order])
            received[order].subtract({trader: int(entitlement.taken_off) for trader, entitlement in entitlements.items()})
            owed = {trader: int(entitlement.known) for trader, entitlement in entitlements.items()}
            alone = alone or owed
            end = pool
            if order != ALONE and opened:
                last = opened[-1]
                end = after(last.pool, fixed.to_integer(sizes[last.block_number, last.log_index]), last.notional)
            amounts = {
                "restore_notional": sum(o.notional for o in opened),
                "restore_fee": sum(o.fee for o in opened),
                "entitlement": sum(owed.values()),
                "largest_change": max((abs(owed[trader] - alone[trader]) for trader in owed), default=0),
                "spot_before": pool.spot,
                "spot_after": end.spot,
            }
            rows.append(
                {
                    "market": market,
                    "market_name": names[market],
                    "order": order,
                    "chosen": order == incident.restore.order,
                    "positions": len(opened),
                    **{name: fixed.from_integer(amount) for name, amount in amounts.items()},
                }
            )
    return check(pl.DataFrame(rows, schema=RESTORE_ORDERS.schema), RESTORE_ORDERS)


def in_kind(liquidations: pl.DataFrame, opened: Iterable[Opening]) -> pl.DataFrame:
    """The restore-in-kind table: the position to open again for each eligible life, in proportion where a part of it survived.

    margin_to_restore is margin - funding, not below 0. size and open_notional are null where the open notional is unknown.
    restore_notional and restore_fee are those of the whole position.
    """
    eligible = liquidations.filter("eligible")
    has_share = (pl.col("size") != 0) & pl.col("compensated_size").is_not_null()

    def share(values: pl.Series) -> pl.Series:
        amounts = compensated(values, eligible).reinterpret(dtype=fixed.AMOUNT)
        return eligible.select(pl.when(has_share).then(amounts)).to_series()

    left = eligible.select((pl.col("margin_at_reference") - pl.col("funding_at_reference")).clip(0)).to_series()
    known = pl.col("open_notional_at_reference").is_not_null()
    whole = eligible.select(pl.when(known).then("size_at_reference")).to_series()
    frame = eligible.with_columns(
        share(whole).alias("size"),
        share(eligible.get_column("open_notional_at_reference")).alias("open_notional"),
        share(left).alias("margin_to_restore"),
    )
    pool = openings_frame(opened).drop("restore_notional", "restore_fee")
    return check(frame.join(pool, on=LOG_KEY, how="left").select(*IN_KIND.schema), IN_KIND)
