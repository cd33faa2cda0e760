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
MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
ATTRIBUTE = {**MARKUP, '"': "&quot;"}
LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/hyperlink"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

Pieces = list[pl.Expr]


def rows_xml(body: Sequence[Cells], first: int, styles: Mapping[str, int], heights: pl.Series | None = None) -> bytes:
    """The rows of columns that stand side by side, from row `first` on. `styles` numbers the formats; `heights` are points, null for the usual.

    RuntimeError for a number that is infinite or none.
    """
    if not body or not body[0].height:
        return b""
    parts = {"row": pl.int_range(first, first + body[0].height, eager=True).cast(pl.String)}
    pieces: Pieces = [pl.lit('<row r="'), pl.col("row"), pl.lit('"')]
    if heights is not None:
        parts["height"] = heights.cast(pl.String)
        pieces.append(pl.format(' ht="{}" customHeight="1"', "height"))
    pieces.append(pl.lit(">"))
    for at, cells in enumerate(body):
        pieces += _column(at, cells, styles, parts)
    pieces.append(pl.lit("</row>"))
    rows = pl.DataFrame(parts).select(pl.concat_str(pieces, ignore_nulls=True).str.join("").cast(pl.Binary))
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


def escaped(texts: pl.Series) -> pl.Series:
    """Texts as the content of an element."""
    if texts.str.contains(STRANGE).any():
        texts = texts.map_elements(XMLwriter._escape_control_characters, return_dtype=pl.String)
    return texts.str.replace_many(MARKUP)


def _column(at: int, cells: Cells, styles: Mapping[str, int], parts: dict[str, pl.Series]) -> Pieces:
    """A column's cells as pieces, to be put together in each row. `parts` gets the columns that they are made of. A cell with nothing is null."""

    def part(name: str, values: pl.Series) -> pl.Expr:
        parts[f"{name} {at}"] = values
        return pl.col(f"{name} {at}")

    opening = [pl.lit(f'<c r="{letter(at)}'), pl.col("row"), pl.lit('" s="')]
    if isinstance(cells.form, str):
        opening.append(pl.lit(str(styles[cells.form])))
    else:
        opening.append(part("style", cells.form.replace_strict(styles, return_dtype=pl.Int64).cast(pl.String)))
    formula, live = _formula(cells, part)
    shapes: list[tuple[Pieces, Pieces]] = []  # (what must hold of a row, the rest of its cell): the first that holds is taken
    is_number: Pieces = []
    if cells.numbers is not None:
        if cells.numbers.dtype.is_float() and not cells.numbers.is_finite().all():
            raise RuntimeError(f"column {letter(at)} of a sheet holds a number that is infinite or none")
        number = part("number", cells.numbers.cast(pl.String).str.strip_suffix(".0"))
        is_number = [number.is_not_null()] if cells.numbers.null_count() else []
        if formula:
            shapes.append(([*live, *is_number], [pl.lit('"><f>'), *formula, pl.lit("</f><v>"), number, pl.lit("</v></c>")]))
        shapes.append((is_number, [pl.lit('"><v>'), number, pl.lit("</v></c>")]))
    text = pl.lit("") if cells.texts is None else part("text", escaped(cells.texts))
    if formula:
        shapes.insert(len(shapes) // 2, (live, [pl.lit('" t="str"><f>'), *formula, pl.lit("</f><v>"), text, pl.lit("</v></c>")]))
    if cells.texts is not None:
        blanks = ' xml:space="preserve"' if cells.texts.str.contains(r"^\s|\s$").any() else ""
        is_text = [text != ""] if cells.texts.null_count() or (cells.texts == "").any() else []
        shapes.append((is_text, [pl.lit(f'" t="inlineStr"><is><t{blanks}>'), text, pl.lit("</t></is></c>")]))
    return _first_of(shapes, opening)


def _formula(cells: Cells, part: Callable[[str, pl.Series], pl.Expr]) -> tuple[Pieces, Pieces]:
    """A column's formula in pieces, and what must hold of a row to have it; no pieces where no row has one."""
    if not isinstance(cells.formula, str):
        text = part("formula", cells.formula.str.replace_many(MARKUP))
        return ([text], [text != ""]) if (cells.formula != "").any() else ([], [])
    if not cells.formula or (cells.live is not None and not cells.live.any()):
        return [], []
    texts = [pl.lit(text) for text in escape(cells.formula, quote=False).split(ROW)]
    pieces = [piece for text in texts for piece in (pl.col("row"), text)][1:]
    return pieces, [] if cells.live is None or cells.live.all() else [part("live", cells.live)]


def _first_of(shapes: Sequence[tuple[Pieces, Pieces]], opening: Pieces) -> Pieces:
    """The pieces of the first shape whose conditions hold; where that differs by row, one piece that chooses."""
    if not shapes or not shapes[0][0]:
        return [*opening, *shapes[0][1]] if shapes else []
    chosen = pl.lit(None, dtype=pl.String)
    for conditions, rest in reversed(shapes):
        cell = pl.concat_str(*opening, *rest, ignore_nulls=True)
        chosen = pl.when(*conditions).then(cell).otherwise(chosen) if conditions else cell
    return [chosen]
