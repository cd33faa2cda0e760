"""From a formula to base units and tranches, as arithmetic."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp import arithmetic, fixed, formula, payouts
from perpcomp.arithmetic import number
from perpcomp.entitlement import compensated
from perpcomp.explain.valuation import restored_steps
from perpcomp.number_text import counted
from perpcomp.run import Run
from perpcomp.steps import Row, source_texts, step
from perpcomp.systems.units import units
from perpcomp.totals import entitled
from perpcomp.vesting.schedule import day_in_words
from perpcomp.vesting.words import claims_end, in_words


def entitlement_steps(run: Run, row: Row, n: Mapping[str, str]) -> Iterator[str]:
    """What the formula gives one liquidation, and the part of it that is compensated."""
    yield from restored_steps(run, row, n)
    node = formula.tree(run.formula)
    value = arithmetic.evaluate(node, row)
    if value is None:
        yield f"  {run.formula.name} = {arithmetic.text(node)}: not known, so nothing is paid for this row"
        return
    given = number(value)
    yield from step(
        run.formula.name, arithmetic.text(node), arithmetic.text(node, row), f"{given} {units(run.incident).quote}", run.formula.source
    )
    whole, part = abs(fixed.to_integer(row["size"])), fixed.to_integer(row["compensated_size"])
    if part != whole:
        assert isinstance(value, int)
        scaled = number(fixed.truncate(value * part, whole))
        yield from step(
            "entitlement",
            f"trunc({run.formula.name} * compensated_size / size)",
            f"trunc({given} * {n['compensated_size']} / {number(whole)})",
            f"{scaled} {units(run.incident).quote}",
            f"a part of the life survived: {run.incident.eligibility.surviving_life}",
        )


def payout_steps(run: Run, trader: str) -> Iterator[str]:
    """From the entitlements of a trader to tokens and tranches, for each account that is paid for it."""
    quote = units(run.incident).quote
    eligible = run.liquidations.filter("eligible")
    values = compensated(formula.entitlements(run.formula, eligible), eligible)
    own = [v for v, t in zip(values, eligible["trader"], strict=True) if t == trader]
    known = [v for v in own if v is not None]
    yield f"{trader}: {len(own)} compensated, paid by {run.formula.name} of {number(entitled(run.payouts))} {quote} in all"
    if any(p.stops for p in run.problems):
        yield f"  nothing is paid: {payouts.STOPPED}"
        return
    total = f"{number(sum(known))} {quote}"
    yield from step("entitlement", "sum over the liquidations", " + ".join(number(v) for v in known) or "nothing", total)
    if len(known) < len(own):
        yield f"  {len(own) - len(known)} of its {len(own)} liquidations cannot be valued and add nothing: see findings.csv"
    if received := run.incident.received_by.get(trader, 0):
        entries = [one for one in run.incident.received if one.address == trader]
        texts = "; ".join(f"{one.reason} {source_texts(run.incident, one.source)}".strip() for one in entries)
        left = f"max({number(sum(known))} - {number(received)}, 0)"
        yield from step(
            "entitlement left", "max(entitlement - already received, 0)", left, f"{number(max(sum(known) - received, 0))} {quote}", texts
        )
    redirected = run.redirected.filter(pl.col("trader") == trader)
    if redirected.is_empty():
        yield from payee_steps(run, trader)
    for payee in redirected.get_column("payee"):
        yield from payee_steps(run, payee)


def payee_steps(run: Run, payee: str) -> Iterator[str]:
    """From what a payee is owed, for itself and for traders whose payee it is, to tokens and tranches."""
    unit = units(run.incident)
    paid = run.payouts.filter(pl.col("trader") == payee)
    entitlement = number(arithmetic.term(paid["entitlement"][0]))
    traders = run.redirected.filter(pl.col("payee") == payee)
    if traders.height:
        amounts = fixed.to_integers(traders["entitlement"])
        itself = fixed.to_integer(paid["entitlement"][0]) - sum(amount or 0 for amount in amounts)
        entries = {one.account: one for one in run.incident.payees if one.to == payee}
        yield f"  {payee} is paid for {counted(traders.height, 'trader')}:"
        for row in traders.iter_rows(named=True):
            evidence = f"; evidence: {row['evidence']}" if row["evidence"] else ""
            sources = source_texts(run.incident, entries[row["trader"]].source)
            amount = number(arithmetic.term(row["entitlement"]))
            yield f"    {row['trader']}: share {row['share']}, {amount} {unit.quote}: {row['reason']}{evidence} [{sources}]"
        added = [*([number(itself)] if itself else []), *(number(amount) for amount in amounts if amount is not None)]
        yield from step("entitlement of the payee", "sum over its traders", " + ".join(added), f"{entitlement} {unit.quote}")
    last, quote = run.incident.settlement[-1].token, run.incident.quote_price
    parts = {leg.token: part for leg, part in zip(run.incident.settlement, _parts(run, paid.row(0, named=True)), strict=True)}
    for leg, row in zip(
        run.incident.settlement,
        paid.sort(pl.col("token").replace_strict({g.token: i for i, g in enumerate(run.incident.settlement)})).iter_rows(named=True),
        strict=True,
    ):
        value, price = number(parts[leg.token]), number(arithmetic.term(row["price"]))
        if leg.share != 1:
            others = " - ".join(number(v) for t, v in parts.items() if t != last)
            numbers = f"{entitlement} - {others}" if leg.token == last else f"trunc({entitlement} * {leg.share})"
            yield from step(
                f"value in {leg.token}",
                "entitlement - the other legs" if leg.token == last else "trunc(entitlement * share)",
                numbers,
                f"{value} {units(run.incident).quote}",
            )
        note = f"price {price} {unit.paid} per {leg.token}: {leg.price_policy}; {source_texts(run.incident, leg.source)}"
        if not run.payees.filter((pl.col("payee") == payee) & pl.col("payable")).height:
            yield f"  {leg.token}: {value} {unit.quote} are not paid; {row['reason']}"
            continue
        yield from step(
            f"{leg.token} base units",
            f"floor(value * {'price of the quote asset * ' if quote != 1 else ''}10**{leg.decimals} / price)",
            f"floor({value} * {f'{quote} * ' if quote != 1 else ''}10**{leg.decimals} / {price})",
            row["amount_base_units"],
            note,
        )
        if row["reason"]:
            yield f"  {row['reason']}"
        for claim in run.claims.filter((pl.col("trader") == payee) & (pl.col("token") == leg.token)).iter_rows(named=True):
            since = f"{claim['unlocks_at']:%Y-%m-%d %H:%M:%S} UTC"
            if run.incident.vesting.estimated:
                since = f"block {claim['unlocks_at_block']}, about {day_in_words(claim['unlocks_at'])}"
            yield f"    tranche {claim['tranche']}: {claim['amount_base_units']} base units from {since}"
    yield f"  vesting: {in_words(run.incident.vesting)} [{source_texts(run.incident, run.incident.vesting.source)}]"
    if run.incident.claims is not None:
        yield f"  claims end: {claims_end(run.incident.claims)} [{source_texts(run.incident, run.incident.claims.source)}]"


def _parts(run: Run, row: Row) -> list[int]:
    """What each leg of the settlement pays of an entitlement, in 1e-18 of the quote asset."""
    return payouts.split(fixed.to_integer(row["entitlement"]), run.incident.settlement)
