"""The state machine of the counterfactual: history's actions executed again, with liquidations decided by other rules.

An account is open, flagged, or closed by a liquidation; where the rules unflag, a flagged account may become open again. A liquidation
that the rules block is not executed. After every action, at its time, one round runs until nothing changes: unflag the recovered (if
the rules do), flag those below maintenance, then try every flagged account, the oldest flag first. keeper = "historical" tries an account
from its own historical liquidation on; "eager" tries every account from the start of the incident's window on.

Traders' actions are executed again on this curve: an opening keeps its USDC, a close its base. An action that cannot be executed (the
account is frozen, the position is gone, the pool is too small) is dropped and listed. Not modelled: that traders would have acted
otherwise, the initial margin check and, under SIP-2005, V1's own fluctuation limit on openings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from perpcomp.curve import Reverts
from perpcomp.fixed import mul_integers
from perpcomp.guards.counterfactual.actions import Action, Actions, PastLiquidation, ratio_from
from perpcomp.guards.counterfactual.gate import Gate
from perpcomp.guards.counterfactual.market import ActionImpossible, Market
from perpcomp.guards.counterfactual.outcomes import Candidate, PathPoint, Result
from perpcomp.guards.counterfactual.position import Closed
from perpcomp.guards.counterfactual.rules import Rules
from perpcomp.guards.index_prices import IndexSeries
from perpcomp.guards.limits import Limit
from perpcomp.incident.guards import Guards
from perpcomp.systems.perpetual_v1.replay.replay import ratio_at


@dataclass
class Counterfactual:
    """One scenario, executed by `run`. Mappings by market have the market's address as their key."""

    actions: Actions
    rules: Rules
    limits: Mapping[str, Limit]
    indices: Mapping[str, IndexSeries]
    guards: Guards
    eager_from: int  # unix seconds
    gates: dict[str, Gate] = field(default_factory=dict)
    unflagged: dict[str, dict[str, Candidate]] = field(default_factory=dict)  # market -> trader: tried, not flagged
    flagged: dict[str, dict[str, Candidate]] = field(default_factory=dict)  # market -> trader: the oldest flag first
    results: list[Result] = field(default_factory=list)
    dropped: list[tuple[Action, str]] = field(default_factory=list)  # with the reason
    path: list[PathPoint] = field(default_factory=list)
    early: dict[tuple[str, str], int] = field(default_factory=dict)  # account -> its result, liquidated before history did
    liquidatable_here: set[tuple[str, str]] = field(default_factory=set)  # accounts that only these rules could liquidate
    number: int = -1  # of the action being executed
    fee_ratio: int = 0  # the liquidation fee ratio in force at it

    def run(self) -> "Counterfactual":
        """Execute every action, then close the candidates that are left."""
        for number, action in enumerate(self.actions.in_order):
            self.number = number
            if action.what == "launch":
                self._launch(action)
                continue
            gate = self.gates[action.market]
            self._enter_block(action, gate)
            self._execute(action, gate)
            while self._round(action, gate):
                pass
            self._report_liquidatable(number, gate)
            if action.pool is not None:
                self.path.append(PathPoint(action, gate.market.pool))
        for address, gate in self.gates.items():
            for trader, candidate in [*self.flagged[address].items(), *self.unflagged[address].items()]:
                self._end_unliquidated(address, candidate, gate.market.equity(trader))
        return self

    def _launch(self, action: Action) -> None:
        market = Market.launched(action.market, action.given, action.time, action.log[0])
        self.gates[action.market] = Gate(self.rules, market, self.limits[action.market])
        self.unflagged[action.market], self.flagged[action.market] = {}, {}

    def _enter_block(self, action: Action, gate: Gate) -> None:
        """Set the time and the settings that are in force at an action."""
        block = action.log[0]
        gate.market.clock, gate.market.block = action.time, block
        gate.maintenance = ratio_at(self.actions.maintenance, block)
        gate.over_position_notional = self.rules.over_position_notional or self.actions.over_position_notional(block)
        self.fee_ratio = ratio_from(self.actions.fee_ratios, action.log)

    # Actions of history

    def _execute(self, action: Action, gate: Gate) -> None:
        trader, market = action.trader, gate.market
        if action.what == "migrate":
            market.migrate(*action.given)
        elif action.what == "fund":
            market.fund(action.given)
        elif action.what == "settle":
            market.settle(trader)
            self._position_ended(action.market, trader)
        elif action.what == "liquidate":
            self._try_from_now(action, market)
        elif self.rules.freezes and trader in self.flagged[action.market]:
            self.dropped.append((action, "the account is flagged"))
        else:
            before = market.savepoint(trader)
            try:
                ended = self._act(action, gate)
            except (ActionImpossible, Reverts) as why:
                self.dropped.append((action, str(why)))
                market.restore(trader, before)
            else:
                if ended:
                    self._position_ended(action.market, trader)

    def _act(self, action: Action, gate: Gate) -> bool:
        """Execute a trader's action; True where it ended a position. ActionImpossible or Reverts where it cannot be executed."""
        trader, market = action.trader, gate.market
        if action.what == "margin":
            market.add_margin(trader, action.given)
            return False
        if action.what == "adjust":
            market.adjust(trader)
            return False
        if self.rules.throttles == "blocks" and gate.exceeds_fluctuation(market.pool):
            raise ActionImpossible("the price is already over the fluctuation limit")
        if action.what == "trade":
            ended = market.trade(trader, *action.given)
            if gate.exceeds_fluctuation(market.pool):
                raise ActionImpossible("the price would be over the fluctuation limit")
            return ended
        if market.position(trader).size == 0:
            raise ActionImpossible("there is no position")
        before = market.savepoint(trader)
        market.close(trader)
        if self.rules.throttles == "blocks" and self.rules.partial is not None and gate.exceeds_fluctuation(market.pool):
            market.restore(trader, before)  # then the contract closes only a part of it
            market.close_part(trader, self.rules.partial, 0)
        return market.position(trader).size == 0

    # Liquidations

    def _try_from_now(self, action: Action, market: Market) -> None:
        """History liquidated this account now: keepers try it from here on."""
        past: PastLiquidation = action.given
        address, trader = action.market, action.trader
        candidate = self.flagged[address].get(trader) or self.unflagged[address].get(trader)
        if candidate is not None:
            candidate.waiting.append(past)
        elif market.position(trader).size:
            self.unflagged[address][trader] = Candidate(trader, [past])
        elif (address, trader) in self.early:  # an eager keeper has already liquidated it
            n = self.early.pop((address, trader))
            self.results[n] = replace(self.results[n], past=past)
        else:
            self.results.append(Result(address, trader, past, "NO_POSITION", Candidate(trader, [past])))

    def _round(self, action: Action, gate: Gate) -> bool:
        """Unflag, flag and liquidate, each once. True where a liquidation was executed, so that another round is due."""
        address = action.market
        eager = self.guards.keeper == "eager" and action.time >= self.eager_from
        if not self.unflagged[address] and not self.flagged[address] and not eager:
            return False
        index = self.indices[address].at(action.log, action.time)
        gate.index = None if index is None else index[0]
        if eager:
            self.unflagged[address] |= {trader: Candidate(trader, []) for trader in self._untried_below(gate)}
        self._unflag_recovered(gate)
        self._flag_below(action, gate)
        if gate.limits_decidable:
            for candidate in self.flagged[address].values():
                candidate.limits_decided = True
        if not self.guards.endorsed and gate.premium_blocks():  # then nobody may liquidate
            return False
        executed = [self._try(gate, candidate, action) for candidate in list(self.flagged[address].values())]
        return True in executed

    def _unflag_recovered(self, gate: Gate) -> None:
        """Note who has recovered since an earlier action's flag; unflag them where the rules do."""
        unflagged, flagged = self.unflagged[gate.market.address], self.flagged[gate.market.address]
        earlier = [
            trader
            for trader, candidate in flagged.items()
            if candidate.flag_action < self.number and (self.rules.unflags or not candidate.recovered)
        ]
        below = gate.flaggable({*earlier}) if earlier else None
        if below is None:
            return
        for trader in earlier:
            if trader not in below:
                flagged[trader].recovered = True
                if self.rules.unflags:
                    flagged[trader].was_unflagged, flagged[trader].is_flagged = True, False
                    unflagged[trader] = flagged.pop(trader)

    def _flag_below(self, action: Action, gate: Gate) -> None:
        """Flag the candidates that are below maintenance."""
        unflagged, flagged = self.unflagged[gate.market.address], self.flagged[gate.market.address]
        below = gate.flaggable(unflagged)
        if below is None:
            return
        for trader, candidate in [*unflagged.items()]:
            candidate.flag_rule_decided = True
            if trader in below:
                candidate.flagged_at, candidate.flag_price = action.time, gate.market.pool.spot
                candidate.flag_action, candidate.is_flagged = self.number, True
                flagged[trader] = unflagged.pop(trader)

    def _report_liquidatable(self, number: int, gate: Gate) -> None:
        """At the end of a block of the window: report accounts that only these rules could liquidate. Keepers do not try them."""
        actions, market = self.actions.in_order, gate.market
        last = number + 1 == len(actions) or actions[number + 1].log[0] != market.block
        if not last or self.guards.keeper != "historical" or self.rules.flag_rule != "v1" or market.clock < self.eager_from:
            return
        for trader in self._untried_below(gate):
            account = (market.address, trader)
            if account in self.actions.liquidated or account in self.liquidatable_here:
                continue
            if not self.actions.was_below(trader, market.address, market.block):
                self.liquidatable_here.add(account)
                self.results.append(Result(*account, None, "ELIGIBLE_HERE", Candidate(trader, []), market.clock, market.pool.spot))

    def _untried_below(self, gate: Gate) -> list[str]:
        """Accounts that may be flagged and that no keeper tries."""
        tried = self.unflagged[gate.market.address].keys() | self.flagged[gate.market.address].keys()
        below = gate.flaggable(gate.market.positions.keys() - tried)
        return [trader for trader in gate.market.positions if trader in below] if below else []

    def _try(self, gate: Gate, candidate: Candidate, action: Action) -> bool:
        """Liquidate a flagged account if the rules let anybody; True where it was liquidated."""
        market, past = gate.market, candidate.waiting[0] if candidate.waiting else None
        liquidator = past.liquidator if past else None
        endorsed = liquidator in self.guards.endorsed if liquidator else bool(self.guards.endorsed)
        assert candidate.flagged_at is not None
        position = market.position(candidate.trader)
        try:
            part = gate.part_to_close(position, past.part if past else None, self.fee_ratio)
            blocked = gate.limits_block(position.size if part is None else mul_integers(position.size, part))
            if blocked and not (endorsed and action.time - candidate.flagged_at >= self.guards.forced_delay):
                return False
            before = market.savepoint(candidate.trader)
            closed = market.close(candidate.trader) if part is None else market.close_part(candidate.trader, part, self.fee_ratio)
        except Reverts:
            return False
        if gate.v1_reverts(before.pool, closed, part, liquidator):
            market.restore(candidate.trader, before)
            return False
        fee = mul_integers(closed.notional, self.fee_ratio)
        halved = self.rules.partial is not None or (past is not None and past.halves_fee)
        self._liquidated(gate, candidate, closed, blocked, 0 if blocked else fee // 2 if halved else fee)
        return True

    def _liquidated(self, gate: Gate, candidate: Candidate, closed: Closed, forced: bool, fee: int) -> None:
        """Record a liquidation. Where a position is left and a historical liquidation still waits, keepers try the account again."""
        market, address, trader = gate.market, gate.market.address, candidate.trader
        past = candidate.waiting.pop(0) if candidate.waiting else None
        at_once = candidate.flag_action == self.number and not candidate.was_unflagged
        self.results.append(
            Result(
                market=address,
                trader=trader,
                past=past,
                outcome="FORCED" if forced else "LIQUIDATED" if at_once else "FLAGGED_THEN_LIQUIDATED",
                candidate=candidate,
                flagged_at=candidate.flagged_at,
                flag_price=candidate.flag_price,
                liquidated_at=market.clock,
                price=market.pool.spot,
                closed=closed,
                fee=fee,
            )
        )
        if past is None:
            self.early[address, trader] = len(self.results) - 1
        del self.flagged[address][trader]
        if market.position(trader).size == 0:
            self.results += [Result(address, trader, other, "NO_POSITION", candidate) for other in candidate.waiting]
        elif candidate.waiting:
            self.unflagged[address][trader] = Candidate(trader, candidate.waiting)

    def _position_ended(self, address: str, trader: str) -> None:
        """The trader's own action ended the position: keepers stop trying it."""
        candidate = self.unflagged[address].pop(trader, None) or self.flagged[address].pop(trader, None)
        if candidate is not None:
            self._end_unliquidated(address, candidate, None)

    def _end_unliquidated(self, address: str, candidate: Candidate, equity: int | None) -> None:
        """Record a candidate that ends without a liquidation. The equity belongs to the account, so only its first row states it."""
        if candidate.is_flagged:
            outcome = "FLAGGED" if candidate.limits_decided else "NO_INDEX"
        elif candidate.was_unflagged:
            outcome = "FLAGGED_THEN_RECOVERED"
        else:
            outcome = "NEVER_FLAGGED" if candidate.flag_rule_decided else "NO_INDEX"
        waiting: Sequence[PastLiquidation | None] = candidate.waiting or ([None] if candidate.flagged_at is not None else [])
        for n, past in enumerate(waiting):
            result = Result(address, candidate.trader, past, outcome, candidate, candidate.flagged_at, candidate.flag_price)
            self.results.append(replace(result, equity_at_end=None if n else equity))
