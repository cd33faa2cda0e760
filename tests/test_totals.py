"""Counts and totals of tables in which an account, a position and a token stand more than once."""

from decimal import Decimal

import polars as pl
import pytest

from perpcomp import fixed
from perpcomp.fixed import ONE
from perpcomp.totals import Counts, counts, entitled, total_of

pytestmark = pytest.mark.money

# Each account is paid in three tokens, of which one stands before and one behind the other in the alphabet.
PAID = pl.DataFrame(
    {
        "trader": ["a"] * 3 + ["b"] * 3,
        "token": ["DAI", "PERP", "USDC"] * 2,
        "entitlement": [Decimal(7)] * 3 + [Decimal(5)] * 3,
        "amount": [Decimal(1), Decimal(10), Decimal(100), Decimal(2), None, Decimal(200)],
    },
    schema_overrides={"entitlement": fixed.AMOUNT, "amount": fixed.AMOUNT},
)


def test_accounts_positions_and_liquidations_are_three_counts() -> None:
    """Trader a is liquidated twice in one life and once in the next, and once elsewhere."""
    rows = pl.DataFrame({"trader": list("aaaab"), "market": list("xxxyx"), "life": [1, 1, 2, 1, 1]})
    assert counts(rows) == Counts(traders=2, positions=4, liquidations=5)


def test_the_total_of_a_token_is_of_its_own_rows() -> None:
    assert [total_of(PAID, "amount", token) for token in ("DAI", "PERP", "USDC", "WETH")] == [3 * ONE, 10 * ONE, 300 * ONE, 0]
    assert total_of(PAID, "amount") == 313 * ONE


def test_an_entitlement_that_several_tokens_pay_counts_once() -> None:
    assert entitled(PAID) == 12 * ONE
