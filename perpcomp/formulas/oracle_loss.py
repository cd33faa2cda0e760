"""The oracle's loss alone: what the close fetched less than at the right price."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="oracle-loss", source="precedent P13, P14")
def oracle_loss(terms: Terms) -> pl.Expr:
    """Give back the unrealized PnL at the price and moment of [valuation] less the realized one. A close at a better price is owed nothing.

    > (liquidation price - market price at one fixed time) (P13)

    A bonus on top is a step of a rule: uplift or flat. 1 BTC bought at 30,000 and closed at 42,000, at 50,000: 20,000 - 12,000 = 8,000.
    """
    return (terms.unrealized_pnl_at_reference - terms.realized_pnl).clip(0)
