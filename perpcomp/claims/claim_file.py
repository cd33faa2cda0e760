"""A published file of claims, ours or anybody's, as leaves with what the file states about them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from perpcomp.claims.dialect import Dialect, Leaf
from perpcomp.claims.merkle import Proof, root_by
from perpcomp.claims.payee_list import NAMED, base_units
from perpcomp.claims.trees.cumulative import CUMULATIVE
from perpcomp.claims.trees.dump import SIMPLE, STANDARD
from perpcomp.claims.trees.multi_token import MULTI_TOKEN
from perpcomp.claims.trees.oz_standard import OZ_STANDARD
from perpcomp.claims.trees.perp_redeem import PERP_REDEEM
from perpcomp.claims.trees.sablier import SABLIER
from perpcomp.claims.trees.uniswap import UNISWAP
from perpcomp.findings import Finding, InputError, refusal
from perpcomp.incident.kinds import address

ROOTS = ("merkleRoot", "root", "merkle_root")
TOTALS = ("tokenTotal", "total_amount", "totalAmount", "total")
ACCOUNTS = ("account", "address", "user", "recipient")
AMOUNTS = ("amount", "claimable")
TOKENS = ("token", "reward", "asset")  # of a leaf that names its token
CLAIMS = ("claims", "proofs", "data")  # "data" in the answer of Morpho's server for an account
PROOFS = ("proof", "proofs", "merkleProof", "merkleProofs")
# Types of a dump's leaf -> the dialect, and what each value is
ENCODINGS = {
    ("address", "uint256"): (OZ_STANDARD, ("account", "amount")),
    ("uint256", "address", "uint256"): (SABLIER, ("number", "account", "amount")),
    ("uint256", "address", "uint128"): (SABLIER, ("number", "account", "amount")),
    ("address", "address", "uint256"): (CUMULATIVE, ("account", "token", "amount")),
}
KNOWN = (
    "Known are a dump of OpenZeppelin's StandardMerkleTree, Uniswap's, Sablier's and Morpho's files, a report of Balancer's (address: amount), "
    "and JSON with a root and claims (address, amount, proof)."
)


class ClaimFile(Struct, frozen=True):
    """What a file of claims holds. `root` and `totals` (token -> base units) are what it states, None where it does not.

    `proofs` stand in the order of the leaves; None where the file has none. `statements` are (what, stated, found) to be compared.
    """

    dialect: Dialect
    leaves: list[Leaf]
    proofs: list[Proof] | None
    root: bytes | None
    totals: Mapping[str, int] | None
    statements: list[tuple[str, str, str]] = field(default_factory=list)


def read_claim_file(path: Path) -> ClaimFile:
    """The file, by what it looks like. InputError names what cannot be read, with its place."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refusal(str(path), f"The file cannot be read ({error.strerror}).", "Give a file of claims.") from None
    return read_claims(data, str(path))


def read_claims(data: bytes, where: str) -> ClaimFile:
    """The same of a file's bytes; `where` names it."""
    try:
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise refusal(where, f"The file is not JSON: {error}.", KNOWN) from None
    return _Reader(where).read(document)


def roots_of(files: Mapping[str, bytes]) -> dict[tuple[str, str], str]:
    """(dialect, root) -> the file that has it, of every claim tree among the files of a run, by name."""
    found = {}
    for name in sorted(files):
        if not (match := re.fullmatch(r"claims/([^/]+)/[^/]+\.json", name)):
            continue
        try:
            file = read_claims(files[name], name)
        except InputError:
            continue  # transactions, parameters and descriptors lie beside the trees
        if file.root is not None:
            found[match[1], f"0x{file.root.hex()}"] = name
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. ValueError where a key is listed twice: one of the two claims would be lost without a word."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is listed twice")
    return found


class _Reader:
    """Reads one document; problems are collected with their places."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[Finding] = []

    def read(self, document: Any) -> ClaimFile:
        if isinstance(document, list) and not (document and isinstance(document[0], dict)):
            found = self._pairs(document)
        elif isinstance(document, list):
            found = self._claims({"claims": document})
        elif not isinstance(document, dict):
            raise refusal(self.where, "The file holds no claims.", KNOWN)
        elif "format" in document or "leafEncoding" in document:
            found = self._dump(document)
        elif "merkle_tree" in document:
            found = self._sablier(document)
        elif any(name in document for name in CLAIMS):
            found = self._claims(document)
        elif document and all(re.fullmatch("0x[0-9a-fA-F]{40}", key, re.ASCII) for key in document):
            found = self._report(document)
        else:
            raise refusal(self.where, f"The file's keys are {', '.join(list(document)[:8]) or 'none'}.", KNOWN)
        if self.problems:
            more = len(self.problems) - NAMED
            shown = self.problems[:NAMED] + [Finding("error", self.where, f"{more:,} more claims cannot be read.", "")] * (more > 0)
            raise InputError(shown)
        if not found.leaves:
            raise refusal(self.where, "The file lists no claim.", KNOWN)
        return found

    def _dump(self, document: Mapping[str, Any]) -> ClaimFile:
        kind = document.get("format")
        if kind == SIMPLE:
            what = f'The dump\'s format is "{SIMPLE}": its leaves are hashes, so no account and no amount can be read from it.'
            raise refusal(self.where, what, f'Ask for the dump of the StandardMerkleTree, format "{STANDARD}", or for the list.')
        if kind != STANDARD:
            raise refusal(self.where, f"The dump's format is {kind!r}.", f'Known is "{STANDARD}".')
        encoding = tuple("uint256" if one == "uint" else one for one in self._list(document, "leafEncoding"))
        if encoding not in ENCODINGS:
            shown = "; ".join(f"({', '.join(one)})" for one in ENCODINGS)
            raise refusal(self.where, f"A leaf of the dump holds ({', '.join(map(str, encoding))}).", f"Known are {shown}.")
        nodes = [self._bytes32(node, f"tree[{n}]") for n, node in enumerate(self._list(document, "tree"))]
        values = self._list(document, "values")
        if len(nodes) != max(2 * len(values) - 1, 0):
            what = f"The dump has {len(nodes)} nodes for {len(values)} values, and a tree of so many has {max(2 * len(values) - 1, 0)}."
            raise refusal(self.where, what, "It was cut or changed: get it again from who published it.")
        (dialect, names), leaves, proofs = ENCODINGS[encoding], list[Leaf](), list[Proof]()
        for n, entry in enumerate(values):
            try:
                cells = dict(zip(names, entry["value"], strict=True))
                token = address(cells["token"]) if "token" in cells else ""
                leaves.append(Leaf(base_units(cells.get("number", n)), address(cells["account"]), ((token, base_units(cells["amount"])),)))
                proofs.append(_proof_in(nodes, entry["treeIndex"]))
            except (ValueError, TypeError, KeyError, IndexError) as error:
                self._problem(f"values[{n}]", error)
        return ClaimFile(dialect, leaves, proofs, nodes[0] if nodes else None, None)

    def _sablier(self, document: Mapping[str, Any]) -> ClaimFile:
        try:
            inner = json.loads(document["merkle_tree"], object_pairs_hook=_once)
        except (ValueError, TypeError, RecursionError):
            raise refusal(self.where, "merkle_tree is not the text of a dump.", KNOWN) from None
        dump = self._dump(inner)
        recipients = self._list(document, "recipients")
        leaves = {(leaf.account, leaf.amount) for leaf in dump.leaves}
        met = 0
        for n, one in enumerate(recipients):
            try:
                met += (address(one["address"]), base_units(one["amount"])) in leaves
            except (ValueError, TypeError, KeyError) as error:
                self._problem(f"recipients[{n}]", error)
        statements = [
            ("number_of_recipients", str(document.get("number_of_recipients")), str(len(dump.leaves))),
            ("The number of recipients listed", str(len(recipients)), str(len(dump.leaves))),
            ("The number of recipients listed", str(len(recipients)), f"{met} of them with the amount listed"),
        ][: 3 if met < len(recipients) else 2]
        root = self._root(document)
        if root is not None and dump.root is not None:
            statements.append(("the root", "0x" + root.hex(), "0x" + dump.root.hex()))
        return ClaimFile(dump.dialect, dump.leaves, dump.proofs, root or dump.root, self._total(document), statements)

    def _claims(self, document: Mapping[str, Any]) -> ClaimFile:
        claims = document[next(name for name in CLAIMS if name in document)]
        entries: list[tuple[str, Any]]
        if isinstance(claims, dict):
            entries = [(str(who), {"account": who, **claim} if isinstance(claim, dict) else claim) for who, claim in claims.items()]
        elif isinstance(claims, list):
            entries = [(f"claims[{n}]", claim) for n, claim in enumerate(claims)]
        else:
            raise refusal(self.where, "claims is neither an object nor a list.", KNOWN)
        leaves, proofs, indexed = list[Leaf](), list[Proof](), False
        for n, (place, claim) in enumerate(entries):
            try:
                number = base_units(claim["index"]) if "index" in claim else n
                indexed = indexed or "index" in claim
                leaves.append(Leaf(number, address(_first_of(claim, ACCOUNTS)), _parts(claim)))
                proofs.append(tuple(self._bytes32(node, place) for node in _first_of(claim, PROOFS)))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self._problem(place, error)
        if self.problems:
            return ClaimFile(UNISWAP, leaves, proofs, None, None)
        root = self._root(document)
        pairs = any("tokenAmounts" in claim for _, claim in entries)
        named = (MULTI_TOKEN,) if pairs else (CUMULATIVE,) if any(leaf.parts[0][0] for leaf in leaves) else ()
        candidates = named or ((UNISWAP, SABLIER) if indexed else (PERP_REDEEM, OZ_STANDARD))
        fits = (one for one in candidates for leaf, proof in zip(leaves, proofs, strict=True) if root_by(one.hashed(leaf), proof) == root)
        dialect = next(fits, candidates[0])
        stated = document.get("tokenTotals")
        totals = {address(token): base_units(n) for token, n in stated.items()} if isinstance(stated, dict) else self._total(document)
        return ClaimFile(dialect, leaves, proofs, root, totals)

    def _report(self, document: Mapping[str, Any]) -> ClaimFile:
        """Balancer's report of a week: address -> amount, without root and proofs.

        Amounts with a point are tokens of 18 decimals, as its scripts take them; a report without any point is in base units.
        """
        in_units = not any("." in str(amount) for amount in document.values())
        leaves = []
        for n, (who, amount) in enumerate(document.items()):
            try:
                leaves.append(Leaf(n, address(who), (("", base_units(amount) if in_units else _of_18_decimals(amount)),)))
            except ValueError as error:
                self._problem(who, error)
        return ClaimFile(PERP_REDEEM, leaves, None, None, None)

    def _pairs(self, document: list[Any]) -> ClaimFile:
        """Euler's list of [index, account, [[token, amount], …]], which has neither root nor proofs."""
        leaves = []
        for n, entry in enumerate(document):
            try:
                number, account, pairs = entry
                leaves.append(Leaf(base_units(number), address(account), tuple((address(t), base_units(a)) for t, a in pairs)))
            except (ValueError, TypeError) as error:
                self._problem(f"[{n}]", error)
        return ClaimFile(MULTI_TOKEN, sorted(leaves, key=MULTI_TOKEN.preimage), None, None, None)

    def _root(self, document: Mapping[str, Any]) -> bytes | None:
        stated = next((document[name] for name in ROOTS if name in document), None)
        return None if stated is None else self._bytes32(stated, "its root")

    def _total(self, document: Mapping[str, Any]) -> dict[str, int] | None:
        stated = next((document[name] for name in TOTALS if name in document), None)
        try:
            return None if stated is None else {"": base_units(stated)}
        except ValueError as error:
            self._problem("its total", error)
            return None

    def _list(self, document: Mapping[str, Any], key: str) -> list[Any]:
        found = document.get(key)
        if not isinstance(found, list):
            raise refusal(self.where, f"{key} is not a list.", KNOWN)
        return found

    def _bytes32(self, value: Any, place: str) -> bytes:
        try:
            found = bytes.fromhex(value.removeprefix("0x"))
        except (ValueError, TypeError, AttributeError):
            found = b""
        if len(found) != 32:
            raise refusal(f"{self.where} {place}", f"{value!r} is not 0x and 64 hex digits.", "Get the file again from who published it.")
        return found

    def _problem(self, place: str, error: Exception) -> None:
        what, advice = error.args if isinstance(error, ValueError) and len(error.args) == 2 else ("is no claim that can be read.", KNOWN)
        self.problems.append(Finding("error", f"{self.where} {place}", f"It {what}", advice))


def _first_of(claim: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first key that is there. ValueError where none is."""
    if (found := next((name for name in names if name in claim), None)) is None:
        raise ValueError(f"has no {names[0]}.", KNOWN)
    return claim[found]


def _parts(claim: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    if "tokenAmounts" in claim:
        return tuple((address(token), base_units(amount)) for token, amount in claim["tokenAmounts"])
    token = next((claim[name] for name in TOKENS if name in claim), None)
    named = "" if token is None else address(token["address"] if isinstance(token, dict) else token)
    return ((named, base_units(_first_of(claim, AMOUNTS))),)


def _of_18_decimals(amount: Any) -> int:
    if not isinstance(amount, str) or not re.fullmatch(r"[0-9]+(\.[0-9]{1,18})?", amount, re.ASCII):
        raise ValueError(f"has the amount {amount!r}, which is no amount of a token with 18 decimals.", "Ask for the report as text.")
    whole, _, rest = amount.partition(".")
    return int(whole) * 10**18 + int(rest.ljust(18, "0"))


def _proof_in(nodes: list[bytes], place: Any) -> Proof:
    """The siblings from a place in a heap up to its root."""
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(nodes):
        raise ValueError(f"has the treeIndex {place!r}, and the tree has {len(nodes)} nodes.", "Get the file again from who published it.")
    proof = []
    while place:
        proof.append(nodes[place + 1 if place % 2 else place - 1])
        place = (place - 1) // 2
    return tuple(proof)
