"""Follow the money: claims ready, the last look before anybody signs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, command
from perpcomp.cli.claims import claims
from perpcomp.findings import Finding, refusal


@command(FOLLOW, claims)
def ready(
    run: Annotated[Path, typer.Argument(metavar="FOLDER", help="A published run with files of claims or payments.")],
    rpc: Annotated[
        str | None, typer.Option("--rpc", metavar="URL", help="A node of the chain that pays: the tokens' decimals, the payer's balance.")
    ] = None,
    earlier: Annotated[
        list[Path] | None, typer.Option("--earlier", metavar="FOLDER", help="An earlier run: no root may be used again. May be repeated.")
    ] = None,
) -> Sequence[Finding]:
    """The last look before anybody signs: by the clock, by the chain, by earlier runs. A run itself reads none of them."""
    import perpcomp
    from perpcomp.claims import ready as checks
    from perpcomp.claims.plan import plan
    from perpcomp.number_text import counted

    done = perpcomp.published(run)
    files = done.incident.claim_files
    if files is None:
        raise refusal(str(run), "The run has no files of claims or payments.", 'Add formats = ["cumulative"] to [claims], and run again.')
    made = plan(done.incident, files, done.payouts, done.claims)
    found = [*checks.by_the_clock(done.incident, datetime.now(UTC)), *checks.by_earlier_runs(run, earlier or ())]
    if rpc is not None:
        found += checks.by_the_chain(rpc, files.chain, made.tokens, made.totals, files.payer)
    asked = ["the clock", *(["the chain"] if rpc else []), *([counted(len(earlier), "earlier run")] if earlier else [])]
    level = {"error": "NOT READY", "warning": "READY, with warnings"}
    worst = next((one for one in ("error", "warning") if any(finding.level == one for finding in found)), "")
    terminal.say(f"{level.get(worst, 'READY')}: by {', '.join(asked)}; {counted(len(checks.roots(run)), 'root')}.")
    return found
