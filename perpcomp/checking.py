"""Checking, among the library's functions: published runs, claim files, tables of others, and two runs against each other."""

from pathlib import Path
from typing import TYPE_CHECKING

from perpcomp import progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perpcomp.audit.diff.diff import Diff
    from perpcomp.audit.levels import Report
    from perpcomp.audit.recount.against import Against
    from perpcomp.audit.recount.check import Asked, Recount
    from perpcomp.audit.sheet.found import SheetCheck
    from perpcomp.audit.verify import Verdict
    from perpcomp.claims.verify import FileCheck
    from perpcomp.findings import Finding


@progress.work()
def verify(folder: Path) -> "Verdict":
    """Recompute a published run from its own inputs and compare everything."""
    from perpcomp.audit.verify import verify as check

    return check(folder)


@progress.work()
def pack_run(folder: Path) -> bytes:
    """The bundle of a published run, as bytes."""
    from perpcomp.audit.bundle import bundle

    return bundle(folder)


@progress.work()
def verify_levels(
    path: Path,
    rpc: "Sequence[str]" = (),
    published: Path | None = None,
    sheet: Path | None = None,
    signers: "Sequence[str]" = (),
    signatures: Path | None = None,
) -> "Report":
    """Check a bundle or a run's folder level by level: hashes first, all that parses in a process of its own."""
    from perpcomp.audit.levels import Asked, check_levels

    return check_levels(path, Asked(rpc, published, sheet, signers, signatures))


def verify_claims(
    file: Path, root: str | None = None, rpc: str | None = None, contract: str | None = None, week: int | None = None
) -> "FileCheck":
    """Check a file of claims: its root, totals, doubles and every proof; against `root`, or the root of a contract on the chain of a node."""
    from perpcomp.claims.on_chain import Question, check_file

    return check_file(file, Question(root, rpc, contract, week))


@progress.work()
def check_sheet(file: Path, folder: Path) -> "SheetCheck":
    """What a workbook or CSV file that somebody passed on says otherwise than the published run in a folder."""
    from perpcomp.audit.sheet.check import check

    return check(file, folder)


def check_published(file: Path, asked: "Asked", sheet: str | None = None) -> "Recount":
    """A table that somebody else published (.csv, .xlsx), added up again: its sums, and whatever contradicts itself or what was said of it."""
    from perpcomp.audit.recount.check import check
    from perpcomp.audit.recount.listing import read_listing

    return check(read_listing(file, sheet), asked)


def compare_lists(
    file: Path,
    against: Path,
    column: str | None = None,
    other_column: str | None = None,
    decimals: int = 0,
    token: str | None = None,
    sheet: str | None = None,
) -> "tuple[list[Finding], list[Against], int]":
    """A published list against another, or against the payouts of a published run (its folder): findings, rows that differ, their places."""
    from perpcomp.audit.diff import walk
    from perpcomp.audit.recount import against as lists
    from perpcomp.audit.recount.listing import read_listing
    from perpcomp.publish.read_back import open_published

    here = lists.amounts_of(read_listing(file, sheet), column, decimals, token)
    if against.is_dir():
        paid = {key: amount for key, amount in walk.paid(open_published(against)).items() if token in (None, key[1])}
        there = lists.Amounts(str(against), "amount", 18, paid)
    else:
        there = lists.amounts_of(read_listing(against), other_column or column, decimals, token)
    rows, places = lists.differences(here, there)
    return lists.findings(here, there, rows, places), rows, places


def diff(before: Path, after: Path) -> "Diff":
    """Two published runs, verified first: whose payout moved, by how much and because of what, and which rows differ."""
    from perpcomp.audit.diff import diff as runs

    return runs.diff(before, after)
