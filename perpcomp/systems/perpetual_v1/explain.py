"""Size, margin and open notional of a Perpetual Protocol V1 position, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp.arithmetic import plain, term
from perpcomp.steps import Row, Step, earlier_than
from perpcomp.systems.perpetual_v1.lives import ORDER

SAID = (
    *("margin", "position_notional", "exchanged_position_size", "position_size_after"),
    *("realized_pnl", "bad_debt", "liquidation_penalty", "funding_payment"),
)


def position(events: pl.LazyFrame, _: Mapping[str, pl.LazyFrame], row: Row, log: Row, n: Mapping[str, str], quote: str) -> Iterator[Step]:
    """Size, margin and open notional from the liquidation's own PositionChanged."""
    said = {name: plain(term(log[name])) for name in SAID}
    yield Step("PositionChanged says", values=said)
    sizes = {name: said[name] for name in ("position_size_after", "exchanged_position_size")}
    yield Step("size", n["size"], "position_size_after - exchanged_position_size", sizes, "base")
    yield _margin(row, {**said, "margin_after": said["margin"]}, n, quote)
    yield from _open_notional(events, row, n, quote)


def _margin(row: Row, said: Mapping[str, str], n: Mapping[str, str], quote: str) -> Step:
    """The margin identity of the row's era."""
    if row["margin"] is None:
        return Step("margin is unknown", "nothing in the logs or the incident file determines which of its two meanings the event has")
    if row["era"] == 1:
        signs = {"liquidation_penalty": "", "bad_debt": " - ", "realized_pnl": " - ", "funding_payment": " + "}
    elif row["partial"]:
        signs = {"margin_after": "", "liquidation_penalty": " + ", "realized_pnl": " - ", "funding_payment": " + "}
    elif row["bad_debt"]:
        signs = {"bad_debt": "-", "realized_pnl": " - ", "funding_payment": " + "}
    else:
        signs = {"liquidation_penalty": ""}
    rule = "".join(f"{sign}{name}" for name, sign in signs.items())
    era = f"era {row['era']}, determined by {row['era_rule']}"
    return Step("margin", n["margin"], rule, {name: said[name] for name in signs}, quote, era)


def _open_notional(events: pl.LazyFrame, row: Row, n: Mapping[str, str], quote: str) -> Iterator[Step]:
    if row["open_notional"] is None:
        yield Step("open_notional is unknown", "the earlier events of this life are not all in the logs")
        return
    if not row["partial"]:
        rule = f"position_notional {'-' if row['side'] == 'long' else '+'} realized_pnl"
        values = {name: n[name] for name in ("position_notional", "realized_pnl")}
        yield Step("open_notional", n["open_notional"], rule, values, quote)
        return
    mine = (pl.col("trader") == row["trader"]) & (pl.col("market") == row["market"])
    before = events.filter(mine & earlier_than(row)).sort(ORDER).collect()
    opened = before.with_row_index("n").filter(pl.col("kind") == "open").get_column("n").max()
    assert isinstance(opened, int)
    moves, values = "", dict[str, str]()
    for number, event in enumerate(before.slice(opened).iter_rows(named=True), 1):
        own = {name: plain(term(event[name])) for name in ("position_notional", "realized_pnl")}
        yield Step(event["kind"], values=own, transaction=event["transaction_hash"], log=event["log_index"], depth=4)
        sign = "+" if event["exchanged_position_size"] > 0 else "-"
        moves += f" {sign} position_notional_{number} + realized_pnl_{number}"
        values |= {f"{name}_{number}": value for name, value in own.items()}
    yield Step("open_notional", n["open_notional"], f"abs({moves.removeprefix(' + ').lstrip()})", values, quote)
