"""Every table that a run or a command writes, in Markdown, made of the descriptions that its writer checks."""

from collections.abc import Mapping

from perpcomp.tables.schema import KINDS, Table

KIND_WORDS = {
    "amount": "exact decimal, up to 18 places",
    "integer": "whole number",
    "digits": "whole number, up to 78 digits",
    "text": "text",
    "address": "address",
    "hash": "hash",
    "flag": "true or false",
    "time": "time in UTC",
}
assert KIND_WORDS.keys() == KINDS.keys()


def reference(tables: Mapping[str, tuple[Table, str]]) -> str:
    """One section a file: what the file is for, then its columns. `tables`: file name -> (its table, what it is for)."""
    return "\n\n".join(_section(file, table, purpose) for file, (table, purpose) in tables.items())


def _section(file: str, table: Table, purpose: str) -> str:
    rows = [
        f"| `{column.name}` | {KIND_WORDS[column.kind]}{' or empty' if column.optional else ''} | {column.unit} | {_cell(column.meaning)} |"
        for column in table.columns
    ]
    key = " and ".join(f"`{name}`" for name in table.key)
    head = f"### `{file}`\n\n{purpose} One row for each {key}."
    return "\n".join([head, "", "| column | holds | unit | meaning |", "|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
