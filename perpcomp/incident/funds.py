"""The incident file's [[budget]] and [insurance_fund]."""

from dataclasses import dataclass
from decimal import Decimal

from perpcomp.incident import toml
from perpcomp.incident.settlement import choice_of_decimals
from perpcomp.incident.sources import Source, read_source
from perpcomp.incident.toml import Section

FUND = "insurance fund"  # its name as a source of funds, beside the names of the budgets


@dataclass(frozen=True)
class Budget:
    """An amount somebody named. Totals are compared with it; it does not cut them."""

    name: str
    token: str
    amount: Decimal
    source: tuple[str, ...]


@dataclass(frozen=True)
class InsuranceFund:
    """What the protocol could pay with by itself: a balance that is given (USDC), or else the contract whose Transfer logs give it.

    token is the ERC-20 that it holds, USDC, of so many decimals. Where the balance is given, address and token are "".
    """

    balance: Decimal | None
    address: str
    token: str
    decimals: int
    source: tuple[str, ...]


def read_budget(section: Section, known: dict[str, Source]) -> Budget:
    budget = Budget(
        name=section.take("name", toml.text) or "",
        token=section.take("token", toml.text) or "",
        amount=section.take("amount", toml.amount) or Decimal(1),
        source=read_source(section, known),
    )
    section.close()
    return budget


def read_insurance_fund(section: Section, known: dict[str, Source]) -> InsuranceFund:
    given = "balance" in section.table
    fund = InsuranceFund(
        balance=section.take("balance", toml.amount_or_zero, required=False),
        address=section.take("address", toml.address, required=not given) or "",
        token=section.take("token", toml.address, required=not given) or "",
        decimals=section.take("decimals", choice_of_decimals, required=not given) or 0,
        source=read_source(section, known),
    )
    if given and (fund.address or fund.token or fund.decimals):
        what = "is given beside address, token or decimals, by which the logs would tell it."
        section.problem("balance", what, "Keep the number, or the contract: two balances could differ.")
    section.close()
    return fund
