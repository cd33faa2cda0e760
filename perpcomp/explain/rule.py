"""What a rule does to one trader, step by step, with exact amounts."""

from collections.abc import Iterator
from fractions import Fraction

from perpcomp.arithmetic import plain
from perpcomp.fixed import ONE
from perpcomp.rules.sentence import sentence, step_text
from perpcomp.run import RunTables
from perpcomp.steps import Step, source_texts
from perpcomp.systems.units import units


def rule_steps(run: RunTables, trader: str) -> Iterator[Step]:
    """Each rule, those that it stands on first: its sentence, and what each of its steps does to this trader."""
    quote = units(run.incident).quote
    for one in run.due.every_rule:
        yield Step(f"rule {one.rule.name}", sentence(one.rule), source=source_texts(run.incident, one.rule.source))
        places = {who: n for n, who in enumerate(one.begin.traders)}
        if trader not in places:
            continue
        n = places[trader]
        yield Step("base", in_exact(one.begin.amounts[n]), unit=quote, depth=4)
        if lacking := one.begin.unknown[n]:
            said = f"{lacking} of its {one.begin.rows[n]} liquidations cannot be valued and add nothing: see findings.csv"
            yield Step("not paid", said, depth=4)
        for done in one.steps:
            after = done.result.standing
            if trader not in after.traders or trader not in done.before.traders:
                yield Step(f"step {done.number}", "paid to its payees from here on", source=step_text(done.step), depth=4)
                break
            at, n = list(done.before.traders).index(trader), list(after.traders).index(trader)
            why = "; ".join(filter(None, (step_text(done.step), done.result.how, done.result.reasons.get(n))))
            before = {"before": in_exact(done.before.amounts[at])}
            yield Step(f"step {done.number}", in_exact(after.amounts[n]), values=before, unit=quote, source=why, depth=4)


def in_exact(value: int | Fraction) -> str:
    """An amount in 1e-18 as a number that arithmetic can read: as a decimal where it is one of 18 places, else as a fraction."""
    return plain(int(value)) if value.denominator == 1 else str(value / ONE)
