"""The first published sheet's rule: minus the realized PnL. Kept as history, with its fault shown; it can be compared, never paid."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="realized-loss", source="forum F6, F30, F31", negative=True)
def realized_loss(terms: Terms) -> pl.Expr:
    """Minus the realized PnL of the liquidation, not clamped.

    > "The compensation formula clearly has a BUG … The formula will MINUS realized pnl. Basically, the more you make money, the
    > worst treat you got" (F30)

    It is the margin with penalty, bad debt and funding left out, so it is right only where nothing of the margin remained. A trader
    liquidated with a profit of 12,000 "gets" -12,000; one with a loss of 2,000 gets 2,000.
    """
    return -terms.realized_pnl
