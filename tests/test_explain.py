"""The printed arithmetic, evaluated as it stands, gives the base units that are paid."""

import math
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

import perpcomp
from perpcomp import pipeline
from perpcomp.explain import explain as explanation
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.fixed import to_integer
from perpcomp.run import Run
from perpcomp.steps import FEW, Step, rows_of
from tests.conftest import LAB
from tests.variants import NO_PRICE, computed

pytestmark = pytest.mark.money

EXACT = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


FUNCTIONS: dict[str, Any] = {
    "F": Fraction,
    "trunc": lambda x: Fraction(math.trunc(x * 10**18), 10**18),
    "floor": lambda x: Fraction(math.floor(x)),
    "max": max,
    "min": min,
    "abs": abs,
}


def value_of(text: str, names: dict[str, Any] | None = None) -> Any:
    """A line of printed arithmetic over exact fractions; `names` has the values of the names in it."""
    # `10**18` stays an integer power: a Fraction of it is the same number.
    return eval(EXACT.sub(lambda m: f"F('{m[0]}')", text), {"__builtins__": {}}, {**FUNCTIONS, **(names or {})})


def evaluated(step: dict[str, Any]) -> Any:
    """The expression of a step, as `explain --json` prints it, with its values."""
    return value_of(step["expression"], {name: value_of(value) for name, value in step["values"].items()})


def steps(lines: list[str]) -> list[tuple[str, str, str]]:
    """(name, numbers, value) of every step that is printed with its numbers."""
    found = []
    for n, line in enumerate(lines):
        head = re.match(r"^  (\S[^=]*?) = ", line)
        if head and n + 2 < len(lines) and lines[n + 1].strip().startswith("= ") and lines[n + 2].strip().startswith("= "):
            found.append((head[1], lines[n + 1].strip()[2:], lines[n + 2].strip()[2:].split(" ")[0]))
    return found


@pytest.mark.parametrize("height", [0, FEW, FEW + 1])
def test_rows_are_found_by_all_values_in_their_order(height: int) -> None:
    table = pl.DataFrame(
        {"n": range(height), "even": [("no", "yes")[n % 2 == 0] for n in range(height)], "half": [n // 2 for n in range(height)]}
    )
    assert rows_of(table, half=3, even="yes") == [{"n": 6, "even": "yes", "half": 3}][: min(height, 1)]
    assert [row["n"] for row in rows_of(table, half=3)] == [6, 7][:height]
    assert rows_of(table, even="none") == []


@pytest.mark.parametrize("chain", ["rehearsal", "later"])
@pytest.mark.parametrize("formula", ["margin-only", "margin-upl-funding", "restore-position", "split-50-50"])
def test_evaluating_what_is_printed_gives_what_is_paid(chain: str, formula: str, request: pytest.FixtureRequest) -> None:
    known: Run = request.getfixturevalue(chain)
    done = pipeline.compute(known.incident, known.input, formula)
    steps_seen = 0
    for row in done.payouts.iter_rows(named=True):
        lines = explain(done, row["trader"])
        for name, numbers, value in steps(lines):
            assert value_of(numbers) == value_of(value), (row["trader"], name, numbers)
            steps_seen += 1
        fields = [step.fields() for step in explanation.steps(done, row["trader"])]
        computed_steps = [step for step in fields if step["expression"] is not None]
        assert len(computed_steps) > 3
        for step in computed_steps:
            assert evaluated(step) == value_of(step["result"]), step
        printed = [value for name, _, value in steps(lines) if name == f"{row['token']} base units"]
        assert printed == [row["amount_base_units"]]
        tranches = [int(m[1]) for line in lines if (m := re.match(r"^    tranche \d+: (\d+) base units, unlocks_at 2", line))]
        assert sum(tranches) == int(row["amount_base_units"])
        for name in ("size", "margin"):
            stated = [value_of(v) for n, _, v in steps(lines) if n == name]
            mine = done.liquidations.filter(trader=row["trader"])
            assert [Fraction(to_integer(v), 10**18) for v in mine[name]] == stated, (row["trader"], name)
    assert steps_seen > 4 * done.payouts.height


RESTORING = '[restore]\nat = 16_000_209\norder = "{}"\nspread = 0.001\nsource = "recording"\n'


@pytest.mark.parametrize("price", ["mark", "curve", "twap", "index", "reference"])
@pytest.mark.parametrize("at", ['"liquidation"', "2021-05-19T03:00:05Z"])
def test_evaluating_a_valuation_gives_its_value(price: str, at: str) -> None:
    """Of every kind of price, at both kinds of moment; and restored in an order, where each pool is what the one before left."""
    table = f'[valuation]\nat = {at}\nprice = "{price}"\nsource = "recording"\n\n'
    order = "largest-first" if price == "curve" else "each-alone"
    changes = NO_PRICE if price != "reference" else {}
    done = computed(str(LAB / "later-contracts.toml"), table + RESTORING.format(order), changes, "restore-position")
    seen = set()
    for row in done.payouts.iter_rows(named=True):
        lines = explain(done, row["trader"])
        for step in explanation.steps(done, row["trader"]):
            assert not step.expression or evaluated(step.fields()) == value_of(step.result), step
        for name, numbers, value in steps(lines):
            assert value_of(numbers) == value_of(value), (row["trader"], name, numbers)
            seen.add(name.split(" on the pool")[0])
        assert [v for n, _, v in steps(lines) if n.endswith("base units")] == [row["amount_base_units"]]
    assert {"notional_at_reference", "unrealized_pnl_at_reference", "restore_notional", "restore_fee", "restore-position"} <= seen
    assert ("closing" in seen) == (price == "twap")


def test_every_number_names_its_transaction_and_its_source(rehearsal: Run) -> None:
    trader = rehearsal.payouts["trader"][1]
    text = "\n".join(explain(rehearsal, trader))
    row = rehearsal.liquidations.filter(trader=trader).row(0, named=True)
    assert f"tx {row['transaction_hash']} log {row['log_index']}" in text
    for words in (
        "era 1, determined by liquidator-fee",
        "forum F35",
        "forum F3",
        "Coin Metrics",
        "forum F4",
        "tranche 3",
        "reference price 50000",
    ):
        assert words in text


def test_a_transaction_is_explained_like_its_trader(rehearsal: Run) -> None:
    row = rehearsal.liquidations.filter("eligible").row(0, named=True)
    assert explain(rehearsal, row["transaction_hash"]) == explain(rehearsal, row["trader"].upper().replace("0X", "0x"))


def test_a_partial_liquidations_open_notional_is_walked_back_event_by_event(later: Run) -> None:
    partial = later.liquidations.filter("eligible", "partial").row(0, named=True)
    lines = explain(later, partial["trader"])
    assert any(line.startswith("    open: position_notional") for line in lines)
    assert any("not compensated: the same position was liquidated before" in line for line in lines)


def test_who_is_left_out_hears_why(rehearsal: Run) -> None:
    for trader, code in rehearsal.left_out.select("trader", "reason_code").iter_rows():
        assert code in "\n".join(explain(rehearsal, trader))


def test_strangers_and_typing_errors_are_told_so(rehearsal: Run) -> None:
    known = rehearsal.payouts["trader"][0]
    with pytest.raises(InputError, match="Did you mean '" + known):
        explain(rehearsal, known[:-1] + ("0" if known[-1] != "0" else "1"))
    with pytest.raises(InputError, match="is neither an address"):
        explain(rehearsal, "0x1234")
    before = rehearsal.events.table.filter(kind="open")["trader"].unique()
    stranger = next(t for t in before if t not in set(rehearsal.liquidations["trader"]) | set(rehearsal.left_out["trader"]))
    assert "was never liquidated in this input" in explain(rehearsal, stranger)[0]


FIELDS = ["account", "step", "expression", "values", "result", "unit", "source", "transaction", "log"]


def test_a_step_is_fields_that_a_program_reads(rehearsal: Run) -> None:
    """Of a liquidation each step has its transaction, and each number of policy its source."""
    trader = rehearsal.payouts["trader"][1]
    row, found = rehearsal.liquidations.filter(trader=trader).row(0, named=True), explanation.steps(rehearsal, trader)
    assert all(list(step.fields()) == FIELDS for step in found)
    assert {step.account for step in found} == {trader}
    (worth,) = (step.fields() for step in found if step.step == "notional_at_reference")
    assert worth["expression"] == "trunc(abs(size_at_reference) * reference_price)"
    assert Decimal(worth["values"]["size_at_reference"]) == row["size_at_reference"]
    assert (Decimal(worth["result"]), worth["unit"]) == (row["notional_at_reference"], "USDC")
    assert "forum F35" in worth["source"]
    assert worth["transaction"] == row["transaction_hash"]
    (paid,) = (step.fields() for step in found if step.step == "PERP base units")
    assert (paid["unit"], paid["transaction"], paid["log"]) == ("base units", None, None)


def test_a_text_in_a_rule_stays_a_text() -> None:
    """A value is put in for a name, and not for the same word in quotes."""
    step = Step("x", "1", "(long if side == 'long' else 0)", {"long": "1", "side": "'long'"})
    assert list(step.lines()) == ["  x = (long if side == 'long' else 0)", "    = (1 if 'long' == 'long' else 0)", "    = 1"]


@pytest.mark.parametrize("query", ["rehearsal", str(LAB / "later-contracts.toml")])
def test_what_is_compared_with_nothing_is_explained_the_same(query: str, request: pytest.FixtureRequest) -> None:
    """The commands that explain and list payouts compare nothing."""
    compared: Run = request.getfixturevalue("rehearsal" if query == "rehearsal" else "later")
    alone = perpcomp.compute(query, alone=True)
    assert alone.problems == compared.problems, "what is said of the fund's balance needs the total of what pays"
    assert alone.comparison.equals(compared.comparison.filter(formula=compared.formula.name))
    for trader in compared.liquidations.get_column("trader").unique():
        assert explain(alone, trader) == explain(compared, trader)
