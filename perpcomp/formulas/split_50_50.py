"""Half the value: the risk is shared by the protocol and the trader. Not to be mistaken for half USDC, half PERP."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="split-50-50", source="forum F12, F23")
def split_50_50(terms: Terms) -> pl.Expr:
    """Give back half the value of the margin; the other half is the trader's own risk.

    > "half the value to be refunded. In that way, the risk is split 50:50 between the protocol and the traders" (F12)
    > "100% compensation on margin/collateral, split 50:50 between project and traders, and 0%" (F23)

    Half the value (a formula), not half of the tokens in USDC and half in PERP (a settlement, F15). A margin of 10,000 pays 5,000.
    """
    return fixed.mul(terms.margin_at_reference, fixed.amount("0.5"))
