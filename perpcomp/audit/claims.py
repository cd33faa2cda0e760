"""Claim trees of a run, and a file of claims that somebody serves: whether it pays what the run pays."""

import json
from collections.abc import Iterator
from pathlib import Path

from perpcomp.audit.compare import Difference, csv_cells
from perpcomp.claims.claim_file import ClaimFile, read_claim_file
from perpcomp.claims.files import FOLDER
from perpcomp.claims.verify import check_claims
from perpcomp.incident.claims import TREES
from perpcomp.number_text import counted

Paid = dict[str, int]  # account, or account and token -> base units


def trees(run: Path) -> Iterator[Path]:
    """Each claim tree of a run, without the transactions and descriptors beside it."""
    for name in TREES:
        for path in sorted((run / FOLDER / name).glob("*.json")):
            document = json.loads(path.read_bytes())
            if isinstance(document, dict) and {"claims", "leafEncoding", "merkle_tree"} & set(document):
                yield path


def check_files(run: Path) -> tuple[int, list[Difference]]:
    """How many trees a run has, and each that its own claims do not give."""
    checked, wrong = 0, list[Difference]()
    for path in trees(run):
        checked += 1
        name = path.relative_to(run).as_posix()
        found = check_claims(read_claim_file(path), name)
        wrong += [Difference(name, one.what, "by its own claims") for one in found.findings if one.level == "error"]
    return checked, wrong


def compare_published(run: Path, file: Path) -> tuple[str, list[Difference]]:
    """What of the run a file served elsewhere equals, in words; or where it differs from what it is most like. InputError: not readable."""
    data = file.read_bytes() if file.is_file() else b""
    for path in sorted(run.rglob("*")):
        if data and path.is_file() and path.read_bytes() == data:
            return f"{file.name} is {path.relative_to(run).as_posix()}, byte for byte", []
    theirs = read_claim_file(file)
    paid = _paid(theirs)
    candidates = {path.relative_to(run).as_posix(): _paid(read_claim_file(path)) for path in trees(run)} | _by_tables(run)
    nearest = min(candidates, key=lambda name: sum(candidates[name].get(key) != paid.get(key) for key in {**paid, **candidates[name]}))
    ours = candidates[nearest]
    differing = [
        Difference(f"{file.name} {key}", _units(paid.get(key)), f"{_units(ours.get(key))} by {nearest}")
        for key in sorted({**paid, **ours})
        if paid.get(key) != ours.get(key)
    ]
    wrong = check_claims(theirs, file.name).findings
    differing += [Difference(file.name, one.what, "by its own claims") for one in wrong if one.level == "error"]
    return (
        f"{file.name} pays {counted(len(paid), 'account')} as {nearest} does" if not differing else f"{file.name} against {nearest}",
        differing,
    )


def _units(amount: int | None) -> str:
    return "not listed" if amount is None else str(amount)


def _paid(file: ClaimFile) -> Paid:
    """What each account is paid; with its token where a leaf names one. Zeros are left out, because files may leave them out."""
    paid: Paid = {}
    for leaf in file.leaves:
        for token, amount in leaf.parts:
            key = f"{leaf.account} {token}".rstrip()
            paid[key] = paid.get(key, 0) + amount
    return {key: amount for key, amount in paid.items() if amount}


def _by_tables(run: Path) -> dict[str, Paid]:
    """The same by token from the payouts table, and by token and tranche from the claims table."""
    found: dict[str, Paid] = {}
    for name, split in (("3-payouts.csv", None), ("4-claims.csv", "tranche")):
        header, *rows = csv_cells((run / name).read_bytes())
        account, token, units = (header.index(column) for column in ("trader", "token", "amount_base_units"))
        for row in rows:
            place = f"{name} {row[token]}" + (f" tranche {row[header.index(split)]}" if split else "")
            if int(row[units]):
                found.setdefault(place, {})[row[account]] = int(row[units])
    return found
