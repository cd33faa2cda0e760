"""Files of JSON: rows one a line or in a list, and the answers of nodes, explorers, Dune and subgraphs around them, as sheets.

The shape of the first value decides, not the ending of the file's name. Rows become text, as the cells of a CSV are.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from perpcomp.findings import refusal
from perpcomp.ingest import json_lines
from perpcomp.ingest.exports import subgraph
from perpcomp.ingest.exports.sheet import Sheet, to_sheet
from perpcomp.text_file import opened

EXACT = 2**53  # a number of JSON is exact below it, whatever program wrote it
AGAIN = "Ask again, and save the whole answer."
PAGES = "Ask for all pages, and put their answers into one .jsonl file, one a line; or export a CSV of all rows."
GET_LOGS = (
    "Save the answer of /api?module=logs&action=getLogs&address=CONTRACT&fromBlock=FIRST&toBlock=LAST on the same explorer,"
    " for every contract of the incident, or fetch the logs with --rpc."
)
DUNE_DONE = "QUERY_STATE_COMPLETED"
CONTINUES = ("next_offset", "next_uri", "cursor", "next_page_params", "pageKey", "nextPageToken")  # how services name the next page


def sheets(path: Path, our_name: Callable[[str], str]) -> Iterator[Sheet]:
    """The sheets of a file of JSON. InputError says what an answer is that holds no logs."""
    counted, answer = 0, dict[str, Any]()
    for first, values in _values(path):
        if not values:
            continue  # an empty list
        if _is_page(values[0]):
            what = "This is a page of a REST API (Blockscout's /api/v2, or another one with its rows in items), which is not read."
            raise refusal(path.name, what, GET_LOGS)
        elif all(_is_answer(value) for value in values):
            rows = [row for value in values for row in _result(path.name, value)]
            counted, answer = counted + len(rows), values[-1]
            yield from _rows(f"{path.name} result", 1, rows, our_name)
        elif _of_subgraph(values[0]):
            yield from subgraph.answers(path.name, values, our_name)
        else:
            yield from _rows(path.name, first, values, our_name)
    _check_end(path.name, counted, answer)


def _values(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """The values of a file, each batch with the number of its first: of one JSON text (those of a list one by one), or one a line."""
    with opened(path) as file:
        line = next((line for line in file if line.strip()), b"")
    try:
        several = isinstance(msgspec.json.decode(line), dict)
    except msgspec.DecodeError:
        several = False
    if not several:
        with opened(path) as file:
            whole = msgspec.json.decode(file.read())
        yield 1, whole if isinstance(whole, list) else [whole]
        return
    for first, chunk in json_lines.chunks(path):
        rows = json_lines.rows(path.name, first, chunk, dict[str, Any], "an export of logs or events")
        numbers = [number for number, _ in rows]
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            yield numbers[0], [row for _, row in rows]
        else:  # blank lines between
            yield from ((number, [row]) for number, row in rows)


def _is_answer(value: Any) -> bool:
    """Whether a value is what a node or an explorer answers, not a row."""
    return isinstance(value, dict) and "topics" not in value and bool(value.keys() & {"jsonrpc", "result", "error", "execution_id"})


def _is_page(value: Any) -> bool:
    return isinstance(value, dict) and ("items" in value or (isinstance(value.get("data"), dict) and "items" in value["data"]))


def _of_subgraph(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    lists = "topics" not in value and any(isinstance(part, list | dict) for part in value.values())
    return isinstance(value.get("data"), dict) or "errors" in value or lists


def _result(name: str, answer: dict[str, Any]) -> list[Any]:
    """The logs in an answer of a node or an explorer."""
    by = (
        "an answer to eth_getLogs"
        if "jsonrpc" in answer
        else "an answer of Dune's API"
        if "execution_id" in answer
        else "an explorer's answer"
    )
    if answer.get("error"):
        raise refusal(name, f"This is {by}, and an error: {_shown(answer['error'])}.", AGAIN)
    result, state = answer.get("result"), answer.get("state", DUNE_DONE)
    if state != DUNE_DONE:
        raise refusal(name, f"This is {by}, and its query is not complete: {_shown(state)}.", AGAIN)
    if "execution_id" in answer and isinstance(result, dict):
        result = result.get("rows")
    if not isinstance(result, list):
        by = "a node's answer" if "jsonrpc" in answer else by
        raise refusal(name, f"This is {by}, but its result is not a list of logs: {_shown(result)}.", AGAIN)
    return result


def _check_end(name: str, rows: int, last: Mapping[str, Any]) -> None:
    """InputError where the last answer of a file says that it has not all rows: those after them are missing without a trace."""
    if key := next((key for key in CONTINUES if last.get(key) not in (None, "", 0)), None):
        raise refusal(name, f"{key} of the last answer says that more rows follow.", PAGES)
    metadata = last["result"].get("metadata") if isinstance(last.get("result"), dict) else None
    total = metadata.get("total_row_count") if isinstance(metadata, dict) else None
    if isinstance(total, int) and total != rows:
        raise refusal(name, f"total_row_count of the last answer is {total:,}, but the file has {rows:,} rows.", PAGES)


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:120].rstrip(".")


def _rows(name: str, first: int, rows: Sequence[Any], our_name: Callable[[str], str]) -> Iterator[Sheet]:
    """Rows of one table as a sheet of text; none where there are no rows. Columns of nested values, such as a library's decoded arguments,
    are left out.
    """
    if not rows:
        return
    if bad := next((n for n, row in enumerate(rows, first) if not isinstance(row, dict)), None):
        raise refusal(f"{name} row {bad}", f"The row is not a JSON object: {_shown(rows[bad - first])}.", "Each must be one log or event.")
    names = dict.fromkeys(column for row in rows for column in row)
    columns = {column: [row.get(column) for row in rows] for column in names}
    nested = {c for c, cells in columns.items() if any(isinstance(v, dict) or (isinstance(v, list) and c != "topics") for v in cells)}
    text = {c: [_text(v) for v in cells] for c, cells in columns.items() if c not in nested}
    yield to_sheet(name, pl.DataFrame(text, schema=dict.fromkeys(text, pl.String)), first, our_name)


def _text(value: Any) -> str | None:
    """A value of JSON as a cell. A number that a program may have rounded is written as the float that it was."""
    if isinstance(value, list):
        return ",".join("" if part is None else str(part) for part in value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= EXACT:
        return repr(float(value))
    return None if value is None else str(value)
