"""Whether claimants signed the terms: by the signature alone where an account has a key, by the contract's own word where it has code."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from eth_abi.abi import encode

from perpcomp import progress, text_file
from perpcomp.claims.node import Node, ask
from perpcomp.claims.payee_list import NAMED
from perpcomp.claims.terms import Message
from perpcomp.findings import Finding, InputError, Level, refusal
from perpcomp.incident.kinds import address
from perpcomp.incident.lists import CONTRACT, DELEGATED, NO_CODE, SAFE
from perpcomp.payees import NOT_CHECKED

# Source: EIP-1271: isValidSignature(bytes32,bytes) answers its own selector for a valid signature.
VALID = "0x1626ba7e"
WITH_CODE = (CONTRACT, SAFE, DELEGATED)
LENGTH = 65  # bytes of a signature by a key. Source: Ethereum yellow paper, appendix F: r, s, v


class Status(StrEnum):
    """What became of one message. Only SIGNED is paid."""

    SIGNED = "signed"
    MISSING = "missing"
    WRONG = "wrong"
    NEEDS_NODE = "needs-a-node"


@dataclass(frozen=True)
class Checked:
    """A message, what became of it, and by what that is known."""

    message: Message
    status: Status
    why: str


def read_signatures(path: Path) -> dict[str, list[bytes]]:
    """Account -> its signatures, from a .csv with the columns address and signature. InputError names every row that cannot be read."""
    try:
        rows = text_file.read_csv(path)
    except text_file.UNREADABLE as error:
        what = f"The signatures cannot be read ({text_file.reason(error)})."
        raise refusal(str(path), what, "Give a .csv with the columns address and signature.") from None
    named = {column.strip().lower(): column for column in rows.columns}
    account = next((named[name] for name in ("address", "account", "signer") if name in named), None)
    if account is None or "signature" not in named:
        what = f"Its columns are {', '.join(rows.columns)}, and it needs address and signature."
        raise refusal(str(path), what, "Write a first line: address,signature.")
    found: dict[str, list[bytes]] = {}
    problems: list[Finding] = []
    for number, (who, signature) in enumerate(rows.select(account, named["signature"]).iter_rows(), 2):
        if signature is None:
            continue  # a form that somebody left empty
        try:
            signed = _bytes(signature)
            found.setdefault(address(str(who).strip()), []).append(signed)
        except ValueError as error:
            problems.append(Finding("error", f"{path} row {number}", f"It {error.args[0]}", error.args[1]))
    if problems:
        more = [Finding("error", str(path), f"{len(problems) - NAMED:,} more rows cannot be read.", "")] * (len(problems) > NAMED)
        raise InputError([*problems[:NAMED], *more])
    return found


def _bytes(text: object) -> bytes:
    try:
        digits = str(text).strip()
        if digits[:2] not in ("0x", "0X") or not digits.isalnum():
            raise ValueError
        return bytes.fromhex(digits[2:])
    except ValueError:
        what = f"has the signature {str(text)[:20]!r}, which is not 0x and whole bytes in hex."
        raise ValueError(what, "Write what the wallet gave; 0x alone for a Safe that signed on chain.") from None


def strangers(messages: Sequence[Message], given: Mapping[str, Sequence[bytes]], where: str) -> list[Finding]:
    """A warning for signatures of accounts that nothing is paid to."""
    unknown = sorted(set(given) - {one.claimant.account for one in messages})
    if not unknown:
        return []
    what = f"{len(unknown):,} of the signatures are of accounts that the run does not pay: {', '.join(unknown[:NAMED])}."
    return [Finding("warning", where, what, "Check that the list belongs to this run.")]


def problems(checked: Sequence[Checked], where: str, asked: bool) -> list[Finding]:
    """An error for signatures that are not of their message, and a warning for accounts that only a node decides."""
    found = []
    kinds: list[tuple[Status, Level, str, str]] = [
        (Status.WRONG, "error", "signed something else", "Ask for the signature of the message that `perpcomp claims terms` gives."),
        (Status.NEEDS_NODE, "warning", "may be contracts, which only a node can ask", "Add --rpc with a node of the chain that pays."),
    ]
    for status, level, what, advice in kinds:
        named = [one.message.claimant.account for one in checked if one.status is status]
        if named and not (status is Status.NEEDS_NODE and asked):
            more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
            verdict = f"{len(named):,} of {len(checked):,} accounts {what}, and their payments are held: {', '.join(named[:NAMED])}{more}."
            found.append(Finding(level, where, verdict, advice, code=f"signature-{status}"))
    return found


def check(messages: Sequence[Message], given: Mapping[str, Sequence[bytes]]) -> list[Checked]:
    """Each message with what its signatures say, without a node: an account with code, or perhaps with code, is left to one."""
    progress.now("Checking signatures", len(messages))
    found = []
    for one in messages:
        signatures, kind = given.get(one.claimant.account, ()), one.claimant.kind
        known = kind if one.signer == one.claimant.account else NOT_CHECKED
        if any(_signer(one, signature) == one.signer for signature in signatures):
            found.append(Checked(one, Status.SIGNED, "by its key"))
        elif known in WITH_CODE:
            found.append(Checked(one, Status.NEEDS_NODE, f"a {known} says itself whether it signed"))
        elif not signatures:
            found.append(Checked(one, Status.MISSING, "no signature"))
        elif known == NO_CODE:
            found.append(Checked(one, Status.WRONG, "no signature is of this message by this account"))
        else:
            found.append(Checked(one, Status.NEEDS_NODE, "not by a key of this account; a contract may accept it"))
        progress.advance(1)
    return found


def _signer(message: Message, signature: bytes) -> str | None:
    """Whose key made a signature; None where none did."""
    from eth_keys.datatypes import Signature
    from eth_keys.exceptions import BadSignature
    from eth_utils.exceptions import ValidationError

    if len(signature) != LENGTH:
        return None
    v = signature[-1] - 27 if signature[-1] >= 27 else signature[-1]  # some hardware wallets count from 0
    try:
        made = Signature(signature[:-1] + bytes([v]))
        return str(made.recover_public_key_from_msg_hash(message.digest).to_address())
    except (BadSignature, ValidationError):
        return None


def ask_contracts(checked: Sequence[Checked], given: Mapping[str, Sequence[bytes]], url: str, chain: int) -> list[Checked]:
    """The same list after asking a node of the chain about every account that no key decides.

    A contract without a signature is asked, too: a Safe may have signed on chain. InputError for a node of another chain.
    """

    async def questions(node: Node) -> list[Checked]:
        if (served := await node.chain()) != chain:
            raise refusal("--rpc", f"It is a node of chain {served}, and the terms are of chain {chain}.", f"Give a node of chain {chain}.")
        asked = _once(node.code)
        return [
            one
            if one.status in (Status.SIGNED, Status.WRONG)
            else await _ask(one, given.get(one.message.claimant.account, ()), node, asked)
            for one in checked
        ]

    return ask(url, questions)


async def _ask(one: Checked, signatures: Sequence[bytes], node: Node, code: Callable[[str], Awaitable[str]]) -> Checked:
    signer = one.message.signer
    if await code(signer) in ("0x", "0x0"):
        if one.status is Status.MISSING or not signatures:
            return replace(one, status=Status.MISSING, why="no signature")
        return replace(one, status=Status.WRONG, why="no code stands at the account, and no signature is by its key")
    for signature in signatures or (b"",):
        data = VALID + encode(["bytes32", "bytes"], [one.message.digest, signature]).hex()
        answer = await node.word(signer, data)
        if answer is not None and answer[:10] == VALID and not int(answer[10:], 16):
            return replace(one, status=Status.SIGNED, why="by its contract (EIP-1271)")
    if signatures:
        return replace(one, status=Status.WRONG, why="its contract refuses the signature (EIP-1271)")
    return replace(one, status=Status.MISSING, why="no signature, and its contract has signed nothing on chain")


def _once(call: Callable[[str], Awaitable[str]]) -> Callable[[str], Awaitable[str]]:
    """A question that is asked once for each address: one attestor may sign for thousands."""
    known: dict[str, str] = {}

    async def asked(at: str) -> str:
        if at not in known:
            known[at] = await call(at)
        return known[at]

    return asked


def as_list(checked: Sequence[Checked], paid: bool) -> bytes:
    """The list of those who are paid, or of those who are held back: address, token, amount (base units), status.

    `perpcomp claims tree` reads it.
    """
    rows = [
        f"{one.message.claimant.account},{token},{units},{one.status}"
        for one in checked
        if (one.status is Status.SIGNED) is paid
        for token, units in one.message.claimant.payments
    ]
    return "\n".join(["address,token,amount,status", *rows, ""]).encode()
