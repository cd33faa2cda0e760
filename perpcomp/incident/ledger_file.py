"""The ledger that an incident file names: its chain, its lines and its freezes checked, every problem with its row."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from perpcomp.incident.adjustments import FREEZE, KINDS, Adjustment, Freeze, Ledger, read_adjustment
from perpcomp.incident.description import Key, Table, keys
from perpcomp.incident.kinds import choice
from perpcomp.incident.lists import MOST, beside, text_share
from perpcomp.incident.reader import Problem, TableReader
from perpcomp.installed import same_recursion_limit
from perpcomp.ledger import chain
from perpcomp.ledger.chain import Line
from perpcomp.tables.schema import CSV_TIME


def with_ledger(read: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[Problem]]:
    """The tables that were read of an incident file, with what its ledger holds, and the problems of the ledger."""
    name = read["ledger"].file
    if name is None:
        return read, []
    path = beside(folder, name)
    if not path.is_file():
        advice = "Put it beside the incident file; make an empty file of that name for a ledger without lines."
        return read, [Problem("[ledger]", 0, "file", f"names {name}, but there is no such file.", advice)]
    if not path.resolve().is_relative_to(folder.resolve()):
        what = f"names {name}, which is a link that leaves the incident file's folder."
        return read, [Problem("[ledger]", 0, "file", what, "Put the file itself there.")]
    adjustments, ledger, problems = read_ledger(path.name, path.read_bytes(), read["ledger"].source, read["chain"].id)
    return {**read, "adjustments": (*read["adjustments"], *adjustments), "book": ledger}, problems


def read_ledger(
    file: str, data: bytes, source: tuple[str, ...], chain_id: int
) -> tuple[tuple[Adjustment, ...], Ledger | None, list[Problem]]:
    """The adjustments of a ledger's bytes, how it ends, and every problem: of the chain, of a line, of a change after a freeze."""
    try:
        lines = chain.read(data)
    except (ValueError, csv.Error) as error:
        advice = "Take the ledger from who keeps it; a spreadsheet that saved it may have changed its form."
        return (), None, [Problem(file, 0, "", f"is no ledger: {error}.", advice)]
    problems = [Problem(f"{file} row {one.row}", 0, one.column, one.what, one.what_to_do) for one in chain.breaks(lines)]
    entries: list[tuple[str, Adjustment | Freeze]] = []
    for line in lines:
        place = f"{file} row {line.row}"
        entry = _entry(place, line, source, chain_id, problems)
        if entry is not None:
            entries.append((place, entry))
    found = list(_order(entries))
    problems += found
    problems += [problem for place, one in entries if isinstance(one, Freeze) and (problem := _forged(place, one)) is not None]
    if len(problems) > MOST:
        problems = [*problems[:MOST], Problem(file, 0, "", f"has more problems than these {MOST}.", "Correct these first.")]
    freeze, undone_by = None, ""
    for place, one in entries:
        if isinstance(one, Freeze):
            freeze, undone_by = one, ""
        elif freeze is not None:
            freeze, undone_by = None, place
    ledger = Ledger(len(lines), chain.head(lines), freeze, undone_by)
    return tuple(one for _, one in entries if isinstance(one, Adjustment)), ledger, problems


def _entry(place: str, line: Line, source: tuple[str, ...], chain_id: int, problems: list[Problem]) -> Adjustment | Freeze | None:
    """A line as what it says, or None with its problems noted."""
    cells = {name: line.cells[name] for name in chain.WRITTEN if name in line.cells}
    if cells.get("kind") not in (*KINDS, FREEZE):
        reader = TableReader(
            {}, {"kind": Key(choice(*KINDS, FREEZE), "", "", name="kind")}, problems, {"kind": cells.get("kind", "")}, place
        )
        reader.values()
        return None
    document = {"chain": {"id": chain_id}}  # for addresses with the chain's prefix
    if cells["kind"] == FREEZE:
        del cells["kind"]
        reader = TableReader(document, _from_text(Freeze), problems, cells, place)
        built = reader.build(Freeze, reader.values())
        return None if built is None else replace(built, place=place)
    reader = TableReader(document, _from_text(Adjustment), problems, cells, place)
    adjustment = read_adjustment(reader)
    return None if adjustment is None else replace(adjustment, source=source, place=place)


def _from_text(table: type) -> Mapping[str, Key | Table]:
    """The keys of a table, for cells of text; the source of all lines is that of [ledger]."""
    described = dict(keys(table))
    if "source" in described:
        key = described["source"]
        assert isinstance(key, Key)
        described["source"] = replace(key, default=())
    for name, read in (("amount", _amount), ("date", _time), ("comment_until", _time)):
        found = described.get(name)
        if isinstance(found, Key):
            described[name] = replace(found, kind=replace(found.kind, read=_both(read, found.kind.read)))
    factor = described.get("factor")
    if isinstance(factor, Key):
        described["factor"] = replace(factor, kind=replace(factor.kind, read=text_share))
    return described


def _both(of_text: Callable[[str], Any], of_value: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The reader of a cell: from its text to a value, and from that to what the key holds."""
    return lambda cell: of_value(of_text(cell))


def _amount(cell: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,18})?", cell, re.ASCII):
        raise ValueError(f"is {cell[:60]!r}, not a plain amount.", "Write digits with at most 18 decimals, as 4000 or 0.5.")
    return Decimal(cell)


def _time(cell: str) -> datetime:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        raise ValueError(f"is {cell[:60]!r}, not a time.", "Write 2021-03-01T00:00:00Z.") from None


def _order(entries: list[tuple[str, Adjustment | Freeze]]) -> Iterator[Problem]:
    """What contradicts the order of lines: a date before that of the line above, a window that ends before it begins, a change of a frozen run."""
    latest, frozen = None, None
    for place, one in entries:
        if latest is not None and one.date < latest:
            what = f"is {one.date.strftime(CSV_TIME)}, before the {latest.strftime(CSV_TIME)} of the line above."
            yield Problem(place, 0, "date", what, "Lines are appended as they are decided: state the date of this one.")
        latest = one.date if latest is None else max(latest, one.date)
        if frozen is not None and one.date >= frozen.comment_until:
            what = f"changes a frozen run: {frozen.place} froze it, and comments ended at {frozen.comment_until.strftime(CSV_TIME)}."
            yield Problem(
                place, 0, "", what, "A frozen run takes no more lines. Correct it in a round of its own, with an incident file of its own."
            )
        elif isinstance(one, Freeze):
            frozen = one
            if one.comment_until <= one.date:
                what = f"is {one.comment_until.strftime(CSV_TIME)}, not after the date of the line, {one.date.strftime(CSV_TIME)}."
                yield Problem(place, 0, "comment_until", what, "Leave time for comments.")
        else:
            frozen = None  # a change within the window: a new window starts with the next freeze


def _forged(place: str, freeze: Freeze) -> Problem | None:
    """The problem of a signature that is not the author's; None where it is, or where the line is not said to be signed."""
    if not freeze.signature:
        return None
    with same_recursion_limit():  # 0.5 s to import: only where there is something to check
        from eth_account import Account
        from eth_account.messages import encode_defunct

    advice = f"Let {freeze.author} sign this message, or leave the signature out: {freeze.message}"
    try:
        signer = Account.recover_message(encode_defunct(text=freeze.message), signature=freeze.signature)
    except Exception as error:  # the library raises whatever its parts raise of bytes that are no signature
        return Problem(place, 0, "signature", f"cannot be read ({type(error).__name__}).", advice)
    if signer.lower() != freeze.author.lower():
        return Problem(place, 0, "signature", f"is by {signer}, not by the author {freeze.author}.", advice)
    return None
