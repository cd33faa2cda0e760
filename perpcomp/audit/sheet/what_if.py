"""A workbook whose inputs somebody changed: the run by those inputs, to see whether the stored results follow from them."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
from msgspec.structs import replace

from perpcomp import pipeline
from perpcomp.findings import InputError
from perpcomp.incident.incident import Incident
from perpcomp.publish.workbook.inputs import FORMULA, QUOTE_PRICE, UPFRONT, price_names
from perpcomp.run import Run


def computed(run: Run, changed: Mapping[str, Any]) -> Run | None:
    """The run with these values of the sheet Inputs (name -> value); None where they give none."""
    try:
        incident = _with(run, changed)
        formula = str(changed.get(FORMULA, run.formula.name))
        return pipeline.compute(incident, run.input, formula, [one.name for one in run.compared])
    except (InputError, ArithmeticError, ValueError, pl.exceptions.PolarsError):  # a text for a price, a price of 0, a formula that is none
        return None


def _with(run: Run, changed: Mapping[str, Any]) -> Incident:
    incident, prices = run.incident, price_names(run)

    def number(name: str, published: Decimal) -> Decimal:
        return Decimal(str(changed[name])) if name in changed else published

    markets = tuple(
        replace(market, reference_price=number(prices[market.amm], market.reference_price))
        if market.amm in prices and market.reference_price is not None
        else market
        for market in incident.markets
    )
    legs = [
        replace(leg, price=number(f"token_price_{k}", leg.price), share=_share(changed, f"share_{k}", leg.share))
        for k, leg in enumerate(incident.settlement, 1)
    ]
    if all(leg.rule is None for leg in legs):
        legs[-1] = replace(legs[-1], share=1 - sum((leg.share for leg in legs[:-1]), Fraction()))
    quote = incident.quote
    if quote is not None and quote.price is not None:
        quote = replace(quote, price=number(QUOTE_PRICE, quote.price))
    vesting = replace(incident.vesting, upfront=_share(changed, UPFRONT, incident.vesting.upfront))
    return replace(incident, markets=markets, settlement=tuple(legs), quote=quote, vesting=vesting)


def _share(changed: Mapping[str, Any], name: str, published: Fraction) -> Fraction:
    return Fraction(str(changed[name])) if name in changed else published
