"""Whether a cell shows its value as the run's workbook does: in its number format, in a size and a colour that can be read."""

import re
from collections.abc import Iterator
from typing import Any

from openpyxl.styles.colors import COLOR_INDEX

from perpcomp.audit.sheet.found import ERROR, Found
from perpcomp.publish.workbook.forms import FORMS

GENERAL = ("General", "@")
SMALLEST = 5  # points: smaller letters cannot be read
LEAST = 60  # differences of red, green and blue together, of at most 765: below it a text is not seen on its background
THEMES = {"lt1": "FFFFFF", "dk1": "000000", "lt2": "E7E6E6", "dk2": "1F497D"}  # in the order of the numbers that cells give them
THEME = re.compile(rb"<(?:\w+:)?(lt1|dk1|lt2|dk2)>.*?(?:lastClr|srgbClr val)=\"([0-9A-Fa-f]{6})\"", re.S)

Colour = tuple[int, int, int]


class Display:
    """How one workbook shows its cells. Its theme may call white what others call black; a style is looked at once."""

    def __init__(self, book: Any) -> None:
        named = {name.decode(): value.decode() for name, value in THEME.findall(book.loaded_theme or b"")}
        self.themes = [_colour(value) for value in {**THEMES, **named}.values()]
        self.seen: dict[tuple[int, str], tuple[tuple[str, str], ...]] = {}

    def differs(self, cell: Any, form: str, place: str) -> Iterator[Found]:
        """Every way in which a cell that holds something shows it otherwise than a format of the run's workbook does."""
        key = (cell.style_id, form)
        if key not in self.seen:
            self.seen[key] = tuple(self._ways(cell, form))
        for found, expected in self.seen[key]:
            yield Found("display-differs", ERROR, place, found, expected)

    def _ways(self, cell: Any, form: str) -> Iterator[tuple[str, str]]:
        planned = str(FORMS[form].get("num_format", "General"))
        if _plain(cell.number_format) != _plain(planned) and not (cell.number_format in GENERAL and planned in GENERAL):
            yield f"the format {cell.number_format}", f"the format {planned}"
        if cell.font.sz is not None and cell.font.sz < SMALLEST:
            yield f"letters of {cell.font.sz:g} points", "letters that can be read"
        if cell.alignment.horizontal == "fill":
            yield "its text again and again, as the cell is filled with it", "its text once"
        paper = self._shown(cell.fill.fgColor) if cell.fill.fill_type == "solid" else self.themes[0]
        ink = self._shown(cell.font.color) or self.themes[1]
        if paper is not None and _alike(ink, paper):
            yield f"text in the colour of its background ({''.join(f'{part:02X}' for part in ink)})", "readable text"

    def hides(self, dressed: Any) -> str:
        """How a format that applies on a condition hides or fakes a figure; "" where it does not."""
        if dressed is None:
            return ""
        if dressed.numFmt is not None and dressed.numFmt.formatCode not in GENERAL:
            return f"the format is {dressed.numFmt.formatCode}"
        ink = None if dressed.font is None else self._shown(dressed.font.color)
        paper = None if dressed.fill is None else self._shown(dressed.fill.bgColor)
        return "the text has the colour of its background" if ink is not None and _alike(ink, paper or self.themes[0]) else ""

    def _shown(self, colour: Any) -> Colour | None:
        """A colour as it shows; None where it is the usual one, or nothing says which."""
        found = None
        if colour is not None and colour.type == "rgb" and isinstance(colour.rgb, str):
            found = _colour(colour.rgb[-6:])
        elif colour is not None and colour.type == "theme" and colour.theme < len(self.themes):
            found = self.themes[colour.theme]
        elif colour is not None and colour.type == "indexed" and colour.indexed < len(COLOR_INDEX):
            found = _colour(COLOR_INDEX[colour.indexed][-6:])
        if found is None or not colour.tint:
            return found
        towards, part = (255, colour.tint) if colour.tint > 0 else (0, -colour.tint)
        red, green, blue = (round(value + (towards - value) * part) for value in found)
        return red, green, blue


def _alike(one: Colour, other: Colour) -> bool:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) < LEAST


def _colour(text: str) -> Colour:
    red, green, blue = (int(text[at : at + 2], 16) for at in (0, 2, 4))
    return red, green, blue


def _plain(text: str) -> str:
    """A number format without the backslashes and letter cases that programs write differently."""
    return text.replace("\\", "").upper()
