"""Steps that need another fact about each trader: what was received, bad debt, leverage at opening, the payee map."""

from fractions import Fraction

from msgspec.structs import replace

from perpcomp.findings import refusal
from perpcomp.fixed import to_integer
from perpcomp.incident.rule_steps import Step
from perpcomp.number_text import exact, in_full
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.population import Column
from perpcomp.rules.standing import Moved, Result, Standing


def net_of_refund(step: Step, before: Standing) -> Result:
    """max(0, v - received), by [[received]] or by a column of the claims."""
    received = before.population.received
    if step.column is not None:
        received = _of_each(step.column, before.population.term(step.column), before)
    values, denominator = before.amounts.numerators, before.amounts.denominator
    taken = [min(value, received.get(trader, 0) * denominator) for trader, value in zip(before.traders, values, strict=True)]
    after = Amounts([value - off for value, off in zip(values, taken, strict=True)], denominator)
    reasons = {n: f"already-received: {in_full(received[trader])}" for n, trader in enumerate(before.traders) if taken[n]}
    off = [Fraction(amount, denominator) for amount in taken]
    if before.taken_off is not None:
        off = [one + more for one, more in zip(before.taken_off, off, strict=True)]
    return Result(replace(before.having(after), taken_off=off), reasons)


def net_bad_debt(_: Step, before: Standing) -> Result:
    """max(0, v - all bad debt of the trader): what the insurance fund covered."""
    debts = _of_each("bad_debt", before.population.term("bad_debt"), before)
    values, denominator = before.amounts.numerators, before.amounts.denominator
    owed = [debts.get(trader, 0) for trader in before.traders]
    after = Amounts([max(0, value - debt * denominator) for value, debt in zip(values, owed, strict=True)], denominator)
    return Result(before.having(after), {n: f"bad-debt: {in_full(debt)}" for n, debt in enumerate(owed) if debt and values[n]})


def leverage_filter(step: Step, before: Standing) -> Result:
    """0, or v * maximum / leverage, where a position of the trader was opened with more leverage than the maximum: the highest counts."""
    assert step.maximum is not None
    most, highest = to_integer(step.maximum), dict[str, int]()
    for account, leverage in zip(before.population.accounts, before.population.term("leverage_at_open"), strict=True):
        if leverage is None:
            what = (
                f"The leverage at which {account} opened a position is not known, so the limit of {in_full(step.maximum)} decides nothing."
            )
            raise refusal(f"{before.population.file} leverage-filter", what, "Add the logs from before the position was opened.")
        highest[account] = max(leverage, highest.get(account, 0))
    factors, reasons = [Fraction(1)] * len(before.traders), dict[int, str]()
    for n, trader in enumerate(before.traders):
        if highest.get(trader, 0) > most:
            factors[n] = Fraction(0) if step.above == "drop" else Fraction(most, highest[trader])
            reasons[n] = f"leverage: opened with {exact(highest[trader])}, above {in_full(step.maximum)}"
    if step.above == "drop":
        kept = Amounts(
            [value if factor else 0 for value, factor in zip(before.amounts.numerators, factors, strict=True)], before.amounts.denominator
        )
        return Result(before.having(kept), reasons)
    return Result(before.having(Amounts.of([before.amounts[n] * factor for n, factor in enumerate(factors)])), reasons)


def address_remap(_: Step, before: Standing) -> Result:
    """Each trader's amount to its payees by the map; several traders may have one payee, whose amounts are added up."""
    entries: dict[str, list[Moved]] = {}
    at = {trader: n for n, trader in enumerate(before.traders)}
    for entry in before.population.payees:
        if entry.account in at:
            amount = before.amounts[at[entry.account]] * entry.share
            entries.setdefault(entry.account, []).append(Moved(entry.account, entry.to, amount, entry))
    to = {trader: [(one.payee, one.entry.share) for one in entries.get(trader, ())] or [(trader, Fraction(1))] for trader in at}
    payees = sorted({payee for parts in to.values() for payee, _ in parts})
    place = {payee: n for n, payee in enumerate(payees)}

    def moved(values: list[Fraction]) -> list[Fraction]:
        sums = [Fraction(0)] * len(payees)
        for trader, n in at.items():
            for payee, share in to[trader]:
                sums[place[payee]] += values[n] * share
        return sums

    def counted(values: list[int]) -> list[int]:
        sums = [0] * len(payees)
        for trader, n in at.items():
            for payee, _ in to[trader]:
                sums[place[payee]] += values[n]
        return sums

    amounts, claims = (Amounts.of(moved([column[n] for n in range(len(column))])) for column in (before.amounts, before.claims))
    taken = None if before.taken_off is None else moved(list(before.taken_off))
    after = Standing(
        population=before.population,
        traders=payees,
        amounts=amounts,
        claims=claims,
        unknown=counted(list(before.unknown)),
        rows=counted(list(before.rows)),
        taken_off=taken,
        moved=tuple(one for parts in entries.values() for one in parts),
    )
    reasons = {place[one.payee]: f"paid-for: {one.trader} and perhaps others" for one in after.moved or () if one.trader != one.payee}
    return Result(after, reasons)


def _of_each(name: str, rows: Column, before: Standing) -> dict[str, int]:
    """A value of the rows added up by trader. InputError where one is not known."""
    sums, unknown = before.population.added_up(rows)
    for trader, lacking in zip(before.population.traders, unknown, strict=True):
        if lacking:
            what = f"{name} of {trader} is not known, so it cannot be taken off."
            raise refusal(f"{before.population.file} {name}", what, "Fill the cell, or write 0 where there is nothing.")
    return {trader: amount for trader, amount in zip(before.population.traders, sums, strict=True) if amount}
