"""What a format gives: its files, what each of them pays, the transactions in order, and what signers should know."""

from collections.abc import Sequence

from msgspec import Struct, field
from tiny_keccak import keccak256

from perpcomp.claims.payee_list import Row
from perpcomp.claims.plan import Plan, Tranche
from perpcomp.claims.tokens import Token

BATCH = 100  # Source: 100 transfers to new holders take about 5 million gas, of the 12.5 million of xDai's blocks in 2021
AT_ONCE = "at once"


class Part(Struct, frozen=True):
    """One file, and what it pays (base units of one token; a file of several tokens has a part each). `tranche` None: all of them."""

    file: str
    token: Token
    tranche: int | None
    rows: int
    total: int


class Step(Struct, frozen=True):
    """One transaction: `to` is None where the contract is not deployed or named yet. `signature` names its parameters; "" is no call."""

    what: str
    when: str
    to: str | None = None
    signature: str = ""
    arguments: tuple[object, ...] = ()

    @property
    def data(self) -> str | None:
        """The call's data in hex; None where there is nothing to call."""
        return None if not self.signature else calldata(self.signature, self.arguments)


class Made(Struct):
    """A format's files (relative name -> bytes), collected while they are written."""

    files: dict[str, bytes] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, file: str, data: bytes, token: Token, tranche: int | None, rows: Sequence[Row]) -> None:
        """A file that pays these rows."""
        self.files[file] = data
        self.parts.append(Part(file, token, tranche, len(rows), sum(row.amount for row in rows)))


def types_of(signature: str) -> list[str]:
    """The types of "name(type name,type name)", without the names."""
    inner = signature.partition("(")[2].removesuffix(")")
    return [one.split(" ")[0] for one in inner.split(",") if one]


def calldata(signature: str, arguments: Sequence[object]) -> str:
    """The data of a call: the first four bytes of the signature's hash, then its arguments."""
    from eth_abi.abi import encode  # 0.1 s to import: only where a call is written

    types = types_of(signature)
    selector = keccak256(f"{signature.partition('(')[0]}({','.join(types)})".encode())[:4]
    return "0x" + (selector + encode(types, arguments)).hex()


def in_tokens(units: int, decimals: int) -> str:
    """Base units as the token's amount, every digit: 1500000 of 6 decimals is "1.5"."""
    whole, rest = divmod(units, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".") if rest else str(whole)


def batches(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    """The rows in pieces of at most so many, none of them empty."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def file_name(token: Token, plan: Plan, tranche: Tranche | None = None, number: int | None = None, end: str = "") -> str:
    """A name as perp-tranche-0-batch-1.csv: only what tells files apart, and only characters that every system takes."""
    kept = "".join(c for c in token.symbol.lower() if c.isascii() and c.isalnum()) or "token"
    same = [one for one in plan.tokens if one.symbol.lower() == token.symbol.lower()]
    name = kept if len(same) == 1 else f"{kept}-{token.address[2:10]}"
    name += "" if tranche is None else f"-tranche-{tranche.number}"
    return name + ("" if number is None else f"-part-{number}") + end
