"""From a formula to base units and tranches, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp import arithmetic, fixed, formula, payouts
from perpcomp.arithmetic import plain, term
from perpcomp.entitlement import given
from perpcomp.explain.rule import in_exact, rule_steps
from perpcomp.explain.valuation import restored_steps
from perpcomp.formula import Formula
from perpcomp.incident.settlement import Leg
from perpcomp.number_text import counted
from perpcomp.payouts import Exact
from perpcomp.rules.named import NamedRule, formulas_of
from perpcomp.run import RunTables
from perpcomp.steps import HEADING, Row, Step, source_texts
from perpcomp.systems.units import units
from perpcomp.vesting.schedule import day_in_words
from perpcomp.vesting.words import claims_end, in_words


def entitlement_steps(run: RunTables, row: Row, n: Mapping[str, str]) -> Iterator[Step]:
    """What the formula gives one liquidation, or each formula that the rule begins with, and the part of it that is compensated."""
    yield from restored_steps(run, row, n)
    for one in formulas_of(run.formula):
        yield from _formula_steps(run, one, row, n)


def _formula_steps(run: RunTables, one: Formula, row: Row, n: Mapping[str, str]) -> Iterator[Step]:
    node, quote = formula.tree(one), units(run.incident).quote
    rule, value = arithmetic.text(node), arithmetic.evaluate(node, row)
    if value is None:
        yield Step(one.name, f"{rule} is not known, so nothing is paid for this row")
        return
    yield Step(one.name, plain(value), rule, {column: n[column] for column in arithmetic.columns(node)}, quote, one.source)
    whole, part = abs(fixed.to_integer(row["size"])), fixed.to_integer(row["compensated_size"])
    if part != whole:
        assert isinstance(value, int)
        yield Step(
            "entitlement",
            plain(fixed.truncate(value * part, whole)),
            "trunc(for_the_whole * compensated_size / abs(size))",
            {"for_the_whole": plain(value), "compensated_size": n["compensated_size"], "size": n["size"]},
            quote,
            f"a part of the life survived: {run.incident.eligibility.surviving_life}",
        )


def payout_steps(run: RunTables, trader: str) -> Iterator[Step]:
    """From the entitlements of a trader to tokens and tranches, for each account that is paid for it."""
    quote = units(run.incident).quote
    paid_by = f"paid by {run.formula.name} of {plain(run.due.total)} {quote} in all"
    if any(p.stops for p in run.problems):
        yield Step("payout", paid_by, depth=HEADING)
        yield Step("nothing is paid", payouts.STOPPED)
        return
    if isinstance(run.formula, NamedRule):
        yield Step("payout", paid_by, depth=HEADING)
        yield from rule_steps(run, trader)
    else:
        own = given(run.formula, run.liquidations.filter("eligible", trader=trader))
        known = [v for v in own if v is not None]
        yield Step("payout", f"{len(own)} compensated, {paid_by}", depth=HEADING)
        yield _sum("entitlement", "liquidation", known, sum(known), quote)
        if len(known) < len(own):
            lacking = f"{len(own) - len(known)} of its {len(own)} liquidations cannot be valued and add nothing: see findings.csv"
            yield Step("not paid", lacking)
    before = run.due.before_received(trader)
    if before is not None and (received := run.incident.received_by.get(trader, 0)):
        entries = [one for one in run.incident.received if one.address == trader]
        texts = "; ".join(f"{one.reason} {source_texts(run.incident, one.source)}".strip() for one in entries)
        amounts = {"entitlement": in_exact(before), "already_received": plain(received)}
        left = in_exact(max(before - received, 0))
        yield Step("entitlement left", left, "max(entitlement - already_received, 0)", amounts, quote, texts)
    yield from _adjusted(run, trader)
    redirected = run.redirected.filter(pl.col("trader") == trader)
    if redirected.is_empty():
        yield from payee_steps(run, trader)
    for payee in redirected.get_column("payee"):
        yield from payee_steps(run, payee)


def _adjusted(run: RunTables, trader: str) -> Iterator[Step]:
    """Each correction of a trader's entitlement by a ruling."""
    rules = {
        "add": "entitlement + amount",
        "deduct": "max(entitlement - amount, 0)",
        "set": "amount",
        "scale": "trunc(entitlement * factor)",
    }
    for row in run.adjusted.filter(pl.col("trader") == trader).iter_rows(named=True):
        values = {} if row["kind"] == "set" else {"entitlement": plain(fixed.to_integer(row["before"]))}
        values |= {"factor": row["factor"]} if row["stated"] is None else {"amount": plain(fixed.to_integer(row["stated"]))}
        decided = f"{row['reason']}; evidence: {row['evidence']}; ruling: {row['ruling']}, {row['date']:%Y-%m-%d}; by {row['author']}; {row['place']}"
        yield Step(
            f"entitlement after adjustment {row['number']}",
            plain(fixed.to_integer(row["after"])),
            rules[row["kind"]],
            values,
            units(run.incident).quote,
            decided,
        )


def _sum(name: str, of: str, amounts: list[int], total: int, unit: str) -> Step:
    """Amounts (1e-18) added up, each under a name of its own."""
    values = {f"{of}_{k}": plain(amount) for k, amount in enumerate(amounts, 1)}
    return Step(name, plain(total), " + ".join(values) or "0", values, unit)


def payee_steps(run: RunTables, payee: str) -> Iterator[Step]:
    """From what a payee is owed, for itself and for traders whose payee it is, to tokens and tranches."""
    paid = run.payouts.filter(pl.col("trader") == payee)
    owed, legs = run.due.by_payee[payee].known, run.incident.settlement
    yield from _for_traders(run, payee, owed)
    units_of = {token: int(amount) for token, amount in paid.select("token", "amount_base_units").iter_rows()}
    parts = payouts.less_paid(payouts.leg_values(run.due)[payee], run.due, units_of)
    for k, leg in enumerate(legs):
        row = paid.row(by_predicate=pl.col("token") == leg.token, named=True)
        yield from _leg_steps(run, row, leg, owed, parts, k)
    vesting = run.incident.vesting
    yield Step("vesting", in_words(vesting), source=source_texts(run.incident, vesting.source))
    if run.incident.claims is not None:
        yield Step("claims end", claims_end(run.incident.claims), source=source_texts(run.incident, run.incident.claims.source))


def _for_traders(run: RunTables, payee: str, owed: Exact) -> Iterator[Step]:
    """The traders that a payee is paid for, and the sum of what is due to it."""
    traders, quote = run.redirected.filter(pl.col("payee") == payee), units(run.incident).quote
    if traders.is_empty():
        return
    entries = {one.account: one for one in run.incident.payees if one.to == payee}
    yield Step(f"{payee} is paid for", counted(traders.height, "trader"), account=payee)
    for row in traders.iter_rows(named=True):
        evidence = f"; evidence: {row['evidence']}" if row["evidence"] else ""
        source = f"{row['reason']}{evidence} [{source_texts(run.incident, entries[row['trader']].source)}]"
        amount = plain(term(row["entitlement"]))
        yield Step(row["trader"], amount, values={"share": row["share"]}, unit=quote, source=source, account=payee, depth=4)
    amounts = [amount for amount in fixed.to_integers(traders["entitlement"]) if amount is not None]
    if isinstance(owed, int):  # the parts of a rule are exact, and those of the table are cut
        itself = owed - sum(amounts)
        yield _sum("entitlement of the payee", "part", [*([itself] if itself else []), *amounts], owed, quote)


def _leg_steps(run: RunTables, row: Row, leg: Leg, owed: Exact, parts: list[Exact], k: int) -> Iterator[Step]:
    """One token of the settlement: its part of what is owed, the base units, and when they unlock."""
    unit, quote_price, payee = units(run.incident), run.incident.quote_price, row["trader"]
    value, price, last = in_exact(parts[k]), plain(term(row["price"])), k == len(parts) - 1
    if run.due.legs:
        said = f"by the rule {leg.rule}" if leg.rule is not None else "what the whole units of the other tokens leave"
        yield Step(f"value in {leg.token}", value, unit=unit.quote, source=said)
    elif leg.share != 1:
        others = {f"leg_{n}": in_exact(part) for n, part in enumerate(parts[:-1], 1)} if last else {"share": str(leg.share)}
        cut = "trunc(entitlement * share)" if isinstance(owed, int) else "entitlement * share"
        rule = " - ".join(["entitlement", *others]) if last else cut
        yield Step(f"value in {leg.token}", value, rule, {"entitlement": in_exact(owed), **others}, unit.quote)
    if run.payees.filter((pl.col("payee") == payee) & pl.col("payable")).is_empty():
        yield Step(f"{leg.token} not paid", value, unit=unit.quote, source=row["reason"])
        return
    worth = {} if quote_price == 1 else {"quote_price": f"{quote_price}"}
    cut_down = payouts.base_units(parts[k], leg, fixed.to_integer(quote_price))
    yield Step(
        f"{leg.token} base units",
        str(cut_down),
        f"floor(value * {''.join(f'{name} * ' for name in worth)}10**{leg.decimals} / price)",
        {"value": value, **worth, "price": price},
        "base units",
        f"price {price} {unit.paid} per {leg.token}: {leg.price_policy}; {source_texts(run.incident, leg.source)}",
    )
    if int(row["amount_base_units"]) != cut_down:
        why = "largest remainder: the total of all is met to the unit"
        yield Step(f"{leg.token} base units paid", row["amount_base_units"], "cut_down + 1", {"cut_down": str(cut_down)}, "base units", why)
    if row["reason"]:
        yield Step("reason", row["reason"])
    for claim in run.claims.filter(trader=payee, token=leg.token).iter_rows(named=True):
        since = {"unlocks_at": f"{claim['unlocks_at']:%Y-%m-%d %H:%M:%S} UTC"}
        if run.incident.vesting.estimated:
            since = {"unlocks_at_block": str(claim["unlocks_at_block"]), "about": day_in_words(claim["unlocks_at"])}
        yield Step(f"tranche {claim['tranche']}", claim["amount_base_units"], values=since, unit="base units", depth=4)
