"""Read one table by the description of its keys: checked values out, all problems collected, unknown keys named with the nearest one."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec import Struct

from perpcomp.findings import Finding, near_miss
from perpcomp.incident.chain_prefix import without_prefix
from perpcomp.incident.description import ANY_NAME, Key, Raw, Table
from perpcomp.incident.places import Place, line_of

T = TypeVar("T")

_PROBLEM = object()  # instead of a value that could not be read


class Problem(Struct, frozen=True):
    """One problem with its place: the header as the file writes it ("" at the top), the entry of a [[list]] from 1, and the key.

    `what` is the sentence that follows the place, as "is missing.".
    """

    header: str
    number: int
    key: str
    what: str
    what_to_do: str

    def finding(self, file: str, lines: Mapping[Place, int] | None = None) -> Finding:
        """The same for people, with the line where `lines` has it."""
        place = " ".join(part for part in (self.header, str(self.number or ""), self.key) if part)
        line = line_of(lines or {}, self.header, self.number, self.key)
        return Finding("error", file if line is None else f"{file} line {line}", f"{place} {self.what}", self.what_to_do)


def as_in_the_file(key: Key) -> str:
    """An example of a key as an incident file writes it."""
    return f"{key.name} = {key.example}"


class TableReader:
    """One table while it is read. `raw` is its content, `document` the whole file's; problems go to one list for the whole file."""

    def __init__(
        self,
        document: Raw,
        keys: Mapping[str, Key | Table],
        problems: list[Problem],
        raw: Raw | None = None,
        header: str = "",
        number: int = 0,
    ) -> None:
        self.document, self.keys, self.problems = document, keys, problems
        self.raw = document if raw is None else raw
        self.header, self.number = header, number
        self._before = len(problems)
        self.written: Callable[[Key], str] = as_in_the_file

    def problem(self, key: str, what: str, what_to_do: str) -> None:
        """Note a problem of a key of this table, or with "" of the table itself."""
        self.problems.append(Problem(self.header, self.number, key, what, what_to_do))

    def values(self) -> dict[str, Any]:
        """Field -> checked value. A key with a problem has none."""
        read = {field: self._table(key) if isinstance(key, Table) else self.value(key) for field, key in self.keys.items()}
        known = [key.name for key in self.keys.values()]
        for name, value in self.raw.items():
            if name not in known:
                header = self.header_of(name, isinstance(value, list))
                is_table = isinstance(value, dict) or (isinstance(value, list) and value and all(isinstance(v, dict) for v in value))
                where = ("", 0, header) if is_table else (self.header, self.number, name)
                self.problems.append(Problem(*where, "is unknown.", near_miss(name, known)))
        return {field: value for field, value in read.items() if value is not _PROBLEM}

    @property
    def sound(self) -> bool:
        """Whether no problem was noted since this reader began."""
        return len(self.problems) == self._before

    def build(self, of: type[T], values: Mapping[str, Any]) -> T | None:
        """The Struct from its fields, or None where this table has a problem."""
        return of(**values) if self.sound else None

    def value(self, key: Key) -> Any:
        """The checked value of one key, or its default; a problem gives a mark that is no value."""
        name = key.name
        if name not in self.raw:
            if key.required or (key.required_if is not None and key.required_if.holds(self.raw, self.document)):
                self._missing(key)
                return _PROBLEM
            return key.default
        try:
            value = key.kind.read(self._of_this_chain(self.raw[name]) if key.kind.of_chain else self.raw[name])
        except ValueError as error:
            if len(error.args) != 2:  # Python's own: an integer too long to be shown
                error = ValueError("is a number of thousands of digits.", "Correct it.")
            self.problem(name, *error.args)
            return _PROBLEM
        named = self.document.get(key.kind.keys_of) if key.kind.keys_of else None
        if isinstance(named, dict):
            for unknown in [one for one in value if one not in named]:
                self.problem(name, f'names "{unknown}", which is not in [{key.kind.keys_of}].', near_miss(unknown, named))
                return _PROBLEM
        return value

    def _of_this_chain(self, raw: Any) -> Any:
        """An address, or a list of them, without the prefix of the chain that [chain] names. ValueError for another chain's prefix."""
        if isinstance(raw, list):
            return [self._of_this_chain(one) for one in raw]
        chain = self.document.get("chain")
        number = chain.get("id") if isinstance(chain, dict) else None
        return without_prefix(raw, number if isinstance(number, int) else None) if isinstance(raw, str) else raw

    def inside(self, name: str, keys: Mapping[str, Key | Table], raw: Raw, number: int = 0) -> "TableReader":
        """The reader of a table in this one; with a number, of an entry of the list of that name."""
        return TableReader(self.document, keys, self.problems, raw, self.header_of(name, number > 0), number)

    def header_of(self, name: str, many: bool) -> str:
        """The header of a table in this one, as the file writes it."""
        path = f"{self.header.strip('[]')}.{name}" if self.header else name
        return f"[[{path}]]" if many else f"[{path}]"

    def _earlier(self, name: str) -> int:
        """How many entries of the list of that name stand in the entries of this table's list before this one: the file counts them all."""
        listed = self.document.get(self.header.strip("[]")) if self.number else None
        before = listed[: self.number - 1] if isinstance(listed, list) else []
        return sum(len(entry[name]) for entry in before if isinstance(entry, dict) and isinstance(entry.get(name), list))

    def _missing(self, key: Key) -> None:
        where = self.header or "the top of the file"
        advice = f"Add it to {where}: {self.written(key)}. Allowed: {key.kind.allowed}."
        if key.required_if is not None:
            advice += f" It is required where {key.required_if.words}."
        self.problem(key.name, "is missing.", f"{advice} {key.why}".rstrip())

    def _table(self, table: Table) -> Any:
        raw, header = self.raw.get(table.name), self.header_of(table.name, table.many)
        if raw is None or (table.many and raw == []):
            if table.required:
                needs = ", ".join(key.name for key in table.keys.values() if isinstance(key, Key) and key.required and key.name != ANY_NAME)
                advice = f"Every incident needs it: it {table.meaning}. Add {header}" + (f" with the keys {needs}." if needs else ".")
                self.problems.append(Problem("", 0, header, "is missing.", advice))
                return _PROBLEM
            return table.absent
        if table.many:
            if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
                self.problem(table.name, "is not a list of tables.", f"Write {header}.")
                return _PROBLEM
            first = 1 + self._earlier(table.name)
            entries = [_read(self.inside(table.name, table.keys, entry, number), table) for number, entry in enumerate(raw, first)]
            return _PROBLEM if None in entries else tuple(entries)
        if not isinstance(raw, dict):
            self.problem(table.name, "is not a table.", f"Write {header}.")
            return _PROBLEM
        read = _read(self.inside(table.name, table.keys, raw), table)
        return _PROBLEM if read is None else read


def _read(reader: TableReader, table: Table) -> Any:
    return table.read(reader) if table.read else reader.build(table.of, reader.values())
