"""Size, margin and open notional of a Perpetual Protocol V1 position, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp import arithmetic
from perpcomp.arithmetic import number
from perpcomp.steps import Row, earlier_than, step
from perpcomp.systems.perpetual_v1.lives import ORDER


def position(events: pl.LazyFrame, _: Mapping[str, pl.LazyFrame], row: Row, log: Row, n: Mapping[str, str], quote: str) -> Iterator[str]:
    """Size, margin and open notional from the liquidation's own PositionChanged."""
    yield "  PositionChanged says: " + ", ".join(
        f"{name} {number(arithmetic.term(log[name]))}"
        for name in (
            "margin",
            "position_notional",
            "exchanged_position_size",
            "position_size_after",
            "realized_pnl",
            "bad_debt",
            "liquidation_penalty",
            "funding_payment",
        )
    )
    yield from step(
        "size",
        "position_size_after - exchanged_position_size",
        f"{number(arithmetic.term(log['position_size_after']))} - {n['exchanged_position_size']}",
        f"{n['size']} base",
    )
    yield from _margin(row, log, n, quote)
    yield from _open_notional(events, row, n, quote)


def _margin(row: Row, log: Row, n: Mapping[str, str], quote: str) -> Iterator[str]:
    """The margin identity of the row's era."""
    if row["margin"] is None:
        yield "  margin is unknown: nothing in the logs or the incident file determines which of its two meanings the event has"
        return
    era = f"era {row['era']}, determined by {row['era_rule']}"
    penalty, bad_debt, realized, funding = (n[name] for name in ("liquidation_penalty", "bad_debt", "realized_pnl", "funding_payment"))
    value = f"{n['margin']} {quote}"
    after = number(arithmetic.term(log["margin"]))
    if row["era"] == 1:
        rule, numbers = (
            "liquidation_penalty - bad_debt - realized_pnl + funding_payment",
            f"{penalty} - {bad_debt} - {realized} + {funding}",
        )
    elif row["partial"]:
        rule, numbers = (
            "margin after + liquidation_penalty - realized_pnl + funding_payment",
            f"{after} + {penalty} - {realized} + {funding}",
        )
    elif row["bad_debt"]:
        rule, numbers = "-bad_debt - realized_pnl + funding_payment", f"-{bad_debt} - {realized} + {funding}"
    else:
        rule, numbers = "liquidation_penalty", penalty
    yield from step("margin", rule, numbers, value, era)


def _open_notional(events: pl.LazyFrame, row: Row, n: Mapping[str, str], quote: str) -> Iterator[str]:
    if row["open_notional"] is None:
        yield "  open_notional is unknown: the earlier events of this life are not all in the logs"
        return
    value = f"{n['open_notional']} {quote}"
    if not row["partial"]:
        sign = "-" if row["side"] == "long" else "+"
        yield from step(
            "open_notional", f"position_notional {sign} realized_pnl", f"{n['position_notional']} {sign} {n['realized_pnl']}", value
        )
        return
    mine = (pl.col("trader") == row["trader"]) & (pl.col("market") == row["market"])
    before = events.filter(mine & earlier_than(row)).sort(ORDER).collect()
    opened = before.with_row_index("n").filter(pl.col("kind") == "open").get_column("n").max()
    assert isinstance(opened, int)
    moves = []
    for event in before.slice(opened).iter_rows(named=True):
        sign = "+" if event["exchanged_position_size"] > 0 else "-"
        moves.append(f"{sign} {number(arithmetic.term(event['position_notional']))} + {number(arithmetic.term(event['realized_pnl']))}")
        yield f"    {event['kind']}: position_notional {number(arithmetic.term(event['position_notional']))}, realized_pnl {number(arithmetic.term(event['realized_pnl']))}, tx {event['transaction_hash']} log {event['log_index']}"
    yield from step(
        "open_notional",
        "abs(sum of +-position_notional + realized_pnl over the life's events)",
        f"abs({' '.join(moves).removeprefix('+ ')})",
        value,
    )
