"""A position before the crash, its value, and the cost of opening it again, as arithmetic."""

from collections.abc import Iterator, Mapping

from perpcomp import arithmetic, fixed, formula
from perpcomp.arithmetic import number, plain
from perpcomp.curve import Reserves, out_price
from perpcomp.price_file import price_file, priced_at
from perpcomp.rules.named import formulas_of
from perpcomp.run import RunTables
from perpcomp.steps import Row, Step, market_source, source_texts
from perpcomp.systems.system import find
from perpcomp.systems.units import units
from perpcomp.tables.schema import CSV_TIME, LOG_KEY
from perpcomp.valuation import valued_at

CHANGES = {"margin added": "margin_added", "margin removed": "margin_removed", "increased by": "size_added", "reduced by": "size_reduced"}


def since_crash_steps(row: Row, n: Mapping[str, str]) -> Iterator[Step]:
    """The state of this life before the crash, and what its trader changed since."""
    if row["size_before_crash"] is None:
        yield Step("before the crash", "the position's state cannot be determined from the logs")
        return
    if row["size_before_crash"] == 0:
        yield Step("before the crash", "this position was not open")
        return
    yield Step("before the crash", values={name: n[f"{name}_before_crash"] for name in ("size", "margin", "open_notional")})
    since = {words: n[name] for words, name in CHANGES.items() if row[name]}
    yield Step("since then", "" if since else "unchanged by its trader", values=since)


def valuation_steps(run: RunTables, row: Row, n: Mapping[str, str]) -> Iterator[Step]:
    """The value of the position, by [valuation]."""
    valuation, incident = run.incident.valuation, run.incident
    quote = units(incident).quote
    cited = f"; {source_texts(incident, valuation.source)}" if valuation.source else ""
    if valuation.at is not None:
        assert run.replayed is not None
        block, _ = valued_at(row, incident, run.replayed)
        parts = {name: n[f"{name}_at_reference"] for name in ("size", "margin", "open_notional", "funding")}
        yield Step(f"valued at block {block}", values=parts, source=f"replayed from the logs{cited}")
    if row["notional_at_reference"] is None:
        yield Step("its value at the reference", "unknown")
        return
    if row["reference_price"] is not None:
        of = {
            "reference": f"{source_texts(incident, market_source(incident, row['market']))}",
            "mark": "the market's spot price",
            "index": "the market's index price",
        }.get(valuation.price, _by_file(run, row))
        note = f"reference price {n['reference_price']}: {of}{cited if valuation.price != 'reference' else ''}"
        rule = "trunc(abs(size_at_reference) * reference_price)"
        yield _of_columns("notional_at_reference", rule, ("size_at_reference", "reference_price"), n, quote, note)
    else:
        yield from _on_the_curve(run, row, n, cited)
    if row["unrealized_pnl_at_reference"] is not None:
        name = "unrealized_pnl_at_reference"
        if find(incident.system).stores_entry_price:
            rule = "trunc(size_at_reference * (reference_price - entry_price))"
            yield _of_columns(name, rule, ("size_at_reference", "reference_price", "entry_price"), n, quote)
            return
        worth, opened = "notional_at_reference", "open_notional_at_reference"
        rule = f"{worth} - {opened}" if row["side"] == "long" else f"{opened} - {worth}"
        yield _of_columns(name, rule, (worth, opened), n, quote)


def _of_columns(name: str, rule: str, reads: tuple[str, ...], n: Mapping[str, str], unit: str, note: str = "") -> Step:
    """The step that computes one column of the liquidations table from others."""
    return Step(name, n[name], rule, {column: n[column] for column in reads}, unit, note)


def _on_the_curve(run: RunTables, row: Row, n: Mapping[str, str], cited: str) -> Iterator[Step]:
    """What closing the position moves: on one pool, or on the pools of the 15 minutes before, weighted by their seconds."""
    assert run.replayed is not None
    block, now = valued_at(row, run.incident, run.replayed)
    size, worth, quote = fixed.to_integer(row["size_at_reference"]), n["notional_at_reference"], units(run.incident).quote
    if run.incident.valuation.price == "curve":
        pool = run.replayed.pool(row["market"], block)
        assert pool is not None
        yield _moved("notional_at_reference", worth, size, pool, quote, f"closing it on the pool of block {block}{cited}")
        return
    average = run.replayed.average(row["market"], block, now)
    assert average is not None
    terms, values = [], {"all_seconds": str(average.seconds)}
    for k, (pool, seconds) in enumerate(average.pools, 1):
        closing = plain(out_price(size, pool))
        yield _moved(f"closing on the pool of {seconds} seconds", closing, size, pool, quote)
        terms.append(f"closing_{k} * seconds_{k}")
        values |= {f"closing_{k}": closing, f"seconds_{k}": str(seconds)}
    note = f"the average before block {block + 1}{cited}"
    yield Step("notional_at_reference", worth, f"trunc(({' + '.join(terms)}) / all_seconds)", values, quote, note)


def _moved(name: str, result: str, size: int, pool: Reserves, unit: str, note: str = "") -> Step:
    """What closing `size` on a pool moves. Opening a size moves what closing -size moves. A unit is rounded against the trader."""
    values = {"quote": plain(pool.quote), "base": plain(pool.base), "size": plain(size)}
    rule = "abs(trunc(trunc(quote * base) / (base + size)) - quote)"
    if off := out_price(size, pool) - abs(pool.product // (pool.base + size) - pool.quote):
        rule += f" {'+' if off > 0 else '-'} against_the_trader"
        values["against_the_trader"] = plain(abs(off))
    return Step(name, result, rule, values, unit, note)


def restored_steps(run: RunTables, row: Row, n: Mapping[str, str]) -> Iterator[Step]:
    """The cost of opening the position again, where [restore] opens it on the curve and the formula reads that cost."""
    restore = run.incident.restore
    if (
        restore is None
        or row["restore_notional"] is None
        or not any("restore_notional" in formula.reads(one) for one in formulas_of(run.formula))
    ):
        return
    listed = run.in_kind.filter(**{name: row[name] for name in LOG_KEY})
    quote, base, turn = listed.select("quote_reserve", "base_reserve", "turn").row(0)
    pool, size = Reserves.of(fixed.to_integer(quote), fixed.to_integer(base)), fixed.to_integer(row["size_at_reference"])
    unit, place = units(run.incident).quote, "alone" if turn is None else f"number {turn}, {restore.order}"
    note = f"opened again {place}, on a pool of {number(pool.quote)} {unit} and {number(pool.base)} base; {source_texts(run.incident, restore.source)}"
    yield _moved("restore_notional", n["restore_notional"], -size, pool, unit, note)
    values = {"restore_notional": n["restore_notional"], "spread": plain(arithmetic.term(restore.spread))}
    yield Step("restore_fee", n["restore_fee"], "trunc(restore_notional * spread)", values, unit)


def _by_file(run: RunTables, row: Row) -> str:
    """The row of the price file that values a position, and its age."""
    if run.input.prices is None:
        return ""
    moment = priced_at(row, run.incident, run.replayed)
    held = price_file(run.input.prices).held_at(row["market_name"], moment)
    assert held is not None  # it has a reference price
    age = int((moment - held[0]).total_seconds())
    return f"by {run.input.prices.name}, row of {held[0].strftime(CSV_TIME)}, {age} s old at {moment.strftime(CSV_TIME)}"
