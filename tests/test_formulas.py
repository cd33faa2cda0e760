"""What each formula gives, by hand: at its edges, for shorts, and to the last unit."""

from decimal import Decimal

import polars as pl
import pytest

from perpcomp import fixed
from perpcomp.formula import entitlements, find, installed

pytestmark = pytest.mark.money

# Of one position: 1 BTC long, bought for 52,000 with a margin of 10,000, at 50,000. What a case does not name is so.
BASE = {
    "size_at_reference": "1",
    "margin_at_reference": "10000",
    "open_notional_at_reference": "52000",
    "unrealized_pnl_at_reference": "-2000",
    "funding_at_reference": "0",
    "restore_notional": "50000",
    "restore_fee": "0",
    "realized_pnl": "-10000",
    "remaining_margin": "0",
    "margin_added": "0",
    "margin_removed": "0",
}
WEI = "0.000000000000000001"
AT_MAINTENANCE = {"margin_at_reference": "3250", "unrealized_pnl_at_reference": "0"}  # 3,250 of 52,000 are 6.25 %
CASES = [
    ("margin-only", {}, "10000"),
    ("margin-only", {"funding_at_reference": "5", "unrealized_pnl_at_reference": "-99999"}, "10000"),
    ("margin-upl", {"funding_at_reference": "5"}, "8000"),
    ("margin-upl", {"margin_at_reference": "2000"}, "0"),
    ("margin-upl", {"margin_at_reference": "1999.999999999999999999"}, "0"),
    ("margin-upl", {"margin_at_reference": "2000.000000000000000001"}, WEI),
    ("margin-upl-funding", {"funding_at_reference": "5"}, "7995"),
    ("margin-upl-funding", {"funding_at_reference": "-5"}, "8005"),
    ("margin-upl-funding", {"funding_at_reference": "8000"}, "0"),
    ("margin-upl-funding", {"funding_at_reference": "8001"}, "0"),
    ("margin-upl-haircut", {"unrealized_pnl_at_reference": "20000"}, "14000"),
    ("margin-upl-haircut", {}, "10000"),  # a loss is ignored
    ("margin-upl-haircut", {"unrealized_pnl_at_reference": "0.000000000000000009"}, f"10000{WEI[1:]}"),  # 1.8 units, cut
    ("equity", {"funding_at_reference": "5"}, "7995"),
    ("equity", {"funding_at_reference": "9000"}, "-1000"),
    ("counterfactual", {"funding_at_reference": "5"}, "7995"),
    ("counterfactual", AT_MAINTENANCE, "3250"),
    ("counterfactual", {**AT_MAINTENANCE, "margin_at_reference": "3249.999999999999999999"}, "0"),
    ("counterfactual", {**AT_MAINTENANCE, "funding_at_reference": WEI}, "0"),
    ("counterfactual", {"unrealized_pnl_at_reference": "-12000"}, "0"),
    ("counterfactual", {**AT_MAINTENANCE, "margin_at_reference": "0.5", "open_notional_at_reference": "8"}, "0.5"),
    ("counterfactual", {**AT_MAINTENANCE, "margin_at_reference": "0", "open_notional_at_reference": "0"}, "0"),
    ("equity-snapshot", {"margin_added": "150", "margin_removed": "50"}, "8100"),
    ("equity-snapshot", {"funding_at_reference": "5", "size_at_reference": "-1"}, "7995"),
    ("equity-snapshot", {"funding_at_reference": "8001", "margin_added": "100"}, "100"),  # nothing was left, and 100 were added
    ("equity-snapshot", {"margin_removed": "8000.000000000000000001"}, "0"),
    ("equity-snapshot", {"size_at_reference": "0", "margin_added": "100"}, "0"),
    ("oracle-loss", {}, "8000"),
    ("oracle-loss", {"realized_pnl": "-2000"}, "0"),
    ("oracle-loss", {"realized_pnl": "-1999"}, "0"),
    ("penalty-only", {"remaining_margin": "8000"}, "8000"),
    ("realized-loss", {}, "10000"),
    ("realized-loss", {"realized_pnl": "12000"}, "-12000"),
    ("restore-position", {}, "8000"),
    ("restore-position", {"funding_at_reference": "5", "restore_fee": "7", "restore_notional": "53000"}, "11002"),
    ("restore-position", {"side": "short", "restore_notional": "50000"}, "12000"),
    ("restore-position", {"margin_at_reference": "2000", "restore_fee": "7"}, "0"),  # no fee for what is not opened
    ("restore-position", {"margin_at_reference": "2000.000000000000000001", "restore_fee": "7"}, f"7{WEI[1:]}"),
    ("split-50-50", {}, "5000"),
    ("split-50-50", {"margin_at_reference": "0.000000000000000003"}, WEI),
    ("target-return", {"margin_at_reference": "1000"}, "110"),
    ("target-return", {"margin_at_reference": "0.000000000000000019"}, "0.000000000000000002"),
]


@pytest.mark.parametrize(("name", "terms", "paid"), CASES, ids=[f"{name} {n}" for n, (name, _, _) in enumerate(CASES)])
def test_a_formula_gives_what_a_hand_gives(name: str, terms: dict[str, str], paid: str) -> None:
    texts = {"side": "long", "transaction_hash": "0x", **{key: value for key, value in terms.items() if key == "side"}}
    amounts = {**BASE, **terms}
    row = pl.DataFrame(
        {key: [Decimal(amounts[key])] for key in BASE} | {key: [value] for key, value in texts.items()} | {"log_index": [0]},
        schema_overrides=dict.fromkeys(BASE, fixed.AMOUNT),
    )
    assert entitlements(find(name), row).to_list() == [Decimal(paid)]


def test_every_formula_has_a_case_by_hand() -> None:
    assert {name for name, _, _ in CASES} == set(installed())
