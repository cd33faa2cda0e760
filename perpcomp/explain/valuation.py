"""A position before the crash, its value, and the cost of opening it again, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp import arithmetic, fixed, formula
from perpcomp.arithmetic import number
from perpcomp.curve import Reserves, out_price
from perpcomp.price_file import price_file, priced_at
from perpcomp.run import Run
from perpcomp.steps import Row, market_source, source_texts, step
from perpcomp.systems.system import find
from perpcomp.systems.units import units
from perpcomp.tables.schema import CSV_TIME
from perpcomp.valuation import valued_at


def since_crash_steps(row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """The state of this life before the crash, and what its trader changed since."""
    if row["size_before_crash"] is None:
        yield "  before the crash: the position's state cannot be determined from the logs"
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


def valuation_steps(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """The value of the position, by [valuation]."""
    valuation, incident = run.incident.valuation, run.incident
    cited = f"; {source_texts(incident, valuation.source)}" if valuation.source else ""
    if valuation.at is not None:
        assert run.replayed is not None
        block, _ = valued_at(row, incident, run.replayed)
        parts = ", ".join(f"{name} {n[f'{name}_at_reference']}" for name in ("size", "margin", "open_notional", "funding"))
        yield f"  valued at block {block}: {parts}, replayed from the logs{cited}"
    if row["notional_at_reference"] is None:
        yield "  its value at the reference is unknown"
        return
    value = f"{n['notional_at_reference']} {units(run.incident).quote}"
    if row["reference_price"] is not None:
        of = {
            "reference": f"{source_texts(incident, market_source(incident, row['market']))}",
            "mark": "the market's spot price",
            "index": "the market's index price",
        }.get(valuation.price, _by_file(run, row))
        note = f"reference price {n['reference_price']}: {of}{cited if valuation.price != 'reference' else ''}"
        numbers = f"trunc(abs({n['size_at_reference']}) * {n['reference_price']})"
        yield from step("notional_at_reference", "trunc(abs(size_at_reference) * reference_price)", numbers, value, note)
    else:
        yield from _on_the_curve(run, row, value, cited)
    opened, worth = n["open_notional_at_reference"], n["notional_at_reference"]
    if row["unrealized_pnl_at_reference"] is not None:
        if find(incident.system).stores_entry_price:
            rule = "trunc(size_at_reference * (reference_price - entry_price))"
            numbers = f"trunc({n['size_at_reference']} * ({n['reference_price']} - {n['entry_price']}))"
            yield from step("unrealized_pnl_at_reference", rule, numbers, f"{n['unrealized_pnl_at_reference']} {units(run.incident).quote}")
            return
        long = row["side"] == "long"
        yield from step(
            "unrealized_pnl_at_reference",
            "notional_at_reference - open_notional" if long else "open_notional - notional_at_reference",
            f"{worth} - {opened}" if long else f"{opened} - {worth}",
            f"{n['unrealized_pnl_at_reference']} {units(run.incident).quote}",
        )


def _on_the_curve(run: Run, row: Row, value: str, cited: str) -> Iterator[str]:
    """What closing the position moves: on one pool, or on the pools of the 15 minutes before, weighted by their seconds."""
    assert run.replayed is not None
    block, now = valued_at(row, run.incident, run.replayed)
    size = fixed.to_integer(row["size_at_reference"])
    rule = "abs(trunc(trunc(quote * base) / (base + size)) - quote), rounded against the trader"
    if run.incident.valuation.price == "curve":
        pool = run.replayed.pool(row["market"], block)
        assert pool is not None
        note = f"closing it on the pool of block {block}{cited}"
        yield from step("notional_at_reference", rule, _closing(size, pool), value, note)
        return
    average = run.replayed.average(row["market"], block, now)
    assert average is not None
    parts = []
    for pool, seconds in average.pools:
        worth = number(out_price(size, pool))
        parts.append(f"{worth} * {seconds}")
        yield from step(f"closing on the pool of {seconds} seconds", rule, _closing(size, pool), worth)
    note = f"the average before block {block + 1}{cited}"
    numbers = f"trunc(({' + '.join(parts)}) / {average.seconds})"
    yield from step("notional_at_reference", "trunc(sum(closing * seconds) / all seconds)", numbers, value, note)


def _closing(size: int, pool: Reserves) -> str:
    """What closing `size` on a pool moves, as arithmetic. Opening a size moves what closing -size moves."""
    quote, base, signed = number(pool.quote), number(pool.base), number(size)
    exact = f"abs(trunc(trunc({quote} * {base}) / ({base} + {signed})) - {quote})"
    off = out_price(size, pool) - abs(pool.product // (pool.base + size) - pool.quote)
    return f"{exact} {'+' if off > 0 else '-'} {number(abs(off))}" if off else exact


def restored_steps(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """The cost of opening the position again, where [restore] opens it on the curve and the formula reads that cost."""
    restore = run.incident.restore
    if restore is None or row["restore_notional"] is None or "restore_notional" not in formula.reads(run.formula):
        return
    listed = run.in_kind.filter((pl.col("block_number") == row["block_number"]) & (pl.col("log_index") == row["log_index"]))
    quote, base, turn = listed.select("quote_reserve", "base_reserve", "turn").row(0)
    pool, size = Reserves.of(fixed.to_integer(quote), fixed.to_integer(base)), fixed.to_integer(row["size_at_reference"])
    rule = "abs(trunc(trunc(quote * base) / (base - size)) - quote), rounded against the trader"
    place = "alone" if turn is None else f"number {turn}, {restore.order}"
    note = f"opened again {place}, on a pool of {number(pool.quote)} {units(run.incident).quote} and {number(pool.base)} base; {source_texts(run.incident, restore.source)}"
    yield from step("restore_notional", rule, _closing(-size, pool), f"{n['restore_notional']} {units(run.incident).quote}", note)
    spread = number(arithmetic.term(restore.spread))
    numbers = f"trunc({n['restore_notional']} * {spread})"
    yield from step("restore_fee", "trunc(restore_notional * spread)", numbers, f"{n['restore_fee']} {units(run.incident).quote}")


def _by_file(run: Run, row: Row) -> str:
    """The row of the price file that values a position, and its age."""
    if run.input.prices is None:
        return ""
    moment = priced_at(row, run.incident, run.replayed)
    held = price_file(run.input.prices).held_at(row["market_name"], moment)
    assert held is not None  # it has a reference price
    age = int((moment - held[0]).total_seconds())
    return f"by {run.input.prices.name}, row of {held[0].strftime(CSV_TIME)}, {age} s old at {moment.strftime(CSV_TIME)}"
