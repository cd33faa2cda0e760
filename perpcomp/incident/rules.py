"""The table [[rule]]: how much each trader is owed, as data."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, Table
from perpcomp.incident.kinds import choice
from perpcomp.incident.reader import TableReader
from perpcomp.incident.rule_kinds import NAME, NAMES, RATIOS
from perpcomp.incident.rule_steps import CLASSES, Step, read_step
from perpcomp.incident.sources import SOURCE

COMBINED = ("max", "min", "plus", "minus", "blend")
OF_TRADERS = ("net-of-refund", "net-bad-debt", "leverage-filter", "amm-unwind")  # steps that read facts about traders


class Rule(Struct, frozen=True):
    """A named rule: bases, combined in one way where there are several, and steps in order, of which at most one shares a pot.

    level says where amounts are combined and clamped at 0: for each liquidation, or for each trader after adding up. unknown says what a
    pot does with a trader whose claim is not known.
    """

    name: Annotated[str, Key(NAME, "The name of the rule.", '"op2"')]
    base: Annotated[
        tuple[str, ...],
        Key(
            NAMES,
            "What the rule begins with: a formula, another rule, or a column of the claims; or a list of them.",
            '"margin-upl-funding"',
        ),
    ]
    combine: Annotated[
        str | None,
        Key(
            choice(*COMBINED),
            "How several bases become one amount; minus takes the second off the first, not below 0.",
            '"max"',
            default=None,
        ),
    ] = None
    weights: Annotated[
        tuple[Fraction, ...], Key(RATIOS, "The weights of a blend, one for each base; they are divided by their sum.", "[1, 3]", default=())
    ] = ()
    level: Annotated[
        str | None,
        Key(
            choice("liquidation", "trader"),
            "Where amounts are combined and clamped at 0: for each liquidation, or for each trader after adding up.",
            '"trader"',
            default=None,
        ),
    ] = None
    unknown: Annotated[
        str,
        Key(
            choice("refuse", "set-aside"),
            "What a pot does with a trader whose claim is not known: nothing is shared, or the trader stands aside and gets 0.",
            '"set-aside"',
            default="refuse",
        ),
    ] = "refuse"
    shape: Annotated[
        str | None,
        Key(
            choice(*CLASSES),
            "How amounts may follow the reference price; a step that does more is refused.",
            '"linear"',
            default=None,
            name="class",
        ),
    ] = None
    steps: Annotated[
        tuple[Step, ...],
        Table(Step, "states one step of the rule, in order", required=False, many=True, absent=(), read=read_step, name="step"),
    ] = ()
    source: Annotated[tuple[str, ...], SOURCE] = ()

    @property
    def allocation(self) -> Step | None:
        """The step that looks at all traders together, where there is one."""
        return next((step for step in self.steps if step.rule_of_kind.shares), None)


def read_rule(table: TableReader) -> Rule | None:
    """The rule; what contradicts itself within the table is refused."""
    values = table.values()
    base, combine, weights = values.get("base", ()), values.get("combine"), values.get("weights", ())
    if len(base) > 1 and combine is None and "combine" not in table.raw:
        table.problem("combine", "is missing.", f'{len(base)} bases need it, as combine = "max". Allowed: {", ".join(COMBINED)}.')
    if len(base) == 1 and combine is not None:
        table.problem("combine", f'is "{combine}" for one base.', "List at least two bases, or remove combine.")
    if combine == "minus" and len(base) > 2:
        table.problem("combine", f'is "minus" for {len(base)} bases.', "List two: the second is taken off the first.")
    if (combine == "blend") != bool(weights):
        table.problem(
            "weights", f"has {len(weights)} weights, and combine is {combine!r}.", "A blend, and nothing else, has a weight for each base."
        )
    elif weights and len(weights) != len(base):
        table.problem("weights", f"has {len(weights)} weights for {len(base)} bases.", "Write one weight for each base, in order.")
    elif weights and not sum(weights):
        table.problem("weights", "sum to zero, so no base counts.", "Write at least one weight above 0.")
    _check_steps(table, values.get("steps", ()), values.get("shape"))
    return table.build(Rule, values)


def _check_steps(table: TableReader, steps: Sequence[Step], shape: str | None) -> None:
    """At most one allocation; what reads facts about traders before payees replace them; no step does more than the stated class allows."""
    shared = [(number, step.kind) for number, step in enumerate(steps, 1) if step.rule_of_kind.shares]
    if len(shared) > 1:
        listed = " and ".join(f"step {number} ({kind})" for number, kind in shared)
        table.problem("step", f"shares a pot more than once: {listed}.", "Keep one, and build a second rule on this one as its base.")
    for number, step in enumerate(steps, 1):
        if step.kind == "amm-unwind" and number > 1:
            what = (
                f"{number} is amm-unwind after {number - 1} other steps, whose results it would throw away: it values each position anew."
            )
            table.problem("step", what, "Make it the first step.")
        if step.kind in OF_TRADERS and "address-remap" in [earlier.kind for earlier in steps[: number - 1]]:
            what = f"{number} is {step.kind} after address-remap, but what it takes off is known of traders, not of payees."
            table.problem("step", what, "Put it before address-remap.")
        if shape is not None and CLASSES.index(step.shape) > CLASSES.index(shape):
            what = f'{number} ({step.kind}) is {step.shape}, but the rule states class = "{shape}".'
            table.problem("step", what, f'Write class = "{step.shape}", or leave the step out.')


def ring(rules: Mapping[str, Rule]) -> list[str]:
    """The names of a circle of rules that are each other's base, its first name again at its end; empty where there is none."""
    done: set[str] = set()
    for start in rules:
        path = [start]
        pending = [iter(rules[start].base)] if start not in done else []
        while pending:
            name = next(pending[-1], None)
            if name is None:
                pending.pop()
                done.add(path.pop())
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name in rules and name not in done:
                path.append(name)
                pending.append(iter(rules[name].base))
    return []
