"""Sheets of decoded events to typed tables."""

from collections.abc import Iterator

import polars as pl

from perpcomp.findings import near_miss, refusal
from perpcomp.fixed import AMOUNT
from perpcomp.ingest.decode import WORD, Argument, Event
from perpcomp.ingest.exports.sheet import PLACE, Sheet, Wanted
from perpcomp.ingest.logs import (
    RAW_SCHEMA,
    Places,
    dated,
)
from perpcomp.tables.schema import LOG_COLUMNS

# In a table of PositionLiquidated alone bad_debt means what we call fee_shortfall; beside PositionChanged it means that event's.
OF_ONE_EVENT = {"PositionLiquidated": {"bad_debt": "fee_shortfall"}}


def event_of(sheet: Sheet, wanted: Wanted) -> Event | None:
    """The one event that a table is of, told by its columns, also where some are missing."""

    def there(event: Event) -> int:
        others = OF_ONE_EVENT.get(event.name, {})
        have = {others.get(name, name) for name in sheet.theirs} | sheet.theirs.keys()
        return len(have & event.schema.keys())

    best = max(wanted.events, key=lambda event: (there(event), there(event) / len(event.arguments)))
    own = best.schema.keys() & sheet.theirs.keys() - {"trader", "market"}  # those two alone tell nothing
    return best if own and 2 * there(best) >= len(best.arguments) and sheet.has("log_index") else None


def decoded_rows(sheet: Sheet, wanted: Wanted, times: dict[int, int]) -> Iterator[tuple[str, pl.DataFrame]]:
    """(event name, typed rows with `row` before them) for every event that the table can hold."""
    by_name = {event.name: event for event in wanted.events}
    if sheet.has("address"):
        address = sheet.cells("address", "address")
        sheet.settle()
        sheet = sheet.where(address == wanted.house)
    if sheet.has("event"):
        said = sheet.frame.get_column("event").cast(pl.String)
        for row, name in sheet.frame.select("row", said).filter(~said.is_in(list(by_name)).fill_null(False)).head(20).iter_rows():
            sheet.complain(row, f"event is {name}.", near_miss(name or "", by_name))
        sheet.settle()
        there = set(said) | set(wanted.needed)
        for event in wanted.events:
            if event.name in there or sheet.has(*event.schema):
                yield event.name, _typed(sheet.where(said == event.name), event, wanted, times)
        return
    one = by_name.get(sheet.event) if sheet.event else event_of(sheet, wanted)
    if one is None:
        raise refusal(sheet.name, f"holds events of a kind that is not read ({sheet.event}).", near_miss(sheet.event or "", by_name))
    if sheet.event and sheet.frame.is_empty():  # an answer without rows names no columns
        yield one.name, _empty(one)
        return
    if all(sheet.has(*by_name[name].schema) for name in wanted.needed):
        raise refusal(sheet.name, "column event is missing.", "The columns of several events stand here: one must say which a row is of.")
    for theirs, ours in OF_ONE_EVENT.get(one.name, {}).items():
        if sheet.has(theirs) and not sheet.has(ours):
            named = {ours if name == theirs else name: column for name, column in sheet.theirs.items()}
            sheet = Sheet(sheet.name, sheet.frame.rename({theirs: ours}), named, sheet.event)
    yield one.name, _typed(sheet, one, wanted, times)


def _typed(sheet: Sheet, event: Event, wanted: Wanted, times: dict[int, int]) -> pl.DataFrame:
    """The rows of one event, in the columns that decoding gives it."""
    sheet.require((*PLACE, *event.schema), f"{event.name}'s columns")
    if sheet.has("data_bytes"):
        length = sheet.numbers("data_bytes")
        for row, found in sheet.frame.select("row").with_columns(length).filter(length != WORD * len(event.words)).head(20).iter_rows():
            what = f"its data was {found} bytes long, and {event.name} has {WORD * len(event.words)}."
            sheet.complain(row, what, "The row is damaged, or no log of this contract: export it again.")
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
    units = sheet.cells(argument.name, argument.type).cast(pl.Int128)
    return units.to_frame().select(pl.col(argument.name).reinterpret(dtype=AMOUNT)).to_series()


def _empty(event: Event) -> pl.DataFrame:
    types = {"integer": pl.Int64(), "time": RAW_SCHEMA["block_time"], "hash": pl.String()}
    return pl.DataFrame(schema={"row": pl.Int64(), **{c.name: types[c.kind] for c in LOG_COLUMNS}, **event.schema})


def typed_tables(label: str, parts: list[tuple[str, pl.DataFrame]], wanted: Wanted) -> dict[str, pl.DataFrame]:
    """The parts of each event together, checked as logs are."""
    names = [event.name for event in wanted.events if any(event.name == name for name, _ in parts)]
    if missing := [name for name in wanted.needed if name not in names]:
        what = f"holds no {' and no '.join(missing)}, without which a liquidation is not seen."
        raise refusal(label, what, "Export these events too, and give all files together.")
    joined = {name: pl.concat([part for of, part in parts if of == name]) for name in names}
    places = Places(label)
    for table in joined.values():
        places.add(table)
    places.check()
    return {name: table.drop("row").sort("block_number", "log_index") for name, table in joined.items()}
