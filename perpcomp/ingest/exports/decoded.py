"""Sheets of decoded events to typed tables, for every exporter of decoded events."""

from collections.abc import Iterable, Iterator

import polars as pl

from perpcomp.findings import refusal
from perpcomp.fixed import AMOUNT
from perpcomp.ingest.block_times import dated
from perpcomp.ingest.decode import WORD, Argument, Event
from perpcomp.ingest.exports.exporter import Exporter, Wanted
from perpcomp.ingest.exports.sheet import LOG_KEY, Sheet
from perpcomp.ingest.raw_frame import RAW_SCHEMA
from perpcomp.tables.schema import LOG_COLUMNS

TOKENS = 10**15  # no amount of tokens is so large; an amount in base units soon is

ARGUMENTS = {"amm": "market", "sender": "trader"}  # the contracts' names of arguments that we name otherwise
# Of arguments whose meaning depends on the event: event -> its name -> ours.
ARGUMENTS_OF = {"PositionLiquidated": {"bad_debt": "fee_shortfall"}}


def told_by_columns(sheet: Sheet, wanted: Wanted) -> Event | None:
    """The one event whose arguments a table has as columns, also where some are missing; None where it could be any."""

    def present(event: Event) -> int:
        others = ARGUMENTS_OF.get(event.name, {})
        have = {others.get(name, name) for name in sheet.theirs} | sheet.theirs.keys()
        return len(have & event.schema.keys())

    best = max(wanted.events, key=lambda event: (present(event), present(event) / len(event.arguments)))
    own = best.schema.keys() & sheet.theirs.keys() - {"trader", "market"}  # many events have these two
    return best if own and 2 * present(best) >= len(best.arguments) else None


def one_event(sheet: Sheet, event: Event, wanted: Wanted) -> tuple[Event, Sheet]:
    """A sheet that holds one event, with the event's arguments under our names."""
    by_name = {known.name: known for known in wanted.events}
    if all(sheet.has(*by_name[name].schema) for name in wanted.needed):
        what = "Column event is missing, although the table has the columns of several events."
        raise refusal(sheet.name, what, "Add a column event that names the event of each row.")
    for theirs, ours in ARGUMENTS_OF.get(event.name, {}).items():
        if sheet.has(theirs) and not sheet.has(ours):
            named = {ours if name == theirs else name: column for name, column in sheet.theirs.items()}
            sheet = Sheet(sheet.name, sheet.frame.rename({theirs: ours}), named, sheet.event)
    return event, sheet


def typed_parts(exporter: Exporter, sheet: Sheet, wanted: Wanted, times: dict[int, int]) -> Iterator[tuple[str, pl.DataFrame]]:
    """(event name, typed rows with `row` before them) for every event that a sheet can hold, of the house's logs."""
    if sheet.has("address"):
        address = sheet.cells("address", "address")
        sheet.settle()
        sheet = sheet.where(address == wanted.house)
    for event, part in exporter.event_sheets(sheet, wanted):
        yield event.name, _typed(part, event, wanted, times) if part.theirs else _empty(event)


def typed_tables(name: str, parts: Iterable[tuple[str, pl.DataFrame]], wanted: Wanted) -> dict[str, pl.DataFrame]:
    """Event name -> typed table with `row` before its columns, from the parts of all files. InputError where a needed event is missing."""
    found: dict[str, list[pl.DataFrame]] = {}
    for event, part in parts:
        found.setdefault(event, []).append(part)
    if missing := [event for event in wanted.needed if event not in found]:
        what = f"The export holds no {' and no '.join(missing)}. Without it, liquidations cannot be found."
        raise refusal(name, what, "Export these events too, and give all files together.")
    return {event.name: pl.concat(found[event.name]) for event in wanted.events if event.name in found}


def _typed(sheet: Sheet, event: Event, wanted: Wanted, times: dict[int, int]) -> pl.DataFrame:
    """The rows of one event, in the columns that decoding gives it."""
    sheet.require((*LOG_KEY, *event.schema), f"{event.name}'s columns")
    if sheet.has("data_bytes"):
        length = sheet.numbers("data_bytes")
        for row, found in sheet.frame.select("row").with_columns(length).filter(length != WORD * len(event.words)).head(20).iter_rows():
            what = f"The log's data had {found} bytes, but {event.name} has {WORD * len(event.words)}."
            sheet.complain(row, what, "The row is damaged or belongs to another contract: export it again.")
    if sheet.has("topic0"):
        topic0 = sheet.cells("topic0", "hash")
        for row, found in sheet.frame.select("row").with_columns(topic0).filter(topic0 != event.topic0).head(20).iter_rows():
            sheet.complain(row, f"topic0 is {found}, which is not {event.name}'s.", "Export this event alone, or raw logs.")
    values = [_value(sheet, argument) for argument in event.arguments]
    rows = pl.DataFrame([*sheet.identity(wanted.chain_id), *values])
    sheet.settle()
    rows = dated(sheet.name, rows, times).with_columns(pl.lit(wanted.chain_id, dtype=pl.Int64).alias("chain_id"))
    return rows.select(_empty(event).columns)


def _value(sheet: Sheet, argument: Argument) -> pl.Series:
    if argument.type == "address":
        return sheet.cells(argument.name, "address")
    if argument.type == "count":
        return sheet.numbers(argument.name)
    if sheet.frame.schema[argument.name] == AMOUNT:
        return _tokens(sheet, argument)
    units = sheet.cells(argument.name, argument.type).cast(pl.Int128)
    return units.to_frame().select(pl.col(argument.name).reinterpret(dtype=AMOUNT)).to_series()


def _tokens(sheet: Sheet, argument: Argument) -> pl.Series:
    """A column of exact decimals with 18 places: tokens, as a warehouse computes them from base units."""
    amounts = sheet.frame.get_column(argument.name)
    theirs = sheet.theirs[argument.name]
    lowest = 0 if argument.type == "uint" else -TOKENS
    wrong = amounts.is_null() | (amounts < lowest) | (amounts >= TOKENS)
    for row, value in sheet.frame.select("row", amounts).filter(wrong).head(20).iter_rows():
        what = f"{theirs} is empty." if value is None else f"{theirs} is {value:f} tokens."
        sheet.complain(
            row, what, f"With 18 places it must count tokens, {lowest} or more and below 10^15: export base units without places."
        )
    return amounts


def _empty(event: Event) -> pl.DataFrame:
    types = {"integer": pl.Int64(), "time": RAW_SCHEMA["block_time"], "hash": pl.String()}
    return pl.DataFrame(schema={"row": pl.Int64(), **{c.name: types[c.kind] for c in LOG_COLUMNS}, **event.schema})
