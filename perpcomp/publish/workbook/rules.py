"""Each formula and rule as the workbook needs it: its tree, and what it gives each liquidation and each trader."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

import polars as pl
from msgspec import Struct

from perpcomp import arithmetic, entitlement, fixed
from perpcomp import formula as formulas
from perpcomp.decide.compare import EQUITY
from perpcomp.formula import Formula
from perpcomp.publish.workbook.series import floats, numbers
from perpcomp.rules.named import Paying
from perpcomp.run import Run


class Given(Struct, frozen=True, dict=True):
    """What each of `traders` gets, less what was received already, as rulings corrected it: in 1e-18 of the quote asset, None where it is
    unknown, and as a number. `complete` says whether all of its liquidations are in the amount.
    """

    traders: Sequence[str]
    amounts: Sequence[int | Fraction | None]
    numbers: pl.Series
    complete: Sequence[bool]

    @cached_property
    def known(self) -> list[int | Fraction]:
        """The amounts that are known."""
        return [amount for amount in self.amounts if amount is not None]

    @cached_property
    def by_trader(self) -> dict[str, int | Fraction | None]:
        """The amounts that are complete."""
        return {who: own for who, own, complete in zip(self.traders, self.amounts, self.complete, strict=True) if complete}


class Rule(Struct, frozen=True):
    """A formula, or a rule of the incident file, with its results.

    `tree`, `terms` and `values` are those of a formula: one amount a row of the liquidations table, null where it is unknown. A rule of the
    incident file has none: its steps look at all traders, which no cell can follow.
    """

    paying: Paying
    given: Given
    tree: arithmetic.Node | None = None
    terms: tuple[str, ...] = ()
    values: pl.Series | None = None

    @property
    def name(self) -> str:
        return self.paying.name


def rules(run: Run) -> list[Rule]:
    """What a run compares: formulas that may be paid, rules, and then formulas that can only be compared; each by name."""
    found = {one.name: one for one in (run.formula, *run.compared)}
    ranked = sorted(found.values(), key=lambda one: (one.negative, not isinstance(one, Formula), one.name))
    trees = {one.name: formulas.tree(one) for one in ranked if isinstance(one, Formula)}
    terms = {name: tuple(arithmetic.columns(tree)) for name, tree in trees.items()}
    eligible = run.liquidations.filter("eligible")
    # The second engine checked what each gives when the run was computed.
    values = eligible.select(
        pl.when(formulas.has_all(terms[one.name])).then(one.expression).alias(one.name) for one in ranked if isinstance(one, Formula)
    )
    given, nobody = _given(run), Given([], [], numbers([]), [])  # where no trader may be compensated, the comparison has no row
    return [
        Rule(
            one,
            given.get(one.name, nobody),
            trees[one.name],
            terms[one.name],
            _of_rows(run, entitlement.compensated(values[one.name], eligible)),
        )
        if one.name in trees
        else Rule(one, given.get(one.name, nobody))
        for one in ranked
    ]


def _of_rows(run: Run, amounts: pl.Series) -> pl.Series:
    """The amounts of the eligible rows as a column of the whole table: 0 where a row is not eligible."""
    eligible = run.liquidations.get_column("eligible")
    rows = fixed.from_integers([0] * len(eligible))
    return rows.scatter(eligible.arg_true(), amounts.reinterpret(dtype=fixed.AMOUNT)) if len(amounts) else rows


def _given(run: Run) -> dict[str, Given]:
    """What each formula and rule gives: exact of what pays, else as the comparison has it."""
    found, traders = {}, [*run.due.owed]
    for (name,), rows in run.comparison.select("formula", "trader", "amount", "rank").group_by("formula"):
        own, amounts, complete = rows["trader"].to_list(), rows["amount"], rows["rank"].is_not_null()
        # Nearly always the same traders: one list of them is looked at once.
        found[str(name)] = Given(traders if own == traders else own, fixed.to_integers(amounts), floats(amounts), complete.to_list())
    return {**found, run.formula.name: _of_sums(traders, *entitlement.columns_of(run.due.owed))}


def _of_sums(traders: Sequence[str], known: Sequence[int | Fraction], unknown: Sequence[int], liquidations: Sequence[int]) -> Given:
    """Of each trader: what is known, how many liquidations are unknown, and how many there are."""
    parts = zip(known, unknown, liquidations, strict=True)
    amounts = [own if lacking < number or not lacking else None for own, lacking, number in parts]
    return Given(traders, amounts, numbers(amounts), [not lacking for lacking in unknown])


def equities(run: Run) -> tuple[pl.Series, Given]:
    """What each row's position was worth by [valuation], in the compensated part, 0 where it is not eligible; and each trader's sum."""
    eligible = run.liquidations.filter("eligible")
    worth = entitlement.compensated(eligible.select(EQUITY).to_series(), eligible)
    sums = entitlement.per_trader(eligible.get_column("trader"), worth)
    return _of_rows(run, worth), _of_sums(sums.traders, sums.known, sums.unknown, sums.liquidations)


def shares(run: Run) -> pl.Series:
    """The part of each row's position that is compensated; 0 where the row is not eligible."""
    sizes, kept = (fixed.to_integers(run.liquidations.get_column(name)) for name in ("size", "compensated_size"))
    return pl.Series([(part or 0) / abs(size or 1) for size, part in zip(sizes, kept, strict=True)], dtype=pl.Float64)
