"""What a formula is, how installed ones are found, and the guard that keeps them exact.

A formula says *how much*, never *who*: terms of one liquidation in, one Polars expression out. Ours and other people's are found by
the same entry point group, `perpcomp.formulas`.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import arithmetic, fixed
from perpcomp.findings import InputError, near_miss, refusal
from perpcomp.fixed import AMOUNT
from perpcomp.installed import FORMULAS, load, names, target
from perpcomp.number_text import counted, exact
from perpcomp.tables.liquidations import LIQUIDATIONS, TERMS
from perpcomp.tables.schema import KINDS


class Terms:
    """What a formula may read of one liquidation: those columns of the liquidations table that are stated as terms there.

    `terms.margin` is a Polars expression. What follows from eligibility is no term: a formula does not decide who is paid.
    """

    NAMES = TERMS

    def __getattr__(self, name: str) -> pl.Expr:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self.NAMES:
            raise refusal(f"formula term '{name}'", "There is no such term.", near_miss(name, self.NAMES))
        return pl.col(name)


Rule = Callable[[Terms], pl.Expr]
Read = dict[str, list[arithmetic.Value]]  # of some liquidations, each term that a formula read, as the second engine counts


class Formula(Struct, frozen=True):
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


@cache
def tree(chosen: Formula) -> arithmetic.Node:
    """The formula's expression as exact arithmetic. InputError where the rule fails, or does something that is not exact."""
    place = f"formula '{chosen.name}'"
    try:
        expression = chosen.expression
    except InputError:
        raise
    except Exception as error:  # a rule may be other people's code
        raise refusal(place, f"The rule raised {error!r}.", "Repair the rule.") from error
    if not isinstance(expression, pl.Expr):
        raise refusal(place, f"The rule returned {expression!r}.", "Return a Polars expression made of terms.")
    try:
        return arithmetic.tree(expression)
    except arithmetic.InexactError as error:
        raise refusal(place, f"The rule is not exact: {error}.", "Nothing was computed.") from None


def entitlements(chosen: Formula, liquidations: pl.DataFrame, read: Read | None = None) -> pl.Series:
    """What the rule gives each row (quote asset, Decimal(38,18)), in the rows' order; null where a term that it reads is null.

    InputError unless the rule has only exact row-by-row operations and gives one value a row, of type Decimal(38,18), not negative
    unless the formula allows it. AssertionError where Polars and the second engine (Python integers) differ in a row.
    `read` holds the terms that formulas before it read of the same liquidations, and is filled with those of this one.
    """
    node = tree(chosen)
    terms = arithmetic.columns(node)
    _check_terms(chosen, terms)
    values = _computed(chosen, liquidations)
    has = has_all(terms)
    known, values = liquidations.select(has.alias("known"), pl.when(has).then(values).alias("value")).get_columns()
    read = Read() if read is None else read
    read |= {name: arithmetic.terms(liquidations.get_column(name)) for name in terms if name not in read}
    second = arithmetic.evaluate_all(node, read, liquidations.height)
    expected = second if known.all() else [value if complete else None for value, complete in zip(second, known, strict=True)]
    signed = chosen.negative or not (values < 0).any()
    # Whole lists are compared first, in a tenth of the time; the rows are read where that fails, to name one.
    if signed and values.null_count() == (~known).sum() and fixed.to_integers(values) == expected:
        return values
    for n, (value, other, complete) in enumerate(zip(fixed.to_integers(values), second, known, strict=True)):
        if complete and (value is None or value != other or (value < 0 and not chosen.negative)):
            transaction, log = liquidations.select("transaction_hash", "log_index").row(n)
            raise _wrong_value(chosen, f"tx {transaction} log {log}", value, other)
    return values


def has_all(terms: Sequence[str]) -> pl.Expr:
    """Whether a row has all these terms. An entitlement is known only there; max_horizontal, for one, passes over a null."""
    return pl.all_horizontal(pl.repeat(True, pl.len()), *(pl.col(name).is_not_null() for name in terms))


def _check_terms(chosen: Formula, names: Sequence[str]) -> None:
    """Refuse columns that are no terms, and terms that are integers: a block number is not an amount."""
    place = f"formula '{chosen.name}'"
    unknown = [name for name in names if name not in Terms.NAMES]
    if unknown:
        raise refusal(place, f"The rule reads {', '.join(unknown)}: not a term.", near_miss(unknown[0], Terms.NAMES))
    integers = [name for name in names if LIQUIDATIONS.schema[name] == KINDS["integer"][0]]
    if integers:
        raise refusal(place, f"The rule computes with {', '.join(integers)}: not an amount.", "Read amounts and texts only.")


def _computed(chosen: Formula, liquidations: pl.DataFrame) -> pl.Series:
    """The values by Polars; InputError unless there is one of type Decimal(38,18) for each row."""
    place = f"formula '{chosen.name}'"
    try:
        # Lazily: Polars then computes once what the expression holds several times, as every product and quotient of `fixed` does.
        values = liquidations.lazy().select(chosen.expression.alias("entitlement")).collect().get_column("entitlement")
    except pl.exceptions.PolarsError as error:
        advice = "Use only terms, fixed.amount, fixed.mul and fixed.div."
        if "overflow" in str(error):
            advice = "A result must stay below 1e20."
        raise refusal(place, f"The rule cannot be computed: {str(error).splitlines()[0]}.", advice) from None
    if values.dtype != AMOUNT:
        raise refusal(place, f"The rule gives {values.dtype}, not an exact amount.", "Use terms, fixed.amount('0.5') and fixed.mul.")
    if len(values) != liquidations.height:
        what = f"The rule gives {counted(len(values), 'value')} for {counted(liquidations.height, 'liquidation')}."
        raise refusal(place, what, "Give one value for each liquidation.")
    return values


def _wrong_value(chosen: Formula, where: str, value: int | None, other: arithmetic.Value) -> Exception:
    """The error for a row whose terms are all known: it has no value, a negative one, or another one by the second engine."""
    place = f"formula '{chosen.name}'"
    if value is None:
        return refusal(place, f"The rule gives no value for {where}, although all its terms are known.", "Give a value for every row.")
    if value != other:
        return AssertionError(f"{place}: Polars and the second engine differ at {where}: {exact(value)} and {arithmetic.number(other)}")
    return refusal(place, f"The rule gives {exact(value)} for {where}.", "Clamp it with .clip(0): an entitlement is never negative.")
