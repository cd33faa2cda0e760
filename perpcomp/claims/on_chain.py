"""What a deployed claim contract says: its root, and how much of its token it holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from perpcomp.claims.claim_file import ClaimFile, read_claim_file
from perpcomp.claims.node import Node, ask
from perpcomp.claims.tokens import pinned
from perpcomp.claims.verify import DIFFERS, FileCheck, check_claims
from perpcomp.findings import Finding, refusal
from perpcomp.incident.kinds import address

# The first four bytes of the keccak of each view's signature; a test computes them.
ROOT_VIEWS = {"merkleRoot()": "0x2eb4a7ab", "MERKLE_ROOT()": "0x51e75e8b", "root()": "0xebf0c717"}
WEEK_VIEW = {"weekMerkleRoots(uint256)": "0xdd8c9c9d"}
TOKEN_VIEWS = {"token()": "0xfc0c546a", "TOKEN()": "0x82bfefc8", "ASSET()": "0x4800d97f"}
DECIMALS_VIEW = {"decimals()": "0x313ce567"}
BALANCE_VIEW = {"balanceOf(address)": "0x70a08231"}


@dataclass(frozen=True)
class Deployed:
    """A contract's root as 0x and 64 digits, and by which view; its token, the balance of it (base units) and its decimals, None where it names none."""

    chain_id: int
    view: str
    root: str
    token: str | None
    balance: int | None
    decimals: int | None = None


@dataclass(frozen=True)
class Question:
    """What a file has to meet: a root that was published (0x and 64 digits), or the root of a contract (of a week) on a node's chain."""

    root: str | None = None
    url: str | None = None
    contract: str | None = None
    week: int | None = None

    def __post_init__(self) -> None:
        """InputError for half a question."""
        if (self.url is None) != (self.contract is None):
            given, other = ("--rpc", "--contract") if self.contract is None else ("--contract", "--rpc")
            raise refusal(given, f"It asks a contract for its root, which needs {other}, too.", f"Add {other}.")
        if self.week is not None and self.contract is None:
            raise refusal("--week", "No contract is asked.", "Add --rpc and --contract, or leave it out.")
        if self.root is not None and not re.fullmatch("0x[0-9a-fA-F]{64}", self.root, re.ASCII):
            raise refusal("--root", f"{self.root!r} is not a root.", "Write 0x and 64 hex digits.")


def check_file(path: Path, asked: Question) -> FileCheck:
    """What a file of claims comes to, against the root that was asked for."""
    file = read_claim_file(path)
    root, said = meets(file, asked)
    checked = check_claims(file, str(path), root)
    return replace(checked, findings=[*checked.findings, *said])


def meets(file: ClaimFile, asked: Question) -> tuple[str | None, list[Finding]]:
    """The root that a file has to meet, None where none is known; and what the contract says beside it."""
    root = asked.root and asked.root.lower()
    if asked.url is None or asked.contract is None:
        return root, []
    try:
        at = address(asked.contract)
    except ValueError as error:
        raise refusal("--contract", f"It {error.args[0]}", error.args[1]) from None
    found = deployed(asked.url, at, asked.week)
    said = [Finding("note", at, f"Its {found.view} on chain {found.chain_id} is {found.root}.", "")]
    if root is not None and root != found.root:
        said.append(Finding("error", at, f"Its {found.view} is {found.root}, and --root is {root}.", "Do not fund it.", code=DIFFERS))
    owed = sum(amount for leaf in file.leaves for token, amount in leaf.parts if token in ("", found.token))
    if found.balance is not None and found.balance < owed:
        what = f"It holds {found.balance:,} base units of {found.token}, and the claims add up to {owed:,}."
        said.append(Finding("warning", at, what, "Fund the rest, unless so much was claimed already."))
    listed = next((one for one in pinned() if (one.chain, one.address) == (found.chain_id, found.token)), None)
    if listed is not None and found.decimals not in (None, listed.decimals):
        what = f"{listed.symbol} at {listed.address} counts {found.decimals} decimals, and the pinned list says {listed.decimals}."
        said.append(Finding("error", at, what, "Do not fund it: the node or the list is wrong.", code=DIFFERS))
    return found.root, said


def deployed(url: str, contract: str, week: int | None) -> Deployed:
    """Ask the newest block of a node. InputError where nothing stands at the address or none of the known views answers (exit 3: the node)."""
    return ask(url, lambda node: _deployed(node, contract, week))


async def _deployed(node: Node, contract: str, week: int | None) -> Deployed:
    chain_id = await node.chain()
    if await node.code(contract) == "0x":
        what = f"No contract stands at {contract} on chain {chain_id}."
        raise refusal("--contract", what, "Correct the address, or give a node of its chain with --rpc.")
    argument = "" if week is None else f"{week:064x}"
    views = {f"{name.split('(')[0]}({week})": data + argument for name, data in WEEK_VIEW.items()} if week is not None else ROOT_VIEWS
    found = await _first(node, contract, views.items())
    if found is None:
        what = f"{contract} answers none of {', '.join(views)}."
        advice = "Perp's and Balancer's contracts keep one root a week: give its number with --week." if week is None else ""
        raise refusal("--contract", what, advice or "Leave --week out unless the contract keeps one root a week.")
    view, root = found
    named = await _first(node, contract, TOKEN_VIEWS.items())
    token = None if named is None else f"0x{named[1][-40:]}"
    held = None if token is None else await balance(node, token, contract)
    return Deployed(chain_id, view, root, token, held, None if token is None else await decimals(node, token))


async def decimals(node: Node, token: str) -> int | None:
    """How many decimals a token counts; None where it does not say."""
    answer = await node.word(token, DECIMALS_VIEW["decimals()"])
    return None if answer is None else int(answer, 16)


async def balance(node: Node, token: str, account: str) -> int | None:
    """How much of a token an account holds (base units); None where the token does not say."""
    answer = await node.word(token, BALANCE_VIEW["balanceOf(address)"] + f"{int(account, 16):064x}")
    return None if answer is None else int(answer, 16)


async def _first(node: Node, to: str, views: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """The first view that answers with one word, with its answer."""
    for name, data in views:
        if (answer := await node.word(to, data)) is not None:
            return name, answer
    return None
