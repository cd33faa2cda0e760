"""The second engine: expressions read as arithmetic, refused where they are not exact, and equal to Polars in every row."""

import ast
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp import fixed
from perpcomp.arithmetic import (
    InexactError,
    Node,
    columns,
    evaluate,
    filled,
    number,
    plain,
    term,
    text,
    tree,
)
from perpcomp.fixed import AMOUNT, LIMIT, ONE, from_integer

pytestmark = pytest.mark.money

M, F, U = pl.col("margin"), pl.col("funding_payment"), pl.col("unrealized_pnl_at_reference")
PARTIAL, SIDE = pl.col("partial"), pl.col("side")
SCHEMA = {"margin": AMOUNT, "funding_payment": AMOUNT, "unrealized_pnl_at_reference": AMOUNT, "partial": pl.Boolean(), "side": pl.String()}


# What is refused


FLOAT = "a float literal slipped in: write pl.lit(Decimal('0.5')), or fixed.amount('0.5')"
OTHER_ROWS = "it looks at other rows"
NOT_EXACT = "which is not among the exact operations"


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        (M * 0.5, FLOAT),
        (M + 0.5, FLOAT),
        (0.5 * M, FLOAT),
        (M + pl.lit(0.5), FLOAT),
        (M + pl.lit(0.5, dtype=pl.Float64), FLOAT),
        (M + pl.lit(0.5, dtype=pl.Float32), "a float"),
        (M + float("nan"), FLOAT),
        (fixed.mul(M, pl.lit(0.5)), FLOAT),
        (fixed.mul(M + 0.5, F), FLOAT),
        (fixed.div(M, pl.lit(0.5)), FLOAT),
        (M.clip(0.5), FLOAT),
        (pl.max_horizontal(M, pl.lit(0.5)), FLOAT),
        (pl.when(M > 0.5).then(M).otherwise(F), FLOAT),
        (pl.when(M > 0).then(0.5).otherwise(F), FLOAT),
        (pl.when(PARTIAL).then(M).otherwise(-(F + 0.5).abs()), FLOAT),
        ((M * 0.5).cast(AMOUNT), "it casts"),
        (M.cast(pl.Float64).cast(AMOUNT), "it casts"),
        (pl.lit(0.5).cast(AMOUNT) + M, "it casts"),
        (M + pl.lit("0.5").cast(AMOUNT), "it casts"),
        (M * F, "it multiplies with *, which rounds half to even: write fixed.mul"),
        (M * 2, "it multiplies with *"),
        (fixed.mul(M * F, U), "it multiplies with *"),
        (M / F, "it divides with / or //, which rounds: write fixed.div"),
        (M / 2, "it divides with / or //"),
        (M // F, "it divides with / or //"),
        (M % F, "it uses Modulus"),
        (M**2, "it calls Pow"),
        (M.sqrt(), "it calls Pow"),
        (M.round(2), "it calls Round"),
        (M.floor(), "it calls Floor"),
        (M.fill_null(0), "it calls FillNull"),
        (pl.coalesce(M, F), "it calls Coalesce"),
        (pl.sum_horizontal(M, F), "it calls SumHorizontal"),
        (
            M.clip(0, 100),
            "it clips at both ends at once, whose meaning is unclear when they cross: write .clip(low).clip(upper_bound=high)",
        ),
        (M.clip(F, U), "it clips at both ends at once"),
        (F - M.clip(-5, U).abs(), "it clips at both ends at once"),
        (M.is_between(0, 1), "it calls IsBetween"),
        (M.is_not_null(), "it calls IsNotNull"),
        ((M > 0) ^ (F > 0), "it uses Xor"),
        (M.eq_missing(F), "it uses EqValidity"),
        (M.reinterpret(dtype=pl.Int128), "it reinterprets bits"),
        (M + pl.lit(Decimal("0.0000000000000000001")), "a literal has more than 18 decimals"),
        (fixed.mul(M, pl.lit(Decimal("1.0000000000000000001"))), "a literal has more than 18 decimals"),
        (M + pl.lit(pl.Series([Decimal(1)])), "it holds a literal of type Series"),
        (M.is_in([1, 2]), "it holds a literal of type List"),
        (M - M.sum(), OTHER_ROWS),
        (M.max(), OTHER_ROWS),
        (M.mean(), OTHER_ROWS),
        (M.first(), OTHER_ROWS),
        (M.last(), OTHER_ROWS),
        (M - M.sum().over("side"), OTHER_ROWS),
        (pl.when((M > 0).any()).then(M).otherwise(F), "it "),
        (M.sort(), OTHER_ROWS),
        (M.filter(M > 0), OTHER_ROWS),
        (M.gather(0), OTHER_ROWS),
        (M.head(1), OTHER_ROWS),
        (M + pl.len(), OTHER_ROWS),
        (pl.len(), OTHER_ROWS),
        (M.shift(1), "it calls Shift"),
        (M.diff(), "it calls Diff"),
        (M.cum_sum(), "it calls CumSum"),
        (M.rank(), "it calls Rank"),
        (M.reverse(), "it calls Reverse"),
        (M.sample(1, seed=1), "it calls Random"),
        (M.unique(), "it calls Unique"),
        (M.forward_fill(), "it calls FillNullWithStrategy"),
        (pl.col("margin", "funding_payment"), "it uses Selector"),
        (pl.all(), "it uses Selector"),
        (pl.struct("margin"), "it calls AsStruct"),
        (SIDE.str.to_decimal(scale=2), "it calls StringExpr"),
        (pl.element(), "it uses Element"),
    ],
    ids=lambda v: str(v)[:60] if isinstance(v, pl.Expr) else "",
)
def test_what_is_not_exact_row_by_row_arithmetic_is_refused(expr: pl.Expr, said: str) -> None:
    with pytest.raises(InexactError) as caught:
        tree(expr)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "expr",
    [
        M.map_elements(lambda v: v, return_dtype=AMOUNT),
        M.map_batches(lambda s: s),
        M + F.map_elements(lambda v: v, return_dtype=AMOUNT),
        pl.map_groups(["margin"], lambda s: s[0], return_dtype=AMOUNT),
    ],
    ids=["map_elements", "map_batches", "inside a sum", "map_groups"],
)
def test_a_python_function_is_refused(expr: pl.Expr) -> None:
    with pytest.raises(InexactError, match="it calls a Python function"):
        tree(expr)


@pytest.mark.parametrize(
    "expr",
    [
        M.alias(fixed.PRODUCT),
        (M + F).alias(fixed.PRODUCT),
        M.alias(fixed.QUOTIENT),
        (M / F).alias(fixed.QUOTIENT),
        (M + (M / F)).alias(fixed.QUOTIENT),
    ],
    ids=["a term", "a sum", "a term as quotient", "a rounded quotient", "a quotient inside"],
)
def test_the_marks_of_the_exact_operations_cannot_be_borrowed(expr: pl.Expr) -> None:
    with pytest.raises(InexactError, match=r"belongs to perpcomp\.fixed"):
        tree(expr)


# What is read


def printed(node: Node, row: Mapping[str, Any]) -> str:
    """The arithmetic of a row, as an explanation prints it."""
    return filled(text(node), {name: plain(term(row[name])) for name in columns(node)})


def test_a_rule_is_read_as_a_tree() -> None:
    node = tree((M + U - F).clip(0))
    assert columns(node) == ["margin", "unrealized_pnl_at_reference", "funding_payment"]
    assert text(node) == "max(0, ((margin + unrealized_pnl_at_reference) - funding_payment))"
    row = {"margin": Decimal(100), "unrealized_pnl_at_reference": Decimal("-30.5"), "funding_payment": Decimal("0.000000000000000001")}
    assert printed(node, row) == "max(0, ((100 + (-30.5)) - 0.000000000000000001))"
    assert evaluate(node, row) == 69_499_999_999_999_999_999


@pytest.mark.parametrize("literal", [5, pl.lit(5, dtype=pl.Int64), pl.lit(5, dtype=pl.UInt8), pl.lit(5, dtype=pl.Int128)])
def test_a_whole_number_of_any_type_is_one(literal: Any) -> None:
    assert tree(M + literal) == tree(M + fixed.amount(5))


def test_a_name_given_to_a_part_changes_nothing() -> None:
    assert tree((M + F).alias("left") - U.alias("x")) == tree(M + F - U)
    assert tree(fixed.mul(M, F).alias("half")) == tree(fixed.mul(M, F))


def test_each_term_is_named_once_in_the_order_of_reading() -> None:
    assert columns(tree(pl.when(F > M).then(F + U).otherwise(M))) == ["funding_payment", "margin", "unrealized_pnl_at_reference"]


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        (fixed.mul(M, fixed.amount("0.5")), "trunc(margin * 0.5)"),
        (fixed.mul(M, pl.lit(Decimal("0.5"))), "trunc(margin * 0.5)"),
        (fixed.div(M, F), "trunc(margin / funding_payment)"),
        (
            fixed.div(fixed.mul(M, F), fixed.mul(F, U)),
            "trunc(trunc(margin * funding_payment) / trunc(funding_payment * unrealized_pnl_at_reference))",
        ),
        (fixed.mul(M - F, -U), "trunc((margin - funding_payment) * (-unrealized_pnl_at_reference))"),
        (M.clip(0).clip(upper_bound=100), "min(100, max(0, margin))"),
        (M.clip(upper_bound=F), "min(funding_payment, margin)"),
        (pl.max_horizontal(M, F, 0), "max(margin, funding_payment, 0)"),
        (pl.min_horizontal(M, F), "min(margin, funding_payment)"),
        ((M - 1).abs(), "abs((margin - 1))"),
        (M - fixed.amount("-0.10"), "(margin - (-0.1))"),
        (pl.when(PARTIAL & (SIDE == "long")).then(M).otherwise(0), "(margin if (partial and (side == 'long')) else 0)"),
        (
            pl.when(~PARTIAL | (M >= F)).then(M).otherwise(F),
            "(margin if ((not partial) or (margin >= funding_payment)) else funding_payment)",
        ),
        (pl.when(M.is_null()).then(0).otherwise(M), "(0 if is_null(margin) else margin)"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_rule_reads_as_arithmetic(expr: pl.Expr, words: str) -> None:
    assert text(tree(expr)) == words


@pytest.mark.parametrize(
    ("value", "printed"),
    [(0, "0"), (ONE, "1"), (-ONE, "(-1)"), (1, "0.000000000000000001"), (100 * ONE, "100"), (-ONE // 2, "(-0.5)"), (LIMIT - 1, "9" * 20 + "." + "9" * 18), (None, "None"), ("long", "'long'"), (True, "True")],
)  # fmt: skip
def test_a_number_is_printed_in_full_without_trailing_zeros(value: Any, printed: str) -> None:
    assert number(value) == printed


@pytest.mark.parametrize(
    ("cell", "value"), [(Decimal("0.5"), ONE // 2), (2, 2 * ONE), (True, True), ("long", "long"), (None, None), (0.5, None)]
)
def test_a_cell_is_an_integer_of_1e_18_or_a_word(cell: Any, value: Any) -> None:
    assert term(cell) == value


def test_an_unknown_operation_is_never_evaluated() -> None:
    with pytest.raises(KeyError):
        evaluate(Node("power", (Node("literal", leaf=ONE), Node("literal", leaf=ONE))), {})


# Against Polars


EXPRESSIONS = {
    "margin + upl - funding": (M + U - F).clip(0),
    "half": fixed.mul(M, fixed.amount("0.5")),
    "half, as a literal": fixed.mul(M, pl.lit(Decimal("0.5"))),
    "a third": fixed.div(M, fixed.amount(3)),
    "ratio of two": fixed.div(M, F),
    "nested products": fixed.mul(fixed.mul(M, fixed.amount("0.3")), fixed.amount("-0.7")) - fixed.div(U, fixed.amount(7)),
    "quotient of products": fixed.div(fixed.mul(M, fixed.amount("0.1")), fixed.mul(U, fixed.amount("0.1")) + 3),
    "condition": pl.when(M > F).then(M - F).when(U < 0).then(-U).otherwise(U.abs()),
    "words and flags": pl.when(PARTIAL & (SIDE == "long")).then(M).otherwise(fixed.mul(U, fixed.amount("0.25"))),
    "either of two": pl.when((M > 0) | (U > 0)).then(M).otherwise(F),
    "neither": pl.when(~((M > 0) & (U > 0))).then(M).otherwise(F),
    "either, where one is unknown": pl.when(~((M != F) | PARTIAL)).then(U).otherwise(M),
    "clip at a term": M.clip(F),
    "clip below a term": M.clip(upper_bound=U),
    "clip on both sides": M.clip(-5).clip(upper_bound=5),
    "clip on both sides, which may cross": M.clip(F).clip(upper_bound=U),
    "largest": pl.max_horizontal(M, F, U),
    "smallest": pl.min_horizontal(M, F, fixed.amount(1)),
    "null test": pl.when(U.is_null()).then(fixed.amount(0)).otherwise(M - 1),
    "equal": pl.when(M == F).then(1).otherwise(M),
    "at most": pl.when(M <= U).then(M).otherwise(U),
}

cells = st.none() | st.integers(-10, 10).map(lambda n: n * ONE) | st.integers(-(10**27), 10**27) | st.integers(-3, 3)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "margin": cells,
            "funding_payment": cells,
            "unrealized_pnl_at_reference": cells,
            "partial": st.none() | st.booleans(),
            "side": st.none() | st.sampled_from(["long", "short"]),
        }
    ),
    min_size=1,
    max_size=8,
)


def as_frame(made: list[dict[str, Any]]) -> pl.DataFrame:
    decimals = [{k: from_integer(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in row.items()} for row in made]
    return pl.DataFrame(decimals, schema=SCHEMA)


def by_polars(expr: pl.Expr, frame: pl.DataFrame) -> list[Any]:
    return [term(v) for v in frame.select(expr.alias("v")).to_series()]


@pytest.mark.property
@pytest.mark.parametrize("expr", EXPRESSIONS.values(), ids=EXPRESSIONS)
@given(made=rows)
def test_both_engines_agree_in_every_row(expr: pl.Expr, made: list[dict[str, Any]]) -> None:
    frame, node = as_frame(made), tree(expr)
    try:
        expected = by_polars(expr, frame)
    except pl.exceptions.ComputeError:  # a ratio beyond 1e20: refused by one, told by the other
        assert any(abs(v) >= LIMIT for row in frame.iter_rows(named=True) for v in quotients(node, row))
        return
    assert expected == [evaluate(node, row) for row in frame.iter_rows(named=True)]


def quotients(node: Node, row: dict[str, Any]) -> list[int]:
    own = evaluate(node, row) if node.op == "quotient" else None
    return ([own] if isinstance(own, int) else []) + [v for child in node.inputs for v in quotients(child, row)]


def compose(parts: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    def two(make: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> st.SearchStrategy[pl.Expr]:
        return st.builds(make, parts, parts)

    compare: Callable[..., pl.Expr] = lambda a, b, c, d: pl.when(a > b).then(c).otherwise(d)  # noqa: E731
    return st.one_of(
        two(lambda a, b: a + b),
        two(lambda a, b: a - b),
        two(lambda a, b: a.clip(b)),
        two(pl.max_horizontal),
        two(pl.min_horizontal),
        parts.map(lambda a: -a),
        parts.map(lambda a: a.abs()),
        st.builds(fixed.mul, parts, st.integers(-ONE, ONE).map(lambda n: fixed.amount(from_integer(n)))),
        st.builds(fixed.div, parts, st.integers(1, 9).map(fixed.amount)),
        st.builds(compare, parts, parts, parts, parts),
    )


expressions = st.recursive(st.sampled_from([M, F, U]) | st.integers(-5, 5).map(fixed.amount), compose, max_leaves=6)


@pytest.mark.property
@given(expr=expressions, made=rows)
def test_both_engines_agree_on_any_composed_rule(expr: pl.Expr, made: list[dict[str, Any]]) -> None:
    frame, node = as_frame(made), tree(expr)
    expected = frame.with_columns(expr.alias("v"))["v"]  # a rule of literals alone is one value for all rows
    assert [term(v) for v in expected] == [evaluate(node, row) for row in frame.iter_rows(named=True)]


def read_back(words: str) -> Any:
    """The value of printed arithmetic, computed from its text with fractions: what a voter does with a calculator."""

    def value(n: Any) -> Any:
        match n:
            case ast.Constant():
                return n.value if isinstance(n.value, str | bool) or n.value is None else Fraction(ast.get_source_segment(words, n) or "")
            case ast.UnaryOp(op=ast.USub()):
                return -value(n.operand)
            case ast.UnaryOp(op=ast.Not()):
                return not value(n.operand)
            case ast.BinOp():
                a, b = value(n.left), value(n.right)
                steps = {ast.Add: lambda: a + b, ast.Sub: lambda: a - b, ast.Mult: lambda: a * b, ast.Div: lambda: a / b}
                return steps[type(n.op)]()
            case ast.Compare():
                a, b = value(n.left), value(n.comparators[0])
                tests = {
                    ast.Gt: lambda: a > b,
                    ast.GtE: lambda: a >= b,
                    ast.Lt: lambda: a < b,
                    ast.LtE: lambda: a <= b,
                    ast.Eq: lambda: a == b,
                    ast.NotEq: lambda: a != b,
                }
                return tests[type(n.ops[0])]()
            case ast.BoolOp():
                return (all if isinstance(n.op, ast.And) else any)(value(v) for v in n.values)
            case ast.IfExp():
                return value(n.body) if value(n.test) else value(n.orelse)
            case ast.Call(func=ast.Name(id=name)):
                functions: dict[str, Callable[..., Any]] = {
                    "max": max,
                    "min": min,
                    "abs": abs,
                    "trunc": lambda v: Fraction(int(v * ONE), ONE),
                    "is_null": lambda v: v is None,
                }
                return functions[name](*[value(a) for a in n.args])
        raise AssertionError(ast.dump(n))

    return value(ast.parse(words, mode="eval").body)


@pytest.mark.property
@pytest.mark.parametrize("expr", EXPRESSIONS.values(), ids=EXPRESSIONS)
@given(made=rows)
def test_the_printed_arithmetic_gives_the_printed_result(expr: pl.Expr, made: list[dict[str, Any]]) -> None:
    node = tree(expr)
    for row in as_frame(made).iter_rows(named=True):
        result = evaluate(node, row)
        if None in row.values() or not isinstance(result, int):
            continue
        assert read_back(printed(node, row)) * ONE == result
