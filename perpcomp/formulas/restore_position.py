"""The whole position again: what it costs to open it. The list in kind is a table of its own."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="restore-position", source="forum F11, F34")
def restore_position(terms: Terms) -> pl.Expr:
    """Pay what opening the same position again costs: the deposit that leaves the trader with the same open notional.

    > "refund all the lost profit or restore the trader's full position" (F11)

    Opening the size again moves restore_notional; what that is above the old open notional (a short: below) has to be given on top
    of the margin less funding, and the trading fee with it. Without [restore] in the query the size is opened at the reference price
    and without a fee, so that this is margin-upl-funding by another road. With it, it is opened on the AMM's curve, in the order
    stated: slippage makes it dearer. A position with nothing left is not opened again, and no fee is paid for it.
    """
    opened, before = terms.restore_notional, terms.open_notional_at_reference
    profit = pl.when(terms.side == "long").then(opened - before).otherwise(before - opened)
    deposit = terms.margin_at_reference - terms.funding_at_reference + profit
    return pl.when(deposit > fixed.amount(0)).then(deposit + terms.restore_fee).otherwise(fixed.amount(0))
