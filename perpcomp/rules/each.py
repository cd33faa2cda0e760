"""Steps that look at one trader at a time: scale, haircut, uplift, flat, tiers, drop-below, and the cap whose excess is kept."""

from fractions import Fraction

from perpcomp.fixed import to_integer
from perpcomp.incident.rule_steps import Step
from perpcomp.number_text import in_full
from perpcomp.rules.amounts import Amounts, with_limit
from perpcomp.rules.standing import Result, Standing


def scale(step: Step, before: Standing) -> Result:
    """v * factor."""
    assert step.factor is not None
    return Result(before.having(before.amounts.times(step.factor)))


def haircut(step: Step, before: Standing) -> Result:
    """v * (1 - share)."""
    assert step.share is not None
    return Result(before.having(before.amounts.times(1 - step.share)))


def uplift(step: Step, before: Standing) -> Result:
    """v * (1 + factor)."""
    assert step.factor is not None
    return Result(before.having(before.amounts.times(1 + step.factor)))


def flat(step: Step, before: Standing) -> Result:
    """v + amount where v is above 0."""
    assert step.amount is not None
    amounts = before.amounts
    more = to_integer(step.amount) * amounts.denominator
    return Result(before.having(Amounts([value + more if value > 0 else value for value in amounts.numerators], amounts.denominator)))


def cap(step: Step, before: Standing) -> Result:
    """min(v, cap); what is above it is left over."""
    assert step.cap is not None
    values, most, common = with_limit(before.amounts, Fraction(to_integer(step.cap)))
    said = f"above-cap: more than {in_full(step.cap)}"
    after = Amounts([min(value, most) for value in values], common)
    return Result(before.having(after), {n: said for n, value in enumerate(values) if value > most}, before.amounts.total - after.total)


def tiers(step: Step, before: Standing) -> Result:
    """min(v, threshold) + share * max(0, v - threshold)."""
    assert step.threshold is not None
    assert step.share is not None
    values, whole, common = with_limit(before.amounts, Fraction(to_integer(step.threshold)))
    part, of = step.share.numerator, step.share.denominator
    after = [value * of if value <= whole else whole * of + (value - whole) * part for value in values]
    said = f"above-threshold: of what is above {in_full(step.threshold)}, a share of {step.share} is paid"
    return Result(before.having(Amounts(after, common * of)), {n: said for n, value in enumerate(values) if value > whole})


def drop_below(step: Step, before: Standing) -> Result:
    """0 where v is below the minimum; exactly the minimum stays."""
    assert step.minimum is not None
    values, least, common = with_limit(before.amounts, Fraction(to_integer(step.minimum)))
    said = f"below-minimum: less than {in_full(step.minimum)}"
    after = Amounts([value if value >= least else 0 for value in values], common)
    return Result(before.having(after), {n: said for n, value in enumerate(values) if 0 < value < least})
