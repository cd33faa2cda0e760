"""The rows of a sheet as the XML of a workbook, by Polars' expressions on text: one cell after the other in Python takes many times as long.

A text stands in its cell, not in a table of shared texts. So no order of writing decides a number, and no text is read as markup.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import isfinite

import polars as pl
from xlsxwriter.xmlwriter import XMLwriter

from perpcomp.publish.workbook.plan import ROW, Cell, Cells, letter

STRANGE = r"[\x00-\x08\x0b-\x1f\x{fffe}\x{ffff}]|_x[0-9a-fA-F]{4}_"  # what XML cannot hold, and texts that look as if they stood for it
BLANKS = r"^\s|\s$"  # at an end of a text
MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
ATTRIBUTE = {**MARKUP, '"': "&quot;"}
LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

Pieces = list[str | pl.Expr]  # a text of every row, or a column of texts
Conditions = list[pl.Expr]
Part = Callable[[str, pl.Series, Callable[[pl.Expr], pl.Expr]], pl.Expr]  # names a column that pieces are made of, and how it is written


def rows_xml(body: Sequence[Cells], first: int, styles: Mapping[str, int], heights: pl.Series | None = None) -> bytes:
    """The rows of columns that stand side by side, from row `first` on. `styles` numbers the formats; `heights` are points, null for the usual.

    RuntimeError for a number that is infinite or none. What holds of columns is asked, and what they are written as is made, of all at once:
    in a small table each question to Polars costs more than the work.
    """
    if not body or not body[0].height:
        return b""
    _refuse_no_number(body)
    strange, blank = (_columns_with(pattern, body) for pattern in (STRANGE, BLANKS))
    parts, made = {"row": pl.int_range(first, first + body[0].height, eager=True).cast(pl.String)}, dict[str, pl.Expr]()
    pieces: Pieces = ['<row r="', pl.col("row"), '"']
    if heights is not None:
        parts["height"] = heights.cast(pl.String)
        pieces.append(pl.format(' ht="{}" customHeight="1"', "height"))
    pieces.append(">")
    for at, cells in enumerate(body):
        pieces += _column(at, _without_strange(cells) if at in strange else cells, styles, at in blank, parts, made)
    rows = pl.DataFrame(parts).with_columns(**made).select(_joined([*pieces, "</row>"]).str.join("").cast(pl.Binary))
    return bytes(rows.item())


def lines_xml(lines: Iterable[Sequence[Cell]], first: int, styles: Mapping[str, int], heights: Sequence[int | None]) -> bytes:
    """Rows of single cells, as on a sheet of words: what rows_xml writes of the same cells, sooner where these are few."""
    written = []
    for row, (cells, height) in enumerate(zip(lines, heights, strict=True), first):
        higher = "" if height is None else f' ht="{height}" customHeight="1"'
        inner = "".join(_cell(cell, f"{letter(at)}{row}", styles[cell.form]) for at, cell in enumerate(cells))
        written.append(f'<row r="{row}"{higher}>{inner}</row>')
    return "".join(written).encode()


def _cell(cell: Cell, place: str, style: int) -> str:
    """The XML of one cell; "" where it holds nothing."""
    value, formula = cell.value, f"<f>{escape(cell.formula, quote=False)}</f>" if cell.formula else ""
    if value is None or (value == "" and not formula):
        return ""
    if isinstance(value, int | float):
        if not isfinite(value):
            raise RuntimeError(f"the cell {place} of a sheet holds a number that is infinite or none")
        return f'<c r="{place}" s="{style}">{formula}<v>{str(value).removesuffix(".0")}</v></c>'
    text = escape(XMLwriter._escape_control_characters(value), quote=False)
    if formula:
        return f'<c r="{place}" s="{style}" t="str">{formula}<v>{text}</v></c>'
    blanks = ' xml:space="preserve"' if value != value.strip() else ""
    return f'<c r="{place}" s="{style}" t="inlineStr"><is><t{blanks}>{text}</t></is></c>'


def links_xml(body: Sequence[Cells], first: int) -> tuple[bytes, bytes]:
    """The element that makes cells of a sheet links, and the part of the workbook that says where they lead; both empty without links."""
    found = [
        pl.DataFrame({"to": cells.links, "row": pl.int_range(first, first + cells.height, eager=True)})
        .filter(pl.col("to") != "")
        .with_columns(pl.lit(letter(at)).alias("column"))
        for at, cells in enumerate(body)
        if cells.links is not None
    ]
    links = pl.concat(found).with_row_index("id", 1) if found else pl.DataFrame()
    if links.is_empty():
        return b"", b""
    element = pl.format('<hyperlink ref="{}{}" r:id="rId{}"/>', "column", "row", "id")
    to = pl.col("to").str.replace_many(ATTRIBUTE)
    relation = pl.format(f'<Relationship Id="rId{{}}" Type="{LINK}" Target="{{}}" TargetMode="External"/>', "id", to)
    elements, relations = links.select(element.str.join("").alias("elements"), relation.str.join("").alias("relations")).row(0)
    part = f'{DECLARATION}<Relationships xmlns="{RELATIONS}">{relations}</Relationships>'
    return f"<hyperlinks>{elements}</hyperlinks>".encode(), part.encode()


def _escaped(text: pl.Expr) -> pl.Expr:
    """A text as the content of an element."""
    return text.str.replace_many(MARKUP)


def _without_strange(cells: Cells) -> Cells:
    assert cells.texts is not None
    return cells._replace(texts=cells.texts.map_elements(XMLwriter._escape_control_characters, return_dtype=pl.String))


def _columns_with(pattern: str, body: Sequence[Cells]) -> set[int]:
    """The places of the columns of which a text has the pattern."""
    texts = pl.DataFrame({str(at): cells.texts for at, cells in enumerate(body) if cells.texts is not None})
    found = texts.select(pl.all().str.contains(pattern).any()).row(0) if texts.width else ()
    return {int(at) for at, has in zip(texts.columns, found, strict=True) if has}


def _refuse_no_number(body: Sequence[Cells]) -> None:
    floats = pl.DataFrame(
        {letter(at): cells.numbers for at, cells in enumerate(body) if cells.numbers is not None and cells.numbers.dtype.is_float()}
    )
    finite = floats.select(pl.all().is_finite().all()).row(0) if floats.width else ()
    for at, numbers in zip(floats.columns, finite, strict=True):
        if not numbers:
            raise RuntimeError(f"column {at} of a sheet holds a number that is infinite or none")


def _column(at: int, cells: Cells, styles: Mapping[str, int], blank: bool, parts: dict[str, pl.Series], made: dict[str, pl.Expr]) -> Pieces:
    """A column's cells as pieces, to be put together in each row. `parts` gets the columns that they are made of, `made` what these are
    written as. A cell with nothing is null. `blank`: a text begins or ends with one.
    """

    def part(name: str, values: pl.Series, write: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        column = f"{name} {at}"
        parts[column], made[column] = values, write(pl.col(column))
        return pl.col(column)

    opening: Pieces = [f'<c r="{letter(at)}', pl.col("row"), '" s="']
    if isinstance(cells.form, str):
        opening.append(str(styles[cells.form]))
    else:
        opening.append(part("style", cells.form, lambda form: form.replace_strict(styles, return_dtype=pl.Int64).cast(pl.String)))
    formula, live = _formula(cells, part)
    number, is_number = _number(cells.numbers, part)
    text, is_text = _text(cells.texts, part)
    shapes: list[tuple[Conditions, Pieces]] = []  # (what must hold of a row, the rest of its cell): the first that holds is taken
    if formula and number:
        shapes.append(([*live, *is_number], ['"><f>', *formula, "</f><v>", *number, "</v></c>"]))
    if formula:
        shapes.append((live, ['" t="str"><f>', *formula, "</f><v>", *text, "</v></c>"]))
    if number:
        shapes.append((is_number, ['"><v>', *number, "</v></c>"]))
    if text:
        blanks = ' xml:space="preserve"' if blank else ""
        shapes.append((is_text, [f'" t="inlineStr"><is><t{blanks}>', *text, "</t></is></c>"]))
    return _first_of(shapes, opening)


def _number(numbers: pl.Series | None, part: Part) -> tuple[Pieces, Conditions]:
    """A column's numbers as a piece, and what must hold of a row to have one."""
    if numbers is None:
        return [], []
    number = part("number", numbers, lambda number: number.cast(pl.String).str.strip_suffix(".0"))
    return [number], [number.is_not_null()] if numbers.null_count() else []


def _text(texts: pl.Series | None, part: Part) -> tuple[Pieces, Conditions]:
    """A column's texts as a piece, and what must hold of a row to have one that is not empty."""
    if texts is None:
        return [], []
    text = part("text", texts, _escaped)
    return [text], [text != ""] if texts.null_count() or (texts == "").any() else []


def _formula(cells: Cells, part: Part) -> tuple[Pieces, Conditions]:
    """A column's formula in pieces, and what must hold of a row to have it; no pieces where no row has one."""
    if not isinstance(cells.formula, str):
        text = part("formula", cells.formula, _escaped)
        return ([text], [text != ""]) if (cells.formula != "").any() else ([], [])
    if not cells.formula or (cells.live is not None and not cells.live.any()):
        return [], []
    texts = escape(cells.formula, quote=False).split(ROW)
    pieces: Pieces = [piece for text in texts for piece in (pl.col("row"), text)][1:]
    return pieces, [] if cells.live is None or cells.live.all() else [part("live", cells.live, lambda live: live)]


def _first_of(shapes: Sequence[tuple[Conditions, Pieces]], opening: Pieces) -> Pieces:
    """The pieces of the first shape whose conditions hold; where that differs by row, one piece that chooses."""
    if not shapes or not shapes[0][0]:
        return [*opening, *shapes[0][1]] if shapes else []
    chosen = pl.lit(None, dtype=pl.String)
    for conditions, rest in reversed(shapes):
        cell = _joined([*opening, *rest])
        chosen = pl.when(*conditions).then(cell).otherwise(chosen) if conditions else cell
    return [chosen]


def _joined(pieces: Pieces) -> pl.Expr:
    """The pieces of each row as one text; a null is nothing. Texts side by side become one piece first."""
    found: list[pl.Expr] = []
    texts: list[str] = []
    for piece in [*pieces, pl.lit("")]:
        if isinstance(piece, str):
            texts.append(piece)
            continue
        found += [pl.lit("".join(texts)), piece] if texts else [piece]
        texts = []
    return pl.concat_str(found, ignore_nulls=True)
