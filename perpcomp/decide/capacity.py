"""Whether the money suffices: the total of each formula against the insurance fund's balance and against each budget.

The balance is a number with a source, or the sum of the fund's Transfer logs. It is never guessed: where some of these logs are not in
the input, the balance is unknown and a finding says what is missing. This module never reduces a payout.
"""

from datetime import datetime
from decimal import Decimal

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.decide.compare import INCOMPLETE
from perpcomp.entitlement import COMPLETE_FIRST, are_incomplete
from perpcomp.findings import Finding, refusal
from perpcomp.incident.funds import FUND, InsuranceFund
from perpcomp.incident.incident import Incident
from perpcomp.number_text import in_full
from perpcomp.payouts import split
from perpcomp.systems.units import units
from perpcomp.tables.decide import CAPACITY
from perpcomp.tables.schema import CSV_TIME, check

ABSENT = "the Transfer logs of its token are not in the input"


class Balance(Struct, frozen=True):
    """What the insurance fund held, in 1e-18 of the quote asset, when the window ended and when it began (None for a stated balance)."""

    ends: int
    begins: int | None
    counted: str  # how the balance was found, in words


def fund_balance(events: pl.LazyFrame, transfers: pl.LazyFrame | None, incident: Incident) -> tuple[Balance | None, list[Finding]]:
    """The fund's balance when the window began and ended. None without a fund; None and a finding where it is unknown.

    `events` is the events table, `transfers` the decoded Transfer logs of the fund's token to and from the fund, where there are any.
    """
    fund = incident.insurance_fund
    if fund is None:
        return None, []
    if fund.balance is not None:
        return Balance(fixed.to_integer(fund.balance), None, "as stated"), []
    if transfers is None:
        return None, [_unknown(fund, incident, ABSENT)]
    moved = _moved(transfers, fund)
    missing = (
        (_below_zero(moved, units(incident).quote) or _older_than(events) or _fees_without(events, transfers, fund)) if moved else ABSENT
    )
    if missing:
        return None, [_unknown(fund, incident, missing)]
    begins, ends = (sum(value for time, value in moved if time < at) for at in (incident.eligibility.start, incident.eligibility.end))
    counted = f"sum of {len(moved)} Transfer logs since {moved[0][0].strftime(CSV_TIME)}"
    return Balance(ends, begins, counted), []


def _unknown(fund: InsuranceFund, incident: Incident, why: str) -> Finding:
    advice = (
        f"Pass logs with every Transfer of {fund.token} to and from {fund.address} since the first (--rpc does not fetch these),"
        " or look the balance up and write balance = NUMBER with its source."
    )
    return Finding("warning", _where(incident), f"The fund's balance is unknown: {why}.", advice, code="fund-balance-unknown")


def _where(incident: Incident) -> str:
    return f"{incident.name}.toml [insurance_fund]"


def _moved(transfers: pl.LazyFrame, fund: InsuranceFund) -> list[tuple[datetime, int]]:
    """(time, change of the balance in 1e-18 of its token) of each Transfer, in order."""
    amount = pl.col("amount").reinterpret(dtype=pl.Int128)
    into, out_of = (pl.when(pl.col(name) == fund.address).then(amount).otherwise(0) for name in ("recipient", "sender"))
    return transfers.sort("block_number", "log_index").select("block_time", (into - out_of).alias("by")).collect().rows()


def _below_zero(moved: list[tuple[datetime, int]], quote: str) -> str:
    """How the transfers show that earlier ones are missing: the balance falls below 0. "" where it does not."""
    balance = 0
    for time, value in moved:
        balance += value
        if balance < 0:
            made = f"{in_full(balance)} {quote} at {time.strftime(CSV_TIME)}"
            return f"the Transfer logs in the input make it {made}, so earlier ones are missing"
    return ""


def _older_than(events: pl.LazyFrame) -> str:
    """How the events show that the input begins after the first trades, whose payments are then missing too. "" where they do not."""
    first = events.sort("block_number", "log_index").unique(["trader", "market"], keep="first", maintain_order=True)
    older = first.filter(pl.col("kind") != "open").select("trader").collect()
    return (
        f"positions older than the input: {older.height}, for example of {older.item(0, 0)}, so earlier logs are missing"
        if older.height
        else ""
    )


def _fees_without(events: pl.LazyFrame, transfers: pl.LazyFrame, fund: InsuranceFund) -> str:
    """How the fees show that transfers are missing: the ClearingHouse pays each to the fund in the trade's transaction. "" where all are there."""
    charged = events.filter(pl.col("fee") >= fixed.amount(Decimal(1).scaleb(-fund.decimals)))
    without = charged.join(transfers.filter(recipient=fund.address), on="transaction_hash", how="anti")
    rows = without.select("transaction_hash", "block_number", "log_index").collect(engine="streaming").sort("block_number", "log_index")
    if rows.is_empty():
        return ""
    return f"trades without a Transfer of their fee in the input: {rows.height}, the first in tx {rows.item(0, 0)}"


def capacity(comparison: pl.DataFrame, balance: Balance | None, incident: Incident) -> pl.DataFrame:
    """The capacity table: one row for each formula of the comparison table and each source of funds that has a price.

    InputError where a budget is worth more than an amount holds.
    """
    legs = incident.settlement
    quote, unit = units(incident).quote, units(incident).paid
    worth = fixed.to_integer(incident.quote_price)
    prices = {unit: Decimal(1), **{leg.token: leg.price for leg in legs}}
    funds = [(FUND, quote, balance.ends, worth)] if balance else []
    funds += [
        (budget.name, budget.token, fixed.to_integer(budget.amount), fixed.to_integer(prices[budget.token]))
        for budget in incident.budgets
        if budget.token in prices and not any(leg.rule and leg.token == budget.token for leg in legs)
    ]
    tokens = [leg.token for leg in legs]
    rows = []
    for (name,), part in sorted(comparison.group_by("formula"), key=lambda group: str(group[0])) if funds else ():
        amounts = [amount for amount in fixed.to_integers(part.get_column("amount")) if amount is not None]
        if worth != fixed.ONE:
            amounts = [fixed.mul_integers(amount, worth) for amount in amounts]
        unknown = part.filter(INCOMPLETE).height
        for source, token, available, price in funds:
            in_part = source != FUND and token in tokens
            to_cover = sum(map(int, split(amounts, legs)[tokens.index(token)]) if in_part else amounts)
            value = fixed.mul_integers(available, price)
            if value >= fixed.LIMIT:
                what = f"The budget is worth 1e20 {unit} or more at a price of {in_full(price)} {unit}."
                raise refusal(f"{incident.name}.toml [[budget]] {source}", what, "Correct the amount, or the price in [[settlement]].")
            covered = min(fixed.ONE, fixed.div_integers(value, to_cover)) if to_cover > 0 else None
            if unknown and to_cover <= value:
                covered = None  # the known part is covered; what the unknown part needs cannot be known
            integers = {
                "available": available,
                "price": price,
                "available_value": value,
                "total": sum(amounts),
                "to_cover": to_cover,
                "covered": covered,
                "shortfall": max(0, to_cover - value),
                "left": max(0, value - max(0, to_cover)),
            }
            rows.append(
                {"formula": name, "source_of_funds": source, "token": token, "unknown": unknown}
                | {column: None if value is None else fixed.from_integer(value) for column, value in integers.items()}
            )
    return check(pl.DataFrame(rows, schema=CAPACITY.schema), CAPACITY)


def check_fund(table: pl.DataFrame, balance: Balance | None, formula: str, incident: Incident) -> list[Finding]:
    """One finding about the fund's balance and the chosen formula's total: a note where it is enough, a warning otherwise.

    While a trader's entitlement is incomplete, the balance may be short of the known part, but is never called enough.
    """
    chosen = table.filter(formula=formula, source_of_funds=FUND)
    if balance is None or incident.insurance_fund is None or chosen.is_empty():
        return []
    need, short, left = (fixed.to_integer(chosen.item(0, name)) for name in ("to_cover", "shortfall", "left"))
    unknown: int = chosen.item(0, "unknown")
    quote, unit = units(incident).quote, units(incident).paid
    held = f"{in_full(balance.ends)} {quote}"
    if balance.begins is not None:
        held = f"{in_full(balance.begins)} {quote} when the window began and {held} when it ended"
    if unit != quote:
        held += f", worth {in_full(fixed.to_integer(chosen.item(0, 'available_value')))} {unit}"
    text = f"The fund held {held} ({balance.counted}; {', '.join(incident.insurance_fund.source)}). "
    text += f"{formula} needs {'at least ' if unknown else ''}{in_full(need)} {unit}"
    missing = f" The entitlement of {are_incomplete(unknown)}." if unknown else ""
    if short:
        what = f"{text}: {'at least ' if unknown else ''}{in_full(short)} {unit} short.{missing}"
        advice = "Find other money, or choose another formula. The fund's balance does not reduce payouts."
        return [Finding("warning", _where(incident), what, advice, code="fund-short")]
    if unknown:
        what = f"{text}, so at most {in_full(left)} {unit} are left.{missing}"
        return [Finding("warning", _where(incident), what, COMPLETE_FIRST, code="fund-cover-unknown")]
    return [Finding("note", _where(incident), f"{text}: enough, {in_full(left)} {unit} left.", "Nothing.", code="fund-covers")]
