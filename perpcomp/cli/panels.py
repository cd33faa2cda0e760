"""Every module of commands. Importing this one registers all of them."""

from perpcomp.cli import (
    begin,
    check,
    check_published,
    check_sheet,
    claim_files,
    claim_follow,
    claim_ready,
    claim_terms,
    claims,
    decide,
    diff,
    guards,
    ledger,
    money,
    publish,
    side_by_side,
)

__all__ = [
    "begin",
    "check",
    "check_published",
    "check_sheet",
    "claim_files",
    "claim_follow",
    "claim_ready",
    "claim_terms",
    "claims",
    "decide",
    "diff",
    "guards",
    "ledger",
    "money",
    "publish",
    "side_by_side",
]
