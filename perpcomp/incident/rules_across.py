"""What a rule says against other tables: unknown names, circles, levels, tokens that rules pay."""

from collections.abc import Callable, Iterator

from perpcomp import installed
from perpcomp.findings import near_miss
from perpcomp.incident.expect import Expectation
from perpcomp.incident.formula import Formula
from perpcomp.incident.funds import Budget
from perpcomp.incident.input import InputFiles
from perpcomp.incident.payees import Payee
from perpcomp.incident.reader import Problem
from perpcomp.incident.received import Received
from perpcomp.incident.rules import Rule, ring
from perpcomp.incident.settlement import Leg

Problems = Iterator[Problem]
HEADER = "[[rule]]"


def rule_names(rules: tuple[Rule, ...], files: InputFiles) -> Problems:
    """Each name once, and known: a rule, and a formula or a column of the claims; no rule is its own base."""
    bases, what_they_are = _bases(files)
    names = [rule.name for rule in rules]
    for n, rule in enumerate(rules, 1):
        if names.index(rule.name) < n - 1:
            yield Problem(HEADER, n, "name", f'"{rule.name}" is listed twice.', "Keep one.")
        if rule.name in bases:
            yield Problem(HEADER, n, "name", f'is "{rule.name}", which is {what_they_are} too.', "Give the rule a name of its own.")
        for base in [base for base in rule.base if base not in {*bases, *names}]:
            what = f'names "{base}", which is neither a rule nor {what_they_are}.'
            yield Problem(HEADER, n, "base", what, near_miss(base, {*bases, *names} - {rule.name}))
    if circle := ring({rule.name: rule for rule in rules}):
        number = names.index(circle[0]) + 1
        what = f"of {circle[0]} is a circle: {' -> '.join(circle)}."
        yield Problem(HEADER, number, "base", what, "Let one of them begin with a formula.")


def rule_levels(rules: tuple[Rule, ...], files: InputFiles) -> Problems:
    """Several bases of which none is a rule state their level; a rule has an amount for each trader only."""
    names = {rule.name for rule in rules}
    for n, rule in enumerate(rules, 1):
        of_rules = [base for base in rule.base if base in names]
        if len(rule.base) > 1 and not of_rules and rule.level is None:
            what = f"is missing: {rule.combine} of {' and '.join(rule.base)} differs between liquidations and traders."
            advice = 'Write level = "liquidation" (combined for each, then added up) or "trader" (added up, then combined).'
            yield Problem(HEADER, n, "level", what, advice)
        if of_rules and rule.level == "liquidation":
            what = f'is "liquidation", but {of_rules[0]} is a rule, which has one amount for each trader.'
            yield Problem(HEADER, n, "level", what, 'Write level = "trader", or name formulas.')


def rule_facts(rules: tuple[Rule, ...], files: InputFiles, budgets: tuple[Budget, ...]) -> Problems:
    """What steps name elsewhere: budgets, columns of the claims."""
    columns = {one.name for one in files.columns}
    amounts = {budget.name: budget.amount for budget in budgets}
    for n, rule in enumerate(rules, 1):
        for number, step in enumerate(rule.steps, 1):
            where = f"step {number}"
            if isinstance(step.pot, str) and step.pot not in amounts:
                yield Problem(
                    HEADER, n, f"{where} pot", f'names the budget "{step.pot}", which there is not.', near_miss(step.pot, amounts)
                )
            elif isinstance(step.pot, str) and step.set_aside is not None and step.set_aside > amounts[step.pot]:
                what = f"is {step.set_aside:,f}, more than the {amounts[step.pot]:,f} of the budget {step.pot}."
                yield Problem(HEADER, n, f"{where} set_aside", what, "Keep less, or share a larger pot.")
            read = [step.column] if step.column is not None else []
            if files.claims is not None:
                read += {"net-bad-debt": ["bad_debt"], "leverage-filter": ["leverage_at_open"]}.get(step.kind, [])
                read += ["size", "open_notional", "margin", "funding", "notional"] if step.kind == "amm-unwind" else []
                if step.kind == "amm-unwind" and files.market is None:
                    yield Problem("[input]", 0, "market", f"is missing, and {rule.name} unwinds positions by market.", "Name its column.")
            for column in [column for column in read if column not in columns]:
                what = f'reads the column "{column}", which [[input.column]] does not name.'
                yield Problem(HEADER, n, f"{where} {step.kind}", what, near_miss(column, columns))


def rule_payees(
    rules: tuple[Rule, ...], payees: tuple[Payee, ...], received: tuple[Received, ...], settlement: tuple[Leg, ...]
) -> Problems:
    """address-remap acts once, at the end of what is computed by trader: not in a base, and after what was received is taken off."""
    names = {base for rule in rules for base in rule.base} | {leg.rule for leg in settlement if leg.rule is not None}
    for n, rule in enumerate(rules, 1):
        kinds = [step.kind for step in rule.steps]
        if "address-remap" not in kinds:
            continue
        if rule.name in names:
            what = f"has address-remap, but {rule.name} is a base of another rule, or pays one of several tokens."
            yield Problem(HEADER, n, "step", what, "Let the last rule alone give amounts to payees.")
        if not payees:
            yield Problem(HEADER, n, "step", "has address-remap, but there is no [[payee]].", "Add the payees, or remove the step.")
        if received and "net-of-refund" not in kinds:
            what = "has address-remap, but [[received]] is known of traders and would be taken off payees."
            yield Problem(HEADER, n, "step", what, "Add the step net-of-refund before it.")


def legs_by_rule(rules: tuple[Rule, ...], settlement: tuple[Leg, ...], received: tuple[Received, ...]) -> Problems:
    """Either every token has a share, or every token has a rule; the last one may take the rest instead."""
    names = [rule.name for rule in rules]
    by_rule = [leg for leg in settlement if leg.rule is not None]
    for n, leg in enumerate(settlement, 1):
        if leg.rule is not None and leg.rule not in names:
            yield Problem("[[settlement]]", n, "rule", f'is "{leg.rule}", which is no [[rule]].', near_miss(leg.rule, names))
        if leg.rule is None and by_rule and n < len(settlement):
            what = "is missing, and other tokens are paid by rules."
            yield Problem("[[settlement]]", n, "rule", what, "Name the rule of each token; the last one may take the rest without one.")
        if leg.share and by_rule:
            yield Problem("[[settlement]]", n, "share", "is given, and tokens are paid by rules.", "Keep one of the two.")
    netted = {rule.name for rule in rules if "net-of-refund" in [step.kind for step in rule.steps]}
    if by_rule and received and not all(leg.rule in netted for leg in by_rule):
        what = "is given, and each token has its own rule. Nothing says from which token the amount is taken."
        yield Problem("[[received]]", 0, "", what, "Take it off with the step net-of-refund in these rules.")


def paying_rule(rules: tuple[Rule, ...], formula: Formula, files: InputFiles, settlement: tuple[Leg, ...]) -> Problems:
    """A published table is paid by a rule; tokens that rules pay are parts of a rule."""
    names = [rule.name for rule in rules]
    if formula.name in names:
        return
    if files.claims is not None:
        yield Problem(
            "[formula]", 0, "name", f'is "{formula.name}", which is no [[rule]]: claims are paid by a rule.', near_miss(formula.name, names)
        )
    elif any(leg.rule is not None for leg in settlement):
        what = f'is "{formula.name}", but tokens are paid by rules.'
        yield Problem("[formula]", 0, "name", what, 'Name the rule whose parts they are, as combine = "plus" of them.')
    elif names and formula.name not in installed.names(installed.FORMULAS):
        known = [*names, *installed.names(installed.FORMULAS)]
        yield Problem(
            "[formula]", 0, "name", f'is "{formula.name}", which is neither a rule nor a formula.', near_miss(formula.name, known)
        )


def expected_of_claims(expectations: tuple[Expectation, ...], files: InputFiles) -> Problems:
    """What a published table can be compared with: it has accounts and amounts, and no positions."""
    for n, expected in enumerate(expectations, 1):
        if files.claims is not None and expected.what not in ("traders", "entitlement", "amount"):
            what = f'is "{expected.what}", which claims do not state.'
            yield Problem("[[expect]]", n, "what", what, 'Compare "traders", "entitlement" or "amount".')


def _bases(files: InputFiles) -> tuple[set[str], str]:
    if files.claims is not None:
        return {one.name for one in files.columns}, "a column of the claims"
    return {*installed.names(installed.FORMULAS)}, "a formula"


CHECKS: dict[Callable[..., Problems], tuple[str, ...]] = {
    rule_names: ("rules", "input"),
    rule_levels: ("rules", "input"),
    rule_facts: ("rules", "input", "budgets"),
    rule_payees: ("rules", "payees", "received", "settlement"),
    legs_by_rule: ("rules", "settlement", "received"),
    expected_of_claims: ("expectations", "input"),
    paying_rule: ("rules", "formula", "input", "settlement"),
}
