"""What a formula or a rule gives each trader as a function of one market's reference price, and in all; or why there is no such function.

Until a pot is shared, each trader's amount is made of straight pieces. A pot makes it rational in the price: amount * pot / total. Then
the total is still made of straight pieces, and a scale leaves order and break-even prices as they were.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from perpcomp import fixed
from perpcomp.decide.sensitivity.pieces import Pieces, added, at_least, at_most, chosen, compared, line, times, where
from perpcomp.decide.sensitivity.rows import NoClosedForm
from perpcomp.incident.rule_steps import CLASSES, JUMPS, KEPT, LINEAR, RATIONAL, Step
from perpcomp.incident.rules import Rule
from perpcomp.rules.allocation import pot_of
from perpcomp.rules.amounts import Amounts
from perpcomp.rules.apply import STEPS
from perpcomp.rules.population import Population
from perpcomp.rules.standing import Standing

RowFunctions = Callable[[str], Sequence[Pieces | None]]  # a formula's or column's values of the population's rows


class Shape(Struct, frozen=True):
    """How an option follows the price: of each trader up to a positive factor that all share (`scaled`), and in all.

    `shape` is one of CLASSES. `traders` or `total` is None where there is no closed form; `why` says why. `unknown` counts the
    traders with a liquidation that cannot be valued: it is not in any sum.
    """

    shape: str
    traders: Sequence[Pieces] | None
    total: Pieces | None
    scaled: bool = False
    why: str | None = None
    unknown: int = 0


def of_rows(rows: Sequence[Pieces | None], population: Population) -> Shape:
    """A formula: its rows added up by trader, less what was received already."""
    traders, unknown = _added_up(rows, population)
    return _net(Shape(_shape(traders), traders, None, unknown=sum(map(bool, unknown))), population)


def of_rule(rule: Rule, rules: Mapping[str, Rule], rows: RowFunctions, population: Population) -> Shape:
    """A rule: its base, then its steps in order, less what was received already where no step takes it off."""
    before = _before_received(rule, rules, rows, population)
    taken = any(step.kind == "net-of-refund" for one in (rule, *_below(rule, rules)) for step in one.steps)
    return _summed(before) if taken else _net(before, population)


def _before_received(rule: Rule, rules: Mapping[str, Rule], rows: RowFunctions, population: Population) -> Shape:
    stated = max([LINEAR, *(step.shape for one in (rule, *_below(rule, rules)) for step in one.steps)], key=CLASSES.index)
    try:
        traders, unknown = _base(rule, rules, rows, population)
    except NoClosedForm as reason:
        return Shape(stated, None, None, why=str(reason))
    lacking = sum(map(bool, unknown))
    now = Shape(LINEAR, traders, None)
    for step in rule.steps:
        if now.traders is not None and now.total is None and (step.rule_of_kind.shares or step.excess not in (None, KEPT)):
            aside = [line(0, 0) if lacks else one for one, lacks in zip(now.traders, unknown, strict=True)]
            now = replace(now, traders=aside)
        now = _after(step, now, population)
        if now.traders is None and now.total is None:
            break
    shape = max(stated, now.shape, _shape(traders), key=CLASSES.index)
    return replace(now, shape=shape, unknown=lacking)


def _net(before: Shape, population: Population) -> Shape:
    """The same less what each trader received already."""
    if not population.received or (before.traders is None and before.total is None):
        return _summed(before)
    if before.total is not None:
        return replace(before, traders=None, total=None, why="what was received already is taken off after a pot is shared")
    return _summed(replace(before, traders=_fixed(Step("net-of-refund"), before.traders or (), population)))


def _summed(before: Shape) -> Shape:
    if before.total is not None or before.traders is None:
        return before
    return replace(before, total=added(before.traders))


def _below(rule: Rule, rules: Mapping[str, Rule]) -> list[Rule]:
    """The rules below a rule."""
    return [one for name in rule.base if name in rules for one in (rules[name], *_below(rules[name], rules))]


def _after(step: Step, before: Shape, population: Population) -> Shape:
    """What one step leaves. Its `total` is None as long as it is the sum of the traders' amounts."""
    if before.total is not None:  # a pot was shared
        factor = {"scale": step.factor, "haircut": None if step.share is None else 1 - step.share}.get(step.kind)
        if step.kind == "uplift" and step.factor is not None:
            factor = 1 + step.factor
        if factor is None:
            return Shape(before.shape, None, None, why=f"{step.kind} comes after a pot is shared, whose shares are quotients of sums")
        return Shape(before.shape, before.traders, times(before.total, factor), before.scaled, before.why)
    assert before.traders is not None
    if step.rule_of_kind.shares or step.excess not in (None, KEPT):
        return _shared(step, before.traders, population)
    traders = _EACH[step.kind](step, before.traders, population)
    return Shape(_shape(traders), traders, None)


def _shared(step: Step, traders: Sequence[Pieces], population: Population) -> Shape:
    if step.kind == "amm-unwind":
        return Shape(JUMPS, None, None, why="amm-unwind closes positions on the curve, in an order that follows the price")
    if step.pot is None:  # a cap whose excess is redistributed
        return Shape(RATIONAL, None, None, why="an excess that is redistributed follows the price through one level for all")
    nobody = Standing(population, population.traders, Amounts([0] * len(traders)), Amounts([0] * len(traders)), (), ())
    pot = pot_of(step, nobody)
    if step.kind == "small-first":
        total = at_most(added(traders), pot)
        return Shape(JUMPS, None, total, why="who is paid first by small-first changes with the order of all claims")
    if step.values == "weights":
        return Shape(RATIONAL, traders, line(pot, 0), True)
    total = at_most(added(traders), pot)
    if step.kind in ("pro-rata-budget", "set-aside") or step.by == "scale":
        return Shape(RATIONAL, traders, total, True)
    return Shape(RATIONAL, None, total, why=f"the level of {step.kind} is a quotient of sums that follow the price")


Each = Callable[[Step, Sequence[Pieces], Population], list[Pieces]]


def _factor(of: Callable[[Step], Fraction]) -> Each:
    return lambda step, traders, _: [times(one, of(step)) for one in traders]


def _of(number: Fraction | None) -> Fraction:
    assert number is not None
    return number


def _flat(step: Step, traders: Sequence[Pieces], _: Population) -> list[Pieces]:
    assert step.amount is not None
    more = line(fixed.to_integer(step.amount), 0)
    nothing = line(0, 0)
    return [where(compared(one, nothing, operator.gt), added([one, more]), one) for one in traders]


def _cap(step: Step, traders: Sequence[Pieces], _: Population) -> list[Pieces]:
    assert step.cap is not None
    return [at_most(one, fixed.to_integer(step.cap)) for one in traders]


def _tiers(step: Step, traders: Sequence[Pieces], _: Population) -> list[Pieces]:
    assert step.threshold is not None
    whole, share = fixed.to_integer(step.threshold), _of(step.share)
    return [added([at_most(one, whole), times(at_least(added([one, line(-whole, 0)]), 0), share)]) for one in traders]


def _drop_below(step: Step, traders: Sequence[Pieces], _: Population) -> list[Pieces]:
    assert step.minimum is not None
    least, nothing = line(fixed.to_integer(step.minimum), 0), line(0, 0)
    return [where(compared(one, least, operator.ge), one, nothing) for one in traders]


def _fixed(step: Step, traders: Sequence[Pieces], population: Population) -> list[Pieces]:
    """Steps that take off, or scale by, facts that do not follow the price: found out by applying them to amounts above all of these."""
    largest = fixed.LIMIT
    amounts = Amounts([largest] * len(traders))
    before = Standing(population, population.traders, amounts, amounts, [0] * len(traders), population.rows_of_each)
    after = STEPS[step.kind](step, before).standing.amounts
    if step.kind == "leverage-filter":
        return [times(one, after[n] / largest) for n, one in enumerate(traders)]
    return [at_least(added([one, line(after[n] - largest, 0)]), 0) for n, one in enumerate(traders)]


_EACH: Mapping[str, Each] = {
    "scale": _factor(lambda step: _of(step.factor)),
    "haircut": _factor(lambda step: 1 - _of(step.share)),
    "uplift": _factor(lambda step: 1 + _of(step.factor)),
    "flat": _flat,
    "cap-per-trader": _cap,
    "tiers": _tiers,
    "drop-below": _drop_below,
    "net-of-refund": _fixed,
    "net-bad-debt": _fixed,
    "leverage-filter": _fixed,
    "address-remap": lambda _, traders, __: [*traders],  # who receives it changes, not how much; shown by trader
}


def _base(rule: Rule, rules: Mapping[str, Rule], rows: RowFunctions, population: Population) -> tuple[list[Pieces], list[int]]:
    """As rules/base.py: what the rule begins with, for each trader, and how many rows of each are not known."""
    if not any(name in rules for name in rule.base) and (rule.combine is None or rule.level == "liquidation"):
        columns = [rows(name) for name in rule.base]
        if rule.combine is None and rule.level == "trader":
            traders, unknown = _added_up(columns[0], population)
            return [at_least(one, 0) for one in traders], unknown
        clamped = [[None if one is None else at_least(one, 0) for one in column] for column in columns]
        combined = [None if None in several else _combined(rule, [one for one in several if one]) for several in zip(*clamped, strict=True)]
        return _added_up(combined, population)
    below = []
    for name in rule.base:
        if name in rules:
            shape = _before_received(rules[name], rules, rows, population)
            if shape.traders is None or shape.total is not None:
                raise NoClosedForm(f"its base {name} shares a pot" if shape.total is not None else f"of its base {name}: {shape.why}")
            below.append((shape.traders, _base(rules[name], rules, rows, population)[1]))
        else:
            below.append(_base(Rule(name, (name,)), {}, rows, population))
    unknown = [max(counts) for counts in zip(*(counts for _, counts in below), strict=True)]
    if rule.combine is None:
        return [*below[0][0]], unknown
    traders = [_combined(rule, several) for several in zip(*(own for own, _ in below), strict=True)]
    if rule.combine == "minus":
        traders = [line(0, 0) if lacks else one for one, lacks in zip(traders, unknown, strict=True)]
    return traders, unknown


def _combined(rule: Rule, several: Sequence[Pieces]) -> Pieces:
    first, *others = several
    match rule.combine:
        case "blend":
            total = sum(rule.weights, Fraction())
            return added([times(one, weight / total) for one, weight in zip(several, rule.weights, strict=True)])
        case "minus":
            return at_least(added([first, times(others[0], -1)]), 0)
        case "plus":
            return added(several)
    for other in others:
        first = chosen(first, other, operator.ge if rule.combine == "max" else operator.le)
    return first


def _added_up(rows: Sequence[Pieces | None], population: Population) -> tuple[list[Pieces], list[int]]:
    own: list[list[Pieces]] = [[] for _ in population.traders]
    unknown = [0] * len(own)
    for place, one in zip(population.places, rows, strict=True):
        if one is None:
            unknown[place] += 1
        else:
            own[place].append(one)
    return [several[0] if len(several) == 1 else added(several) if several else line(0, 0) for several in own], unknown


def _shape(traders: Sequence[Pieces]) -> str:
    return JUMPS if any(one.cuts and one.jumps() for one in traders) else LINEAR
