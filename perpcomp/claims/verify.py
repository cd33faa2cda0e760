"""Whether a published file of claims pays what it says: root, totals, doubles, and every proof."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from perpcomp.claims.claim_file import ClaimFile
from perpcomp.claims.merkle import root_by
from perpcomp.claims.payee_list import NAMED
from perpcomp.findings import Finding

DIFFERS = "claims-differ"  # the code of what makes a file fail
_PUBLISHER = "Do not fund it: ask who published it."


@dataclass(frozen=True)
class FileCheck:
    """What a file of claims comes to. `root` is the one that its own claims give, `totals` token -> base units ("" for the one token)."""

    dialect: str
    claims: int
    accounts: int
    root: str
    totals: dict[str, int]
    proofs: int
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with it."""
        return not any(finding.level == "error" for finding in self.findings)


def check_claims(file: ClaimFile, where: str, root: str | None = None) -> FileCheck:
    """Build the tree again from the file's claims and compare all that it states; `root` is the one published elsewhere."""
    made = file.dialect.tree_of(file.leaves)
    aimed = bytes.fromhex(root[2:]) if root else file.root
    found = chain(_roots(file, where, root, made.root), _totals(file, where, made.totals), _statements(file, where), _doubles(file, where))
    findings = list(found)
    if file.proofs is not None and aimed is not None:
        same = made.nodes.root == aimed
        wrong = [
            leaf.account
            for leaf, proof, ours in zip(file.leaves, file.proofs, made.nodes.proofs, strict=True)
            if not (same and proof == ours) and root_by(file.dialect.hashed(leaf), proof) != aimed
        ]
        if wrong:
            named = ", ".join(wrong[:NAMED]) + (f" and {len(wrong) - NAMED:,} more" if len(wrong) > NAMED else "")
            what = f"The proof or the amount of {len(wrong):,} of {len(file.leaves):,} claims is wrong: the contract refuses {named}."
            findings.append(_error(where, what))
        elif not same:
            what = (
                f"The claims give the root {made.root} by the usual order of leaves, and every proof leads to the stated root all the same."
            )
            findings.append(Finding("note", where, what, "The tree has another order of leaves; no payment depends on it."))
    return FileCheck(
        dialect=file.dialect.name,
        claims=len(file.leaves),
        accounts=len({leaf.account for leaf in file.leaves}),
        root=made.root if aimed is None or made.nodes.root == aimed or file.proofs is None else "0x" + aimed.hex(),
        totals=made.totals,
        proofs=0 if file.proofs is None else len(file.proofs),
        findings=findings,
    )


def _error(where: str, what: str, advice: str = _PUBLISHER) -> Finding:
    return Finding("error", where, what, advice, code=DIFFERS)


def _roots(file: ClaimFile, where: str, root: str | None, made: str) -> Iterator[Finding]:
    stated = None if file.root is None else "0x" + file.root.hex()
    if root is not None and stated is not None and stated != root:
        yield _error(where, f"The file states the root {stated}, and the one to meet is {root}.")
    # With proofs each of them is tried; without, the tree is all there is.
    if file.proofs is None and root is not None and made != root:
        yield _error(where, f"The claims give the root {made} as {file.dialect.name}, and the one to meet is {root}.")
    if root is None and stated is None:
        what = f"The file states no root, so there is nothing to compare {made} with."
        yield Finding("warning", where, what, "Give the published one with --root, or --rpc and --contract.")


def _totals(file: ClaimFile, where: str, found: dict[str, int]) -> Iterator[Finding]:
    for token, total in (file.totals or {}).items():
        if found.get(token, 0) != total:
            of = f" of {token}" if token else ""
            yield _error(where, f"The file states a total of {total}{of}, and its claims add up to {found.get(token, 0)} base units.")


def _statements(file: ClaimFile, where: str) -> Iterator[Finding]:
    for what, stated, found in file.statements:
        if stated != found:
            yield _error(where, f"{what} is {stated}, and the claims have {found}.")


def _doubles(file: ClaimFile, where: str) -> Iterator[Finding]:
    """Claims that no contract pays beside the other, zeros, and numbers that are given twice."""
    numbered = file.dialect.name in ("uniswap", "sablier", "multi-token")
    seen: dict[int, str] = {}
    times: dict[tuple[str, str], int] = {}
    for leaf in file.leaves:
        if numbered and leaf.number in seen:
            what = f"The index {leaf.number} is that of {seen[leaf.number]} and of {leaf.account}: the contract pays whoever claims first."
            yield _error(where, what)
        seen[leaf.number] = leaf.account
        if any(amount == 0 for _, amount in leaf.parts):
            yield Finding("warning", where, f"{leaf.account} is listed with 0.", "There is nothing to claim.", code=DIFFERS)
        if int(leaf.account, 16) == 0:
            yield _error(where, "It pays the zero address, whose tokens nobody can move.")
        # One claim may name several tokens; a leaf of such a dialect counts once.
        key = (leaf.account, "" if len(leaf.parts) > 1 else leaf.parts[0][0])
        times[key] = times.get(key, 0) + 1
    for (account, _), count in times.items():
        if count > 1 and numbered:
            yield Finding("warning", where, f"{account} is listed {count} times.", "Each claim pays: check that this is meant.")
        elif count > 1:
            yield _error(where, f"{account} is listed {count} times, and the contract pays it once: the other claims are dead.")
