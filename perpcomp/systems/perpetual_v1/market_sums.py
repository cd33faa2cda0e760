"""Whether the logs of each market add up: position changes, the swaps that made them, and the pools that the swaps left.

A trade logs, for each of its swaps, ReserveSnapshotted and SwapInput or SwapOutput, and then one PositionChanged. So a PositionChanged
states the sum of the swaps before it, and consecutive pools differ by the swap between them, to the wei. This shows a liquidation that
the input lost, also where it was its position's last event: without its PositionChanged, its swaps are left over; without all of its
logs, the pool jumps. A lost transaction behind a market's last pool shows by the next funding payment's rate (last_trades.py), and not at
all where none follows: that is where the input ends.
"""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl
from msgspec import Struct

from perpcomp.findings import Finding
from perpcomp.fixed import from_integer
from perpcomp.incident.incident import Incident
from perpcomp.ingest.raw_frame import LOG_ORDER, LOGS_OF_A_BLOCK
from perpcomp.systems.continuity import MOST
from perpcomp.systems.perpetual_v1.events import LIQUIDITY_CHANGED, POSITION_CHANGED, RESERVE_SNAPSHOTTED, SWAP_INPUT, SWAP_OUTPUT
from perpcomp.systems.perpetual_v1.last_trades import lost_last_trades

SWAPS = (SWAP_INPUT.name, SWAP_OUTPUT.name)
# The columns of PositionChanged that are read here.
SUMMED = {
    POSITION_CHANGED.name: ("market", "block_number", "log_index", "transaction_hash", "exchanged_position_size", "position_notional"),
}
LOST = "Logs are missing, and a liquidation may be among them: pull {} again, of the ClearingHouse and of the markets."


class Break(Struct, frozen=True):
    """A place where the logs do not add up: the log there, its transaction, what is wrong, and the blocks to pull again."""

    place: int
    transaction: str
    what: str
    blocks: str

    def finding(self) -> Finding:
        return Finding("error", f"tx {self.transaction}", self.what, LOST.format(self.blocks), code="logs-missing")


def lost_logs(events: pl.LazyFrame, others: Mapping[str, pl.LazyFrame], incident: Incident) -> list[Finding]:
    """What the sums show to be missing, by block: the first MOST findings, then how many more. A warning where the input lacks the
    events for the sums of an affected market.
    """
    changes = _changes(others.get(POSITION_CHANGED.name, events))
    swaps, pools = _swaps(others), _pools(others)
    logged = pl.concat([swaps.select("market", "place"), pools.select("market", "place")])
    since = logged.group_by("market").agg(pl.col("place").min() // LOGS_OF_A_BLOCK * LOGS_OF_A_BLOCK)
    begins = changes.select("market").join(since, on="market", how="left", maintain_order="left").get_column("place")
    begun = (changes.get_column("place") >= begins).fill_null(False)
    summed = changes if begun.all() else changes.filter(begun)
    trades = list(_trades(summed, swaps, others, events)) if swaps.height else []
    jumps = list(_jumps(pools, swaps if swaps.height else summed, bool(swaps.height), others, events)) if pools.height else []
    named = {one.transaction for one in trades}
    found = sorted([*trades, *(one for one in jumps if one.transaction not in named)], key=lambda one: one.place)
    findings = [one.finding() for one in found[:MOST]]
    if len(found) > MOST:
        what = f"There are {len(found) - MOST} more places where the logs do not add up."
        findings.append(Finding("error", "the input", what, LOST.format("the range"), code="logs-missing"))
    return findings + list(lost_last_trades(others)) + _unproven(changes, swaps, pools, since, incident)


def _units(name: str) -> pl.Expr:
    """An amount's column as whole 1e-18. Sums of it may wrap: their differences are right all the same."""
    return pl.col(name).reinterpret(dtype=pl.Int128)


def _market() -> pl.Expr:
    """A market's address as a number, which is quicker to compare."""
    return pl.col("market").hash(0)


def _changes(table: pl.LazyFrame) -> pl.DataFrame:
    """Every PositionChanged: market, place, base (+ bought) and quote (the notional)."""
    base, quote = _units("exchanged_position_size").alias("base"), _units("position_notional").alias("quote")
    return table.select(_market(), LOG_ORDER.alias("place"), base, quote).collect(engine="streaming").set_sorted("place")


def _swaps(others: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """Every swap: market, place, base (+ bought from the pool) and quote (+ paid into the pool; its amount is also the notional)."""
    parts = [_no_moves()]
    for name, bought in ((SWAP_INPUT.name, pl.col("dir") == 0), (SWAP_OUTPUT.name, pl.col("dir") != 0)):
        if name in others:
            sign = pl.when(bought).then(1).otherwise(-1).cast(pl.Int128)
            base, quote = _units("base_asset_amount") * sign, _units("quote_asset_amount") * sign
            part = others[name].select(_market(), LOG_ORDER.alias("place"), base.alias("base"), quote.alias("quote"))
            parts.append(part.collect(engine="streaming"))
    return _merged(parts)


def _merged(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Tables of decoded events as one, by place. Each is in order already, so nothing is sorted."""
    first, *others = parts
    for part in others:
        first = first.merge_sorted(part, key="place") if first.height and part.height else (part if part.height else first)
    return first.set_sorted("place")


def _no_moves() -> pl.DataFrame:
    return pl.DataFrame(schema={"market": pl.UInt64(), "place": pl.Int64(), "base": pl.Int128(), "quote": pl.Int128()})


def _pools(others: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
    """Every pool that was logged: market, place, its base and quote, and whether a liquidity migration logged it."""
    parts = [_no_moves().with_columns(migration=pl.lit(False))]
    for name, base, quote in (
        (RESERVE_SNAPSHOTTED.name, "base_asset_reserve", "quote_asset_reserve"),
        (LIQUIDITY_CHANGED.name, "base_reserve", "quote_reserve"),
    ):
        if name in others:
            columns = (_units(base).alias("base"), _units(quote).alias("quote"), pl.lit(name == LIQUIDITY_CHANGED.name).alias("migration"))
            parts.append(others[name].select(_market(), LOG_ORDER.alias("place"), *columns).collect(engine="streaming"))
    return _merged(parts)


def _trades(changes: pl.DataFrame, swaps: pl.DataFrame, others: Mapping[str, pl.LazyFrame], events: pl.LazyFrame) -> Iterator[Break]:
    """The transactions whose swaps in a market and PositionChanged there do not add up, each with its place.

    Sums since the PositionChanged before tell which are worth a look; the transactions are compared only there.
    """
    sums = swaps.select(
        "place", pl.col("market").alias("swapped"), pl.col("base").cum_sum().alias("bases"), pl.col("quote").abs().cum_sum().alias("quotes")
    )
    line = changes.join_asof(sums, on="place")
    since = {name: pl.col(name).fill_null(0) - pl.col(name).fill_null(0).shift(fill_value=0) for name in ("bases", "quotes")}
    same = (since["bases"] == pl.col("base")) & (since["quotes"] == pl.col("quote")) & (pl.col("swapped") == pl.col("market"))
    broken = line.filter(~same.fill_null(False)).select("place", "market", "base", "quote")
    last_swap, last_change = (frame.get_column("place").tail(1).to_list() for frame in (swaps, changes))
    if broken.is_empty() and last_swap < last_change:
        return
    ends = swaps.join_asof(changes.select("place", pl.col("place").alias("end")), on="place", strategy="forward")
    left = ends.filter(pl.col("end").is_null() | pl.col("end").is_in(broken.get_column("place").implode()))
    swapped = left.select("place", "base", pl.col("quote").abs(), pl.lit(1).alias("swaps"), pl.lit(0).alias("changes"))
    changed = broken.select("place", pl.col("base", "quote") * -1, pl.lit(0).alias("swaps"), pl.lit(1).alias("changes"))
    both = pl.concat([swapped, changed])
    places = _lookup(both.get_column("place"), others, events)
    apart = (
        both.join(places, on="place")
        .group_by("transaction_hash", "market")
        .agg(pl.col("place").min(), pl.col("base", "quote", "swaps", "changes").sum())
        .filter((pl.col("base") != 0) | (pl.col("quote") != 0))
    )
    for transaction, market, place, base, quote, some_swaps, some_changes in apart.iter_rows():
        if not some_changes:
            swaps_of = "1 swap has" if some_swaps == 1 else f"{some_swaps} swaps have"
            what = f"In market {market}, {swaps_of} no PositionChanged: {_text(base)} base for {_text(quote)} quote."
        elif not some_swaps:
            what = f"In market {market}, a PositionChanged has no swap: {_text(-base)} base for {_text(-quote)} quote."
        else:
            what = f"In market {market}, the swaps and their PositionChanged differ by {_text(base)} base and {_text(quote)} quote."
        yield Break(place, transaction, what, f"block {place // LOGS_OF_A_BLOCK}")


def _jumps(
    pools: pl.DataFrame, moves: pl.DataFrame, are_swaps: bool, others: Mapping[str, pl.LazyFrame], events: pl.LazyFrame
) -> Iterator[Break]:
    """The pools that are not the one before in their market, moved by the swap logged right behind them, each with its place.

    `moves` are the swaps or, where the input has none, the PositionChanged events, which follow all snapshots of their trade.
    """
    size = {"base": pl.col("base"), "quote": pl.col("quote") if are_swaps else pl.col("quote") * pl.col("base").sign()}
    behind = moves.select(
        "place", pl.col("place").alias("moved_at"), pl.col("market").alias("moved"), **{f"{n}_moved": e for n, e in size.items()}
    )
    line = pools.join_asof(behind, on="place", strategy="forward")
    if not are_swaps:  # of a trade's snapshots, the last
        block = pl.col("place") // LOGS_OF_A_BLOCK
        ends = pl.any_horizontal(value != value.shift(-1) for value in (pl.col("market"), pl.col("moved_at"), block))
        line = line.filter(ends.fill_null(True) | pl.col("migration"))
    own = ~pl.col("migration") & (pl.col("moved") == pl.col("market"))
    own &= (pl.col("moved_at") < pl.col("place").shift(-1)).fill_null(pl.col("moved_at").is_not_null())
    before = [pl.col(name).shift().over("market").alias(f"{name}_before") for name in ("place", "base", "quote")]
    line = line.with_columns(own.fill_null(False).alias("own"), *before)
    base, quote = (pl.when("own").then(f"{name}_moved").otherwise(0) for name in ("base", "quote"))
    line = line.with_columns(
        (pl.col("base") - pl.col("base_before") + base).alias("base_off"),
        (pl.col("quote") - pl.col("quote_before") - quote).alias("quote_off"),
    )
    off = (pl.col("base_off") != 0) | (pl.col("quote_off") != 0)
    migrations = line.filter("migration")
    broken = pl.concat([line.filter(off & ~pl.col("migration")), migrations.filter(_at_another_price(migrations))])
    alone = _without_pool(line, moves)
    if broken.is_empty() and alone.is_empty():
        return
    wanted = pl.concat([broken.get_column("place"), broken.get_column("place_before"), alone.get_column("place")])
    names = {place: (transaction, market) for place, transaction, market in _lookup(wanted, others, events).iter_rows()}
    for place, first, is_migration, base, quote in broken.select("place", "place_before", "migration", "base_off", "quote_off").iter_rows():
        (transaction, market), (last, _) = names[place], names[first]
        if is_migration:
            what = f"The liquidity migration of market {market} starts at another price than tx {last} ended at."
        else:
            what = (
                f"The pool of market {market} is {_text(base)} base and {_text(quote)} quote off the pool after tx {last},"
                " the previous one in the input, and the swaps since."
            )
        blocks = f"blocks {first // LOGS_OF_A_BLOCK} to {place // LOGS_OF_A_BLOCK}"
        yield Break(place, transaction, what, blocks)
    for place in alone.get_column("place"):
        transaction, market = names[place]
        what = f"In market {market}, a trade has no ReserveSnapshotted."
        yield Break(place, transaction, what, f"block {place // LOGS_OF_A_BLOCK}")


def _at_another_price(migrations: pl.DataFrame) -> list[bool]:
    """Whether each migration's pool has another price than the pool before: it multiplies both reserves by one number, and truncates."""
    rows = migrations.select("base", "quote", "base_before", "quote_before").iter_rows()
    return [old is not None and abs(quote * old - base * paid) > max(old, paid) for base, quote, old, paid in rows]


def _without_pool(line: pl.DataFrame, moves: pl.DataFrame) -> pl.DataFrame:
    """The moves without a snapshot before the first pool of their market, or behind the last: no other pool shows these."""
    used = line.filter("own")
    if used.height == moves.height:
        return moves.clear()
    ends = line.group_by("market").agg(pl.col("place").min().alias("first"), pl.col("place").max().alias("last"))
    alone = moves.join(used.select(pl.col("moved_at").alias("place")), on="place", how="anti")
    return alone.join(ends, on="market").filter(~pl.col("place").is_between("first", "last"))


def _unproven(changes: pl.DataFrame, swaps: pl.DataFrame, pools: pl.DataFrame, since: pl.DataFrame, incident: Incident) -> list[Finding]:
    """One warning for the affected markets whose input lacks the events that would show a lost liquidation."""
    names = [(market.name, market.amm) for market in incident.markets if market.affected]
    markets = pl.DataFrame(
        {"name": [name for name, _ in names], "market": [amm for _, amm in names]}, schema=dict.fromkeys(("name", "market"), pl.String())
    )
    first = changes.group_by("market").agg(pl.col("place").min().alias("first"))
    known = (
        markets.with_columns(_market())
        .join(first, on="market", how="inner", maintain_order="left")
        .join(since, on="market", how="left", maintain_order="left")
    )
    has = [known.get_column("market").is_in(table.get_column("market").unique().implode()) for table in (swaps, pools)]
    known = known.with_columns(has[0].alias("swaps"), has[1].alias("pools"))
    parts = []
    if nothing := known.filter(pl.col("place").is_null()).get_column("name").to_list():
        parts.append(f"no SwapInput, SwapOutput or ReserveSnapshotted of {', '.join(nothing)}")
    if no_pools := known.filter("swaps", ~pl.col("pools")).get_column("name").to_list():
        parts.append(f"no ReserveSnapshotted of {', '.join(no_pools)}")
    for name, place in known.filter(pl.col("first") < pl.col("place")).select("name", "place").iter_rows():
        parts.append(f"no SwapInput, SwapOutput or ReserveSnapshotted of {name} before block {place // LOGS_OF_A_BLOCK}")
    if not parts:
        return []
    what = f"A lost liquidation could not be seen: the input holds {'; '.join(parts)}."
    advice = "Pull these events of the market contracts too, over the same blocks."
    return [Finding("warning", "the input", what, advice, code="lost-liquidation-unseen")]


def _lookup(places: pl.Series, others: Mapping[str, pl.LazyFrame], events: pl.LazyFrame) -> pl.DataFrame:
    """The transaction and market of each log at one of these places: place, transaction_hash, market."""
    tables = [others.get(POSITION_CHANGED.name, events)]
    tables += [others[name] for name in (*SWAPS, RESERVE_SNAPSHOTTED.name, LIQUIDITY_CHANGED.name) if name in others]
    wanted = places.unique().implode()
    rows = [table.select(LOG_ORDER.alias("place"), "transaction_hash", "market").filter(pl.col("place").is_in(wanted)) for table in tables]
    return pl.concat(rows).collect(engine="streaming")


def _text(units: int) -> str:
    """An amount of 1e-18 as a decimal number."""
    return f"{from_integer(units):f}"
