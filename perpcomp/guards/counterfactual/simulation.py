"""The sequential counterfactual: history executed again under other rules, on the curve that they leave.

An account is OPEN, FLAGGED, or closed by a liquidation (with unflagging, FLAGGED may become OPEN again). A liquidation that the rules
block is not executed. After every later action, at its time: first the recovered are unflagged (if the rules do), then those below
maintenance are flagged, then every flagged account is tried, the oldest flag first, until nothing changes. An account is tried from
its own historical liquidation on (keeper = "historical"); an eager keeper tries every account from the incident's window on.

What traders did is executed again on this curve: an opening keeps its USDC, a close its base. What cannot be done there (the account
is frozen, the position is gone, the pool is too small) is dropped and listed. Not modelled: that traders would have acted otherwise;
the initial margin check; for SIP-2005, V1's own fluctuation limit on openings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from perpcomp.curve import Reverts, out_price
from perpcomp.fixed import mul_integers
from perpcomp.guards.counterfactual.actions import Action, Chronicle, Row, ratio_from
from perpcomp.guards.counterfactual.gate import Gate
from perpcomp.guards.counterfactual.market import Refused, Venue
from perpcomp.guards.counterfactual.outcomes import Case, Result, Step
from perpcomp.guards.counterfactual.position import Closed
from perpcomp.guards.counterfactual.rules import Rules
from perpcomp.guards.index_prices import Index
from perpcomp.guards.limits import Limit
from perpcomp.incident.guards import Guards
from perpcomp.systems.perpetual_v1.replay.contract import pnl
from perpcomp.systems.perpetual_v1.replay.replay import ratio_at


@dataclass
class Counterfactual:
    """One scenario, run by `run`."""

    chronicle: Chronicle
    rules: Rules
    limits: Mapping[str, Limit]
    indices: Mapping[str, Index]
    guards: Guards
    eager_from: int  # unix seconds
    gates: dict[str, Gate] = field(default_factory=dict)  # by market
    waiting: dict[str, dict[str, Case]] = field(default_factory=dict)  # market -> trader: tried, not flagged
    flagged: dict[str, dict[str, Case]] = field(default_factory=dict)  # the oldest flag first
    results: list[Result] = field(default_factory=list)
    dropped: list[tuple[Action, str]] = field(default_factory=list)
    path: list[Step] = field(default_factory=list)
    early: dict[tuple[str, str], int] = field(default_factory=dict)  # results that history may catch up with
    noticed: set[tuple[str, str]] = field(default_factory=set)  # accounts that could be liquidated only here
    number: int = -1  # of the action being executed
    fee_ratio: int = 0  # in force at it

    def run(self) -> "Counterfactual":
        """Execute every action; then say what became of those who still wait."""
        for number, action in enumerate(self.chronicle.actions):
            self.number, market = number, action.market
            if action.what == "launch":
                venue = Venue.launched(market, action.given, action.time, action.place[0])
                self.gates[market] = Gate(self.rules, venue, self.limits[market])
                self.waiting[market], self.flagged[market] = {}, {}
                continue
            gate = self.gates[market]
            gate.venue.clock, gate.venue.block = action.time, action.place[0]
            gate.maintenance = ratio_at(self.chronicle.maintenance, action.place[0])
            later = self.chronicle.later_ratio_from
            gate.over_position_notional = self.rules.over_position_notional or (later is not None and action.place[0] >= later)
            self.fee_ratio = ratio_from(self.chronicle.fee_ratios, action.place)
            self._execute(action, gate)
            while self._round(action, gate):
                pass
            self._notice(number, gate)
            if action.pool is not None:
                self.path.append(Step(action, gate.venue.pool))
        for market, gate in self.gates.items():
            for trader, case in [*self.flagged[market].items(), *self.waiting[market].items()]:
                self._give_up(market, case, _equity(gate.venue, trader))
        return self

    # Actions of history

    def _execute(self, action: Action, gate: Gate) -> None:
        trader, venue = action.trader, gate.venue
        if action.what == "migrate":
            venue.migrate(*action.given)
        elif action.what == "fund":
            venue.fund(action.given)
        elif action.what == "settle":
            venue.holdings.pop(trader, None)
            self._ended(action.market, trader)
        elif action.what == "liquidate":
            self._try_from_now(action, venue)
        elif self.rules.freezes and trader in self.flagged[action.market]:
            self.dropped.append((action, "the account is flagged"))
        else:
            before = venue.saved(trader)
            try:
                ended = self._act(action, gate)
            except (Refused, Reverts) as why:
                self.dropped.append((action, str(why)))
                venue.restore(trader, before)
            else:
                if ended:
                    self._ended(action.market, trader)

    def _act(self, action: Action, gate: Gate) -> bool:
        """What a trader did; whether it ended a position. Refused or Reverts where it cannot be done here."""
        trader, venue = action.trader, gate.venue
        if action.what == "margin":
            venue.add_margin(trader, action.given)
            return False
        if action.what == "adjust":
            venue.adjust(trader)
            return False
        if self.rules.throttles == "blocks" and gate.outside(venue.pool):
            raise Refused("the price is already over the fluctuation limit")
        if action.what == "trade":
            ended = venue.trade(trader, *action.given)
            if gate.outside(venue.pool):
                raise Refused("the price would be over the fluctuation limit")
            return ended
        if venue.holding(trader).size == 0:
            raise Refused("there is no position")
        before = venue.saved(trader)
        venue.close(trader)
        if self.rules.throttles == "blocks" and self.rules.partial is not None and gate.outside(venue.pool):
            venue.restore(trader, before)  # then only a part of it is closed
            venue.close_share(trader, self.rules.partial, 0)
        return venue.holding(trader).size == 0

    # Liquidations

    def _try_from_now(self, action: Action, venue: Venue) -> None:
        """History liquidated this account now: keepers try it from here on."""
        row: Row = action.given
        market, trader = action.market, action.trader
        case = self.flagged[market].get(trader) or self.waiting[market].get(trader)
        if case is not None:
            case.rows.append(row)
        elif venue.holding(trader).size:
            self.waiting[market][trader] = Case(trader, [row])
        elif (market, trader) in self.early:  # an eager keeper was here before
            n = self.early.pop((market, trader))
            self.results[n] = replace(self.results[n], row=row)
        else:
            self.results.append(Result(market, trader, row, "NO_POSITION", Case(trader, [row])))

    def _round(self, action: Action, gate: Gate) -> bool:
        """Unflag, flag, liquidate, each once; whether a liquidation was executed, so that there is more to do."""
        waiting, flagged = self.waiting[action.market], self.flagged[action.market]
        eager = self.guards.keeper == "eager" and action.time >= self.eager_from
        if not waiting and not flagged and not eager:
            return False
        known = self.indices[action.market].at(action.place, action.time)
        gate.index = None if known is None else known[0]
        if eager:
            waiting |= {trader: Case(trader, []) for trader in self._others_below(gate)}
        for case in list(flagged.values()):
            if (self.rules.unflags or not case.recovered) and case.flag_action < self.number and gate.below(case.trader) is False:
                case.recovered = True
                if self.rules.unflags:
                    case.lifted, case.free, waiting[case.trader] = True, True, flagged.pop(case.trader)
        for case in list(waiting.values()):
            below = gate.below(case.trader)
            case.judged |= below is not None
            if below:
                case.flagged_at, case.flag_price, case.flag_action = action.time, gate.venue.pool.spot, self.number
                case.free, flagged[case.trader] = False, waiting.pop(case.trader)
        for case in flagged.values():
            case.priced |= gate.judges
        if not self.guards.endorsed and gate.premium_blocks():  # then nobody passes
            return False
        executed = [self._try(gate, case, action) for case in list(flagged.values())]
        return True in executed

    def _notice(self, number: int, gate: Gate) -> None:
        """At the end of a block of the window: who could be liquidated here and in history not, and is not tried as history never did."""
        actions, venue = self.chronicle.actions, gate.venue
        last = number + 1 == len(actions) or actions[number + 1].place[0] != venue.block
        if last and self.guards.keeper == "historical" and self.rules.flag_rule == "v1" and venue.clock >= self.eager_from:
            market = venue.lines.address
            for trader in self._others_below(gate):
                if (market, trader) not in self.chronicle.liquidated | self.noticed and not self.chronicle.was_below(
                    trader, market, venue.block
                ):
                    self.noticed.add((market, trader))
                    case = Case(trader, [])
                    self.results.append(Result(market, trader, None, "ELIGIBLE_HERE", case, venue.clock, venue.pool.spot))

    def _others_below(self, gate: Gate) -> list[str]:
        """Accounts below maintenance whom nobody tries."""
        tried = self.waiting[gate.venue.lines.address].keys() | self.flagged[gate.venue.lines.address].keys()
        return [trader for trader, held in gate.venue.holdings.items() if held.size and trader not in tried and gate.below(trader)]

    def _try(self, gate: Gate, case: Case, action: Action) -> bool:
        """Liquidate a flagged account if the rules let anybody."""
        venue, row = gate.venue, case.rows[0] if case.rows else None
        liquidator = row.liquidator if row else None
        endorsed = liquidator in self.guards.endorsed if liquidator else bool(self.guards.endorsed)
        assert case.flagged_at is not None
        held = venue.holding(case.trader)
        try:
            share = gate.share(held, row.share if row else None, self.fee_ratio)
            blocked = gate.blocks(held.size if share is None else mul_integers(held.size, share))
            if blocked and not (endorsed and action.time - case.flagged_at >= self.guards.forced_delay):
                return False
            before = venue.saved(case.trader)
            closed = venue.close(case.trader) if share is None else venue.close_share(case.trader, share, self.fee_ratio)
        except Reverts:
            return False
        if gate.refuses(before.pool, closed, share, liquidator):
            venue.restore(case.trader, before)
            return False
        fee = mul_integers(closed.notional, self.fee_ratio)
        halved = self.rules.partial is not None or (row is not None and row.halves_fee)
        self._liquidated(gate, case, closed, blocked, 0 if blocked else fee // 2 if halved else fee)
        return True

    def _liquidated(self, gate: Gate, case: Case, closed: Closed, forced: bool, fee: int) -> None:
        """Write it down; a position that is left, or a historical liquidation that still waits for it, is tried again."""
        venue, market = gate.venue, gate.venue.lines.address
        row = case.rows.pop(0) if case.rows else None
        at_once = case.flag_action == self.number and not case.lifted
        outcome = "FORCED" if forced else "LIQUIDATED" if at_once else "FLAGGED_THEN_LIQUIDATED"
        told = (case.flagged_at, case.flag_price, venue.clock, venue.pool.spot, closed, fee)
        self.results.append(Result(market, case.trader, row, outcome, case, *told))
        if row is None:
            self.early[market, case.trader] = len(self.results) - 1
        del self.flagged[market][case.trader]
        if venue.holding(case.trader).size == 0:
            self.results += [Result(market, case.trader, other, "NO_POSITION", case) for other in case.rows]
        elif case.rows:
            self.waiting[market][case.trader] = Case(case.trader, case.rows)

    def _ended(self, market: str, trader: str) -> None:
        """The trader's own position ended: whoever waited for it gives up."""
        case = self.waiting[market].pop(trader, None) or self.flagged[market].pop(trader, None)
        if case is not None:
            self._give_up(market, case, None)

    def _give_up(self, market: str, case: Case, equity: int | None) -> None:
        """A case that ends without a liquidation."""
        if not case.free:
            outcome = "FLAGGED" if case.priced else "NO_INDEX"
        else:
            outcome = "FLAGGED_THEN_RECOVERED" if case.lifted else "NEVER_FLAGGED" if case.judged else "NO_INDEX"
        rows: Sequence[Row | None] = case.rows or ([None] if case.flagged_at is not None else [])
        for n, row in enumerate(rows):
            told = Result(market, case.trader, row, outcome, case, case.flagged_at, case.flag_price)
            self.results.append(replace(told, equity_at_end=None if n else equity))


def _equity(venue: Venue, trader: str) -> int | None:
    """What closing now would leave; None without a position, or where the pool cannot close it."""
    held = venue.holding(trader)
    if held.size == 0:
        return None
    try:
        notional = out_price(held.size, venue.pool)
    except Reverts:
        return None
    return max(0, held.margin + pnl(held.size, held.open_notional, notional) - venue.owed(held))
