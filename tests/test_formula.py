"""Formulas: how they are found, what they may read, and the guard that keeps them exact."""

from collections.abc import Callable
from decimal import Decimal
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp import fixed, formula
from perpcomp.findings import InputError
from perpcomp.formula import (
    Formula,
    Terms,
    entitlements,
    find,
    installed,
    reads,
)
from perpcomp.installed import FORMULAS
from perpcomp.number_text import exact
from perpcomp.run import Run
from perpcomp.tables.liquidations import LIQUIDATIONS
from tests import build

pytestmark = pytest.mark.money

OURS = {"margin-only", "margin-upl-funding", "restore-position", "split-50-50", "realized-loss"}
Rule = Callable[[Terms], Any]


@pytest.fixture(scope="module")
def liquidations(rehearsal: Run) -> pl.DataFrame:
    return rehearsal.liquidations


def made(rule: Rule, *, negative: bool = False) -> Formula:
    return formula.formula(name="made-up", source="a test", negative=negative)(rule)


def refused(rule: Rule, frame: pl.DataFrame, *, negative: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        entitlements(made(rule, negative=negative), frame)
    assert caught.value.exit_code == 2
    assert all(problem.what_to_do for problem in caught.value.problems)
    return str(caught.value)


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    """As if only these entry points were installed."""
    made_points = [EntryPoint(name, value, FORMULAS) for name, value in points]
    monkeypatch.setattr("perpcomp.installed.entry_points", lambda: EntryPoints(made_points))


# Finding them


def test_ours_are_installed() -> None:
    assert set(installed()) >= OURS


def test_finding_them_imports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("theirs", "no_such_module:rule"))
    assert list(installed()) == ["theirs"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_of_ours_is_exact_and_quotes_its_source(name: str) -> None:
    found = find(name)
    assert found.name == name
    assert found.source
    assert found.quote.splitlines()[0].endswith(".")
    assert "> " in found.quote, "the rule's docstring quotes the text it implements"
    assert len(found.code_sha256) == 64
    assert set(reads(found)) <= set(Terms.NAMES)


@pytest.mark.parametrize("name", sorted(OURS))
def test_each_of_ours_pays_every_recorded_liquidation(name: str, liquidations: pl.DataFrame) -> None:
    values = entitlements(find(name), liquidations)
    assert (values.dtype, len(values)) == (fixed.AMOUNT, liquidations.height)
    assert find(name).negative or values.min() >= 0


def test_an_unknown_name_gives_the_nearest_and_the_list() -> None:
    with pytest.raises(
        InputError, match=r"formula 'margin-onli': No installed package provides it\. Did you mean 'margin-only'\? Known: .*split-50-50"
    ):
        find("margin-onli")


def test_no_formula_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(InputError, match=r"formula 'margin-only': No installed package provides it\. There are none\."):
        find("margin-only")


def test_two_formulas_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("margin-only", "theirs.rules:margin"), ("margin-only", "perpcomp.formulas.margin_only:margin_only"))
    with pytest.raises(InputError) as caught:
        installed()
    said = str(caught.value)
    assert said == (
        "formula 'margin-only': It is installed twice: as perpcomp.formulas.margin_only:margin_only and as theirs.rules:margin."
        " Uninstall one of the two packages."
    )


def test_one_formula_seen_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable install beside its own folder lists the same entry point twice."""
    install(monkeypatch, *[("margin-only", "perpcomp.formulas.margin_only:margin_only")] * 2)
    assert list(installed()) == ["margin-only"]
    assert find("margin-only").name == "margin-only"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("no_such_module:rule", "cannot be loaded from no_such_module:rule: ModuleNotFoundError("),
        ("perpcomp.formulas.margin_only:nothing", "cannot be loaded from perpcomp.formulas.margin_only:nothing: AttributeError("),
        ("perpcomp.formulas.margin_only:Terms", "entry point perpcomp.formulas.margin_only:Terms is not a formula of that name."),
        ("perpcomp.formulas.split_50_50:split_50_50", "is not a formula of that name."),
        ("perpcomp.formulas.margin_only", "is not a formula of that name."),
    ],
    ids=["no module", "no such object", "another thing", "another formula's name", "a module"],
)
def test_a_broken_entry_point_is_reported(monkeypatch: pytest.MonkeyPatch, target: str, said: str) -> None:
    install(monkeypatch, ("margin-only", target))
    with pytest.raises(InputError) as caught:
        find("margin-only")
    assert str(caught.value).startswith("formula 'margin-only'")
    assert said in str(caught.value)
    assert caught.value.problems[0].what_to_do


# Terms


def test_an_unknown_term_gives_the_nearest_one(liquidations: pl.DataFrame) -> None:
    assert "formula term 'margn': There is no such term. Did you mean 'margin'? Known: " in refused(lambda t: t.margn, liquidations)


@pytest.mark.parametrize(
    "name", ["eligible", "reason", "reason_code", "compensated_size", "trader", "liquidator", "block_time", "era_rule"]
)
def test_who_is_paid_is_no_term(name: str, liquidations: pl.DataFrame) -> None:
    """A formula says how much, never who: neither by term nor by column."""
    assert f"formula term '{name}': There is no such term." in refused(lambda t: getattr(t, name), liquidations)
    said = refused(lambda t: pl.when(pl.col(name).is_null()).then(t.margin).otherwise(0), liquidations)
    assert said.startswith(f"formula 'made-up': The rule reads {name}: not a term. ")


def test_a_column_that_is_nowhere_is_refused(liquidations: pl.DataFrame) -> None:
    assert "reads margins: not a term. Did you mean 'margin'?" in refused(lambda t: pl.col("margins"), liquidations)


def test_terms_are_columns_of_the_liquidations() -> None:
    assert set(Terms.NAMES) <= set(LIQUIDATIONS.schema)
    assert len(set(Terms.NAMES)) == len(Terms.NAMES)
    no_terms = set(LIQUIDATIONS.schema) - set(Terms.NAMES)
    assert no_terms == {
        *("block_time", "transaction_hash", "trader", "market", "liquidator", "opened_at", "era_rule"),
        *("compensated_size", "eligible", "reason_code", "reason"),
    }, "decide for each new column whether formulas may read it"
    assert {"margin", "funding_payment", "unrealized_pnl_at_reference", "partial", "side"} <= set(Terms.NAMES)
    with pytest.raises(AttributeError):
        _ = Terms()._private


@pytest.mark.parametrize("name", ["era", "life", "block_number", "chain_id"])
def test_a_whole_number_is_no_amount(name: str, liquidations: pl.DataFrame) -> None:
    said = refused(lambda t: t.margin + getattr(t, name), liquidations)
    assert f"computes with {name}: not an amount." in said


# The guard


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda t: t.margin * 0.5, "a float literal slipped in"),
        (lambda t: (t.margin * 0.5).cast(fixed.AMOUNT), "it casts"),
        (lambda t: pl.when(t.margin > 0.5).then(t.margin).otherwise(0), "a float literal slipped in"),
        (lambda t: t.margin.map_elements(lambda v: v, return_dtype=fixed.AMOUNT), "it calls a Python function"),
        (lambda t: t.margin * t.funding_payment, "write fixed.mul(a, b)"),
        (lambda t: t.margin / 2, "write fixed.div(a, b)"),
        (lambda t: t.margin // 2, "write fixed.div(a, b)"),
        (lambda t: t.margin - t.margin.sum(), "it looks at other rows"),
        (lambda t: t.margin.sum().over(t.side), "it looks at other rows"),
        (lambda t: t.margin.first(), "it looks at other rows"),
        (lambda t: t.margin.shift(1), "it calls Shift"),
        (lambda t: t.margin + pl.len(), "it looks at other rows"),
        (lambda t: t.margin.clip(0, 5), "it clips at both ends at once"),
        (lambda t: t.margin + pl.lit(Decimal("0.0000000000000000001")), "a literal has more than 18 decimals"),
    ],
    ids=[
        "float",
        "hidden by a cast",
        "in a condition",
        "Python function",
        "*",
        "/",
        "//",
        "sum",
        "over",
        "first",
        "shift",
        "len",
        "clip at both ends",
        "19 decimals",
    ],
)
def test_what_is_not_exact_is_refused_before_anything_is_computed(rule: Rule, said: str, liquidations: pl.DataFrame) -> None:
    message = refused(rule, liquidations)
    assert message.startswith("formula 'made-up': The rule is not exact: ")
    assert said in message
    assert message.endswith("Nothing was computed.")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda t: t.margin > 0, "gives Boolean, not an exact amount."),
        (lambda t: t.side, "gives String, not an exact amount."),
        (lambda t: pl.lit(1) + 1, "gives Int32, not an exact amount."),
        (lambda t: pl.lit(Decimal("0.5")), "not an exact amount."),
        (lambda t: t.partial, "gives Boolean, not an exact amount."),
    ],
)
def test_a_result_that_is_no_amount_is_refused(rule: Rule, said: str, liquidations: pl.DataFrame) -> None:
    assert said in refused(rule, liquidations)


def test_one_value_for_all_rows_is_refused(liquidations: pl.DataFrame) -> None:
    said = refused(lambda t: fixed.amount(100), liquidations)
    assert f"gives 1 value for {liquidations.height} liquidations." in said


def test_a_negative_result_is_refused_unless_the_formula_says_so(liquidations: pl.DataFrame) -> None:
    def rule(t: Terms) -> pl.Expr:
        return -t.margin

    row = liquidations.filter(pl.col("margin") > 0).row(0, named=True)
    said = refused(rule, liquidations)
    assert f"gives {exact(-row['margin'])} for tx {row['transaction_hash']} log {row['log_index']}." in said
    assert "Clamp it with .clip(0)" in said
    assert [-v for v in liquidations["margin"]] == entitlements(made(rule, negative=True), liquidations).to_list()


def test_one_unit_below_0_in_one_row_is_refused_and_0_is_not(liquidations: pl.DataFrame) -> None:
    least, unit = liquidations["margin"].min(), Decimal("0.000000000000000001")
    assert isinstance(least, Decimal)
    assert "The rule gives -0.000000000000000001 for tx " in refused(lambda t: t.margin - fixed.amount(least + unit), liquidations)
    values = entitlements(made(lambda t: t.margin - fixed.amount(least)), liquidations)
    assert values.min() == 0 < values.max()  # type: ignore[operator]


def test_a_result_beyond_the_largest_amount_is_refused(liquidations: pl.DataFrame) -> None:
    said = refused(lambda t: fixed.mul(t.margin + 10**15, fixed.amount(10**15)), liquidations)
    assert said.startswith("formula 'made-up': The rule cannot be computed: overflow in decimal multiplication")
    assert "1e20" in said


def test_a_rule_that_polars_cannot_compute_is_named(liquidations: pl.DataFrame) -> None:
    """Its own reason, and no advice about large numbers."""
    said = refused(lambda t: t.margin + t.side, liquidations)
    assert said.startswith("formula 'made-up': The rule cannot be computed: ")
    assert "1e20" not in said


def test_nothing_for_a_row_whose_terms_are_known_is_refused(liquidations: pl.DataFrame) -> None:
    """A `when` without an `otherwise`, or a division by 0, would leave a trader out without a word."""
    for rule in (lambda t: pl.when(t.margin < 0).then(t.margin), lambda t: fixed.div(t.margin, t.margin - t.margin)):
        assert "although all its terms are known. Give a value for every row." in refused(rule, liquidations)


@pytest.mark.parametrize(
    "rule",
    [lambda t: t.open_notional, lambda t: t.open_notional.clip(0), lambda t: (t.margin + t.open_notional).clip(0).clip(upper_bound=5)],
)
def test_what_the_logs_do_not_hold_stays_unknown(rule: Rule, liquidations: pl.DataFrame) -> None:
    """Not 0: a clamp must not turn the unknown into nothing owed."""
    unknown = liquidations.with_columns(pl.lit(None, fixed.AMOUNT).alias("open_notional"))
    assert [None] * liquidations.height == entitlements(made(rule), unknown).to_list()


HIDING: dict[str, Rule] = {
    "max_horizontal": lambda t: pl.max_horizontal(t.margin, t.open_notional, 0),
    "min_horizontal": lambda t: pl.min_horizontal(t.margin, t.open_notional).clip(0),
    "a literal beside it": lambda t: pl.max_horizontal(t.open_notional, fixed.amount(0)),
    "clip at it": lambda t: t.margin.clip(t.open_notional),
    "clip below it": lambda t: t.margin.clip(0).clip(upper_bound=t.open_notional),
    "asked whether it is null": lambda t: pl.when(t.open_notional.is_null()).then(0).otherwise(t.open_notional),
    "in a condition": lambda t: pl.when(t.open_notional > 0).then(t.margin).otherwise(0),
    "in half a condition": lambda t: pl.when((t.margin >= 0) | (t.open_notional > 0)).then(t.margin).otherwise(0),
    "in the branch not taken": lambda t: pl.when(t.margin >= 0).then(t.margin).otherwise(t.open_notional),
}


@pytest.mark.parametrize("rule", HIDING.values(), ids=HIDING)
def test_a_rule_cannot_hide_what_the_logs_do_not_hold(rule: Rule, liquidations: pl.DataFrame) -> None:
    """Whoever's term is unknown is owed an unknown amount, whatever the rule makes of a null; the others are not touched by it."""
    known = liquidations.with_columns(pl.col("margin").clip(0))
    whole = entitlements(made(rule), known).to_list()
    assert None not in whole
    unknown = pl.int_range(pl.len()) % 3 == 1
    holed = known.with_columns(pl.when(~unknown).then("open_notional").alias("open_notional"))
    assert holed["open_notional"].null_count() > 2
    assert entitlements(made(rule), holed).to_list() == [None if n % 3 == 1 else value for n, value in enumerate(whole)]
    nobody = known.with_columns(pl.lit(None, fixed.AMOUNT).alias("open_notional"))
    assert entitlements(made(rule), nobody).to_list() == [None] * known.height


def test_an_unknown_that_a_rule_does_not_read_changes_nothing(liquidations: pl.DataFrame) -> None:
    unknown = liquidations.with_columns(pl.lit(None, fixed.AMOUNT).alias("open_notional"))
    rule = find("margin-upl-funding")
    assert "open_notional" not in reads(rule)
    assert entitlements(rule, unknown).equals(entitlements(rule, liquidations))


def test_no_liquidations_are_owed_nothing(liquidations: pl.DataFrame) -> None:
    assert entitlements(find("margin-upl-funding"), liquidations.clear()).len() == 0


def test_a_decimal_literal_may_stand_in_a_product(liquidations: pl.DataFrame) -> None:
    """As the messages of the guard advise."""
    half = entitlements(made(lambda t: fixed.mul(t.margin, pl.lit(Decimal("0.5")))), liquidations)
    assert half.equals(entitlements(find("split-50-50"), liquidations))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda t: 5, "returned 5. Return a Polars expression made of terms."),
        (lambda t: None, "returned None."),
        (lambda t: t, "Return a Polars expression made of terms."),
        (lambda t: t.margin if t.margin > 0 else 0, "The rule raised TypeError("),
        (lambda t: fixed.mul(t.margin, fixed.amount(0.5)), "The rule raised TypeError('0.5 is a float"),
        (lambda t: fixed.mul(t.margin, fixed.amount("0.0000000000000000001")), "The rule raised ValueError("),
        (lambda t: t.margin + 1 / 0, "The rule raised ZeroDivisionError("),
    ],
    ids=["a number", "nothing", "the terms", "a Python if", "a float amount", "19 decimals", "its own error"],
)
def test_a_rule_that_is_no_expression_is_named(rule: Rule, said: str, liquidations: pl.DataFrame) -> None:
    """Other people's mistakes are no stack traces of ours."""
    message = refused(rule, liquidations)
    assert message.startswith("formula 'made-up': The rule ")
    assert said in message


def test_the_two_engines_are_compared_in_every_row(liquidations: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were Polars to compute anything else than the integers do, nothing would be paid."""
    *same, last = (fixed.to_integer(margin) for margin in liquidations["margin"])
    monkeypatch.setattr(formula.arithmetic, "evaluate_all", lambda node, terms, rows: [*same, last + 1])
    where = liquidations["transaction_hash"][-1]
    with pytest.raises(AssertionError, match=f"formula 'margin-only': Polars and the second engine differ at tx {where}"):
        entitlements(find("margin-only"), liquidations)


def test_a_borrowed_mark_cannot_pass_a_rounded_product(liquidations: pl.DataFrame) -> None:
    """A product that rounds half to even under the exact one's name: the second engine sees the last digit."""
    odd = liquidations.with_columns(pl.lit(Decimal("0.000000000000000003"), fixed.AMOUNT).alias("margin"))
    forged = made(lambda t: (t.margin * fixed.amount("0.5")).alias(fixed.PRODUCT))
    with pytest.raises(AssertionError, match="Polars and the second engine differ"):
        entitlements(forged, odd)


def test_a_broken_formula_leaves_the_others_in_the_comparison(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And is named, not dropped."""
    from perpcomp.pipeline import _compared

    incident = build.made_up(tmp_path)
    install(monkeypatch, ("margin-only", "perpcomp.formulas.margin_only:margin_only"), ("theirs", "no_such_module:rule"))
    usable, problems = _compared(None, incident)
    assert [f.name for f in usable] == ["margin-only"]
    assert [(p.level, p.where) for p in problems] == [("warning", "formula 'theirs'")]
    assert "It is left out of the comparison." in problems[0].what_to_do


AMOUNTS = st.integers(-(10**30), 10**30)


@pytest.mark.property
@pytest.mark.parametrize("name", ["margin-only", "margin-upl-funding", "restore-position", "split-50-50", "realized-loss"])
@given(rows=st.lists(st.tuples(st.integers(0, 10**30), AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=8))
def test_no_formula_pays_a_negative_and_both_engines_agree(name: str, rows: list[tuple[int, int, int, int]]) -> None:
    """Ours, over any margin, profit and funding. realized-loss may show a negative; that one is compared, never paid."""
    columns = ("margin_at_reference", "unrealized_pnl_at_reference", "funding_at_reference", "realized_pnl")
    data = {column: [fixed.from_integer(row[n]) for row in rows] for n, column in enumerate(columns)}
    frame = pl.DataFrame(data, schema=dict.fromkeys(columns, fixed.AMOUNT)).with_columns(
        pl.lit("0x").alias("transaction_hash"),
        pl.int_range(pl.len()).alias("log_index"),
        pl.lit("long").alias("side"),
        pl.col("unrealized_pnl_at_reference").alias("restore_notional"),
        fixed.amount(0).alias("open_notional_at_reference"),
        fixed.amount(1).alias("restore_fee"),
    )
    chosen = formula.find(name)
    values = formula.entitlements(chosen, frame)  # raises where the engines differ, or a formula that may not goes below 0
    assert chosen.negative == (name == "realized-loss")
    if name == "restore-position":
        deposits = [margin + profit - funding for margin, profit, funding, _ in rows]
        assert [fixed.to_integer(value) for value in values] == [d + fixed.ONE if d > 0 else 0 for d in deposits]
    if name == "margin-upl-funding":
        expected = [max(0, margin + profit - funding) for margin, profit, funding, _ in rows]
        assert [fixed.to_integer(value) for value in values] == expected
