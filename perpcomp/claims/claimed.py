"""Who claimed what: the events of claim contracts, from a file of logs or a node.

Contracts emit the same event with other parameters indexed, so a layout is known by its topics as well as by its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError
from tiny_keccak import keccak256

from perpcomp.claims.made import types_of
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.ingest.consistency import Consistency
from perpcomp.ingest.log_file import log_pieces
from perpcomp.ingest.raw_frame import no_logs

_AIRDROP = "(uint256 index,address account,uint128 amount,address to,bool signed)"
_STREAM = "(uint256 index,address account,uint128 amount,uint256 stream,address to,bool signed)"
_HEDGEY = "(bytes16 campaign,address account,uint256 amount,uint256 rest)"
TAKEN_BACK = "ClaimedByOwner(uint256 index)"
PLAIN = "Claimed(address account,uint256 amount)"

# Event -> number of topics -> the parameters that are indexed.
LAYOUTS: dict[str, dict[int, tuple[str, ...]]] = {
    PLAIN: {1: (), 2: ("account",), 3: ("account", "amount")},  # Perp and Balancer, which name no week; OpenZeppelin-based contracts
    "Claimed(address account,uint256 week,uint256 amount)": {1: (), 2: ("account",), 3: ("account", "week")},  # copies of Balancer's
    "Claimed(uint256 index,address account,uint256 amount)": {1: (), 3: ("index", "account")},  # Uniswap and its copies
    "Claimed(address account,address token,uint256 amount)": {1: (), 3: ("account", "token")},  # universal rewards distributor
    "ClaimedAndAgreed(uint256 index,address account)": {3: ("index", "account")},  # Euler's redemption, which names no amount
    TAKEN_BACK: {2: ("index",)},
    f"TokensClaimed{_HEDGEY}": {3: ("campaign", "account")},
    f"UnlockedTokensClaimed{_HEDGEY}": {3: ("campaign", "account")},
    f"ClaimInstant{_AIRDROP}": {2: ("account",)},  # Sablier's airdrops, and two of earlier versions
    f"ClaimLLWithTransfer{_AIRDROP}": {2: ("account",)},
    f"ClaimLTWithTransfer{_AIRDROP}": {2: ("account",)},
    f"ClaimLLWithVesting{_STREAM}": {3: ("account", "stream")},
    f"ClaimLTWithVesting{_STREAM}": {3: ("account", "stream")},
    "Claim(uint256 index,address account,uint128 amount)": {2: ("account",)},
    "Claim(uint256 index,address account,uint128 amount,uint256 stream)": {3: ("account", "stream")},
}
# What is claimed goes into a stream or a lock, so it may be more than what has unlocked.
INTO_A_STREAM = tuple(one for one in LAYOUTS if one.endswith((_STREAM, "stream)")) or one == f"TokensClaimed{_HEDGEY}")


@dataclass(frozen=True)
class Claimed:
    """One claim. `token` and `amount` (base units) are None where the event does not name them; `index` is the leaf's number."""

    event: str
    contract: str
    time: datetime
    block: int
    transaction: str
    account: str
    token: str | None
    amount: int | None
    index: int | None

    @property
    def vests_later(self) -> bool:
        """Whether the claim pays a stream, not the account."""
        return self.event in INTO_A_STREAM


def topic_of(signature: str) -> str:
    """The first topic of an event's logs."""
    return "0x" + keccak256(f"{signature.partition('(')[0]}({','.join(types_of(signature))})".encode()).hex()


TOPICS = {topic_of(one): one for one in LAYOUTS}


def from_file(path: Path, contracts: Sequence[str]) -> list[Claimed]:
    """The claims in a file of logs as eth_getLogs returns them. InputError names rows that cannot be read, and logs listed twice."""
    try:
        parts = [piece() for piece in log_pieces([path], contracts, TOPICS, (), {})]
    except OSError as error:
        raise refusal("--logs", f"{path} cannot be read ({error.strerror}).", "Give a file of logs, one JSON object a line.") from None
    raw = pl.concat([no_logs(), *parts])
    seen = Consistency(path.name)
    seen.add(raw)
    seen.check()
    return claims_in(raw, path.name)


def claims_in(raw: pl.DataFrame, where: str) -> list[Claimed]:
    """The claims of a raw frame, in the order of the chain. InputError for a log whose layout is not known."""
    found, problems = list[Claimed](), list[Finding]()
    for row in raw.sort("block_number", "log_index").iter_rows(named=True):
        signature = TOPICS[row["topic0"]]
        values = _values(signature, row)
        if values is None:
            what = f"The log is {signature.partition('(')[0]} with {row['topics']} topics and {len(row['data'])} bytes, which no known contract emits."
            problems.append(Finding("error", f"{where} row {row['row']}", what, "Name only claim contracts with --contract."))
            continue
        found.append(
            Claimed(
                event=signature,
                contract=row["address"],
                time=row["block_time"],
                block=row["block_number"],
                transaction=row["transaction_hash"],
                account=str(values.get("account", "")),
                token=str(values["token"]) if "token" in values else None,
                amount=int(str(values["amount"])) if "amount" in values else None,
                index=int(str(values["index"])) if "index" in values else None,
            )
        )
    if problems:
        raise InputError(problems[:20])
    return _once(found)


def _values(signature: str, row: Mapping[str, object]) -> dict[str, object] | None:
    """Parameter -> value; None where topics and data are not of a known layout."""
    names = [one.split(" ")[1] for one in signature.partition("(")[2].removesuffix(")").split(",")]
    types = dict(zip(names, types_of(signature), strict=True))
    indexed = LAYOUTS[signature].get(int(str(row["topics"])))
    plain = [name for name in names if indexed is not None and name not in indexed]
    data, topics = row["data"], (row["topic1"], row["topic2"])
    if indexed is None or not isinstance(data, bytes) or len(data) != 32 * len(plain):
        return None
    try:
        values = dict(zip(plain, decode([types[name] for name in plain], data), strict=True))
        for name, topic in zip(indexed, topics, strict=False):
            assert isinstance(topic, bytes)
            (values[name],) = decode([types[name]], topic)
    except DecodingError:
        return None
    return values


def _once(claims: list[Claimed]) -> list[Claimed]:
    """Without the plain event that some of Hedgey's contracts emit beside their own."""
    own = {(one.transaction, one.contract, one.account) for one in claims if _HEDGEY in one.event}
    return [one for one in claims if one.event != PLAIN or (one.transaction, one.contract, one.account) not in own]
