"""On which line of the incident file a table, an entry of a list or a key stands. The TOML reader of Python does not say."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

Place = tuple[str, int, str]  # header as the file writes it, entry of a [[list]] from 1 or 0, key or ""

# Comments and texts may hold a bracket or a line end that belongs to no table. The file is valid TOML, so only these matter.
_PIECES = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})|\'\'\'.*?\'\'\'(?:\'{0,2})|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}\n]', re.DOTALL
)


def lines(text: str) -> dict[Place, int]:
    """Place -> line (from 1), of everything in a valid TOML text. A list of tables as a whole stands where its first entry does."""
    found: dict[Place, int] = {}
    entries: Counter[str] = Counter()
    header, number = "", 0
    for line, statement in _statements(text):
        read = tomllib.loads(statement)
        if not read:
            continue
        if statement.lstrip().startswith("["):
            path, many = _named(read)
            header = f"[[{path}]]" if many else f"[{path}]"
            entries[header] += many
            number = entries[header] if many else 0
            found.setdefault((header, number, ""), line)
            found.setdefault((header, 0, ""), line)
        else:
            _add(found, read, header, number, line)
    return found


def line_of(found: Mapping[Place, int], header: str, number: int, key: str) -> int | None:
    """The line of a key, or else of its table, its list, or the table around it; None where the file has none of them."""
    path = header.strip("[]")
    around = [f"[{path.rpartition('.')[0]}]"] if "." in path else []
    own = [(header, number, key), (header, number, ""), (header, 0, "")]
    places = own if header else [("", 0, key), (key, 0, "")]
    return next((found[place] for place in [*places, *((outer, 0, "") for outer in around)] if place in found), None)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of each statement: a header, or a key with its value, which may take several lines."""
    text = text.replace("\r\n", "\n")
    start = depth = 0
    line = 1
    for piece in _PIECES.finditer(text):
        found = piece[0]
        depth += (found in "[{") - (found in "]}")
        if found == "\n" and depth == 0:
            yield line, text[start : piece.end()]
            line += text.count("\n", start, piece.end())
            start = piece.end()
    yield line, text[start:]


def _named(read: Any) -> tuple[str, bool]:
    """The path of the table that a header alone opens, and whether it is an entry of a list."""
    names = []
    while isinstance(read, dict) and read:
        ((name, read),) = read.items()
        names.append(name)
    return ".".join(names), isinstance(read, list)


def _add(found: dict[Place, int], table: dict[str, Any], header: str, number: int, line: int) -> None:
    """Every key of a statement; tables that are written in a line of another one too."""
    for name, value in table.items():
        found.setdefault((header, number, name), line)
        path = f"{header.strip('[]')}.{name}" if header else name
        if isinstance(value, dict):
            found.setdefault((f"[{path}]", 0, ""), line)
            _add(found, value, f"[{path}]", 0, line)
        elif isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            found.setdefault((f"[[{path}]]", 0, ""), line)
            for n, entry in enumerate(value, 1):
                found.setdefault((f"[[{path}]]", n, ""), line)
                _add(found, entry, f"[[{path}]]", n, line)
