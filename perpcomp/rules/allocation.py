"""Sharing a pot: pro rata, small first, equal for each address, a cap whose excess is redistributed. To the unit, in integers.

All of them look for one level: the t for which the sum of min(t * weight, limit) is what there is to share.
"""

from collections.abc import Sequence
from fractions import Fraction

from perpcomp.findings import near_miss, refusal
from perpcomp.fixed import to_integer
from perpcomp.incident.rule_steps import UP_TO_CLAIM, Step
from perpcomp.number_text import counted, in_full
from perpcomp.rules.amounts import Amounts, together, with_limit
from perpcomp.rules.standing import Result, Standing


def pro_rata(step: Step, before: Standing) -> Result:
    """k * v with k = min(1, pot / sum); where amounts only weigh, k = pot / sum whatever they are."""
    if step.values == "weights":
        pot, total = pot_of(step, before), before.amounts.total
        if not total:
            what = f"The weights of {counted(len(before.traders), 'trader')} sum to zero, so nobody has a share of the pot of {_said(pot)}."
            raise refusal(f"{before.population.file} {step.kind}", what, "Give at least one trader a weight above 0.")
        return Result(before.having(before.amounts.times(pot / total)), left_over=Fraction(0), how=f"k = {pot / total}")
    return shared(before, before.amounts, pot_of(step, before))


def equal_per_address(step: Step, before: Standing) -> Result:
    """min(v, c) with the one level c at which the pot is spent."""
    pot = pot_of(step, before)
    values, available, common = with_limit(before.amounts, pot)
    amounts, level = filled([1] * len(values), values, available)
    after = Amounts(amounts.numerators, amounts.denominator * common)
    how = "everybody whole" if level is None else f"level {_said(level / common)}"
    return Result(before.having(after), {} if level is None else _cut(values, level), pot - after.total, how)


def cap_total(step: Step, before: Standing) -> Result:
    """The total brought down to the pot: all in proportion, or by one cap for all."""
    return pro_rata(step, before) if step.by == "scale" else equal_per_address(step, before)


def small_first(step: Step, before: Standing) -> Result:
    """The small ones whole, smallest first, while money lasts; the rest pro rata of what is left. Small: a share of those above 0, or up to a threshold."""
    pot = pot_of(step, before)
    values, available, common = with_limit(before.amounts, pot)
    order = sorted((n for n, value in enumerate(values) if value > 0), key=values.__getitem__)  # stable: traders stand by address
    if step.share is not None:
        small = len(order) * step.share.numerator // step.share.denominator
    else:
        assert step.threshold is not None
        most = to_integer(step.threshold) * common
        small = sum(value <= most for value in values if value > 0)
    paid, reasons, left = [0] * len(values), dict[int, str](), available
    for n in order[:small]:
        paid[n] = min(values[n], left)
        left -= paid[n]
        reasons[n] = "first: paid whole" if paid[n] == values[n] else "first: the money ended here"
    rest = order[small:]
    amounts, level = filled([values[n] for n in rest], [values[n] for n in rest], left)
    after = [amount * amounts.denominator for amount in paid]
    for n, amount in zip(rest, amounts.numerators, strict=True):
        after[n] = amount
    shared_out = Amounts(after, common * amounts.denominator)
    k = "1" if level is None else str(level)
    return Result(before.having(shared_out), reasons, pot - shared_out.total, f"{counted(small, 'trader')} first, k = {k} for the rest")


def redistributed_cap(step: Step, before: Standing) -> Result:
    """min(t * v, cap) with the total unchanged: the excess goes to the others in proportion, up to the cap, and perhaps up to their claims."""
    assert step.cap is not None
    columns, common = together(before.amounts, before.claims)
    values, claims = columns
    most = to_integer(step.cap) * common
    up_to_claim = step.excess == UP_TO_CLAIM
    limits = [min(most, max(claim, 0)) if up_to_claim else most for claim in claims]
    total = sum(values)
    amounts, level = filled(values, limits, total)
    after = Amounts(amounts.numerators, common * amounts.denominator)
    said = f"above-cap: more than {in_full(step.cap)}"
    how = f"the others times {level}" if level is not None else "no taker for all of it"
    return Result(
        before.having(after), {n: said for n, value in enumerate(values) if value > most}, before.amounts.total - after.total, how
    )


def shared(before: Standing, claims: Amounts, pot: Fraction) -> Result:
    """The pot pro rata of claims, nobody above the own claim."""
    total = claims.total
    k = min(Fraction(1), pot / total) if total else None
    after = claims if k is None else claims.times(k)
    how = "no claims, so k is not defined" if k is None else f"k = {k}"
    return Result(before.having(after), left_over=pot - after.total, how=how)


def filled(weights: Sequence[int], limits: Sequence[int], available: int) -> tuple[Amounts, Fraction | None]:
    """min(t * weight, limit) for each, with the t at which they sum to `available`, and that t; None where all limits fit into it.

    Whoever reaches the limit leaves, and the others share again: each pass takes out at least one, in practice most at once.
    """
    if sum(limit for weight, limit in zip(weights, limits, strict=True) if weight) <= available:
        return Amounts([limit if weight else 0 for weight, limit in zip(weights, limits, strict=True)]), None
    full, left = [False] * len(weights), available
    open_ones = [n for n, weight in enumerate(weights) if weight]
    total = sum(weights)
    while True:
        reached = [n for n in open_ones if limits[n] * total <= left * weights[n]]
        if not reached:
            break
        for n in reached:
            full[n] = True
        left -= sum(limits[n] for n in reached)
        total -= sum(weights[n] for n in reached)
        open_ones = [n for n in open_ones if not full[n]]
    level = Fraction(left, total)
    by, of = level.numerator, level.denominator
    return Amounts([limits[n] * of if full[n] else weights[n] * by for n in range(len(weights))], of), level


def pot_of(step: Step, before: Standing) -> Fraction:
    """What there is to share, in 1e-18 of the quote asset, less what is set aside. InputError where that is more than the pot."""
    place = f"{before.population.file} {step.kind}"
    assert step.pot is not None
    amount, rate = Fraction(0), Fraction(1)
    if not isinstance(step.pot, str):
        amount = Fraction(to_integer(step.pot))
    elif step.pot in before.population.budgets:
        units, rate = before.population.budgets[step.pot]
        amount = Fraction(units)
    else:
        raise refusal(f"{place} pot", f'There is no budget "{step.pot}" with a price.', near_miss(step.pot, before.population.budgets))
    aside = 0 if step.set_aside is None else to_integer(step.set_aside)
    if aside > amount:
        what = f"{in_full(aside)} are set aside of a pot of {_said(amount)}."
        raise refusal(f"{place} set_aside", what, "Keep less, or share a larger pot.")
    return (amount - aside) * rate


def _cut(values: Sequence[int], level: Fraction) -> dict[int, str]:
    """Why each one above the level gets less than it claims."""
    said = "above-level: the level of all others"
    return {n: said for n, value in enumerate(values) if value * level.denominator > level.numerator}


def _said(amount: Fraction) -> str:
    """An amount in 1e-18 for a sentence: all digits, or cut with dots."""
    whole = amount.numerator // amount.denominator
    return in_full(whole) + ("" if amount.denominator == 1 else "…")
