"""History as its senders asked for it: one action an event, with what the contract was given, ready to be executed again.

An opening was given USDC and margin; a close and a liquidation were given the position's base. Each action also holds the pool that
history had after it, for comparison.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp.curve import Reserves, out_price
from perpcomp.findings import refusal
from perpcomp.fixed import mul_integers, to_integer
from perpcomp.guards.index_prices import LogKey
from perpcomp.guards.limits import nearest_setting
from perpcomp.incident.incident import Incident
from perpcomp.systems.perpetual_v1 import events as v1
from perpcomp.systems.perpetual_v1.code import STATE_IT, Denominators, at_block, denominators
from perpcomp.systems.perpetual_v1.replay.in_order import in_order, integers
from perpcomp.systems.perpetual_v1.replay.replay import Replay, ratio_at, replay


@dataclass(frozen=True, slots=True)
class PastLiquidation:
    """A historical liquidation. `part` is what it closed of the position (1e-18), None for all; `taken` is the margin it took."""

    log: LogKey
    transaction: str
    trader: str
    liquidator: str
    part: int | None
    halves_fee: bool  # later code: the liquidator gets half of the fee
    taken: int
    spot_after: int


@dataclass(frozen=True, slots=True)
class Action:
    """One event: what was asked of which market, and the pool that history had after it, where it moved the pool.

    `given` by `what`: launch and migrate: reserves; fund: the underlying's price; margin: the amount; liquidate: the PastLiquidation;
    trade: the arguments of Market.trade; adjust, settle and close: None.
    """

    log: LogKey
    time: int  # unix seconds
    transaction: str
    market: str  # address
    what: str
    trader: str = ""
    given: Any = None
    pool: Reserves | None = None


@dataclass(frozen=True)
class Actions:
    """All actions in the order of the chain, and the settings that were in force."""

    in_order: Sequence[Action]
    maintenance: Sequence[tuple[int, int]]  # (first block, ratio)
    fee_ratios: Sequence[tuple[LogKey, int]]  # (first log, ratio)
    denominators: Denominators  # of the margin ratio
    liquidated: frozenset[tuple[str, str]]  # accounts (market, trader) that history liquidated
    replayed: Replay  # history's own positions

    def was_below(self, trader: str, market: str, block: int) -> bool:
        """Whether history's own position was below maintenance at the end of a block; False where there was none."""
        ratio = self.replayed.at_many([(trader, market, block)], triggers=False).item(0, "margin_ratio")
        return ratio is not None and to_integer(ratio) < ratio_at(self.maintenance, block)

    def over_position_notional(self, block: int) -> bool:
        """Whether the margin ratio of a block is over the position's notional. InputError where it is unknown which code ran."""
        over = at_block(self.denominators, block)
        if over is None:
            what = "Neither the logs nor [[chain.code]] say which code ran, so margin ratios cannot be computed."
            raise refusal(f"block {block}", what, STATE_IT)
        return over


def read_actions(liquidations: pl.DataFrame, events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], incident: Incident) -> Actions:
    """The incident's history. InputError unless the logs hold all of it, from each market's launch on."""
    divided, proved = (denominators(liquidations, tables, incident.chain.code, assume=assume) for assume in (True, False))
    replayed = replay(tables, events, denominators=divided, proved=proved)
    _refuse_gaps(replayed)
    _refuse_unknown_eras(liquidations)
    fee_ratios = _fee_ratios(tables, incident)
    reader = _Reader(liquidations, fee_ratios)
    for block, log, time, transaction, market, what, values in _events_in_order(events, tables):
        reader.here = ((block, log), time, transaction, market)
        getattr(reader, what)(*values)
    accounts = frozenset(liquidations.select("market", "trader").iter_rows())
    return Actions(reader.actions, replayed.maintenance, fee_ratios, divided, accounts, replayed)


def _refuse_gaps(replayed: Replay) -> None:
    gaps = [*replayed.findings, *(f"market {m.address}: its launch is missing." for m in replayed.markets.values() if not m.from_launch)]
    if gaps:
        what = f"A counterfactual executes every log again, from each market's launch on, but logs are missing: {gaps[0]}"
        raise refusal("The logs", what, "Pull every log of the ClearingHouse and of the markets, from their first block on.")


def _refuse_unknown_eras(liquidations: pl.DataFrame) -> None:
    for transaction, log in liquidations.filter(pl.col("margin").is_null()).select("transaction_hash", "log_index").head(1).iter_rows():
        what = "The liquidation's era is unknown, so a counterfactual cannot execute it again."
        raise refusal(f"tx {transaction} log {log}", what, "State the code that ran: [[chain.code]] in the incident file.")


def _fee_ratios(tables: Mapping[str, pl.DataFrame], incident: Incident) -> list[tuple[LogKey, int]]:
    """The liquidation fee ratio of [chain], then each that a log sets: (first log, ratio)."""
    stated = incident.chain.liquidation_fee_ratio
    ratios = [] if stated is None else [((-1, -1), to_integer(stated))]
    if (changes := tables.get(v1.LIQUIDATION_FEE_RATIO_CHANGED.name)) is not None:
        changes = changes.sort("block_number", "log_index")
        logs = changes.select("block_number", "log_index").iter_rows()
        ratios += zip(logs, integers(changes.get_column("liquidation_fee_ratio")), strict=True)
    if not ratios:
        what = "Neither a log nor [chain] states the liquidation fee ratio."
        raise refusal(f"{incident.name}.toml", what, "Add liquidation_fee_ratio to [chain].")
    return ratios


def _events_in_order(events: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> Sequence[Any]:
    """Every event that a counterfactual needs, each with the method of _Reader that reads it and its arguments."""
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
    """Turns events into actions. It keeps history's positions and pools as far as that needs them."""

    def __init__(self, liquidations: pl.DataFrame, fee_ratios: Sequence[tuple[LogKey, int]]) -> None:
        self.fee_ratios = fee_ratios
        names = ("block_number", "log_index", "era", "remaining_margin")
        columns = (integers(liquidations.get_column(name)) for name in names)
        self.liquidated = {(block, log): (era, left) for block, log, era, left in zip(*columns, strict=True)}
        self.here: tuple[LogKey, int, str, str] = ((-1, -1), 0, "", "")  # log, time, transaction and market of the event
        self.actions: list[Action] = []
        self.pools: dict[str, list[Reserves]] = {}  # by market: the last two
        self.held: dict[tuple[str, str], tuple[int, int]] = {}  # by account: margin, and open notional with the sign of the size

    def act(self, what: str, trader: str = "", given: Any = None, pool: Reserves | None = None) -> None:
        self.actions.append(Action(*self.here, what, trader, given, pool))

    def snapshot(self, quote: int, base: int) -> None:
        """A market's first snapshot is its launch; each later one belongs to a swap, whose PositionChanged follows."""
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
        """A PositionChanged: a trade, a close or a liquidation."""
        market = self.here[3]
        before, signed = self.held.get((market, trader), (0, 0))
        quote = notional if exchanged > 0 else -notional
        opened = quote if kind == "open" else signed + quote + realized
        self.held[market, trader] = (margin, opened) if after else (0, 0)
        pool = self.pools[market][-1]
        if liquidator is not None:
            past = self._past_liquidation(trader, after - exchanged, notional, exchanged, after, spot, liquidator)
            self.act("liquidate", trader, past, pool)
        elif kind == "close":
            self.act("close", trader, None, pool)
        elif kind == "reverse":
            self.act("trade", trader, (quote, (margin, abs(opened))), pool)
        elif kind == "reduce":
            self.act("trade", trader, (quote, None), pool)
        else:
            self.act("trade", trader, (quote, (margin - before + payment, notional)), pool)

    def _past_liquidation(
        self, trader: str, size: int, notional: int, exchanged: int, after: int, spot: int, liquidator: str
    ) -> PastLiquidation:
        log, _, transaction, market = self.here
        era, taken = self.liquidated[log]
        part = None
        if after:
            part = nearest_setting(abs(exchanged), abs(size))
            if out_price(mul_integers(size, part), self.pools[market][0]) != notional:
                what = f"It closed {abs(exchanged)} of {abs(size)} base units. No ratio of six decimal places gives that part."
                advice = "The counterfactual cannot determine the partial liquidation ratio. Leave --replay out."
                raise refusal(f"tx {transaction} log {log[1]}", what, advice)
            taken = mul_integers(notional, ratio_from(self.fee_ratios, log))
        return PastLiquidation(
            log=log,
            transaction=transaction,
            trader=trader,
            liquidator=liquidator,
            part=part,
            halves_fee=era == 2,
            taken=taken,
            spot_after=spot,
        )


def ratio_from(ratios: Sequence[tuple[LogKey, int]], log: LogKey) -> int:
    """The ratio in force at a log."""
    return next((ratio for since, ratio in reversed(ratios) if since <= log), ratios[0][1])
