"""One trader or one transaction, from log to claim, as arithmetic that anybody can redo.

Each step prints the rule in names, the same with its numbers, and the value. The numbers read as Python over exact fractions, with
trunc(x) cutting x towards zero at the 18th place; evaluating them gives the base units that are paid.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import polars as pl

from perpcomp import arithmetic, fixed, formula, payouts
from perpcomp.arithmetic import number
from perpcomp.decide.published import entitled
from perpcomp.findings import near_miss, refusal
from perpcomp.incident import Incident
from perpcomp.pipeline import Run
from perpcomp.replay.contract import Reserves, out_price
from perpcomp.systems.perpetual_v1.lives import ORDER
from perpcomp.valuation import valued_at
from perpcomp.vesting import in_words

Row = Mapping[str, Any]


def explain(run: Run, who: str) -> list[str]:
    """The lines that answer "why this number?" for a trader's address or a transaction hash. InputError where neither is known."""
    key = who.strip().lower()
    column = {42: "trader", 66: "transaction_hash"}.get(len(key))
    if column is None or not key.startswith("0x"):
        raise refusal(
            f"'{who}'",
            "is neither an address (0x and 40 hex digits) nor a transaction hash (0x and 64).",
            "Copy it from 2-liquidations.csv.",
        )
    mine = run.liquidations.filter(pl.col(column) == key)
    if mine.is_empty():
        return list(_not_liquidated(run, column, key))
    lines = []
    for row in mine.iter_rows(named=True):
        lines += [*_liquidation(run, row), ""]
    for trader in mine.filter("eligible").get_column("trader").unique(maintain_order=True):
        lines += [*_payout(run, trader), ""]
    return lines[:-1]


def _not_liquidated(run: Run, column: str, key: str) -> Iterator[str]:
    left = run.left_out.filter(pl.col(column) == key)
    seen = run.events.table.filter(pl.col(column) == key)
    for trader, code, reason in left.select("trader", "reason_code", "reason").iter_rows():
        yield f"{trader} is not paid: {reason} ({code})."
    if left.is_empty() and seen.height:
        first, last = seen["block_time"].min(), seen["block_time"].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        yield f"{key} was never liquidated in this input. It has {seen.height} position changes from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC."
    elif left.is_empty():
        known = run.liquidations.get_column(column).unique().to_list()
        near = near_miss(key, known).split("?")[0] + "?" if "Did you mean" in near_miss(key, known) else "Nobody is called nearly so."
        raise refusal(f"'{key}'", "has no event in this input.", near)


def _step(name: str, rule: str, numbers: str, value: str, note: str = "") -> Iterator[str]:
    """`name = rule`, `= numbers`, `= value`; the second line falls away where it says no more than the third."""
    pad = " " * (2 + len(name))
    yield f"  {name} = {rule}" + (f"    [{note}]" if note else "")
    if numbers not in (value, value.split(" ")[0]):
        yield f"{pad} = {numbers}"
    yield f"{pad} = {value}"


def _liquidation(run: Run, row: Row) -> Iterator[str]:
    log = run.events.table.filter((pl.col("block_number") == row["block_number"]) & (pl.col("log_index") == row["log_index"])).row(
        0, named=True
    )
    n = {name: number(arithmetic.term(value)) for name, value in {**log, **row}.items()}
    part = "in part " if row["partial"] else ""
    yield f"{row['trader']}: a {row['side']} in {row['market_name']}, liquidated {part}at {row['block_time']:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  tx {row['transaction_hash']} log {row['log_index']}, block {row['block_number']}, life {row['life']} of this position, by {row['liquidator']}"
    yield from _stated_before(run, row, n) if row["era"] is None else _stated_by_the_event(run, row, log, n)
    yield from _since_crash(row, n)
    yield from _valuation(run, row, n)
    if not row["eligible"]:
        yield f"  not compensated: {row['reason']} ({row['reason_code']})"
        return
    yield f"  compensated: {row['reason']}"
    yield from _entitlement(run, row, n)


def _stated_by_the_event(run: Run, row: Row, log: Row, n: Mapping[str, str]) -> Iterator[str]:
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
    yield from _step(
        "size",
        "position_size_after - exchanged_position_size",
        f"{number(arithmetic.term(log['position_size_after']))} - {n['exchanged_position_size']}",
        f"{n['size']} base",
    )
    yield from _margin(row, log, n)
    yield from _open_notional(run, row, n)


def _stated_before(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """Size, margin and open notional from the position's PositionModified before the liquidation, which settled it last."""
    mine = (pl.col("trader") == row["trader"]) & (pl.col("market") == row["market"]) & _before(row)
    last = run.events.others["PositionModified"].filter(mine).sort(ORDER).row(-1, named=True)
    size, price = (number(arithmetic.term(last[name])) for name in ("size", "last_price"))
    yield f"  PositionModified before it, which settled the position last: tx {last['transaction_hash']} log {last['log_index']}"
    yield from _step("size", "size that it left", size, f"{n['size']} base")
    yield from _step("margin", "margin that it stored", number(arithmetic.term(last["margin"])), f"{n['margin']} USDC")
    yield from _step("open_notional", "trunc(abs(size) * its last_price)", f"trunc(abs({size}) * {price})", f"{n['open_notional']} USDC")


def _before(row: Row) -> pl.Expr:
    """Earlier than a row's log."""
    number, place = pl.lit(row["block_number"]), pl.lit(row["log_index"])
    return (pl.col("block_number") < number) | ((pl.col("block_number") == number) & (pl.col("log_index") < place))


def _margin(row: Row, log: Row, n: Mapping[str, str]) -> Iterator[str]:
    """The margin identity of the row's era."""
    era = f"era {row['era']}, told by {row['era_rule']}"
    penalty, bad_debt, realized, funding = (n[name] for name in ("liquidation_penalty", "bad_debt", "realized_pnl", "funding_payment"))
    value = f"{n['margin']} USDC"
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
    yield from _step("margin", rule, numbers, value, era)


def _open_notional(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    if row["open_notional"] is None:
        yield "  open_notional is not known: the earlier events of this life are not all in the logs"
        return
    value = f"{n['open_notional']} USDC"
    if not row["partial"]:
        sign = "-" if row["side"] == "long" else "+"
        yield from _step(
            "open_notional", f"position_notional {sign} realized_pnl", f"{n['position_notional']} {sign} {n['realized_pnl']}", value
        )
        return
    mine = (pl.col("trader") == row["trader"]) & (pl.col("market") == row["market"])
    before = run.events.table.filter(mine & _before(row)).sort(ORDER)
    opened = before.with_row_index("n").filter(pl.col("kind") == "open").get_column("n").max()
    assert isinstance(opened, int)
    moves = []
    for event in before.slice(opened).iter_rows(named=True):
        sign = "+" if event["exchanged_position_size"] > 0 else "-"
        moves.append(f"{sign} {number(arithmetic.term(event['position_notional']))} + {number(arithmetic.term(event['realized_pnl']))}")
        yield f"    {event['kind']}: position_notional {number(arithmetic.term(event['position_notional']))}, realized_pnl {number(arithmetic.term(event['realized_pnl']))}, tx {event['transaction_hash']} log {event['log_index']}"
    yield from _step(
        "open_notional",
        "abs(sum of +-position_notional + realized_pnl over the life's events)",
        f"abs({' '.join(moves).removeprefix('+ ')})",
        value,
    )


def _since_crash(row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """What this life was before the crash, and what its trader did with it since."""
    if row["size_before_crash"] is None:
        yield "  before the crash: the logs do not tell what this position was"
        return
    if row["size_before_crash"] == 0:
        yield "  before the crash: this position was not open"
        return
    done = {
        "margin added": "margin_added",
        "margin removed": "margin_removed",
        "increased by": "size_added",
        "reduced by": "size_reduced",
    }
    since = [f"{words} {n[name]}" for words, name in done.items() if row[name]]
    stood = ", ".join(f"{name} {n[f'{name}_before_crash']}" for name in ("size", "margin", "open_notional"))
    yield f"  before the crash: {stood}; since then {', '.join(since) or 'unchanged by its trader'}"


def _valuation(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """What the position was worth, by [valuation]."""
    valuation, incident = run.incident.valuation, run.incident
    cited = f"; {_sources(incident, valuation.source)}" if valuation.source else ""
    if valuation.at is not None:
        assert run.replayed is not None
        block, _ = valued_at(row, incident, run.replayed)
        parts = ", ".join(f"{name} {n[f'{name}_at_reference']}" for name in ("size", "margin", "open_notional", "funding"))
        yield f"  valued at block {block}: {parts}, replayed from the logs{cited}"
    if row["notional_at_reference"] is None:
        yield "  its value at the reference is not known"
        return
    value = f"{n['notional_at_reference']} USDC"
    if row["reference_price"] is not None:
        of = {
            "reference": f"{_sources(incident, _market_source(incident, row['market']))}",
            "mark": "the market's spot price",
            "index": "the market's index price",
        }.get(valuation.price, f"by {valuation.price}")
        note = f"reference price {n['reference_price']}: {of}{cited if valuation.price != 'reference' else ''}"
        numbers = f"trunc(abs({n['size_at_reference']}) * {n['reference_price']})"
        yield from _step("notional_at_reference", "trunc(abs(size_at_reference) * reference_price)", numbers, value, note)
    else:
        yield from _on_the_curve(run, row, value, cited)
    opened, worth = n["open_notional_at_reference"], n["notional_at_reference"]
    if row["unrealized_pnl_at_reference"] is not None:
        long = row["side"] == "long"
        yield from _step(
            "unrealized_pnl_at_reference",
            "notional_at_reference - open_notional" if long else "open_notional - notional_at_reference",
            f"{worth} - {opened}" if long else f"{opened} - {worth}",
            f"{n['unrealized_pnl_at_reference']} USDC",
        )


def _on_the_curve(run: Run, row: Row, value: str, cited: str) -> Iterator[str]:
    """What closing would move, by the pool, or by the pools of the 15 minutes before, each for its seconds."""
    assert run.replayed is not None
    block, now = valued_at(row, run.incident, run.replayed)
    place, size = run.replayed.place(row["market"], block, now), fixed.to_integer(row["size_at_reference"])
    rule = "abs(trunc(trunc(quote * base) / (base + size)) - quote), rounded against the trader"
    if run.incident.valuation.price == "curve":
        assert place.pool is not None
        note = f"closing it on the pool of block {block}{cited}"
        yield from _step("notional_at_reference", rule, _closing(size, place.pool), value, note)
        return
    assert place.average is not None
    parts = []
    for pool, seconds in place.average.pools:
        worth = number(out_price(size, pool))
        parts.append(f"{worth} * {seconds}")
        yield from _step(f"closing on the pool of {seconds} seconds", rule, _closing(size, pool), worth)
    note = f"the average before block {block + 1}{cited}"
    numbers = f"trunc(({' + '.join(parts)}) / {place.average.seconds})"
    yield from _step("notional_at_reference", "trunc(sum(closing * seconds) / all seconds)", numbers, value, note)


def _closing(size: int, pool: Reserves) -> str:
    """What closing `size` on a pool moves, as arithmetic. Opening it moves what closing -size does."""
    quote, base, signed = number(pool.quote), number(pool.base), number(size)
    exact = f"abs(trunc(trunc({quote} * {base}) / ({base} + {signed})) - {quote})"
    off = out_price(size, pool) - abs(pool.product // (pool.base + size) - pool.quote)
    return f"{exact} {'+' if off > 0 else '-'} {number(abs(off))}" if off else exact


def _restored(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """What opening it again costs, where [restore] puts it on the curve and the formula reads that."""
    restore = run.incident.restore
    if restore is None or row["restore_notional"] is None or "restore_notional" not in formula.reads(run.formula):
        return
    listed = run.in_kind.filter((pl.col("block_number") == row["block_number"]) & (pl.col("log_index") == row["log_index"]))
    quote, base, turn = listed.select("quote_reserve", "base_reserve", "turn").row(0)
    pool, size = Reserves.of(fixed.to_integer(quote), fixed.to_integer(base)), fixed.to_integer(row["size_at_reference"])
    rule = "abs(trunc(trunc(quote * base) / (base - size)) - quote), rounded against the trader"
    place = "alone" if turn is None else f"number {turn}, {restore.order}"
    note = f"opened again {place}, on a pool of {number(pool.quote)} USDC and {number(pool.base)} base; {_sources(run.incident, restore.source)}"
    yield from _step("restore_notional", rule, _closing(-size, pool), f"{n['restore_notional']} USDC", note)
    spread = number(arithmetic.term(restore.spread))
    numbers = f"trunc({n['restore_notional']} * {spread})"
    yield from _step("restore_fee", "trunc(restore_notional * spread)", numbers, f"{n['restore_fee']} USDC")


def _entitlement(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    yield from _restored(run, row, n)
    node = formula.tree(run.formula)
    value = arithmetic.evaluate(node, row)
    if value is None:
        yield f"  {run.formula.name} = {arithmetic.text(node)}: not known, so nothing is paid for this row"
        return
    given = number(value)
    yield from _step(run.formula.name, arithmetic.text(node), arithmetic.text(node, row), f"{given} USDC", run.formula.source)
    whole, part = abs(fixed.to_integer(row["size"])), fixed.to_integer(row["compensated_size"])
    if part != whole:
        assert isinstance(value, int)
        scaled = number(fixed.truncate(value * part, whole))
        yield from _step(
            "entitlement",
            f"trunc({run.formula.name} * compensated_size / size)",
            f"trunc({given} * {n['compensated_size']} / {number(whole)})",
            f"{scaled} USDC",
            f"a part of the life survived: {run.incident.eligibility.surviving_life}",
        )


def _payout(run: Run, trader: str) -> Iterator[str]:
    paid = run.payouts.filter(pl.col("trader") == trader)
    first = paid.row(0, named=True)
    entitlement = number(arithmetic.term(first["entitlement"]))
    eligible = run.liquidations.filter("eligible")
    values = payouts.compensated(formula.entitlements(run.formula, eligible), eligible)
    own = [v or 0 for v, t in zip(values, eligible["trader"], strict=True) if t == trader]
    yield f"{trader}: {first['liquidations']} compensated, paid by {run.formula.name} of {number(entitled(run.payouts))} USDC in all"
    if any(p.stops for p in run.problems):
        yield f"  nothing is paid: {payouts.STOPPED}"
        return
    yield from _step("entitlement", "sum over the liquidations", " + ".join(number(v) for v in own), f"{entitlement} USDC")
    last = run.incident.settlement[-1].token
    for leg, row in zip(
        run.incident.settlement,
        paid.sort(pl.col("token").replace_strict({g.token: i for i, g in enumerate(run.incident.settlement)})).iter_rows(named=True),
        strict=True,
    ):
        value, price = number(arithmetic.term(row["value"])), number(arithmetic.term(row["price"]))
        if leg.share != 1:
            others = " - ".join(number(arithmetic.term(v)) for t, v in paid.select("token", "value").iter_rows() if t != last)
            numbers = f"{entitlement} - {others}" if leg.token == last else f"trunc({entitlement} * {leg.share})"
            yield from _step(
                f"value in {leg.token}",
                "entitlement - the other legs" if leg.token == last else "trunc(entitlement * share)",
                numbers,
                f"{value} USDC",
            )
        note = f"price {price} USDC per {leg.token}: {leg.price_policy}; {_sources(run.incident, leg.source)}"
        yield from _step(
            f"{leg.token} base units",
            f"floor(value * 10**{leg.decimals} / price)",
            f"floor({value} * 10**{leg.decimals} / {price})",
            row["amount_base_units"],
            note,
        )
        if row["reason"]:
            yield f"  {row['reason']}"
        for claim in run.claims.filter((pl.col("trader") == trader) & (pl.col("token") == leg.token)).iter_rows(named=True):
            yield f"    tranche {claim['tranche']}: {claim['amount_base_units']} base units from {claim['unlocks_at']:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  vesting: {in_words(run.incident.vesting)} [{_sources(run.incident, run.incident.vesting.source)}]"


def _market_source(incident: Incident, market: str) -> tuple[str, ...]:
    return next(m.source for m in incident.markets if m.amm == market)


def _sources(incident: Incident, keys: tuple[str, ...]) -> str:
    """The texts behind source keys, in one line."""
    return "; ".join(f"{key}: {incident.sources[key].text}" for key in keys)
