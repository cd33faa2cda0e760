"""Follow the money: claims terms and claims signatures, what claimants sign before they are paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, command
from perpcomp.cli.claims import claims
from perpcomp.cli.options import AsJson, Quiet, block_or_time
from perpcomp.findings import Finding, refusal

if TYPE_CHECKING:
    from perpcomp.claims.terms import Message

Run = Annotated[Path, typer.Argument(metavar="FOLDER", help="A published run.")]


@dataclass(frozen=True)
class Bound:
    """What a message is bound to beside the run."""

    contract: Annotated[str, typer.Option("--contract", metavar="ADDRESS", help="The contract that pays; a signature counts for no other.")]
    chain: Annotated[
        int | None, typer.Option("--chain", metavar="N", min=1, help="The chain that pays; default: that of [claims] in the incident file.")
    ] = None
    terms: Annotated[Path | None, typer.Option("--terms", metavar="FILE", help="The words to accept; default: a one-off settlement.")] = (
        None
    )
    shape: Annotated[
        str | None,
        typer.Option("--shape", metavar="NAME", help="acceptance (the default: names run and amounts), gmx or sablier-identity."),
    ] = None
    distribution: Annotated[
        int | None, typer.Option("--distribution", metavar="N", min=1, help="gmx: the number under which the contract keeps the terms.")
    ] = None
    attestor: Annotated[
        str | None, typer.Option("--attestor", metavar="ADDRESS", help="sablier-identity: who signs that an account accepted.")
    ] = None
    expires: Annotated[str | None, typer.Option("--expires", metavar="TIME", help="sablier-identity: when that ends.")] = None

    def messages(self, folder: Path) -> "list[Message]":
        """The message of every account that the published run pays."""
        from hashlib import sha256

        import perpcomp
        from perpcomp.claims import terms
        from perpcomp.claims.tokens import token
        from perpcomp.publish.stated import MANIFEST

        shape = terms.Shape(
            name=self.shape or terms.ACCEPTANCE,
            terms=terms.TERMS if self.terms is None else _text(self.terms),
            distribution=self.distribution,
            attestor=None if self.attestor is None else _address(self.attestor, "--attestor"),
            expires=None if self.expires is None else _unix(self.expires),
        )
        contract = _address(self.contract, "--contract")
        run = perpcomp.published(folder)
        files, where = run.incident.claim_files, f"{run.incident.name}.toml"
        if self.chain is not None and files is not None and files.chain != self.chain:
            raise refusal("--chain", f"It is {self.chain}, and [claims] of the run pays on chain {files.chain}.", "Leave --chain out.")
        chain = self.chain or (files.chain if files is not None else None)
        if chain is None:
            raise refusal(
                "--chain", "The run does not state the chain that pays, and the terms are bound to it.", "Add --chain, such as 1."
            )
        agreement = terms.Agreement(
            title=run.incident.title,
            run=sha256((folder / MANIFEST).read_bytes()).hexdigest(),
            chain=chain,
            contract=contract,
            shape=shape,
        )
        tokens = {leg.token: token(leg, chain, where).address for leg in run.incident.settlement}
        people = terms.claimants(run.payouts, run.payees, tokens)
        if not people:
            raise refusal(str(folder), "The run pays nobody, so there is nothing to accept.", "findings.csv may say why.")
        return terms.messages(agreement, people)


def _address(text: str, option: str) -> str:
    from perpcomp.incident.kinds import address

    try:
        return address(text)
    except ValueError as error:
        raise refusal(option, f"It {error.args[0]}", error.args[1]) from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise refusal("--terms", f"{path} cannot be read ({reason}).", "Give a file of text.") from None


def _unix(text: str) -> int:
    moment = block_or_time(text, "--expires")
    if moment is None or isinstance(moment, int):
        raise refusal("--expires", f"'{text}' is no time.", "Write 2022-06-01T00:00:00Z.")
    return int(moment.timestamp())


@command(FOLLOW, claims)
def terms(
    run: Run,
    *,
    bound: Bound,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where the messages go; default: stdout.")] = None,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """The message that each claimant of a published run signs: JSON, ready for wallets. `claims signatures` checks what comes back.

    An acceptance (EIP-712) is bound to the run's hash, the amounts, tokens, chain and contract.
    """
    import json

    from perpcomp.number_text import counted
    from perpcomp.writing import write_whole

    made = bound.messages(run)
    data = [{**one.plain, "digest": f"0x{one.digest.hex()}"} for one in made]
    if out is None:
        terminal.print_json(data)
    else:
        write_whole(out, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
    if not quiet:
        terminal.say(f"{counted(len(made), 'message')}. Each signature goes into a .csv with the columns address and signature.")
    return []


@command(FOLLOW, claims)
def signatures(
    run: Run,
    signed: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="The columns address and signature; 0x for a Safe that signed on chain.")
    ],
    *,
    bound: Bound,
    rpc: Annotated[
        str | None, typer.Option("--rpc", metavar="URL", help="A node of the chain that pays: ask contract wallets (EIP-1271).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write signed.csv and held.csv: whom to pay, and whom not yet.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Who signed the terms of a published run, and whose payment is held. Give the options that `claims terms` had."""
    from collections import Counter

    from perpcomp.claims import signatures as given
    from perpcomp.writing import write_whole

    messages = bound.messages(run)
    found = given.read_signatures(signed)
    checked = given.check(messages, found)
    if rpc is not None:
        checked = given.ask_contracts(checked, found, rpc, messages[0].chain)
    rows = [[one.message.claimant.account, str(one.status), one.why] for one in checked]
    if as_json:
        terminal.print_json([dict(zip(("account", "status", "why"), row, strict=True)) for row in rows])
    elif not quiet:
        terminal.print_grid(["account", "status", "why"], rows)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / "signed.csv", given.as_list(checked, paid=True))
        write_whole(out / "held.csv", given.as_list(checked, paid=False))
    counts = Counter(one.status for one in checked)
    if not quiet:
        terminal.say(", ".join(f"{counts[one]:,} {one}" for one in given.Status) + f", of {len(checked):,}.")
    return [*given.strangers(messages, found, str(signed)), *given.problems(checked, str(signed), asked=rpc is not None)]
