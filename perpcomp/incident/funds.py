"""The tables [[budget]] and [insurance_fund]: what could pay."""

from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, absent
from perpcomp.incident.kinds import ADDRESS, AMOUNT, AMOUNT_OR_ZERO, DECIMALS, EXAMPLE_ADDRESS, TEXT
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE

FUND = "insurance fund"  # its name as a source of funds, beside the names of the budgets


class Budget(Struct, frozen=True):
    """An amount that somebody named. Totals are compared with it; it does not cut them."""

    name: Annotated[str, Key(TEXT, "What the budget is called in results.", '"treasury proposal"')]
    token: Annotated[str, Key(TEXT, "The token that it counts: the token of a [[settlement]], or the asset of its prices.", '"PERP"')]
    amount: Annotated[Decimal, Key(AMOUNT, "How much it holds.", "45_000", unit="the token")]
    source: Annotated[tuple[str, ...], SOURCE]


_IN_LOGS = absent("balance")


class InsuranceFund(Struct, frozen=True):
    """What the protocol could pay with by itself: a balance that is given (in the quote asset), or else the contract whose Transfer logs give it.

    token is the ERC-20 that it holds, the quote asset, of so many decimals. Where the balance is given, address and token are "" and decimals 0.
    """

    balance: Annotated[
        Decimal | None,
        Key(AMOUNT_OR_ZERO, "The fund's balance, where it is known without logs.", "2_500_000", unit="quote asset", default=None),
    ]
    address: Annotated[
        str,
        Key(
            ADDRESS,
            "The fund's contract, whose Transfer logs give the balance.",
            EXAMPLE_ADDRESS,
            default="",
            required_if=_IN_LOGS,
        ),
    ]
    token: Annotated[
        str,
        Key(ADDRESS, "The ERC-20 that the fund holds.", EXAMPLE_ADDRESS, default="", required_if=_IN_LOGS),
    ]
    decimals: Annotated[int, Key(DECIMALS, "The decimals of that token.", "6", default=0, required_if=_IN_LOGS)]
    source: Annotated[tuple[str, ...], SOURCE]


def read_insurance_fund(table: TableReader) -> InsuranceFund | None:
    """The fund; a balance beside a contract is refused."""
    values = table.values()
    if "balance" in table.raw and {"address", "token", "decimals"} & table.raw.keys():
        what = "is given beside address, token or decimals, whose logs give a balance too."
        table.problem("balance", what, "Keep the number or the contract: the two balances could differ.")
    return table.build(InsuranceFund, values)
