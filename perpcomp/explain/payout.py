"""From a formula to base units and tranches, as arithmetic.

A page explains every account, so what is few rows is read as rows: each selection by Polars costs as much as a hundred of them.
"""

from collections.abc import Iterator, Mapping, Sequence

from perpcomp import arithmetic, fixed, formula, payouts
from perpcomp.arithmetic import plain, term
from perpcomp.explain.rule import in_exact, rule_steps
from perpcomp.explain.valuation import restored_steps
from perpcomp.formula import Formula
from perpcomp.incident.settlement import Leg
from perpcomp.number_text import counted
from perpcomp.payouts import Exact
from perpcomp.rules.named import NamedRule, formulas_of
from perpcomp.run import RunTables
from perpcomp.steps import HEADING, Row, Step, rows_of, source_texts
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
    rule, value = arithmetic.text(node), _for_the_whole(one, row)
    if value is None:
        yield Step(one.name, f"{rule} is not known, so nothing is paid for this row")
        return
    yield Step(one.name, plain(value), rule, {column: n[column] for column in arithmetic.columns(node)}, quote, one.source)
    if row["compensated_size"] != abs(row["size"]):
        yield Step(
            "entitlement",
            plain(_compensated(value, row)),
            "trunc(for_the_whole * compensated_size / abs(size))",
            {"for_the_whole": plain(value), "compensated_size": n["compensated_size"], "size": n["size"]},
            quote,
            f"a part of the life survived: {run.incident.eligibility.surviving_life}",
        )


def _for_the_whole(one: Formula, row: Row) -> int | None:
    """What a formula gives a liquidation before a part of it is left out (1e-18 of the quote asset); None where a term that it reads is unknown."""
    node = formula.tree(one)
    if any(row[name] is None for name in arithmetic.columns(node)):
        return None
    value = arithmetic.evaluate(node, row)
    assert isinstance(value, int)
    return value


def _compensated(value: int, row: Row) -> int:
    """The part of a value for the part of a position that is compensated, truncated."""
    return fixed.truncate(value * fixed.to_integer(row["compensated_size"]), abs(fixed.to_integer(row["size"])))


def payout_steps(run: RunTables, trader: str, eligible: Sequence[Row] = ()) -> Iterator[Step]:
    """From the entitlements of a trader to tokens and tranches, for each account that is paid for it. A formula gives entitlements to the
    trader's `eligible` liquidations.
    """
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
        values = [(_for_the_whole(run.formula, row), row) for row in eligible]
        known = [_compensated(value, row) for value, row in values if value is not None]
        yield Step("payout", f"{len(eligible)} compensated, {paid_by}", depth=HEADING)
        yield _sum("entitlement", "liquidation", known, sum(known), quote)
        if len(known) < len(eligible):
            lacking = f"{len(eligible) - len(known)} of its {len(eligible)} liquidations cannot be valued and add nothing: see findings.csv"
            yield Step("not paid", lacking)
    before = run.due.before_received(trader)
    if before is not None and (received := run.incident.received_by.get(trader, 0)):
        entries = [one for one in run.incident.received if one.address == trader]
        texts = "; ".join(f"{one.reason} {source_texts(run.incident, one.source)}".strip() for one in entries)
        amounts = {"entitlement": in_exact(before), "already_received": plain(received)}
        left = in_exact(max(before - received, 0))
        yield Step("entitlement left", left, "max(entitlement - already_received, 0)", amounts, quote, texts)
    yield from _adjusted(run, trader)
    for payee in [row["payee"] for row in rows_of(run.redirected, trader=trader)] or [trader]:
        yield from payee_steps(run, payee)


def _adjusted(run: RunTables, trader: str) -> Iterator[Step]:
    """Each correction of a trader's entitlement by a ruling."""
    rules = {
        "add": "entitlement + amount",
        "deduct": "max(entitlement - amount, 0)",
        "set": "amount",
        "scale": "trunc(entitlement * factor)",
    }
    for row in rows_of(run.adjusted, trader=trader):
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
    paid = {row["token"]: row for row in rows_of(run.payouts, trader=payee)}
    payable = any(row["payable"] for row in rows_of(run.payees, payee=payee))
    claims = rows_of(run.claims, trader=payee)
    owed, legs = run.due.by_payee[payee].known, run.incident.settlement
    yield from _for_traders(run, payee, owed)
    units_of = {token: int(row["amount_base_units"]) for token, row in paid.items()}
    parts = payouts.less_paid(payouts.leg_values(run.due)[payee], run.due, units_of)
    for k, leg in enumerate(legs):
        row = paid[leg.token]
        yield from _value_steps(run, leg, owed, parts, k)
        if payable:
            yield from _unit_steps(run, row, leg, parts[k])
            yield from _tranches(run, [claim for claim in claims if claim["token"] == leg.token])
        else:
            yield Step(f"{leg.token} not paid", in_exact(parts[k]), unit=units(run.incident).quote, source=row["reason"])
    vesting = run.incident.vesting
    yield Step("vesting", in_words(vesting), source=source_texts(run.incident, vesting.source))
    if run.incident.claims is not None:
        yield Step("claims end", claims_end(run.incident.claims), source=source_texts(run.incident, run.incident.claims.source))


def _for_traders(run: RunTables, payee: str, owed: Exact) -> Iterator[Step]:
    """The traders that a payee is paid for, and the sum of what is due to it."""
    traders, quote = rows_of(run.redirected, payee=payee), units(run.incident).quote
    if not traders:
        return
    entries = {one.account: one for one in run.incident.payees if one.to == payee}
    yield Step(f"{payee} is paid for", counted(len(traders), "trader"), account=payee)
    for row in traders:
        evidence = f"; evidence: {row['evidence']}" if row["evidence"] else ""
        source = f"{row['reason']}{evidence} [{source_texts(run.incident, entries[row['trader']].source)}]"
        amount = plain(term(row["entitlement"]))
        yield Step(row["trader"], amount, values={"share": row["share"]}, unit=quote, source=source, account=payee, depth=4)
    amounts = [fixed.to_integer(row["entitlement"]) for row in traders if row["entitlement"] is not None]
    if isinstance(owed, int):  # the parts of a rule are exact, and those of the table are cut
        itself = owed - sum(amounts)
        yield _sum("entitlement of the payee", "part", [*([itself] if itself else []), *amounts], owed, quote)


def _value_steps(run: RunTables, leg: Leg, owed: Exact, parts: list[Exact], k: int) -> Iterator[Step]:
    """The part of what is owed that one token of the settlement pays."""
    quote, value, last = units(run.incident).quote, in_exact(parts[k]), k == len(parts) - 1
    if run.due.legs:
        said = f"by the rule {leg.rule}" if leg.rule is not None else "what the whole units of the other tokens leave"
        yield Step(f"value in {leg.token}", value, unit=quote, source=said)
    elif leg.share != 1:
        others = {f"leg_{n}": in_exact(part) for n, part in enumerate(parts[:-1], 1)} if last else {"share": str(leg.share)}
        cut = "trunc(entitlement * share)" if isinstance(owed, int) else "entitlement * share"
        rule = " - ".join(["entitlement", *others]) if last else cut
        yield Step(f"value in {leg.token}", value, rule, {"entitlement": in_exact(owed), **others}, quote)


def _unit_steps(run: RunTables, row: Row, leg: Leg, part: Exact) -> Iterator[Step]:
    """The base units of one token that its part of what is owed buys. `row` is the published payout."""
    price, quote_price = plain(term(row["price"])), run.incident.quote_price
    worth = {} if quote_price == 1 else {"quote_price": f"{quote_price}"}
    cut_down = payouts.base_units(part, leg, fixed.to_integer(quote_price))
    yield Step(
        f"{leg.token} base units",
        str(cut_down),
        f"floor(value * {''.join(f'{name} * ' for name in worth)}10**{leg.decimals} / price)",
        {"value": in_exact(part), **worth, "price": price},
        "base units",
        f"price {price} {units(run.incident).paid} per {leg.token}: {leg.price_policy}; {source_texts(run.incident, leg.source)}",
    )
    if int(row["amount_base_units"]) != cut_down:
        why = "largest remainder: the total of all is met to the unit"
        yield Step(f"{leg.token} base units paid", row["amount_base_units"], "cut_down + 1", {"cut_down": str(cut_down)}, "base units", why)
    if row["reason"]:
        yield Step("reason", row["reason"])


def _tranches(run: RunTables, claims: Sequence[Row]) -> Iterator[Step]:
    """When the base units of one token unlock, of a payee's `claims` in it."""
    for claim in claims:
        since = {"unlocks_at": f"{claim['unlocks_at']:%Y-%m-%d %H:%M:%S} UTC"}
        if run.incident.vesting.estimated:
            since = {"unlocks_at_block": str(claim["unlocks_at_block"]), "about": day_in_words(claim["unlocks_at"])}
        yield Step(f"tranche {claim['tranche']}", claim["amount_base_units"], values=since, unit="base units", depth=4)
