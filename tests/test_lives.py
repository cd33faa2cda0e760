"""The columns of lives.py against one event after the other in plain Python, on positions that no contract would make."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp import fixed
from perpcomp.systems.perpetual_v1.events import MARGIN_CHANGED, POSITION_ADJUSTED
from perpcomp.systems.perpetual_v1.lives import CLOSING, EVENT
from tests import build

pytestmark = [pytest.mark.money, pytest.mark.property]

START = datetime(2021, 1, 1, tzinfo=UTC)
AMOUNTS = ("margin", "exchanged_position_size", "position_notional", "realized_pnl", "position_size_after", "amount")
KINDS = ("open", "increase", "reduce", "reverse", "close", *CLOSING)
NUMBER = st.integers(-3, 3)

LOGS = st.lists(
    st.fixed_dictionaries(
        {
            "table": st.sampled_from(["event", "event", MARGIN_CHANGED.name, POSITION_ADJUSTED.name]),
            "trader": st.sampled_from(["a", "b"]),
            "market": st.sampled_from(["x", "y"]),
            "kind": st.sampled_from(KINDS),
            "margin": st.integers(0, 3),
            "position_notional": st.integers(0, 3),
            **dict.fromkeys(("exchanged_position_size", "realized_pnl", "position_size_after", "amount"), NUMBER),
        }
    ),
    min_size=1,
    max_size=25,
)


def frame(logs: list[dict[str, Any]]) -> pl.DataFrame:
    texts = dict.fromkeys(("trader", "market", "kind"), pl.String())
    numbers = dict.fromkeys(("block_number", "log_index"), pl.Int64())
    schema = texts | numbers | {"block_time": pl.Datetime("us", "UTC")} | dict.fromkeys(AMOUNTS, pl.Int128())
    amounts = pl.col(AMOUNTS).reinterpret(dtype=fixed.AMOUNT)
    return pl.DataFrame([{name: log[name] for name in schema} for log in logs], schema=schema).with_columns(amounts)


def told(logs: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Of each liquidation of one position: life, opened_at, leverage, open notional, margin, and whether nothing is missing."""
    first = next(log for log in logs if log["table"] == "event")
    life = 0 if first["kind"] in ("open", "reverse") else 1
    size = notional = base = margin = opened = leverage = None
    signed, whole, found = 0, True, []
    for log in logs:
        if log["table"] == MARGIN_CHANGED.name:
            margin = None if margin is None else margin + log["amount"]
        elif log["table"] == POSITION_ADJUSTED.name:
            size = log["position_size_after"]
        else:
            exchanged, notional = log["exchanged_position_size"], log["position_notional"]
            if log["kind"] == "open":
                base, whole = signed, True
            elif size is not None and log["position_size_after"] - exchanged != size:
                whole = False
            before = None if base is None or not whole else abs(signed - base)
            signed += (notional if exchanged > 0 else -notional) + log["realized_pnl"]
            if log["kind"] in ("open", "reverse"):
                life, opened = life + 1, log["block_time"]
                known = whole and base is not None and log["margin"]
                leverage = abs(signed - base) * fixed.ONE // log["margin"] if known else None
            if log["kind"] in CLOSING:
                found.append((log["block_number"], life, opened, leverage, before, margin, whole))
            size, margin = log["position_size_after"], log["margin"]
    return found


@given(LOGS)
def test_each_liquidation_has_the_life_that_one_event_after_the_other_tells(drawn: list[dict[str, Any]]) -> None:
    # Positions whose logs lie among each other, over as many blocks as a chain makes in years.
    logs = [log | {"block_number": n * 5_000_000, "log_index": 0, "block_time": START + timedelta(hours=n)} for n, log in enumerate(drawn)]
    events = frame([log for log in logs if log["table"] == "event"]).select(EVENT)
    moved = frame([log for log in logs if log["table"] == MARGIN_CHANGED.name]).with_columns(fixed.amount(0).alias("funding_payment"))
    adjusted = frame([log for log in logs if log["table"] == POSITION_ADJUSTED.name]).with_columns(new_position_size="position_size_after")
    found = build.lives(events, {MARGIN_CHANGED.name: moved, POSITION_ADJUSTED.name: adjusted}, pl.lit(False))
    amounts = pl.col("leverage_at_open", "open_notional_replayed", "margin_replayed").reinterpret(dtype=pl.Int128)
    columns = ("block_number", "life", "opened_at", "leverage_at_open", "open_notional_replayed", "margin_replayed", "continuous")
    positions = {(log["trader"], log["market"]) for log in logs if log["table"] == "event"}
    expected = [row for one in positions for row in told([log for log in logs if (log["trader"], log["market"]) == one])]
    assert sorted(found.with_columns(amounts).select(columns).rows()) == sorted(expected)
