"""Which module has which command. Importing a module registers its commands; a command line needs one or a few of them."""

from collections.abc import Sequence
from importlib import import_module

# Module -> the verbs whose commands it has, in the order of the help page.
MODULES = {
    "begin": ("init", "check", "schema"),
    "check": ("verify",),
    "check_published": ("check-published",),
    "check_sheet": ("check-sheet",),
    "claim_files": ("claims",),
    "claim_follow": ("claims",),
    "claim_ready": ("claims",),
    "claim_terms": ("claims",),
    "claims": ("claims",),
    "decide": ("prices", "explain", "formulas"),
    "diff": ("diff",),
    "guards": ("guards",),
    "ledger": ("ledger",),
    "money": ("run", "events", "positions", "liquidations", "payouts"),
    "publish": ("bundle", "sign", "proposal"),
    "side_by_side": ("compare", "sensitivity", "budget"),
}


def load(arguments: Sequence[str]) -> None:
    """Import the modules of the verb that a command line begins with. All are imported for the help page and for an unknown verb, and none
    for the version: to import all of them and to build their commands takes 0.02 CPU-s.
    """
    verb = arguments[0] if arguments else ""
    chosen = [name for name, verbs in MODULES.items() if verb in verbs] or [*MODULES]
    for name in chosen if [*arguments] != ["--version"] else ():
        import_module(f"perpcomp.cli.{name}")
