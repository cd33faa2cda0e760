"""Compensation tables that others published, added up again. `make precedents PUBLISHED=FOLDER` runs them; their rows are no part of the project."""

import os
from pathlib import Path

import pytest

from perpcomp.audit.recount.check import Asked, Recount, check
from perpcomp.audit.recount.listing import read_listing
from perpcomp.audit.recount.numbers import read_stated

FOLDER = Path(os.environ["PERPCOMP_PUBLISHED"]).resolve(strict=True)


def recounted(name: str, decimals: int = 18, totals: tuple[str, ...] = (), pots: tuple[str, ...] = (), count: int | None = None) -> Recount:
    said = [read_stated("--total", one) for one in totals]
    shared = [read_stated("--pot", one) for one in pots]
    return check(read_listing(FOLDER / name), Asked(totals=said, pots=shared, count=count, decimals=decimals))


def sums(recount: Recount) -> dict[str, str]:
    return {column: amount for column, _, _, amount in recount.sums}


def whats(recount: Recount, code: str) -> str:
    return "\n".join(one.what for one in recount.findings if one.code == code)


def errors(recount: Recount) -> set[str]:
    return {one.code for one in recount.findings if one.level == "error"}


def test_paraswap_promises_more_than_its_pot() -> None:
    found = recounted("paraswap-compensation.csv", pots=("units=189,621", "from_spsp4=170000", "from_spsp10=19621"))
    assert errors(found) == {"pot-exceeded"}
    exceeded = whats(found, "pot-exceeded")
    assert "which is 8.231063196609174601 above the pot of 189,621" in exceeded
    assert "staked4 adds up to 25,771,991.618676228629684986, so the divisor is wrong by 1,247.768360326926162522" in exceeded


def test_compounds_prose_differs_from_its_rows() -> None:
    found = recounted("compound-nov2020.csv", totals=("comp_units_published=55,254.95",), count=121)
    assert errors(found) == {"total-differs", "count-differs"}
    assert "55,254.055928856683239047" in whats(found, "total-differs")
    assert "124 rows of 124 addresses, but 121 are stated" in whats(found, "count-differs")
    assert "comp_units_published is dai_units_8pct / 123.39, cut down, in every row" in whats(found, "rounding")
    assert sums(found)["dai_units_8pct"] == "6,817,797.96106162614487417"


@pytest.mark.parametrize(
    ("name", "column", "total"),
    [
        ("origin-reimbursements.csv", "ousd_compensation", "1,696,579,792,469,218,771,921,386"),
        ("perp-v1-buyback-2022.csv", "share_ppm", "1,000,000"),
        ("perp-v1-buyback-2022.csv", "floor_of_budget_usdc_units", "3,587,633,629,992"),
    ],
)
def test_the_other_tables_add_up(name: str, column: str, total: str) -> None:
    found = recounted(name, decimals=0)
    assert errors(found) == set()
    assert sums(found)[column] == total


def test_eminences_pot_is_shared_by_plain_floors_and_origins_amounts_were_floats() -> None:
    found = recounted("eminence-dai.csv", pots=("dai_pro_rata=8000000",))
    assert errors(found) == set()
    assert "cut down, in every row" in whats(found, "rounding")
    floats = whats(recounted("origin-reimbursements.csv", decimals=0), "floats")
    assert "588 of 712 long amounts are exact binary doubles; by chance about 2 would be" in floats
