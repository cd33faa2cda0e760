"""Results against published figures: each figure is compared with the result that it names."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from perpcomp import fixed, formula, payouts
from perpcomp.decide.published import check_expectations
from perpcomp.entitlement import per_trader
from perpcomp.incident.incident import Incident
from perpcomp.owed import Due
from perpcomp.tables.schema import TIME
from tests import build
from tests.build import MARKET, START, address

pytestmark = pytest.mark.money

# trader, life, margin: 2 traders, 3 positions, 4 liquidations, 1,000.5 USDC of margin; and one outside the window.
ROWS = ((1, 1, "500"), (1, 1, "300"), (1, 2, "200"), (2, 1, "0.5"))
FIGURES = {"traders": "2", "positions": "3", "liquidations": "4", "margin": "1000.5", "entitlement": "700", "amount": "100"}
SENTENCES = {
    "traders": "2 traders",
    "positions": "3 positions",
    "liquidations": "4 liquidations",
    "margin": "1,000.5 USDC of margin",
    "entitlement": "700 USDC of entitlements",
    "amount": "100 PERP paid",
}


def liquidations() -> pl.DataFrame:
    rows = [(address(trader), life, Decimal(margin), START) for trader, life, margin in ROWS]
    rows.append((address(3), 1, Decimal(7), START - timedelta(seconds=1)))
    names = ("trader", "life", "margin", "block_time")
    columns = [dict(zip(names, row, strict=True)) for row in rows]
    frame = pl.DataFrame(columns, schema={"trader": pl.String(), "life": pl.Int64(), "margin": fixed.AMOUNT, "block_time": TIME})
    return frame.with_columns(pl.lit(MARKET).alias("market"), pl.lit("ineligible for a test").alias("reason")).with_columns(
        (pl.col("trader") == address(1)).alias("eligible")
    )


def expecting(folder: Path, what: str, value: str) -> Incident:
    more = 'token = "PERP"\n' if what == "amount" else ""
    table = f'\n[[expect]]\nwhat = "{what}"\nvalue = {value}\n{more}source = "test"\n\n[sources]'
    return build.made_up(folder, {"\n[sources]": table})


def paid(incident: Incident) -> pl.DataFrame:
    """700 USDC to the first trader, at 7 USDC per PERP."""
    chosen = formula.find("margin-only")
    none = liquidations().with_columns(pl.lit(None, dtype=fixed.AMOUNT).alias(n) for n in ("size_at_reference", "margin_at_reference"))
    due = Due(chosen, per_trader([address(1)], [700 * fixed.ONE]), incident)
    return payouts.pay(due, {}, none, stopped=False)


@pytest.mark.parametrize("what", list(FIGURES))
def test_each_figure_is_compared_with_its_own_result(what: str, tmp_path: Path) -> None:
    incident = expecting(tmp_path, what, FIGURES[what])
    (found,) = check_expectations(liquidations(), paid(incident), incident)
    assert (found.level, found.code) == ("note", "published-figure-met")
    assert found.what == f"{SENTENCES[what]}, as published (test)."


@pytest.mark.parametrize("what", list(FIGURES))
@pytest.mark.parametrize("other", list(FIGURES.values()))
def test_another_figure_is_a_difference(what: str, other: str, tmp_path: Path) -> None:
    if other == FIGURES[what]:
        return
    incident = expecting(tmp_path, what, other)
    (found,) = check_expectations(liquidations(), paid(incident), incident)
    assert (found.level, found.code) == ("warning", "published-figure-differs")
    assert found.what == f"{SENTENCES[what]}, but {Decimal(other):,} was published (test)."


@pytest.mark.parametrize(
    ("found", "published", "how"),
    [
        ("55254.055928856683239047", "55_254.06", "rounds"),
        ("55254.055928856683239047", "55_254.05", "cuts"),
        ("55254.055928856683239047", "55_254.1", "rounds"),
        ("55254.055928856683239047", "55_254", "rounds"),
        ("55254.999999999999999999", "55_255", "rounds"),
        ("55254.999999999999999999", "55_254", "cuts"),
        ("0.125", "0.13", "rounds"),
        ("55254.055928856683239047", "55_254.95", ""),
        ("55254.055928856683239047", "55_254.060", ""),
        ("55254.055928856683239047", "55_254.07", ""),
        ("55254.055928856683239047", "55_254.04", ""),
        ("55254.055928856683239047", "55_255", ""),
    ],
)
def test_a_figure_with_fewer_places_is_met_where_the_result_rounds_or_cuts_to_it(
    found: str, published: str, how: str, tmp_path: Path
) -> None:
    incident = expecting(tmp_path, "margin", published)
    margin = liquidations().filter(pl.col("block_time") >= START).head(1).with_columns(pl.lit(Decimal(found), fixed.AMOUNT).alias("margin"))
    (said,) = check_expectations(margin, paid(incident), incident)
    shown = f"{Decimal(found):,f} USDC of margin"
    if how:
        assert said.code == "published-figure-met"
        assert said.what == f"{shown}, which {how} to the {Decimal(published.replace('_', '')):,f} published (test)."
    else:
        assert (said.level, said.code) == ("warning", "published-figure-differs")
        assert said.what.startswith(f"{shown}, but ")


def test_one_unit_more_is_a_difference(tmp_path: Path) -> None:
    incident = expecting(tmp_path, "margin", "1000.500000000000000001")
    (found,) = check_expectations(liquidations(), paid(incident), incident)
    assert found.code == "published-figure-differs"


@pytest.mark.parametrize(
    ("trader", "code", "what"),
    [
        (1, "published-figure-met", "{} is eligible, as published (test)."),
        (2, "published-figure-differs", "{} is not eligible, but was published as eligible (test): ineligible for a test."),
        (9, "published-figure-differs", "{} is not eligible, but was published as eligible (test): it was not liquidated in this input."),
    ],
)
def test_a_trader_who_was_published_as_eligible(trader: int, code: str, what: str, tmp_path: Path) -> None:
    table = f'\n[[expect]]\nwhat = "eligible"\ntrader = "{address(trader)}"\nsource = "test"\n\n[sources]'
    incident = build.made_up(tmp_path, {"\n[sources]": table})
    (found,) = check_expectations(liquidations(), paid(incident), incident)
    assert (found.code, found.what) == (code, what.format(address(trader)))
