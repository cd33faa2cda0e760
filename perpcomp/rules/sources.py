"""Populations: of the eligible liquidations of a run, and of a published table."""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import polars as pl

from perpcomp import fixed, text_file
from perpcomp.curve import Reserves
from perpcomp.entitlement import compensated, given
from perpcomp.findings import Finding, InputError, near_miss, refusal
from perpcomp.formula import find
from perpcomp.incident.incident import Incident
from perpcomp.incident.input import ClaimColumn
from perpcomp.incident.kinds import address
from perpcomp.number_text import counted
from perpcomp.rules.population import Column, Population
from perpcomp.systems.units import units

# A term of a rule -> the column of liquidations that it is, in proportion where a part of the life is compensated.
_OF_POSITION = {
    "size": "size_at_reference",
    "open_notional": "open_notional_at_reference",
    "margin": "margin_at_reference",
    "funding": "funding_at_reference",
    "notional": "notional_at_reference",
}
_WHOLE = ("bad_debt", "leverage_at_open")
MOST = 20  # so many cells are named at once
_PLAIN, _UNITS = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII), re.compile(r"[0-9]{1,38}", re.ASCII)


def of_liquidations(liquidations: pl.DataFrame, incident: Incident, pools: dict[str, Reserves]) -> Population:
    """The eligible liquidations as rows. A base is a formula; `pools` are those of [restore], by the address of the market."""
    eligible = liquidations.filter("eligible")

    def base(name: str) -> Column:
        return given(find(name), eligible).to_list()

    def term(name: str) -> Column:
        if name in _WHOLE:
            return fixed.to_integers(eligible.get_column(name))
        return compensated(eligible.get_column(_OF_POSITION[name]), eligible).to_list()

    names = {market.amm: market.name for market in incident.markets}
    return _population(
        incident,
        eligible.get_column("trader").to_list(),
        base,
        term,
        eligible.get_column("market_name").to_list(),
        {names[market]: (pool.quote, pool.base) for market, pool in pools.items()},
    )


def of_claims(incident: Incident, file: Path) -> Population:
    """The rows of a published table. A base is one of its named columns. InputError names each cell that cannot be read."""
    claims = incident.published_table
    assert claims is not None
    try:
        frame = text_file.read_csv(file)
    except text_file.UNREADABLE as error:
        raise refusal(file.name, f"The table cannot be read ({text_file.reason(error)}).", "Save it as CSV in UTF-8.") from None
    titles = [claims.account, *([claims.market] if claims.market else []), *(one.column for one in claims.columns)]
    for title in titles:
        if title not in frame.columns:
            raise refusal(file.name, f'The table has no column "{title}", which [input] names.', near_miss(title, frame.columns))
    if frame.is_empty():
        raise refusal(file.name, "The table has no rows.", "Check that it is the right file.")
    problems: list[Finding] = []
    accounts = [_account(cell, f"{file.name} row {row} {claims.account}", problems) for row, cell in enumerate(frame[claims.account], 2)]
    amounts = {one.name: _amounts(one, frame, file.name, problems) for one in claims.columns}
    more = len(problems) - MOST
    if more > 0:
        problems[MOST:] = [Finding("error", file.name, f"{counted(more, 'more cell')} cannot be read.", "")]
    if problems:
        raise InputError(problems)
    markets = ["" if cell is None else cell for cell in frame[claims.market]] if claims.market else [""] * frame.height
    return _population(incident, accounts, amounts.__getitem__, amounts.__getitem__, markets, {})


def _population(
    incident: Incident,
    accounts: list[str],
    base: Callable[[str], Column],
    term: Callable[[str], Column],
    markets: list[str],
    pools: dict[str, tuple[int, int]],
) -> Population:
    return Population(
        accounts=accounts,
        base=cache(base),
        term=cache(term),
        markets=markets,
        received=incident.received_by,
        payees=incident.payees,
        budgets=_budgets(incident),
        pools=pools,
        file=f"{incident.name}.toml",
    )


def _budgets(incident: Incident) -> dict[str, tuple[int, Fraction]]:
    """Name -> (amount, what one token of it is worth in the quote asset), of each budget whose token has a price."""
    worth = Fraction(incident.quote_price)
    prices = {units(incident).quote: Fraction(1), units(incident).paid: 1 / worth}
    prices |= {leg.token: Fraction(leg.price) / worth for leg in incident.settlement}
    return {one.name: (fixed.to_integer(one.amount), prices[one.token]) for one in incident.budgets if one.token in prices}


def _account(cell: str | None, place: str, problems: list[Finding]) -> str:
    try:
        return address((cell or "").strip())
    except ValueError as error:
        what, what_to_do = error.args
        problems.append(Finding("error", place, f"The account {what}", what_to_do))
        return ""


def _amounts(one: ClaimColumn, frame: pl.DataFrame, file: str, problems: list[Finding]) -> list[int | None]:
    """The cells of a column in 1e-18; None where a cell is empty."""
    pattern, factor = (_PLAIN, 0) if one.decimals is None else (_UNITS, 10 ** (18 - one.decimals))
    values: list[int | None] = []
    for row, cell in enumerate(frame[one.column], 2):
        text = (cell or "").strip()
        value = 0
        if text in text_file.MISSING:
            values.append(None)
            continue
        if not pattern.fullmatch(text):
            wanted = (
                "a plain number with at most 18 decimals"
                if one.decimals is None
                else f"a whole number of base units of {one.decimals} decimals"
            )
            what = f"The cell is {text[:40]!r}, not {wanted}."
            problems.append(
                Finding(
                    "error", f"{file} row {row} {one.column}", what, "Write all digits: no exponent, no separators, no sign of a currency."
                )
            )
        elif one.decimals is not None:
            value = int(text) * factor
        else:
            whole, _, places = text.lstrip("-").partition(".")
            value = int(whole + places.ljust(18, "0")) * (-1 if text.startswith("-") else 1)
        values.append(value)
    return values
