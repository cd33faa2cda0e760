"""History as what its senders asked for: one action an event, with what the contract was given, ready to be executed again elsewhere.

An opening was given USDC and margin, a close and a liquidation the position's base. What the curve answered is kept beside it, to be
compared: the pool that history had after each swap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp.curve import Reserves, out_price
from perpcomp.findings import refusal
from perpcomp.fixed import ONE, mul_integers, to_integer
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1 import events as v1
from perpcomp.systems.perpetual_v1.replay.in_order import in_order, integers
from perpcomp.systems.perpetual_v1.replay.replay import Replay, first_of_later_code, ratio_at, replay

Place = tuple[int, int]  # block, log index
PLACES = 10**6  # a partial liquidation ratio is a setting of at most six places


@dataclass(frozen=True, slots=True)
class Row:
    """A historical liquidation. `share` is what it closed of the position (1e-18), None for all; `taken` is the margin it took."""

    place: Place
    transaction: str
    trader: str
    liquidator: str
    share: int | None
    halves_fee: bool  # later code: the liquidator gets half of the fee
    taken: int
    spot_after: int


@dataclass(frozen=True, slots=True)
class Action:
    """One event: what was asked of which market, and the pool that history had after it, where it moved it."""

    place: Place
    time: int
    transaction: str
    market: str
    what: str
    trader: str = ""
    given: Any = None
    pool: Reserves | None = None


@dataclass(frozen=True)
class Chronicle:
    """All of it, in the order of the chain, and the settings that were in force."""

    actions: Sequence[Action]
    maintenance: Sequence[Place]  # (first block, ratio)
    fee_ratios: Sequence[tuple[Place, int]]  # (from which log on, ratio)
    later_ratio_from: int | None
    liquidated: frozenset[tuple[str, str]]  # accounts (market, trader)
    replayed: Replay  # what history's positions stood at

    def was_below(self, trader: str, market: str, block: int) -> bool:
        """Whether history's own position was below maintenance at the end of a block; not where there was none."""
        ratio = self.replayed.at_many([(trader, market, block)], triggers=False).item(0, "margin_ratio")
        return ratio is not None and to_integer(ratio) < ratio_at(self.maintenance, block)


def chronicle(liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Chronicle:
    """The incident's history. InputError unless the logs hold all of it, from each market's launch on."""
    later = first_of_later_code(liquidations)
    done = replay(tables, events, later_ratio_from=later)
    _refuse_holes(done)
    assumed = incident.chain.liquidation_fee_ratio
    fees = [] if assumed is None else [((-1, -1), to_integer(assumed))]
    if (changes := tables.get(v1.LIQUIDATION_FEE_RATIO_CHANGED.name)) is not None:
        changes = changes.sort("block_number", "log_index")
        places = changes.select("block_number", "log_index").iter_rows()
        fees += zip(places, integers(changes.get_column("liquidation_fee_ratio")), strict=True)
    if not fees:
        what = "No log states the liquidation fee ratio, and [chain] does not either."
        raise refusal(f"{incident.name}.toml", what, "Add liquidation_fee_ratio to [chain].")
    reader = _Reader(liquidations, fees)
    for block, log, time, transaction, market, what, values in _lines(events, tables):
        reader.here = ((block, log), time, transaction, market)
        getattr(reader, what)(*values)
    accounts = frozenset(liquidations.select("market", "trader").iter_rows())
    return Chronicle(reader.actions, done.maintenance, fees, later, accounts, done)


def _refuse_holes(done: Replay) -> None:
    found = [*done.findings, *(f"market {m.address}" for m in done.markets.values() if not m.from_launch)]
    if found:
        what = f"A counterfactual executes every log again, from each market's launch on, but: {found[0]}"
        raise refusal("The logs", what, "Pull every log of the ClearingHouse and of the markets, from their first block on.")


def _lines(events: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> Sequence[Any]:
    return in_order(
        [
            (tables[v1.RESERVE_SNAPSHOTTED.name], "snapshot", ("quote_asset_reserve", "base_asset_reserve")),
            (tables[v1.LIQUIDITY_CHANGED.name], "migrate", ("quote_reserve", "base_reserve")),
            (tables[v1.FUNDING_RATE_UPDATED.name], "fund", ("underlying_price",)),
            (tables[v1.MARGIN_CHANGED.name], "margin", ("trader", "amount", "funding_payment")),
            (tables[v1.POSITION_ADJUSTED.name], "adjust", ("trader",)),
            (tables[v1.POSITION_SETTLED.name], "settle", ("trader",)),
            (
                events,
                "change",
                (
                    *("trader", "kind", "margin", "position_notional", "exchanged_position_size", "position_size_after"),
                    *("realized_pnl", "funding_payment", "spot_price", "liquidator"),
                ),
            ),
        ]
    )


class _Reader:
    """Turns events into actions; keeps what history's positions and pools stood at, as far as that needs."""

    def __init__(self, liquidations: pl.DataFrame, fee_ratios: Sequence[tuple[Place, int]]) -> None:
        self.fee_ratios = fee_ratios
        names = ("block_number", "log_index", "era", "remaining_margin")
        columns = (integers(liquidations.get_column(name)) for name in names)
        self.liquidated = {(block, log): (era, left) for block, log, era, left in zip(*columns, strict=True)}
        self.here: tuple[Place, int, str, str] = ((-1, -1), 0, "", "")
        self.actions: list[Action] = []
        self.pools: dict[str, list[Reserves]] = {}  # of a market: the last two
        self.held: dict[tuple[str, str], tuple[int, int]] = {}  # margin; open notional with the sign of the size

    def act(self, what: str, trader: str = "", given: Any = None, pool: Reserves | None = None) -> None:
        self.actions.append(Action(*self.here, what, trader, given, pool))

    def snapshot(self, quote: int, base: int) -> None:
        """The first is the launch; each other one belongs to a swap whose PositionChanged comes behind it."""
        pool, market = Reserves.of(quote, base), self.here[3]
        if market not in self.pools:
            self.act("launch", given=pool)
        self.pools[market] = [self.pools.get(market, [pool])[-1], pool]

    def migrate(self, quote: int, base: int) -> None:
        before, after = self.pools[self.here[3]][-1], Reserves.of(quote, base)
        self.pools[self.here[3]] = [before, after]
        self.act("migrate", given=(before, after), pool=after)

    def fund(self, underlying: int) -> None:
        self.act("fund", given=underlying)

    def margin(self, trader: str, amount: int, payment: int) -> None:
        margin, notional = self.held.get((self.here[3], trader), (0, 0))
        self.held[self.here[3], trader] = (margin + amount - payment, notional)
        self.act("margin", trader, amount)

    def adjust(self, trader: str) -> None:
        self.act("adjust", trader)

    def settle(self, trader: str) -> None:
        self.held.pop((self.here[3], trader), None)
        self.act("settle", trader)

    def change(
        self,
        trader: str,
        kind: str,
        margin: int,
        notional: int,
        exchanged: int,
        after: int,
        realized: int,
        payment: int,
        spot: int,
        liquidator: str | None,
    ) -> None:
        market = self.here[3]
        before, signed = self.held.get((market, trader), (0, 0))
        quote = notional if exchanged > 0 else -notional
        opened = quote if kind == "open" else signed + quote + realized
        self.held[market, trader] = (margin, opened) if after else (0, 0)
        pool = self.pools[market][-1]
        if liquidator is not None:
            self.act("liquidate", trader, self._row(trader, after - exchanged, notional, exchanged, after, spot, liquidator), pool)
        elif kind == "close":
            self.act("close", trader, None, pool)
        elif kind == "reverse":
            self.act("trade", trader, (quote, (margin, abs(opened))), pool)
        else:
            self.act("trade", trader, (quote, None if kind == "reduce" else (margin - before + payment, notional)), pool)

    def _row(self, trader: str, size: int, notional: int, exchanged: int, after: int, spot: int, liquidator: str) -> Row:
        place, _, transaction, market = self.here
        era, left = self.liquidated[place]
        share = None
        if after:
            share = (2 * abs(exchanged) * PLACES + abs(size)) // (2 * abs(size)) * (ONE // PLACES)
            if out_price(mul_integers(size, share), self.pools[market][0]) != notional:
                what = f"It closed {abs(exchanged)} of {abs(size)} base units, which is no share of six places of the position."
                raise refusal(f"tx {transaction} log {place[1]}", what, "The counterfactual cannot tell the partial liquidation ratio.")
            left = mul_integers(notional, ratio_from(self.fee_ratios, place))
        return Row(place, transaction, trader, liquidator, share, era == 2, left, spot)


def ratio_from(ratios: Sequence[tuple[Place, int]], place: Place) -> int:
    """The setting in force at a log."""
    return next((ratio for since, ratio in reversed(ratios) if since <= place), ratios[0][1])
