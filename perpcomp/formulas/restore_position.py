"""The whole position again, as its value in cash at the reference price. The list in kind is a table of its own."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="restore-position", source="forum F11, F34")
def restore_position(terms: Terms) -> pl.Expr:
    """Pay what the restored position would be worth: its equity at the reference price.

    > "refund all the lost profit or restore the trader's full position" (F11)

    A restored position is the same size at the same open notional with the margin less funding, and its value at the reference
    price is margin - funding_payment + unrealized PnL there. In cash this is margin-upl-funding by another road; it differs once
    positions are opened again on the AMM's curve, with slippage. restore-in-kind.csv lists size, open notional and margin for
    those who would rather restore than pay.
    """
    margin_to_restore = terms.margin - terms.funding_payment
    return (margin_to_restore + terms.unrealized_pnl_at_reference).clip(0)
