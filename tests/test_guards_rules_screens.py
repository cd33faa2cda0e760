"""The rules on columns against the rules in integers, row by row: recorded states, boundaries to the wei, and arbitrary numbers."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.fixed import LIMIT, ONE, from_integer, mul_integers
from perpcomp.guards.rules import margins, recorded
from perpcomp.guards.rules.events import Reason
from perpcomp.guards.rules.margins import Position
from perpcomp.guards.rules.market import Market
from perpcomp.guards.rules.parameters import NAMES, Parameters
from perpcomp.guards.rules.profiles import DEPLOYED, SIP, Profile
from perpcomp.guards.rules.screens import POSITIONS, Snapshot, _exact, screen
from perpcomp.guards.rules.vectors import opened
from tests.test_guards_rules_vectors import VECTORS

FILE = recorded.read(VECTORS)
assert isinstance(FILE, recorded.Vectors)
MARKETS: list[Market] = [opened(Path(VECTORS).name, vector) for vector in FILE.vectors]
SNAPSHOTS = {str(n): Snapshot(market.parameters, market.oracle.price, market.state.skew) for n, market in enumerate(MARKETS)}
BOTH = pytest.mark.parametrize("profile", [DEPLOYED, SIP], ids=lambda profile: profile.name)

Row = tuple[str, Position, int]  # market, position, funding a unit


def recorded_rows() -> list[Row]:
    rows = []
    for n, market in enumerate(MARKETS):
        position = market.position("A")
        start = market.state.entries[position.last_funding_index]
        rows.append((str(n), position, market.funding().entry - start if position.last_funding_index else 0))
    return rows


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    cells = [(market, *map(from_integer, (p.size, p.margin, p.last_price, funding))) for market, p, funding in rows]
    return pl.DataFrame(cells, schema=POSITIONS, orient="row")


def by_the_machine(rows: Sequence[Row], markets: dict[str, Snapshot], profile: Profile) -> list[tuple[bool, bool, bool]]:
    verdicts = []
    for name, position, funding in rows:
        market = markets[name]
        accrued = mul_integers(position.size, funding)
        can = margins.can_liquidate(position, market.price, accrued, market.parameters, profile)
        impact = margins.price_impact(position.size, market.parameters) < market.parameters.max_liquidation_delta
        verdicts.append((can, impact, margins.premium(market.skew, market.parameters) < market.parameters.max_pd))
    return verdicts


def by_the_screen(rows: Sequence[Row], markets: dict[str, Snapshot], profile: Profile) -> list[tuple[object, ...]]:
    return screen(frame(rows), markets, profile).select("can_liquidate", "impact_passes", "premium_passes").rows()


@BOTH
def test_the_recorded_states(profile: Profile) -> None:
    rows = recorded_rows()
    assert by_the_screen(rows, SNAPSHOTS, profile) == by_the_machine(rows, SNAPSHOTS, profile)


def test_the_recorded_verdicts_of_the_contracts() -> None:
    """Not only ours: the view at that moment, and every guarded attempt that reached the guards."""
    verdicts = by_the_screen(recorded_rows(), SNAPSHOTS, DEPLOYED)
    guarded = 0
    for vector, market, (can, impact, premium) in zip(FILE.vectors, MARKETS, verdicts, strict=True):
        valid = not market.oracle.invalid and not market.oracle.suspended
        assert vector.view_before.can_liquidate == (can and valid)
        for step in vector.liquidation_steps:
            reached = step.revert in (None, Reason.IMPACT_EXCEEDED.value, Reason.PREMIUM_EXCEEDED.value)
            if step.call == "liquidatePosition" and reached:
                passes = Reason.IMPACT_EXCEEDED if not impact else Reason.PREMIUM_EXCEEDED if not premium else None
                assert step.revert == (passes.value if passes else None)
                guarded += 1
    assert guarded == 113


@BOTH
def test_a_margin_at_its_threshold_and_one_wei_off(profile: Profile) -> None:
    """Where floats leave it open, integers decide. States whose profit alone is enough have no threshold."""
    rows: list[Row] = []
    for name, position, funding in recorded_rows():
        market = SNAPSHOTS[name]
        needed = margins.liquidation_margin(position.size, market.price, market.parameters, profile)
        needed += margins.liquidation_premium(position.size, market.price, market.parameters) if profile is DEPLOYED else 0
        threshold = needed - margins.profit(position, market.price) - mul_integers(position.size, funding)
        if threshold > 0:
            rows += [(name, position._replace(margin=threshold + wei), funding) for wei in (-1, 0, 1)]
    expected = by_the_machine(rows, SNAPSHOTS, profile)
    assert by_the_screen(rows, SNAPSHOTS, profile) == expected
    verdicts = [can for can, *_ in expected]
    assert all(verdicts[n] and not verdicts[n + 2] for n in range(0, len(verdicts), 3))
    assert len(rows) > 450


AMOUNT = st.integers(0, 10**22) | st.integers(0, LIMIT - 1) | st.sampled_from([0, 1, ONE, LIMIT - 1])
SIGNED = st.builds(lambda value, sign: value * sign, AMOUNT, st.sampled_from([1, -1]))
FACTOR = st.integers(0, 2 * ONE) | st.sampled_from([0, 1, ONE, 10**22])


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    values = {name: draw(FACTOR) for name in NAMES.values()}
    scale = draw(st.integers(1, 10**31))
    return Snapshot(Parameters(**values | {"skew_scale": scale}), draw(AMOUNT), draw(SIGNED))


@st.composite
def rows_anywhere(draw: st.DrawFn) -> tuple[list[Row], dict[str, Snapshot], Profile]:
    market, profile = draw(snapshots()), draw(st.sampled_from([DEPLOYED, SIP]))
    rows: list[Row] = []
    for _ in range(draw(st.integers(1, 3))):
        position = Position(margin=draw(AMOUNT), last_price=draw(AMOUNT), size=draw(SIGNED))
        funding = draw(SIGNED)
        parameters = market.parameters
        needed = margins.liquidation_margin(position.size, market.price, parameters, profile)
        needed += margins.liquidation_premium(position.size, market.price, parameters)
        threshold = needed - margins.profit(position, market.price) - mul_integers(position.size, funding)
        near = threshold + draw(st.integers(-2, 2))
        for margin in (position.margin, near):
            if 0 <= margin < LIMIT:
                rows.append(("m", position._replace(margin=margin), funding))
    return rows, {"m": market}, profile


@pytest.mark.property
@given(rows_anywhere())
def test_any_numbers_a_column_can_hold(drawn: tuple[list[Row], dict[str, Snapshot], Profile]) -> None:
    """Products far beyond 128 bits included: nothing wraps, nothing is refused, nothing is rounded."""
    rows, markets, profile = drawn
    assert by_the_screen(rows, markets, profile) == by_the_machine(rows, markets, profile)


@pytest.mark.property
@given(snapshots(), st.integers(-2, 2))
def test_a_size_at_the_largest_that_passes(market: Snapshot, wei: int) -> None:
    largest = margins.largest_passing(market.parameters.max_liquidation_delta, market.parameters.skew_scale)
    size = max(0, min(largest + wei, LIMIT - 1))
    rows = [("m", Position(margin=ONE, last_price=ONE, size=sign * size), 0) for sign in (1, -1)]
    assert by_the_screen(rows, {"m": market}, DEPLOYED) == by_the_machine(rows, {"m": market}, DEPLOYED)


def test_only_rows_that_floats_cannot_decide_are_computed_in_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the columns would save no time."""
    sent: list[int] = []

    def counted(rows: pl.DataFrame, markets: dict[str, Snapshot], profile: Profile) -> pl.DataFrame:
        sent.append(rows.height)
        return _exact(rows, markets, profile)

    monkeypatch.setattr("perpcomp.guards.rules.screens._exact", counted)
    rows = [(name, p._replace(margin=2 * p.margin + n * ONE), f) for name, p, f in recorded_rows() for n in range(1, 4)]
    screen(frame(rows), SNAPSHOTS)
    assert sent == [0]


def test_a_position_of_an_unknown_market_is_refused() -> None:
    rows = [(name + "x", position, funding) for name, position, funding in recorded_rows()[:2]]
    with pytest.raises(InputError, match="0x: 2 positions are in this market, which has no snapshot"):
        screen(frame(rows), {"0": SNAPSHOTS["0"]})


def test_a_frame_with_other_columns_fails_an_assertion() -> None:
    good = frame(recorded_rows()[:2])
    for bad in (
        good.drop("funding"),
        good.with_columns(pl.col("size").cast(pl.Float64)),
        good.with_columns(size=pl.lit(None, dtype=good.schema["size"])),
    ):
        with pytest.raises(AssertionError, match="positions: "):
            screen(bad, SNAPSHOTS)
