"""What a rule begins with: one base, or several as one amount, for each liquidation or for each trader."""

from collections.abc import Sequence
from fractions import Fraction

from perpcomp.incident.rules import Rule
from perpcomp.rules.amounts import Amounts, together
from perpcomp.rules.population import Population
from perpcomp.rules.standing import Standing


def of_rows(rule: Rule, population: Population) -> Standing:
    """The base of a rule whose bases are formulas or columns, combined for each row; then added up by trader. Never below 0."""
    columns = [population.base(name) for name in rule.base]
    if rule.combine is None and rule.level == "trader":
        sums, unknown = population.added_up(columns[0])
        return _begin(population, Amounts([max(0, value) for value in sums]), unknown)
    columns = [[0 if value is not None and value < 0 else value for value in column] for column in columns]
    if rule.combine is None:
        sums, unknown = population.added_up(columns[0])
        return _begin(population, Amounts(sums), unknown)
    lacking = {n for column in columns for n, value in enumerate(column) if value is None}
    amounts = combined(rule, [Amounts([value or 0 for value in column]) for column in columns])
    rows = [None if n in lacking else value for n, value in enumerate(amounts.numerators)] if lacking else amounts.numerators
    sums, unknown = population.added_up(rows)
    return _begin(population, Amounts(sums, amounts.denominator), unknown)


def of_traders(rule: Rule, population: Population, bases: Sequence[Standing]) -> Standing:
    """Several bases combined for each trader. A difference of which a part is not known is 0: it could be less."""
    unknown = [max(counts) for counts in zip(*(base.unknown for base in bases), strict=True)]
    amounts = combined(rule, [base.amounts for base in bases])
    if rule.combine == "minus":
        amounts = Amounts([0 if lacks else value for value, lacks in zip(amounts.numerators, unknown, strict=True)], amounts.denominator)
    return _begin(population, amounts, unknown)


def combined(rule: Rule, columns: Sequence[Amounts]) -> Amounts:
    """Several columns as one, place by place."""
    values, common = together(*columns)
    if rule.combine == "blend":
        weights, total = rule.weights, sum(rule.weights, Fraction())
        parts = [column.times(weight / total) for column, weight in zip(columns, weights, strict=True)]
        values, common = together(*parts)
        return Amounts([*map(sum, zip(*values, strict=True))], common)
    if rule.combine == "minus":
        return Amounts([max(0, one - other) for one, other in zip(*values, strict=True)], common)
    if rule.combine == "plus":
        return Amounts([*map(sum, zip(*values, strict=True))], common)
    return Amounts([*map(max if rule.combine == "max" else min, *values)], common)


def _begin(population: Population, amounts: Amounts, unknown: Sequence[int]) -> Standing:
    return Standing(population, population.traders, amounts, amounts, unknown, population.rows_of_each)
