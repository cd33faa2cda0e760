"""Whether a published run can still be paid as it stands: by the clock, the chain's tokens, and earlier runs. A run itself asks none of these."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from perpcomp.claims.claim_file import roots_of
from perpcomp.claims.node import Node, ask
from perpcomp.claims.on_chain import balance, decimals
from perpcomp.claims.tokens import Token
from perpcomp.claims.trees.perp_redeem import PERP_REDEEM
from perpcomp.findings import Finding, refusal
from perpcomp.incident.incident import Incident
from perpcomp.vesting import checks

CLOSED, REUSED, DIFFERS = "claims-are-over", "root-used-before", "decimals-differ"


def by_the_clock(incident: Incident, now: datetime) -> Iterator[Finding]:
    """A warning for a start that is past, and an error where nobody could claim any more."""
    where = f"{incident.name}.toml"
    yield from checks.in_the_past(incident.vesting, now, f"{where} [vesting]")
    if incident.claims is not None and incident.claims.until <= now:
        what = f"Claims ended at {incident.claims.until:%Y-%m-%dT%H:%M:%SZ}: what is funded now, nobody can claim by these terms."
        yield Finding("error", f"{where} [claims] until", what, "Vote a later end, and run again.", code=CLOSED)


def by_the_chain(url: str, chain: int, tokens: Sequence[Token], totals: Mapping[str, int], payer: str | None) -> list[Finding]:
    """An error for each token whose contract counts other decimals, and a warning where the payer holds less than is paid.

    InputError where the node is of another chain or no token stands at an address.
    """

    async def questions(node: Node) -> list[Finding]:
        if (served := await node.chain()) != chain:
            raise refusal("--rpc", f"It is a node of chain {served}, and [claims] pays on chain {chain}.", f"Give a node of chain {chain}.")
        found = []
        for token in tokens:
            counted = await decimals(node, token.address)
            if counted is None:
                what = f"No token answers decimals() at {token.address} on chain {chain}."
                raise refusal(token.symbol, what, "Correct address in [[settlement]].")
            if counted != token.decimals:
                what = (
                    f"{token.address} on chain {chain} counts {counted} decimals, and the run {token.decimals} (by {token.source}): "
                    f"every amount is wrong by a factor of 1e{abs(counted - token.decimals)}."
                )
                found.append(
                    Finding("error", token.symbol, what, "Pay nothing of this run; correct decimals in [[settlement]].", code=DIFFERS)
                )
            held = None if payer is None else await balance(node, token.address, payer)
            if held is not None and held < totals.get(token.address, 0):
                what = f"The payer {payer} holds {held} base units of {token.symbol}, and the run pays {totals[token.address]}."
                found.append(Finding("warning", token.symbol, what, "Fund it before the transactions are signed, or pay by tranche."))
        return found

    return ask(url, questions)


def by_earlier_runs(folder: Path, earlier: Sequence[Path]) -> Iterator[Finding]:
    """A finding for each root of the run that an earlier folder holds, too: an error where one contract keeps many roots and pays both.

    InputError for a folder without a tree.
    """
    own = roots(folder)
    for other in earlier:
        if other.resolve() == folder.resolve():
            raise refusal("--earlier", f"{other} is the run itself.", "Give the folders of other runs.")
        if not (before := roots(other)):
            raise refusal("--earlier", f"{other} holds no claim tree in claims/.", "Give the folder of a published run with trees.")
        for (dialect, root), file in own.items():
            if (dialect, root) in before:
                what = f"Its root {root} is that of {other / before[dialect, root]}, too."
                if dialect == PERP_REDEEM.name:
                    advice = "Seed it in no contract that has it: a leaf names neither run nor week, so every proof would pay twice."
                    yield Finding("error", str(folder / file), what, advice, code=REUSED)
                else:
                    yield Finding("warning", str(folder / file), what, "Check that it is not the same payment twice.", code=REUSED)


def roots(folder: Path) -> dict[tuple[str, str], str]:
    """(dialect, root) -> the file that has it, of every claim tree in a published folder."""
    return roots_of({path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "claims").glob("*/*.json")})
