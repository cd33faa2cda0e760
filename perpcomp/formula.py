"""What a formula is, how installed ones are found, and the guard that keeps them exact.

A formula says *how much*, never *who*: terms of one liquidation in, one Polars expression out. Ours and other people's are found by
the same entry point group, `perpcomp.formulas`.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp import arithmetic, fixed
from perpcomp.findings import InputError, near_miss, refusal
from perpcomp.fixed import AMOUNT
from perpcomp.installed import FORMULAS, load, names, target
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.schema import KINDS


class Terms:
    """What a formula may read of one liquidation: the columns of the liquidations table that its rule can depend on.

    `terms.margin` is a Polars expression. What follows from eligibility is not offered: a formula does not decide who is paid.
    """

    NAMES = tuple(
        c.name
        for c in LIQUIDATIONS.columns
        if c.name not in ("eligible", "reason_code", "reason", "compensated_size", "era_rule") and c.kind not in ("address", "hash", "time")
    )

    def __getattr__(self, name: str) -> pl.Expr:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self.NAMES:
            raise refusal(f"formula term '{name}'", "is unknown.", near_miss(name, self.NAMES))
        return pl.col(name)


Rule = Callable[[Terms], pl.Expr]


@dataclass(frozen=True)
class Formula:
    """A named rule with the source it implements. `negative`: it may go below 0, so it can be compared but never paid."""

    name: str
    source: str
    rule: Rule
    negative: bool = False

    @property
    def expression(self) -> pl.Expr:
        return self.rule(Terms())

    @property
    def quote(self) -> str:
        """The rule's docstring: what it means, with the text it implements."""
        return inspect.getdoc(self.rule) or ""

    @property
    def code_sha256(self) -> str:
        """sha256 of the source file that holds the rule."""
        module = sys.modules[self.rule.__module__]
        return hashlib.sha256(inspect.getsource(module).encode()).hexdigest()


def formula(name: str, source: str, negative: bool = False) -> Callable[[Rule], Formula]:
    """Make a rule a formula: `@formula(name="margin-only", source="forum F1")` over a function of terms."""
    return lambda rule: Formula(name, source, rule, negative)


def installed() -> list[str]:
    """The names of every installed formula, sorted, without importing any. Two of one name: InputError."""
    return names(FORMULAS)


def find(name: str) -> Formula:
    """The installed formula of that name; InputError with the nearest one and the list, or with what is wrong with it."""
    loaded: Any = load(FORMULAS, name)
    if not isinstance(loaded, Formula) or loaded.name != name:
        what = f"The entry point {target(FORMULAS, name)} is not a formula of that name."
        raise refusal(f"formula '{name}'", what, "Decorate the rule with @formula(name=..., source=...), under its entry point's name.")
    return loaded


def reads(chosen: Formula) -> list[str]:
    """The terms a formula reads, taken from its expression."""
    return arithmetic.columns(tree(chosen))


def tree(chosen: Formula) -> arithmetic.Node:
    """The formula's expression as exact arithmetic; InputError says what is not exact about it."""
    try:
        expression = chosen.expression
    except InputError:
        raise
    except Exception as error:  # other people's code
        raise refusal(f"formula '{chosen.name}'", f"cannot be built: {error!r}.", "Repair its rule.") from error
    if not isinstance(expression, pl.Expr):
        raise refusal(f"formula '{chosen.name}'", f"gives {expression!r}.", "A rule returns a Polars expression made of terms.")
    try:
        return arithmetic.tree(expression)
    except arithmetic.InexactError as error:
        raise refusal(f"formula '{chosen.name}'", f"is not exact: {error}.", "Nothing was computed.") from None


def entitlements(chosen: Formula, liquidations: pl.DataFrame) -> pl.Series:
    """What the rule gives for each row (USDC, Decimal(38,18)), in the rows' order; null where a term it reads is null.

    Guarded: only exact row-by-row operations, one value a row of type Decimal(38,18), not below 0 unless the formula says so, and
    equal to the second engine (Python integers) in every row.
    """
    node = tree(chosen)
    unknown = [name for name in arithmetic.columns(node) if name not in Terms.NAMES]
    if unknown:
        raise refusal(f"formula '{chosen.name}'", f"reads {', '.join(unknown)}.", near_miss(unknown[0], Terms.NAMES))
    numbers = [n for n in arithmetic.columns(node) if LIQUIDATIONS.schema[n] == KINDS["integer"][0]]
    if numbers:
        raise refusal(
            f"formula '{chosen.name}'", f"computes with {', '.join(numbers)}, which is no amount.", "Read amounts and texts only."
        )
    name = f"formula '{chosen.name}'"
    try:
        values = liquidations.select(chosen.expression.alias("entitlement")).get_column("entitlement")
    except pl.exceptions.PolarsError as error:
        advice = (
            "A result must stay below 1e20 USDC."
            if "overflow" in str(error)
            else "Write it with terms, fixed.amount, fixed.mul and fixed.div alone."
        )
        raise refusal(name, f"cannot be computed: {str(error).splitlines()[0]}.", advice) from None
    if values.dtype != AMOUNT:
        raise refusal(name, f"gives {values.dtype}, not an exact amount.", "Use terms, fixed.amount('0.5') and fixed.mul.")
    if len(values) != liquidations.height:
        raise refusal(name, f"gives {len(values)} value(s) for {liquidations.height} liquidations.", "One value a liquidation is wanted.")
    terms = {n: liquidations.get_column(n) for n in arithmetic.columns(node)}
    # A rule could hide an unknown term, as max_horizontal does; what reads the unknown pays nothing.
    known = liquidations.select(
        pl.all_horizontal(pl.repeat(True, pl.len()), *(column.is_not_null() for column in terms.values()))
    ).to_series()
    values = liquidations.select(pl.when(known).then(values)).to_series()
    second = arithmetic.evaluate_all(node, {n: arithmetic.terms(column) for n, column in terms.items()}, liquidations.height)
    for n, (value, other, complete) in enumerate(zip(fixed.to_integers(values), second, known, strict=True)):
        if value == other and value is not None and (value >= 0 or chosen.negative):
            continue
        if value is None and not complete:
            continue
        transaction, log = liquidations.select("transaction_hash", "log_index").row(n)
        where = f"tx {transaction} log {log}"
        if value is None:
            raise refusal(name, f"gives nothing for {where}, though everything it reads is known.", "Give a number for every row.")
        if value != other:
            raise AssertionError(f"{name}: the two engines differ at {where}: {values[n]} and {other}")
        raise refusal(name, f"gives {values[n]:f} for {where}.", "Clamp it with .clip(0): nobody is owed a negative amount.")
    return values
