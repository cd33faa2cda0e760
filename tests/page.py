"""A page of HTML read as a browser reads it: elements with their attributes, tables by their captions. End tags may be left out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

# What an opening tag ends, where its end tag was left out.
ENDS = {
    "td": {"td", "th"},
    "th": {"td", "th"},
    "tr": {"td", "th", "tr"},
    "tbody": {"td", "th", "tr", "thead"},
    "tfoot": {"td", "th", "tr", "tbody"},
}
VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}
MAY_STAY_OPEN = {"td", "th", "tr", "thead", "tbody", "tfoot"}


@dataclass
class Element:
    """An element, with what it holds: texts and elements in order."""

    tag: str
    attributes: dict[str, str | None]
    inside: "list[Element | str]" = field(default_factory=list)

    def all(self, *tags: str) -> "Iterator[Element]":
        """Every element of these tags below it, in reading order; of any tag where none is named."""
        for one in self.inside:
            if isinstance(one, Element):
                if not tags or one.tag in tags:
                    yield one
                yield from one.all(*tags)

    def text(self) -> str:
        """All its text."""
        return "".join(one if isinstance(one, str) else one.text() for one in self.inside)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self.open[-1].tag in ENDS.get(tag, ()):
            self.open.pop()
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        made = Element(tag, dict(attrs))
        self.open[-1].inside.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1].tag in MAY_STAY_OPEN and self.open[-1].tag != tag:
            self.open.pop()
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read(page: bytes) -> Element:
    """The document. AssertionError where an end tag does not fit."""
    reader = _Reader()
    reader.feed(page.decode())
    reader.close()
    assert reader.open == [reader.root], f"<{reader.open[-1].tag}> does not end"
    return reader.root


@dataclass(frozen=True)
class Row:
    """A row of a table: its id, and the texts of its cells."""

    id: str
    cells: list[str]


def tables(document: Element) -> dict[str, list[Row]]:
    """Caption -> the rows of its table, the header first. No two tables have one caption."""
    found: dict[str, list[Row]] = {}
    for table in document.all("table"):
        caption = next(table.all("caption")).text()
        assert caption not in found, caption
        rows = [Row(row.attributes.get("id") or "", [cell.text().strip() for cell in row.all("td", "th")]) for row in table.all("tr")]
        for row in rows:  # the last cells of a row may be left out where they are empty
            row.cells.extend([""] * (len(rows[0].cells) - len(row.cells)))
            assert len(row.cells) == len(rows[0].cells), caption
        found[caption] = rows
    return found
