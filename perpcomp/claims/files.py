"""Every file of claims and payments that a run writes: claims/NAME/FILE for each format of [claims]."""

from collections.abc import Callable

import polars as pl

from perpcomp.claims import sheet
from perpcomp.claims.clear_signing import descriptors
from perpcomp.claims.made import Made
from perpcomp.claims.payments.disperse import disperse
from perpcomp.claims.payments.hedgey import hedgey
from perpcomp.claims.payments.multisend import multisend
from perpcomp.claims.payments.sablier import sablier
from perpcomp.claims.payments.sablier_streams import sablier_streams
from perpcomp.claims.payments.safe_csv import safe_csv
from perpcomp.claims.payments.safe_transactions import safe_transactions
from perpcomp.claims.payments.trees import cumulative, multi_token, oz_standard, perp_redeem, uniswap
from perpcomp.claims.plan import Plan, plan
from perpcomp.claims.steps import window
from perpcomp.incident.claims import TREES, ClaimFiles
from perpcomp.incident.incident import Incident

FOLDER = "claims"

# The names are those that [claims] formats allows.
FORMATS: dict[str, Callable[[Plan], Made]] = {
    "perp-redeem": perp_redeem,
    "uniswap": uniswap,
    "oz-standard": oz_standard,
    "sablier": sablier,
    "cumulative": cumulative,
    "multi-token": multi_token,
    "safe-csv": safe_csv,
    "safe-transactions": safe_transactions,
    "multisend": multisend,
    "disperse": disperse,
    "sablier-streams": sablier_streams,
    "hedgey": hedgey,
}


def claim_files(incident: Incident, asked: ClaimFiles, payouts: pl.DataFrame, claims: pl.DataFrame) -> dict[str, bytes]:
    """Relative name -> bytes of what [claims] asks for, from the tables of a run. InputError before anything is written."""
    made = plan(incident, asked, payouts, claims)
    if not made.rows:
        return {
            f"{FOLDER}/{sheet.PAGE}": b"No payout is above 0, so no file of claims or payments was written. findings.csv may say why.\n"
        }
    return {f"{FOLDER}/{name}/{file}": data for name in made.files.formats for file, data in of_format(made, name).items()}


def of_format(made: Plan, name: str) -> dict[str, bytes]:
    """The files of one format: its own, the transactions, the descriptors, and the page that lists them all."""
    found = FORMATS[name](made)
    if name in TREES:
        found.steps.append(window(made))
    files = {**found.files, sheet.STEPS: sheet.steps(found), **descriptors(made, name, found.steps)}
    return {**files, sheet.PAGE: sheet.page(made, name, found, files)}
