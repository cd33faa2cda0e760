"""Compare the rules with recorded answers of the real Perps V2 contracts: every view, revert, event and minted amount, without tolerance."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

from perpcomp.findings import Finding, refusal
from perpcomp.fixed import ONE, mul_integers
from perpcomp.guards.rules import funding, margins, recorded, trading
from perpcomp.guards.rules.events import Event, FundingRecomputed, Revert
from perpcomp.guards.rules.liquidation import flag, force_liquidate, liquidate
from perpcomp.guards.rules.market import Flag, Market, Oracle, Order, State
from perpcomp.guards.rules.parameters import Parameters, from_names
from perpcomp.guards.rules.recorded import (
    Case,
    CaseView,
    Setup,
    Step,
    Vector,
    View,
)

TRADER = "A"
ENDORSED = "endorsed"


@dataclass
class Checked:
    """How many comparisons passed, and one finding for each that failed."""

    passed: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many comparisons failed."""
        return len(self.findings)

    def compare(self, where: str, name: str, got: object, expected: object) -> None:
        """Compare one value by the rules with the recorded one."""
        if got == expected:
            self.passed += 1
        else:
            self.findings.append(
                Finding("error", where, f"{name}: recorded {expected}, by the rules {got}.", "", code="recorded-answer-differs")
            )


def check(path: Path) -> Checked:
    """Compare every recorded value of a file with the rules of the deployed code. InputError where the file cannot be used."""
    content, checked = recorded.read(path), Checked()
    if isinstance(content, recorded.Vectors):
        for vector in content.vectors:
            with _possible(where := f"{path.name} vector {vector.id} ({vector.market})"):
                _check_vector(where, vector, checked)
    else:
        for case in content.cases:
            with _possible(where := f"{path.name} case {case.no}"):
                _check_case(where, case, content.setup, checked)
    return checked


@contextmanager
def _possible(where: str) -> Iterator[None]:
    """Refuse numbers that no contract holds, such as an index of no entry, or a word in a number's place."""
    try:
        yield
    except (ArithmeticError, LookupError, ValueError, Revert) as error:
        what = f"No contract can be in the recorded state: {error}."
        raise refusal(where, what, "Correct the file, or record it again.") from None


def _check_vector(where: str, vector: Vector, checked: Checked) -> None:
    market = opened(where, vector)
    _check_view(f"{where} view_before", market, vector.view_before, checked)
    _run(f"{where} steps", market, vector.steps, checked)
    _check_view(f"{where} view_after_flag", market, vector.view_after_flag, checked)
    market.oracle = replace(market.oracle, price=int(vector.new_price))
    _check_view(f"{where} view_before_liquidation", market, vector.view_before_liquidation, checked)
    _run(f"{where} liquidation_steps", market, vector.liquidation_steps, checked)
    _check_view(f"{where} view_end", market, vector.view_end, checked)
    for account, value in vector.minted.items():
        checked.compare(where, f"minted {account}", market.minted.get(account, 0), int(value))
    checked.compare(where, "entryDebtCorrectionEnd", market.state.debt_correction, int(vector.entry_debt_correction_end))


def opened(where: str, vector: Vector) -> Market:
    """The market of a vector before its first step, at the time of its first view."""
    given, stored = vector.input, vector.input.market
    order = given.order
    state = State(
        skew=int(stored.skew),
        size=int(stored.size),
        entries=[int(entry) for entry in stored.funding_sequence],
        rate=int(stored.funding_rate_last_recomputed),
        recomputed_at=stored.funding_last_recomputed,
        debt_correction=int(stored.entry_debt_correction),
        positions={TRADER: given.position.position()},
        orders={TRADER: Order(int(order.size_delta), int(order.keeper), int(order.commit))} if order else {},
        flags={TRADER: Flag(given.preflagged_by)} if given.preflagged_by else {},
    )
    index = state.positions[TRADER].last_funding_index
    if not 0 <= index < len(state.entries):
        raise refusal(where, f"lastFundingIndex is {index}, but fundingSequence has {len(state.entries)} entries.", "Correct the vector.")
    oracle = Oracle(int(stored.price), stored.invalid, stored.broken, stored.suspended, synth_suspended=stored.suspended)
    market = Market(_parameters(where, given.settings), oracle, vector.view_before.timestamp, state=state)
    market.endorsed = {ENDORSED}
    return market


def _parameters(where: str, settings: Mapping[str, recorded.Number]) -> Parameters:
    return from_names(f"{where} settings", {name: int(value) for name, value in settings.items()})


def views(market: Market) -> dict[str, object]:
    """What the views return for A now, by the field names of View."""
    position, price, parameters, state = market.position(TRADER), market.oracle.price, market.parameters, market.state
    now, can_liquidate = market.funding(), market.can_liquidate(TRADER)
    last = funding.Funding(state.entries[-1], state.rate, state.recomputed_at)
    empty = state.skew == 0 == state.debt_correction
    debt = 0 if empty else max(0, mul_integers(state.skew, price + now.entry) + state.debt_correction)
    return {
        "timestamp": market.now,
        "remaining_margin": market.remaining_margin(TRADER),
        "liquidation_margin": margins.liquidation_margin(position.size, price, parameters) if position.size else 0,
        "can_liquidate": can_liquidate,
        "flagged": TRADER in state.flags,
        "liquidation_fee_view": margins.keeper_fee(position.size, price, parameters) if can_liquidate else 0,
        "accrued_funding": market.accrued(TRADER),
        "profit_loss": margins.profit(position, price),
        "notional": mul_integers(position.size, price),
        "funding_rate": now.rate,
        "funding_velocity": funding.velocity(state.skew, parameters),
        "unrecorded_funding": funding.unrecorded(last, state.skew, price, market.now, parameters),
        "liquidation_price": margins.liquidation_price(position, price, now.entry - state.entries[position.last_funding_index], parameters),
        "fill_price_close": margins.fill_price(-position.size, price, state.skew, parameters),
        "market_skew": state.skew,
        "market_size": state.size,
        "market_debt": debt,
    }


def _check_view(where: str, market: Market, view: View | CaseView, checked: Checked) -> None:
    market.now, oracle = view.timestamp, market.oracle
    market.oracle = replace(oracle, broken=False)  # the recordings' ExchangeRates is a mock: only calls see its tripped breaker
    got = views(market) | {"price": oracle.price, "position": market.position(TRADER)}
    market.oracle = oracle
    for name, attribute in zip(view.__struct_encode_fields__, view.__struct_fields__, strict=True):
        expected = getattr(view, attribute)
        if isinstance(expected, recorded.StoredPosition):
            expected = expected.position()
        checked.compare(where, name, got[attribute], int(expected) if isinstance(expected, str) else expected)


# The contracts' calls -> functions of (market, sender, arguments).
CALLS: dict[str, Callable[[Market, str, Sequence[str]], list[Event]]] = {
    "flagPosition": lambda market, sender, args: flag(market, sender, args[0]),
    "liquidatePosition": lambda market, sender, args: liquidate(market, sender, args[0]),
    "forceLiquidatePosition": lambda market, sender, args: force_liquidate(market, sender, args[0]),
    "transferMargin": lambda market, sender, args: trading.transfer_margin(market, sender, int(args[0])),
    "withdrawAllMargin": lambda market, sender, args: trading.withdraw_all(market, sender),
    "modifyPosition": lambda market, sender, args: trading.modify(market, sender, int(args[0])),
    "closePosition": lambda market, sender, args: trading.close(market, sender),
    "submitDelayedOrder": lambda market, sender, args: trading.submit_order(market, sender, int(args[0])),
    "submitOffchainDelayedOrder": lambda market, sender, args: trading.submit_order(market, sender, int(args[0])),
    "submitCloseDelayedOrderWithTracking": lambda market, sender, args: trading.submit_close_order(market, sender),
    "executeDelayedOrder": lambda market, sender, args: trading.execute_order(market, sender, args[0]),
    "cancelDelayedOrder": lambda market, sender, args: trading.cancel_order(market, sender, args[0]),
}


def _run(where: str, market: Market, steps: Sequence[Step], checked: Checked) -> None:
    """Execute the steps in order, and compare the revert's text and the events of each."""
    for number, step in enumerate(steps):
        place = f"{where}[{number}] {step.call}"
        if step.call not in CALLS:
            raise refusal(place, f'"{step.call}" is not a call of a market.', f"Known: {', '.join(CALLS)}.")
        market.now = step.timestamp or _time(step, market.now)
        revert: str | None = None
        events: list[Event] = []
        try:
            events = CALLS[step.call](market, step.sender, step.args or [TRADER])
        except Revert as reverted:
            revert = reverted.reason.value
        checked.compare(place, "revert", revert, step.revert)
        _compare_events(place, [(type(event).__name__, [str(value) for value in event]) for event in events], step.events, checked)


def _time(step: Step, default: int) -> int:
    """The time that the step's own FundingRecomputed states; `default` where it has none."""
    stated = [int(arguments[-1]) for name, arguments in step.events if name == FundingRecomputed.__name__]
    return stated[0] if stated else default


def _compare_events(where: str, got: list[recorded.Event], expected: list[recorded.Event], checked: Checked) -> None:
    """Compare all events of a step as one value. The finding names the first difference."""
    if [event for event, _ in got] != [event for event, _ in expected]:
        return checked.compare(where, "events", [event for event, _ in got], [event for event, _ in expected])
    for number, ((event, mine), (_, theirs)) in enumerate(zip(got, expected, strict=True)):
        for argument, (value, other) in enumerate(zip_longest(mine, theirs)):
            if value != other:
                return checked.compare(where, f"events[{number}] {event} argument {argument}", value, other)
    return checked.compare(where, "events", got, expected)


def _check_case(where: str, case: Case, setup: Setup, checked: Checked) -> None:
    market = staged(where, case, setup)
    minted = {**market.minted}
    _check_view(f"{where} before", market, case.before, checked)
    _run(f"{where} steps", market, case.steps, checked)
    _check_view(f"{where} after", market, case.after, checked)
    for account, value in case.minted.items():
        checked.compare(where, f"minted {account}", market.minted.get(account, 0) - minted.get(account, 0), int(value))


def staged(where: str, case: Case, setup: Setup) -> Market:
    """The market of a scenario just before its first step, opened by the calls that the file's setup describes in words.

    A and B deposit 1,000 each; A buys 40, B buys 20; then the liquidator's fee is set. In case 3 A has a pending order of -10, in case 22
    C sells 70. An account that is flagged before the first step was flagged at the setup's flag price.
    """
    fees = {"takerFeeOffchainDelayedOrder": setup.fees.taker_fee, "makerFeeOffchainDelayedOrder": setup.fees.maker_fee}
    parameters = _parameters(where, setup.settings | fees | case.overrides)
    market = Market(replace(parameters, keeper_liquidation_fee=0), Oracle(int(setup.state.price)), setup.state.timestamp)
    market.endorsed = {ENDORSED}
    for account in (TRADER, "B"):
        trading.deposit(market, account, 1000 * ONE)
    for account, size in ((TRADER, 40), ("B", 20)):
        trading.modify(market, account, size * ONE)
    market.parameters = parameters
    if case.no == "3":
        trading.submit_order(market, TRADER, -10 * ONE)
    if case.no == "22":
        trading.deposit(market, "C", 10_000 * ONE)
        trading.modify(market, "C", -70 * ONE)
    if case.before.flagged:
        market.oracle = Oracle(int(setup.flag_price))
        flag(market, "flagger", TRADER)
    system = case.system or ""
    suspended = "suspended" in system
    market.oracle = Oracle(int(case.before.price), "invalid" in system, "circuit" in system, suspended, synth_suspended=suspended)
    market.through_proxy = "instead of the proxy" not in (case.setup or "")
    return market
