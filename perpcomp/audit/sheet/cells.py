"""The cells of one sheet against its plan: rows by their key, so that a reader may sort; formulas by their text, moved to their row."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from perpcomp.audit.sheet.display import Display
from perpcomp.audit.sheet.found import ERROR, NOTE, Found, shown
from perpcomp.eip55 import checksummed
from perpcomp.publish.workbook.check import CHECK
from perpcomp.publish.workbook.inputs import INPUTS, VALUE
from perpcomp.publish.workbook.plan import EMPTY, FIRST_ROW, HEADER_ROW, Book, Cell, Sheet, Value, letter
from perpcomp.publish.workbook.positions import EPOCH

NEAR = 1e-9
FEW = 4  # digits in which two addresses differ that a reader takes for one
UNIT = 1e-6  # a live amount may be one base unit off where its token has few decimals
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
REFERENCE = re.compile(r"(?<![A-Za-z0-9_.$'!])(\$?[A-Z]{1,3})([0-9]+)(?![0-9A-Za-z_(.])")
PEOPLE = ("account", "trader", "payee", "address")


class Both(NamedTuple):
    """A cell as it stands in the file, and the result that is stored with it."""

    cell: Any
    result: Any


@dataclass
class Seen:
    """What a check of all sheets found on its way: parameters that were changed (name -> value), and how many stored results are missing.

    `what_if` has the rows of each sheet by these parameters, by key, as far as they give a run; `following` counts the results that are so.
    """

    display: Display
    changed: dict[str, Any] = field(default_factory=dict)
    without_result: int = 0
    what_if: dict[str, dict[tuple[str, ...], Sequence[Cell]]] = field(default_factory=dict)
    following: int = 0


def compare(sheet: Any, results: Any, made: Sheet, plan: Book, seen: Seen) -> Iterator[Found]:
    """Every difference of a sheet from its plan."""
    below = [*_below(sheet, results, made, seen)]  # first, because an input that was changed changes the line above
    for row, line in enumerate(plan.above(made), 1):
        for at in range(len(made.columns)):
            expected, place = line[at] if at < len(line) else EMPTY, f"{made.name}!{letter(at)}{row}"
            both = _both(sheet, results, row, at + 1)
            if row == HEADER_ROW and (both.cell.value or "") != expected.value:
                yield Found("header-differs", ERROR, place, shown(both.cell.value), shown(expected.value))
            elif expected.value is None and both.cell.value not in (None, ""):
                yield Found("extra-cell", ERROR, place, shown(both.cell.value), "(empty)")
            else:
                yield from _cell(both, expected, place, row, row, seen, made, total=row == HEADER_ROW - 1)
    yield from below


def _below(sheet: Any, results: Any, made: Sheet, seen: Seen) -> Iterator[Found]:
    """Every difference below the header: rows by their key, or by their place where the sheet has none."""
    last = max((cell.row for row in sheet.iter_rows(min_row=FIRST_ROW) for cell in row if cell.value is not None), default=HEADER_ROW)
    if made.key:
        yield from _by_key(sheet, results, made, range(FIRST_ROW, last + 1), seen)
        return
    for at, cells in enumerate(made.rows, FIRST_ROW):
        yield from _row(sheet, results, made, at, at, cells, seen)
    for number in range(FIRST_ROW + made.height, last + 1):
        yield Found("extra-row", ERROR, f"{made.name} row {number}", shown(sheet.cell(number, 1).value), "(no such row)")


def _by_key(sheet: Any, results: Any, made: Sheet, rows: range, seen: Seen) -> Iterator[Found]:
    ours = {_key(cells[k].value for k in made.key): (at, cells) for at, cells in enumerate(made.rows, FIRST_ROW)}
    met = Counter[tuple[str, ...]]()
    whose = made.columns[0].header in PEOPLE
    for row in rows:
        own = [sheet.cell(row, k + 1).value for k in made.key]
        key, place = _key(own), f"{made.name}!{letter(made.key[0])}{row}"
        if whose and (wrong := _bad_address(str(own[0] or ""))):
            yield Found("bad-address", ERROR, place, shown(own[0]), "a checksummed address", wrong)
        if key not in ours:
            code = "unknown-recipient" if whose else "extra-row"
            yield Found(
                code,
                ERROR,
                f"{made.name} row {row}",
                " ".join(map(shown, own)),
                "(no such row)",
                _look_alike(str(own[0]), ours) if whose else "",
            )
            continue
        met[key] += 1
        if met[key] > 1:
            yield Found("duplicate-recipient" if whose else "extra-row", ERROR, f"{made.name} row {row}", " ".join(map(shown, own)), "once")
            continue
        at, cells = ours[key]
        yield from _row(sheet, results, made, row, at, cells, seen)
    for key, (_, cells) in ours.items():
        if not met[key]:
            money = next((f", {cell.value}" for cell in cells if cell.form in ("token", "money")), "")
            yield Found(
                "missing-recipient" if whose else "missing-row", ERROR, made.name, "(no such row)", f"{cells[made.key[0]].value}{money}"
            )


def _row(sheet: Any, results: Any, made: Sheet, row: int, planned: int, cells: Sequence[Cell], seen: Seen) -> Iterator[Found]:
    for at in range(len(made.columns)):
        expected = cells[at] if at < len(cells) else Cell()
        yield from _cell(
            _both(sheet, results, row, at + 1), expected, f"{made.name}!{letter(at)}{row}", row, planned, seen, made, column=at
        )


def _cell(
    both: Both, expected: Cell, place: str, row: int, planned: int, seen: Seen, made: Sheet, column: int = -1, total: bool = False
) -> Iterator[Found]:
    """Every difference of one cell."""
    cell, value = both.cell, both.cell.value
    total = total or made.name == CHECK
    if expected.formula:
        if not isinstance(value, str) or not value.startswith("="):
            yield Found("total-differs" if total else "formula-missing", ERROR, place, shown(value), f"={expected.formula}")
        elif _text(value) != _text("=" + _moved(expected.formula, planned, row)):
            yield Found("total-differs" if total else "formula-differs", ERROR, place, value, f"={_moved(expected.formula, planned, row)}")
        else:
            yield from _result(both.result, expected, place, planned, seen, made, column, total)
    elif not same(value, expected.value):
        if made.name == INPUTS and column == VALUE:
            seen.changed[str(made.rows[planned - FIRST_ROW][0].value)] = value
            yield Found(
                "parameter-differs",
                ERROR,
                place,
                shown(value),
                shown(expected.value),
                "The file is a what-if: its amounts are not the published ones.",
            )
        elif expected.form == "digits" and isinstance(value, int | float):
            yield Found(
                "precision-lost", ERROR, place, shown(value), shown(expected.value), "A number holds 15 digits; the amount was a text."
            )
        elif expected.form == "digits" and column >= 0 and not total:
            yield Found("amount-differs", ERROR, place, shown(value), shown(expected.value))
        else:
            yield Found("total-differs" if total else "value-differs", ERROR, place, shown(value), shown(expected.value))
    if cell.data_type == "f" and not expected.formula and same(value, expected.value):
        yield Found("formula-differs", ERROR, place, "a formula", shown(expected.value))
    yield from _link(cell, expected, place, made)
    if value is not None:
        yield from seen.display.differs(cell, expected.form, place)


def _result(found: Any, expected: Cell, place: str, planned: int, seen: Seen, made: Sheet, column: int, total: bool) -> Iterator[Found]:
    """Whether the stored result of a formula is what the run gives; or of a what-if, what its inputs give."""
    given = expected.value if not seen.changed else _by_inputs(made, planned, column, seen)
    if found is None and (expected.value if given is None else given) != "":
        seen.without_result += 1
    elif given is not None:
        seen.following += 1
        if not same(found, given, UNIT if expected.form.endswith("token") else 0):
            hint = "It does not follow from the changed inputs." if seen.changed else ""
            yield Found("total-differs" if total else "cached-value-differs", ERROR, place, shown(found), shown(given), hint)


def _by_inputs(made: Sheet, planned: int, column: int, seen: Seen) -> Value:
    """What a formula gives by the inputs that were changed; None where nothing says it."""
    if planned < FIRST_ROW or made.columns[column].against_published:
        return None
    cells = seen.what_if.get(made.name, {}).get(key_of(made, planned - FIRST_ROW))
    return None if cells is None else cells[column].value


def key_of(made: Sheet, at: int) -> tuple[str, ...]:
    """What identifies a row of a plan: its key, or its place where the sheet has none."""
    return _key(made.rows[at][k].value for k in made.key) if made.key else (str(at),)


def _link(cell: Any, expected: Cell, place: str, made: Sheet) -> Iterator[Found]:
    """Whether a cell leads where it should, and says so. Some programs sort rows without the links of their accounts: that is a note."""
    link = cell.hyperlink
    found = (link.target or link.location or "") if link is not None else ""
    if found != expected.link:
        own = made.columns[0].cells
        sorted_without = cell.column == 1 and own is not None and own.links is not None and found in {"", *own.links}
        hint = "It is another account's: the rows were sorted without their links." if sorted_without else ""
        yield Found("link-differs", NOTE if sorted_without else ERROR, place, shown(found), shown(expected.link), hint)
    elif link is not None and link.tooltip:
        yield Found("link-differs", ERROR, place, f"a link that calls itself {link.tooltip!r}", "a link without another name")


def same(value: Any, expected: Any, unit: float = 0) -> bool:
    """Whether a cell holds what is expected: texts to the letter, numbers as programs save them."""
    if expected is None or expected == "":
        return value is None or value == ""
    if isinstance(expected, str):
        return isinstance(value, str) and value == expected
    value = _serial(value) if hasattr(value, "year") else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return bool(abs(value - expected) <= max(unit, NEAR * max(1, abs(expected))))


def _serial(value: Any) -> float:
    """A date as the number that a spreadsheet holds."""
    return float((value - EPOCH).total_seconds() / 86_400)


def _both(sheet: Any, results: Any, row: int, column: int) -> Both:
    return Both(sheet.cell(row, column), results.cell(row, column).value)


def _key(values: Any) -> tuple[str, ...]:
    """What identifies a row: addresses in any case, dates and numbers to the second."""
    texts = []
    for value in values:
        number = _serial(value) if hasattr(value, "year") else value
        texts.append(f"{number:.4f}" if isinstance(number, float) else str(number or "").lower())
    return tuple(texts)


def _moved(formula: str, planned: int, row: int) -> str:
    """The formula of a row, as it stands in another row: references to its own row move, those with a $ stay."""
    if planned == row:
        return formula
    return REFERENCE.sub(lambda hit: f"{hit[1]}{row}" if int(hit[2]) == planned else hit[0], formula)


def _text(formula: str) -> str:
    return re.sub(r"\s+", "", formula)


def _bad_address(text: str) -> str:
    """What is wrong with an address; "" where nothing is."""
    strange = [f"U+{ord(c):04X}" for c in text if not ("0" <= c <= "9" or "a" <= c <= "f" or "A" <= c <= "F" or c == "x")]
    if strange:
        return f"It holds {', '.join(strange[:3])}, which only looks like a digit or is not seen."
    if not ADDRESS.fullmatch(text):
        return "An address is 0x and 40 hex digits."
    return "" if text == checksummed(text.lower()) else "Its checksum is wrong: a letter has another case, or a digit is another."


def _look_alike(text: str, ours: Any) -> str:
    """The address of the run that begins and ends as this one does, or has nearly all its digits."""
    low = text.lower()
    for key in ours:
        own = str(key[0])
        ends = own[:6] == low[:6] and own[-4:] == low[-4:]
        near = len(own) == len(low) and sum(one != other for one, other in zip(own, low, strict=True)) <= FEW
        if own != low and (ends or near):
            return f"It looks like {own}, and is another account."
    return ""
