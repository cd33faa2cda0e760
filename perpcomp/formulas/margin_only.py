"""The margin that the position held: the first proposal, and what February's traders were paid by."""

import polars as pl

from perpcomp.formula import Terms, formula


@formula(name="margin-only", source="forum F1, april A1")
def margin_only(terms: Terms) -> pl.Expr:
    """Give back the margin that was in the position when it was liquidated.

    > "Reward the affected traders according to the margin they paid to open positions that were liquidated in the crash." (F1)

    The margin is the stored one, funding not yet taken: just before the liquidation, or at the moment that [valuation] names.
    Unrealized profit does not count: a long opened at 30,000 with 10,000 of margin gets 10,000, whatever it was worth at 50,000.
    """
    return terms.margin_at_reference
