"""Each formula and rule as the workbook needs it: its tree, and what it gives each liquidation and each trader."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from perpcomp import arithmetic, entitlement, fixed
from perpcomp import formula as formulas
from perpcomp.adjust import adjust
from perpcomp.decide.compare import EQUITY
from perpcomp.entitlement import Entitlement
from perpcomp.formula import Formula
from perpcomp.rules.named import Paying
from perpcomp.run import Run


@dataclass(frozen=True)
class Rule:
    """A formula, or a rule of the incident file, with its results.

    `tree` and `values` are those of a formula: one amount (1e-18 of the quote asset) a row of the liquidations table, None where unknown. A
    rule of the incident file has none: its steps look at all traders, which no cell can follow. `owed` is what each trader gets, less
    what was received already, as rulings corrected it.
    """

    paying: Paying
    owed: Mapping[str, Entitlement]
    tree: arithmetic.Node | None = None
    terms: tuple[str, ...] = ()
    values: tuple[int | None, ...] = ()

    @property
    def name(self) -> str:
        return self.paying.name


def rules(run: Run) -> list[Rule]:
    """What a run compares: formulas that may be paid, rules, and then formulas that can only be compared; each by name."""
    found = {one.name: one for one in (run.formula, *run.compared)}
    ranked = sorted(found.values(), key=lambda one: (one.negative, not isinstance(one, Formula), one.name))
    return [_formula(one, run) if isinstance(one, Formula) else Rule(one, _owed(one, run)) for one in ranked]


def _formula(one: Formula, run: Run) -> Rule:
    table = run.liquidations
    eligible = table.filter("eligible")
    paid = entitlement.given(one, eligible)
    rows = iter(paid)
    values = tuple(next(rows) if flag else 0 for flag in table.get_column("eligible"))
    tree = formulas.tree(one)
    owed = entitlement.net(entitlement.per_trader(eligible.get_column("trader"), paid), run.incident.received_by)
    return Rule(one, adjust(owed, run.incident), tree, tuple(arithmetic.columns(tree)), values)


def _owed(one: Paying, run: Run) -> Mapping[str, Entitlement]:
    """What a rule gives each trader: exact where it pays, else as the comparison has it."""
    if one.name == run.formula.name:
        return run.due.owed
    rows = run.comparison.filter(formula=one.name).select("trader", "amount", "rank").iter_rows()
    return {
        trader: Entitlement(0 if amount is None else fixed.to_integer(amount), int(rank is None), 1 if amount is None else 2)
        for trader, amount, rank in rows
    }


def equities(run: Run) -> tuple[list[int | None], Mapping[str, Entitlement]]:
    """What each row's position was worth by [valuation], in the compensated part; and each trader's sum. 0 where not eligible."""
    eligible = run.liquidations.filter("eligible")
    part = entitlement.compensated(eligible.select(EQUITY).to_series(), eligible)
    given = iter(part)
    rows = [next(given) if paid else 0 for paid in run.liquidations.get_column("eligible")]
    return rows, entitlement.per_trader(eligible.get_column("trader"), part)


def shares(run: Run) -> list[float]:
    """The part of each row's position that is compensated; 0 where the row is not eligible."""
    sizes, kept = (fixed.to_integers(run.liquidations.get_column(name)) for name in ("size", "compensated_size"))
    return [
        0.0 if not part else 1.0 if part == abs(size or 0) else float(Fraction(part, abs(size or 1)))
        for size, part in zip(sizes, kept, strict=True)
    ]
