"""The levels that need more than hashes. Each takes what was asked and gives its Level; InputError where it cannot be checked."""

from collections.abc import Callable
from pathlib import Path

from perpcomp.audit import nodes
from perpcomp.audit.claims import check_files, compare_published
from perpcomp.audit.compare import Difference
from perpcomp.audit.in_child import Asked
from perpcomp.audit.level import Level, failed, skipped
from perpcomp.audit.sheet.check import check as check_sheet
from perpcomp.audit.sheet.found import NOTE
from perpcomp.audit.verify import verify
from perpcomp.findings import WRONG_INPUT, InputError, refusal
from perpcomp.ingest.proof import evidence
from perpcomp.ingest.proof.headers import Unproved
from perpcomp.ingest.proof.kept import folder_of
from perpcomp.number_text import counted
from perpcomp.publish.read_back import Published
from perpcomp.publish.stated import read_manifest


def recompute(asked: Asked) -> Level:
    """The run made again from its inputs, file by file."""
    verdict = verify(Path(asked.run))
    said = f"{counted(verdict.files, 'file')} made again from the inputs, {counted(len(verdict.differences), 'difference')}"
    if verdict.differences:
        return failed("recompute", said, verdict.differences, verdict.notes, verdict.files)
    return Level("recompute", "PASS", said, files=verdict.files, notes=verdict.notes)


def proof(asked: Asked) -> Level:
    """Headers, Bloom filters and receipts of the run against the logs of its input, offline."""
    run = _published(asked)
    proved = run.input.proved
    if proved is None:
        return skipped("proof", "the run was not made with --prove, so it holds no headers and receipts")
    about, logs = nodes.subject_of(run), nodes.logs_of(run)
    if logs is None:
        raise refusal(run.input.file.name, "The logs were decoded by another tool, so they cannot be compared with receipts.", "")
    blocks = (proved.first, proved.last)
    wanted = evidence.filters(about.addresses, about.topics)
    try:
        found = evidence.check(folder_of(run.input.file.parent, blocks), blocks, wanted, logs, proved.anchor)
    except Unproved as error:
        wrong = tuple(Difference(one.where, one.what, "proved by headers and receipts") for one in error.problems)
        return failed("proof", f"{counted(len(wrong), 'log', 'is', 'are')} not as headers and receipts prove", wrong)
    return Level("proof", "PASS", str(found).rstrip("."))


def rpc(asked: Asked) -> Level:
    """Chain, blocks, logs and code by each node."""
    if not asked.urls:
        return skipped("rpc", "no node was named: add --rpc URL")
    run = _published(asked)
    if run.incident.published_table is not None:
        return skipped("rpc", "the run starts from a published table, so it has no logs", WRONG_INPUT)
    said, wrong = nodes.compare(run, asked.urls)
    return failed("rpc", said, tuple(wrong)) if wrong else Level("rpc", "PASS", said)


def claims(asked: Asked) -> Level:
    """Every claim tree of the run built again from its own leaves; and a file served elsewhere against what the run pays."""
    run = Path(asked.run)
    checked, wrong = check_files(run)
    said = [f"{counted(checked, 'claim tree')} built again from their own claims"] if checked else []
    if asked.published is not None:
        try:
            same, found = compare_published(run, Path(asked.published))
        except InputError as error:
            return skipped("claims", "the file of --published cannot be read", WRONG_INPUT, tuple(error.problems))
        said.append(same)
        wrong += found
    if wrong:
        return failed("claims", ", ".join(said) or "a file served elsewhere", tuple(wrong))
    if not said:
        return skipped("claims", "the run wrote no claim trees ([claims] formats), and --published names no file")
    return Level("claims", "PASS", ", ".join(said))


def sheet(asked: Asked) -> Level:
    """A workbook or CSV file that somebody passed on, against the run."""
    if asked.sheet is None:
        return skipped("sheet", "no file was named: add --sheet FILE, a workbook or CSV file that somebody passed on")
    file = Path(asked.sheet)
    checked = check_sheet(file, Path(asked.run))
    notes = tuple(f"{file.name} {one.place}: {one.found}, expected {one.expected}." for one in checked.findings if one.level == NOTE)
    wrong = tuple(Difference(f"{file.name} {one.place}", one.found, one.expected) for one in checked.findings if one.level != NOTE)
    if wrong:
        return failed("sheet", f"{file.name} is not what the run says, {counted(len(wrong), 'difference')}", wrong, notes)
    return Level("sheet", "PASS", f"{file.name} {checked.in_words}", notes=notes)


def _published(asked: Asked) -> Published:
    return Published(Path(asked.run), read_manifest(Path(asked.run)))


CHECKS: dict[str, Callable[[Asked], Level]] = {"recompute": recompute, "proof": proof, "rpc": rpc, "claims": claims, "sheet": sheet}
