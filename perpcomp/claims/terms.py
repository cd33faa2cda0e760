"""Terms that claimants sign before they are paid: one message an account, in the shape that its contract or app reads.

A shape says who signs and what. Only the acceptance names amounts and the run; the other two are read by contracts that others wrote.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl
from tiny_keccak import keccak256

from perpcomp.eip55 import checksummed
from perpcomp.findings import near_miss, refusal
from perpcomp.installed import same_recursion_limit

if TYPE_CHECKING:
    from eth_account.messages import SignableMessage

ACCEPTANCE, GMX, IDENTITY = SHAPES = ("acceptance", "gmx", "sablier-identity")
TERMS = (
    "I accept these payments in full settlement of every claim that I have from this incident. "
    "They are a one-off, and give no right to a payment for any other incident."
)
_SABLIER = "Sablier Airdrops Protocol"  # Source: Sablier's airdrop contracts, SignatureHash: PROTOCOL_NAME
_DOMAIN = (("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address"))


@dataclass(frozen=True)
class Claimant:
    """An account that is paid: what stands at its address (a kind of payee.csv), and (token address, base units) pairs above 0."""

    account: str
    kind: str
    payments: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Shape:
    """The words, and the shape they are signed in.

    `distribution` is GMX's number of the terms. `attestor` signs Sablier's Identity, which ends at `expires` (unix seconds).
    """

    name: str = ACCEPTANCE
    terms: str = TERMS
    distribution: int | None = None
    attestor: str | None = None
    expires: int | None = None

    def __post_init__(self) -> None:
        """InputError for a shape that is not known, for what it needs and is not given, and for what it would pass over."""
        if self.name not in SHAPES:
            raise refusal("--shape", f"There is no shape '{self.name}'.", near_miss(self.name, SHAPES))
        if not self.terms.strip():
            raise refusal("--terms", "The terms are empty, so a signature would accept nothing.", "Write them into the file.")
        needs = {
            "--distribution": (self.distribution, GMX, "the number that the contract keeps the terms under, such as 1"),
            "--attestor": (self.attestor, IDENTITY, "the account that the campaign names as its attestor"),
            "--expires": (self.expires, IDENTITY, "when the attestation ends, as 2022-06-01T00:00:00Z"),
        }
        for option, (given, shape, example) in needs.items():
            if given is None and self.name == shape:
                raise refusal(option, f"A message of the shape {shape} holds it, and it is not given.", f"Add {option}: {example}.")
            if given is not None and self.name != shape:
                raise refusal(option, f"A message of the shape {self.name} does not hold it.", f"Leave it out, or add --shape {shape}.")
        if self.name == IDENTITY and self.terms != TERMS:
            raise refusal("--terms", "An Identity holds no words: the attestor signs that they were accepted.", "Leave it out.")


@dataclass(frozen=True)
class Agreement:
    """What the messages of a run are bound to: the sha256 of its manifest, the chain and contract that pay, and the words."""

    title: str
    run: str
    chain: int
    contract: str
    shape: Shape

    @property
    def domain(self) -> dict[str, Any]:
        """The EIP-712 domain, which binds a signature to one contract on one chain."""
        bound = {"chainId": self.chain, "verifyingContract": checksummed(self.contract)}
        return {"name": _SABLIER, **bound} if self.shape.name == IDENTITY else {"name": self.title, "version": "1", **bound}


@dataclass(frozen=True)
class Message:
    """What `signer` signs for a claimant: EIP-712 typed data, or a text that wallets sign by EIP-191."""

    claimant: Claimant
    signer: str
    chain: int
    content: Mapping[str, Any] | str

    @cached_property
    def signable(self) -> "SignableMessage":
        """The message as eth-account takes it."""
        with same_recursion_limit():  # a second of imports, which no other command needs
            from eth_account.messages import encode_defunct, encode_typed_data

        return encode_defunct(text=self.content) if isinstance(self.content, str) else encode_typed_data(full_message=dict(self.content))

    @property
    def digest(self) -> bytes:
        """The 32 bytes that a signature is of."""
        return keccak256(b"\x19" + b"".join(self.signable))

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON holds it: `typedData` is what eth_signTypedData_v4 takes, `text` what personal_sign takes."""
        content = {"text": self.content} if isinstance(self.content, str) else {"typedData": self.content}
        return {"account": checksummed(self.claimant.account), "signer": checksummed(self.signer), **content}


def claimants(payouts: pl.DataFrame, payees: pl.DataFrame, tokens: Mapping[str, str]) -> list[Claimant]:
    """Everybody who is paid, by address. `tokens`: symbol -> address of the token's contract."""
    kinds = dict(payees.select("payee", "account_kind").iter_rows())
    found: dict[str, list[tuple[str, int]]] = {}
    for trader, symbol, units in payouts.select("trader", "token", "amount_base_units").iter_rows():
        if int(units):
            found.setdefault(trader, []).append((tokens[symbol], int(units)))
    return [Claimant(account, kinds[account], tuple(sorted(pairs))) for account, pairs in sorted(found.items())]


def messages(agreement: Agreement, people: Sequence[Claimant]) -> list[Message]:
    """A message an account."""
    makers: dict[str, Callable[[Agreement, Claimant], Mapping[str, Any] | str]] = {ACCEPTANCE: _acceptance, GMX: _gmx, IDENTITY: _identity}
    make = makers[agreement.shape.name]
    return [Message(one, agreement.shape.attestor or one.account, agreement.chain, make(agreement, one)) for one in people]


def _acceptance(agreement: Agreement, one: Claimant) -> dict[str, Any]:
    accepted = {
        "terms": agreement.shape.terms,
        "account": checksummed(one.account),
        "payments": [{"token": checksummed(token), "amount": str(units)} for token, units in one.payments],
        "run": f"0x{agreement.run}",
    }
    types = {
        "EIP712Domain": _fields(*_DOMAIN),
        "Acceptance": _fields(("terms", "string"), ("account", "address"), ("payments", "Payment[]"), ("run", "bytes32")),
        "Payment": _fields(("token", "address"), ("amount", "uint256")),
    }
    return {"types": types, "primaryType": "Acceptance", "domain": agreement.domain, "message": accepted}


def _gmx(agreement: Agreement, _: Claimant) -> str:
    """Source: GMX's ClaimHandler, which puts these lines behind the terms that it keeps; the same text for every account."""
    bound = {"distributionId": agreement.shape.distribution, "contract": agreement.contract, "chainId": agreement.chain}
    return agreement.shape.terms + "".join(f"\n{name} {value}" for name, value in bound.items())


def _identity(agreement: Agreement, one: Claimant) -> dict[str, Any]:
    """Source: Sablier's airdrop contracts, SignatureHash: IDENTITY_TYPEHASH, and a domain without a version."""
    types = {
        "EIP712Domain": _fields(*(field for field in _DOMAIN if field[0] != "version")),
        "Identity": _fields(("recipient", "address"), ("expireAt", "uint40")),
    }
    message = {"recipient": checksummed(one.account), "expireAt": agreement.shape.expires}
    return {"types": types, "primaryType": "Identity", "domain": agreement.domain, "message": message}


def _fields(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in pairs]
