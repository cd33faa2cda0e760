"""Steps that several formats share: one a tranche, at its date; approvals; and how a time is written."""

from datetime import UTC, datetime

from perpcomp.claims.made import AT_ONCE, Step
from perpcomp.claims.plan import Plan
from perpcomp.claims.tokens import Token
from perpcomp.tables.schema import CSV_TIME

TRANSFER = "transfer(address to,uint256 value)"
APPROVE = "approve(address spender,uint256 value)"


def when(unix: int) -> str:
    """A time for signers: in words and in unix seconds."""
    return f"from {datetime.fromtimestamp(unix, UTC).strftime(CSV_TIME)} (unix {unix}) on"


def dates(plan: Plan, words: str) -> list[Step]:
    """A step a tranche that pays anything; `words` may hold {number}."""
    return [Step(words.format(number=tranche.number), when(tranche.unlocks_at)) for tranche in plan.tranches if tranche.rows]


def approve(token: Token, spender: str | None, amount: int, moment: str = AT_ONCE) -> Step:
    """Allow a contract to take an amount, and no more."""
    what = f"Allow the contract to take {amount} base units of {token.symbol}."
    return Step(what, moment, token.address, APPROVE if spender else "", (spender, amount) if spender else ())


def fund(token: Token, contract: str | None, amount: int, moment: str = AT_ONCE) -> Step:
    """Send a contract an amount."""
    what = f"Send the contract {amount} base units of {token.symbol}."
    return Step(what, moment, token.address, TRANSFER if contract else "", (contract, amount) if contract else ())


def window(plan: Plan) -> Step:
    """The last step of every claim contract: until when claims are accepted, and what happens then."""
    if plan.period is None:
        return Step("Claims stay open: [claims] states no end.", "for ever")
    end = int(plan.period.until.timestamp())
    return Step(f"Claims end, the last one second before. Then: {plan.period.then}.", when(end))
