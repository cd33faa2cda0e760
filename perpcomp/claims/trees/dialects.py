"""Every dialect by its name."""

from perpcomp.claims.dialect import Dialect
from perpcomp.claims.trees.cumulative import CUMULATIVE
from perpcomp.claims.trees.multi_token import MULTI_TOKEN
from perpcomp.claims.trees.oz_standard import OZ_STANDARD
from perpcomp.claims.trees.perp_redeem import PERP_REDEEM
from perpcomp.claims.trees.sablier import SABLIER
from perpcomp.claims.trees.uniswap import UNISWAP
from perpcomp.findings import near_miss, refusal

DIALECTS = {one.name: one for one in (PERP_REDEEM, UNISWAP, OZ_STANDARD, SABLIER, CUMULATIVE, MULTI_TOKEN)}


def dialect(name: str) -> Dialect:
    """The dialect of a name. InputError for another name."""
    if name not in DIALECTS:
        raise refusal("--dialect", f"There is no dialect '{name}'.", near_miss(name, DIALECTS))
    return DIALECTS[name]
