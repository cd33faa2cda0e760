"""Follow the money: claims tree and claims verify, for lists and files of anybody."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from perpcomp.cli import terminal
from perpcomp.cli.app import FOLLOW, command
from perpcomp.cli.claims import claims
from perpcomp.cli.options import AsJson, Quiet
from perpcomp.findings import Finding, InputError, refusal


@command(FOLLOW, claims)
def tree(
    list_file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="A list with the columns address, amount (whole base units) and perhaps token.")
    ],
    dialect: Annotated[
        str | None, typer.Option("--dialect", metavar="NAME", help="Make this dialect's file; without it, print every dialect's root.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where the dialect's file goes; default: stdout.")] = None,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """The claim tree of any list: one dialect's file, or the root that each dialect gives, to be compared with a published one."""
    import msgspec

    from perpcomp.claims import payee_list
    from perpcomp.claims.trees.dialects import DIALECTS
    from perpcomp.claims.trees.dialects import dialect as named
    from perpcomp.number_text import counted
    from perpcomp.writing import write_whole

    if out is not None and dialect is None:
        raise refusal("--out", "Only a dialect's file can be written, and none is named.", "Add --dialect NAME.")
    rows = payee_list.read_list(list_file)
    if dialect is None:
        for one in DIALECTS.values():
            try:
                root = one.tree(rows, str(list_file)).root
            except InputError as error:
                root = f"none. {terminal.printable(error.problems[0].what)}"
            print(f"{one.name:<12} {root}")  # a root is compared digit by digit: no table may shorten it
    else:
        made = named(dialect).tree(rows, str(list_file))
        data = msgspec.json.format(msgspec.json.encode(made.document), indent=1) + b"\n"
        if out is None:
            print(data.decode(), end="")
        else:
            write_whole(out, data)
        if not quiet:
            terminal.say(f"{made.dialect.name}, {made.dialect.meaning}: root {made.root}, {counted(len(made.leaves), 'claim')}.")
    if not quiet:
        for token, total in payee_list.totals(rows).items():
            terminal.say(f"{counted(len(rows), 'row')} add up to {total:,} base units{f' of {token}' if token else ''}.")
    return []


@command(FOLLOW, claims)
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of claims: Uniswap's, Sablier's, OpenZeppelin's dump, or ours.")],
    root: Annotated[str | None, typer.Option("--root", metavar="HASH", help="The root that was published elsewhere.")] = None,
    rpc: Annotated[str | None, typer.Option("--rpc", metavar="URL", help="A node of the contract's chain; needs --contract.")] = None,
    contract: Annotated[
        str | None, typer.Option("--contract", metavar="ADDRESS", help="The claim contract, whose root is the one to meet.")
    ] = None,
    week: Annotated[
        int | None, typer.Option("--week", metavar="N", min=0, help="The root's number, where the contract keeps one a week.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Sequence[Finding]:
    """Check a file of claims: root, totals, doubles, every proof; and against a published root or the contract."""
    import perpcomp
    from perpcomp.number_text import counted

    checked = perpcomp.verify_claims(file, root, rpc, contract, week)
    if as_json:
        terminal.print_json(
            {
                "passed": checked.passed,
                "dialect": checked.dialect,
                "claims": checked.claims,
                "accounts": checked.accounts,
                "root": checked.root,
                "totals": {token: str(total) for token, total in checked.totals.items()},
                "proofs": checked.proofs,
                "findings": [vars(finding) for finding in checked.findings],
            }
        )
    elif not quiet:
        print(f"dialect {checked.dialect}\nroot    {checked.root}")  # compared digit by digit: no table may shorten it
        for token, total in checked.totals.items():
            print(f"total   {total:,} base units{f' of {token}' if token else ''}")
    if not quiet:
        verdict = "PASS" if checked.passed else "FAIL"
        terminal.say(
            f"{verdict}: {counted(checked.claims, 'claim')} of {counted(checked.accounts, 'account')}, {counted(checked.proofs, 'proof')}."
        )
    return checked.findings
