"""Units: a protocol's quote asset names amounts, and its price in the incident file converts them where something else is paid."""

from decimal import Decimal
from pathlib import Path

import pytest

import perpcomp
from perpcomp.incident import incident_file
from perpcomp.publish.summary import summary
from perpcomp.systems.units import units
from tests.test_synthetix_v2_recorded import incident

IN_USDC = (
    ('token = "sUSD"\ndecimals = 18', 'token = "USDC"\ndecimals = 6'),
    ("[sources]", '[quote]\nprice = 0.70\npriced_in = "USDC"\nsource = "recording"\n\n[sources]'),
)


def test_a_price_of_the_quote_asset_converts_every_entitlement_with_one_rounding(tmp_path: Path) -> None:
    run = perpcomp.compute(incident("upgrade", tmp_path, *IN_USDC))
    assert run.payouts.height == 10
    for row in run.payouts.iter_rows(named=True):
        exact = row["entitlement"] * Decimal("0.70")
        assert row["amount_base_units"] == str(int(exact * 10**6))
        assert row["value"] - row["amount"] == row["rounded_off"] >= 0
        assert 0 <= exact - row["value"] < Decimal("1e-18")
    lines = {line.label: line.value for line in summary(run)}
    assert lines["Sum of entitlements"] == "334,172.760584863962338111 sUSD"
    assert (lines["Price of sUSD"], lines["Price of USDC"]) == ("0.70 USDC", "1 USDC")
    assert lines["To be paid in USDC"].startswith("233,920.93")
    assert lines["Reference price sETHPERP"] == "1795 sUSD"


def test_without_a_price_everything_is_in_the_quote_asset(tmp_path: Path) -> None:
    loaded = incident_file.load(incident("june", tmp_path))
    assert (units(loaded).quote, units(loaded).paid, units(loaded).of("USDC per base")) == ("sUSD", "sUSD", "sUSD per base")


@pytest.mark.parametrize(("unit", "shown"), [("PAID per token", "USDC per token"), ("USDC", "USDC"), ("base", "base")])
def test_perpetual_v1_counts_in_usdc(unit: str, shown: str) -> None:
    assert units(incident_file.load("rehearsal")).of(unit) == shown
