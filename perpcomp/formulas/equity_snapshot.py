"""The equity at a snapshot before the incident, with what was added and removed since."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="equity-snapshot", source="precedent P5, P6, shutdown S1")
def equity_snapshot(terms: Terms) -> pl.Expr:
    """Give back the equity at the block of [valuation], and the margin that was added less the margin that was removed after it.

    > equity per token at a snapshot slot, plus later deposits and withdrawals (P5)

    A position opened after that block held nothing then and is owed nothing. An equity of 800 at the block, 150 added and 50 removed
    before the liquidation: 900.
    """
    equity = (terms.margin_at_reference + terms.unrealized_pnl_at_reference - terms.funding_at_reference).clip(0)
    held = terms.size_at_reference != fixed.amount(0)
    return pl.when(held).then((equity + terms.margin_added - terms.margin_removed).clip(0)).otherwise(fixed.amount(0))
