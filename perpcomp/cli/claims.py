"""Follow the money: claims, with its command table."""

from collections.abc import Sequence

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, app, command, with_default
from perpcomp.cli.options import AsJson, FormulaName, Input, Query
from perpcomp.findings import Finding

claims = typer.Typer(cls=with_default("table"), rich_markup_mode=None)
app.add_typer(claims, name="claims", rich_help_panel=FOLLOW, help="When each payout unlocks.")


@command(FOLLOW, claims)
def table(query: Query = "rehearsal", input: Input = None, formula: FormulaName = None, as_json: AsJson = False) -> Sequence[Finding]:
    """When each payout unlocks. `perpcomp claims QUERY` is short for `perpcomp claims table QUERY`."""
    import perpcomp
    from perpcomp.tables.payouts import CLAIMS
    from perpcomp.vesting.curves import in_words
    from perpcomp.vesting.vest import to_read

    done = perpcomp.compute(query, input, formula)
    vesting = done.incident.vesting
    block = ("unlocks_at_block",) if vesting.estimated else ()
    shown = done.claims if as_json else to_read(done.claims, vesting)
    terminal.print_table(shown, CLAIMS, ("trader", "token", "tranche", "unlocks_at", *block, "amount", "cumulative"), as_json, done.incident)
    terminal.say(in_words(vesting))
    return done.problems
