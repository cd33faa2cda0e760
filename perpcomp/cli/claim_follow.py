"""Follow the money: claims follow, what became of a published run's payouts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, command
from perpcomp.cli.claims import claims
from perpcomp.cli.options import Form, block_or_time
from perpcomp.findings import Finding, refusal

if TYPE_CHECKING:
    from perpcomp.claims.claimed import Claimed
    from perpcomp.claims.dialect import Leaf
    from perpcomp.incident.incident import Incident


@dataclass(frozen=True)
class ClaimLogs:
    """Where the logs of the claim contracts come from."""

    logs: Annotated[Path | None, typer.Option("--logs", metavar="FILE", help="Logs of the claim contracts, one JSON object a line.")] = None
    rpc: Annotated[str | None, typer.Option("--rpc", metavar="URL", help="A node of the chain that pays; needs --from-block.")] = None
    from_block: Annotated[
        int | None, typer.Option("--from-block", metavar="BLOCK", min=0, help="A block not after the first claim contract's.")
    ] = None

    def __post_init__(self) -> None:
        """InputError for no source of logs, for two, and for half of one."""
        if self.logs is not None and self.rpc is not None:
            raise refusal("--logs, --rpc", "Logs come from a file or from a node.", "Leave one of the two out.")
        if self.logs is not None and self.from_block is not None:
            raise refusal("--from-block", "The logs come from a file, so no node is asked.", "Leave it out.")
        if self.logs is None and self.rpc is None:
            raise refusal(
                "--logs", "Nothing says who claimed.", "Give the contracts' logs with --logs FILE, or --rpc URL --from-block BLOCK."
            )
        if self.rpc is not None and self.from_block is None:
            what = "A node is asked from a block on: claims before it would be missed without a word."
            raise refusal("--from-block", what, "Add --from-block with the block in which the first claim contract was deployed.")

    def read(self, incident: "Incident", contracts: Sequence[str]) -> "list[Claimed]":
        """The claims from these contracts."""
        from hashlib import sha256

        from perpcomp.claims.claimed import TOPICS, claims_in, from_file
        from perpcomp.ingest.node.everywhere import fetch_everywhere
        from perpcomp.ingest.node.held import default_store
        from perpcomp.ingest.node.store import own_pieces

        if self.logs is not None:
            return from_file(self.logs, contracts)
        assert self.rpc is not None
        assert self.from_block is not None
        chain = incident.claim_files.chain if incident.claim_files is not None else None
        kept = default_store(incident)
        folder = kept.with_name(f"{kept.name}-claims-{sha256(','.join(contracts).encode()).hexdigest()[:8]}")
        found = fetch_everywhere(sorted(TOPICS), [self.rpc], chain, (self.from_block, None), folder, contracts)
        terminal.say(f"Logs of blocks {found.first:,} to {found.last:,} of chain {found.chain_id}.")
        pieces = own_pieces(found.file, None)
        assert pieces is not None, "the file was written just now"
        return [one for piece in pieces for one in claims_in(piece(), "the node's logs")]


@command(FOLLOW, claims)
def follow(
    run: Annotated[Path, typer.Argument(metavar="FOLDER", help="A published run.")],
    *,
    source: ClaimLogs,
    contract: Annotated[
        list[str] | None,
        typer.Option(
            "--contract",
            metavar="ADDRESS[=TOKEN]",
            help="A claim contract of the run, and the token it pays where there are several; default: those of [claims.contracts].",
        ),
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As of this time; default: now.")] = None,
    redistribute: Annotated[
        bool, typer.Option("--redistribute", help="What each account gets if what nobody claimed goes to those who did, pro rata.")
    ] = False,
    form: Form,
) -> Sequence[Finding]:
    """Who claimed what, what can be claimed now, and what has waited since when.

    Perp's contract names no week in its event: an account's oldest tranche counts as claimed first.
    """
    import perpcomp
    from perpcomp.claims.follow import follow as followed
    from perpcomp.number_text import counted, in_full
    from perpcomp.tables.claims import FOLLOWED, REDISTRIBUTED

    moment = datetime.now(UTC) if at is None else block_or_time(at)
    if not isinstance(moment, datetime):
        raise refusal("--at", f"'{at}' is a block, and claims unlock by time.", "Write 2021-04-15T00:00:00Z.")
    done = perpcomp.published(run)
    incident = done.incident
    paying = contracts_of(contract or (), incident)
    events = source.read(incident, sorted(paying))
    found = followed(incident, done.payouts, done.claims, events, paying, leaves_of(run), moment)
    findings = [*found.findings]
    if not events:
        what = f"The logs hold no claim from {', '.join(sorted(paying))}: nothing was claimed, or these are other contracts or blocks."
        findings.append(Finding("warning", str(source.logs or "--rpc"), what, "Check the contracts and the range of blocks."))
    frame, table, columns = (
        (found.redistributed, REDISTRIBUTED, ("trader", "token", "claimed", "amount", "share"))
        if redistribute
        else (found.table, FOLLOWED, ("trader", "token", "amount", "claimed", "claimable", "unclaimed_since", "last_claim"))
    )
    sums = ("claimed", "amount") if redistribute else ("amount", "claimed", "claimable")
    totals = terminal.totals_by_token(frame, sums)
    terminal.print_table(frame, table, columns, form, incident, largest="claimed" if redistribute else "claimable", totals=totals)
    for leg in incident.settlement:
        left = found.unclaimed[leg.token]
        holders = found.table.filter(token=leg.token).filter(unclaimed=0).height
        rows = found.table.filter(token=leg.token).height
        terminal.say(
            f"{holders:,} of {counted(rows, 'account')} claimed everything; unclaimed: {in_full(left * 10 ** (18 - leg.decimals))} {leg.token} "
            f"({left} base units)."
        )
    period = incident.claims
    if period is not None:
        terminal.say(f"Claims {'ended' if period.until <= moment else 'end'} at {period.until:%Y-%m-%dT%H:%M:%SZ}; then: {period.then}.")
    if redistribute and (period is None or period.until > moment):
        what = "Claims are still open, so what is redistributed here can still be claimed by those it belongs to."
        findings.append(Finding("warning", "--redistribute", what, "Redistribute when claims have ended, as [claims] until says."))
    return findings


def contracts_of(given: Sequence[str], incident: "Incident") -> "Mapping[str, str | None]":
    """Claim contract -> the symbol that it pays; None where the run pays several tokens and nobody says which."""
    from perpcomp.findings import near_miss
    from perpcomp.incident.kinds import address

    symbols = [leg.token for leg in incident.settlement]
    only = symbols[0] if len(symbols) == 1 else None
    named = incident.claim_files.contracts if incident.claim_files is not None else None
    listed = [getattr(named, one) for one in ("perp_redeem", "uniswap", "oz_standard", "cumulative", "multi_token")] if named else []
    found: dict[str, str | None] = {}
    for text in given or [one for one in listed if one is not None]:
        at, _, symbol = text.partition("=")
        if symbol and symbol not in symbols:
            raise refusal("--contract", f"The run pays no {symbol}.", near_miss(symbol, symbols))
        try:
            found[address(at)] = symbol or only
        except ValueError as error:
            raise refusal("--contract", f"It {error.args[0]}", error.args[1]) from None
    if not found:
        raise refusal("--contract", "No claim contract is named, here or in [claims.contracts] of the run.", "Add --contract ADDRESS.")
    return found


def leaves_of(run: Path) -> "Mapping[int, Leaf]":
    """The leaves of the run's last multi-token tree, by index; none where it has no such tree."""
    from perpcomp.claims.claim_file import read_claim_file

    trees = sorted((run / "claims" / "multi-token").glob("tranche-*.json"), key=lambda one: int(one.stem.rpartition("-")[2]))
    return {leaf.number: leaf for leaf in read_claim_file(trees[-1]).leaves} if trees else {}
