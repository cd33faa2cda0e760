"""Exports of other tools give the same cells as the node's own rows; every untrustworthy input is refused by name."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.findings import InputError
from perpcomp.fixed import to_integer
from perpcomp.incident import incident_file
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.ingest.exports.sheet import Sheet
from perpcomp.ingest.exports.subgraph import PAGE
from perpcomp.ingest.raw_frame import RAW_SCHEMA
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1 import events as v1
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv, to_parquet
from tests import build
from tests.raw_logs import read_export, read_logs

REHEARSAL = incident_file.load("rehearsal")
HOUSE = REHEARSAL.chain.clearing_house
WANTED = Wanted(
    chain_id=100,
    house=HOUSE,
    addresses=[HOUSE, *(m.amm for m in REHEARSAL.markets)],
    topics=v1.TOPICS,
    refused=v1.OLD_LAYOUTS,
    events=v1.CLEARING_HOUSE_EVENTS,
    needed=(v1.POSITION_CHANGED.name, v1.POSITION_LIQUIDATED.name),
)
FILE = REHEARSAL.folder / "rehearsal" / "logs.jsonl.gz"
RECORDED: list[dict[str, Any]] = [json.loads(line) for line in gzip.decompress(FILE.read_bytes()).splitlines()]
DIRECT = read_logs(FILE, WANTED.addresses, WANTED.topics, WANTED.refused)
TABLES = v1.decode_all(DIRECT, 100, HOUSE)


def number(text: str) -> int:
    return int(text, 16)


def utc(log: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(number(log["blockTimestamp"]), UTC)


def topics(log: dict[str, Any]) -> list[str | None]:
    return [*log["topics"], None, None, None, None][:4]


# The recorded logs as others write them. Column names and types as cryo 0.3.2, ethereum-etl 2.4 and Dune have them.


def as_cryo(text: bool = False) -> pl.DataFrame:
    """cryo's `logs`: no times and no block hash; bytes, or with --hex and in CSV text."""
    hexes = ["transaction_hash", "address", "topic0", "topic1", "topic2", "topic3", "data"]
    rows = [
        (
            *(number(r[n]) for n in ("blockNumber", "transactionIndex", "logIndex")),
            r["transactionHash"],
            r["address"],
            *topics(r),
            r["data"],
            100,
        )
        for r in RECORDED
    ]
    frame = pl.DataFrame(rows, schema=["block_number", "transaction_index", "log_index", *hexes, "chain_id"], orient="row")
    frame = frame.with_columns(pl.col("block_number", "transaction_index", "log_index").cast(pl.UInt32), pl.col("chain_id").cast(pl.UInt64))
    return frame if text else frame.with_columns(pl.col(hexes).str.slice(2).str.decode("hex"))


def as_etl(joined: str | None = ",", timed: bool = False) -> pl.DataFrame:
    """ethereum-etl's `logs`: topics joined in CSV, a list in a warehouse, which has block_timestamp too."""
    rows = [
        {
            "log_index": number(r["logIndex"]),
            "transaction_hash": r["transactionHash"],
            "transaction_index": number(r["transactionIndex"]),
            "block_hash": r["blockHash"],
            "block_number": number(r["blockNumber"]),
            "address": r["address"],
            "data": r["data"],
            "topics": joined.join(r["topics"]) if joined else r["topics"],
            **({"block_timestamp": utc(r)} if timed else {}),
        }
        for r in RECORDED
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def as_dune() -> pl.DataFrame:
    """Rows of Dune's gnosis.logs as its CSV has them."""
    rows = [
        {
            "block_time": f"{utc(r):%Y-%m-%d %H:%M:%S}.000 UTC",
            "block_number": number(r["blockNumber"]),
            "block_hash": r["blockHash"],
            "contract_address": r["address"],
            **{f"topic{n}": topic for n, topic in enumerate(topics(r))},
            "data": r["data"],
            "tx_hash": r["transactionHash"],
            "index": number(r["logIndex"]),
            "tx_index": number(r["transactionIndex"]),
            "block_date": f"{utc(r):%Y-%m-%d}",
        }
        for r in RECORDED
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def units(frame: pl.DataFrame) -> pl.DataFrame:
    """A typed table with its amounts in base units as text, as decoded exports have them."""
    amounts = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Decimal)]
    return frame.with_columns(pl.Series(name, [str(to_integer(value)) for value in frame[name]], dtype=pl.String) for name in amounts)


def as_long() -> pl.DataFrame:
    """Every event of the ClearingHouse in one table, as the Dune query returns it."""
    parts = [units(TABLES[e.name]).select(pl.lit(e.name).alias("event"), pl.all()) for e in v1.CLEARING_HOUSE_EVENTS]
    return pl.concat(parts, how="diagonal").sort("block_number", "log_index")


def as_entities(event: str, renamed: dict[str, str]) -> list[dict[str, str]]:
    """The rows of one list of a subgraph's answer."""
    rows = []
    for row in units(TABLES[event]).iter_rows(named=True):
        entity = {"id": f"{row['transaction_hash']}-{row['log_index']}", "timestamp": str(int(row["block_time"].timestamp()))}
        for name in ("block_number", *v1_event(event).schema):
            head, *tail = renamed.get(name, name).split("_")
            entity[head + "".join(part.title() for part in tail)] = str(row[name])
        rows.append(entity)
    return rows


def v1_event(name: str) -> Any:
    return next(event for event in v1.CLEARING_HOUSE_EVENTS if event.name == name)


def as_answer() -> dict[str, list[dict[str, str]]]:
    return {
        "positionChangedEvents": as_entities("PositionChanged", {"market": "amm"}),
        "positionLiquidatedEvents": as_entities("PositionLiquidated", {"market": "amm", "fee_shortfall": "bad_debt"}),
        "marginChangedEvents": as_entities("MarginChanged", {"market": "amm", "trader": "sender"}),
    }


def as_cryo_events(event: str) -> pl.DataFrame:
    """cryo's `logs` with an event signature: three columns a number, one of them a float."""
    renamed = {"market": "amm"} | ({"fee_shortfall": "bad_debt"} if event == "PositionLiquidated" else {})
    columns: dict[str, Any] = {}
    table = units(TABLES[event])
    for name in ("block_number", "transaction_index", "log_index", "transaction_hash"):
        columns[name] = table[name]
    columns["address"], columns["topic0"] = [HOUSE] * table.height, [v1_event(event).topic0] * table.height
    for argument in v1_event(event).arguments:
        head, *tail = renamed.get(argument.name, argument.name).split("_")
        theirs = "event__" + head + "".join(part.title() for part in tail)
        if argument.type == "address":
            columns[theirs] = table[argument.name]
        else:
            columns |= {f"{theirs}_string": table[argument.name], f"{theirs}_f64": table[argument.name].cast(pl.Float64)}
    return pl.DataFrame(columns)


# Helpers


def written(folder: Path, frame: pl.DataFrame, name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    else:
        frame.write_csv(path, datetime_format="%Y-%m-%d %H:%M:%S UTC")
    return path


def answered(folder: Path, answer: Any, name: str = "answer.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(answer))
    return path


def block_list(folder: Path, name: str = "blocks.jsonl") -> Path:
    path = folder / name
    blocks = {number(r["blockNumber"]): number(r["blockTimestamp"]) for r in RECORDED}
    if name.endswith(".jsonl"):
        path.write_text("".join(json.dumps({"number": n, "timestamp": t}) + "\n" for n, t in blocks.items()))
    else:
        names = ["number" if name.endswith(".csv") else "block_number", "timestamp"]
        written(folder, pl.DataFrame(list(blocks.items()), schema=names, orient="row"), name)
    return path


def imported_raw(paths: list[Path], blocks: Path | None = None) -> pl.DataFrame:
    raw = read_export(paths, WANTED, blocks)
    assert isinstance(raw, pl.DataFrame)
    assert dict(raw.schema) == RAW_SCHEMA
    return raw


def imported_tables(paths: list[Path], blocks: Path | None = None) -> dict[str, pl.DataFrame]:
    tables = read_export(paths, WANTED, blocks)
    assert isinstance(tables, dict)
    return tables


def lacking(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """The frame with columns that a source has not set to null."""
    return frame.with_columns(pl.lit(None, dtype=frame.schema[name]).alias(name) for name in columns)


def refused(paths: list[Path], blocks: Path | None = None) -> str:
    """What is said; the exit code is 2 and each problem says where and what to do."""
    with pytest.raises(InputError) as caught:
        read_export(paths, WANTED, blocks)
    assert caught.value.exit_code == 2
    assert all(problem.where and problem.what_to_do for problem in caught.value.problems)
    return str(caught.value)


def changed(frame: pl.DataFrame, row: int, column: str, value: Any) -> pl.DataFrame:
    """The frame with one cell replaced; row 0 is the first."""
    return frame.with_columns(pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(column).alias(column))


FIRST_CHANGED = next(n for n, r in enumerate(RECORDED) if r["topics"][0] == v1.POSITION_CHANGED.topic0)
NO_HASH = ("block_hash",)
SUBGRAPH_LACKS = ("block_hash", "transaction_index")


# Raw logs


@pytest.mark.parametrize(
    ("make", "name", "lacks"),
    [
        (as_cryo, "cryo.parquet", NO_HASH),
        (lambda: as_cryo(text=True), "hex.parquet", NO_HASH),
        (lambda: as_cryo(text=True), "cryo.csv", NO_HASH),
        (as_etl, "etl.csv", ()),
        (lambda: as_etl(";"), "semicolons.csv", ()),
        (lambda: as_etl(None), "list.parquet", ()),
    ],
)
@pytest.mark.parametrize("blocks", ["blocks.jsonl", "blocks.csv", "blocks.parquet"])
def test_raw_logs_without_times_give_the_nodes_rows(
    tmp_path: Path, make: Callable[[], pl.DataFrame], name: str, lacks: tuple[str, ...], blocks: str
) -> None:
    raw = imported_raw([written(tmp_path, make(), name)], block_list(tmp_path, blocks))
    assert raw.drop("row").equals(lacking(DIRECT, *lacks).drop("row"))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: as_etl(None, timed=True), "warehouse.parquet"),
        (lambda: as_etl(timed=True), "warehouse.csv"),
        (as_dune, "dune.csv"),
        (as_dune, "dune.parquet"),
    ],
)
def test_raw_logs_with_times_give_the_nodes_rows(tmp_path: Path, make: Callable[[], pl.DataFrame], name: str, rehearsal: Run) -> None:
    raw = imported_raw([written(tmp_path, make(), name)])
    assert raw.drop("row").equals(DIRECT.drop("row"))
    tables = v1.decode_all(raw, 100, HOUSE)
    assert all(tables[event].equals(TABLES[event]) for event in TABLES)
    assert build.events_of(tables).equals(rehearsal.events.table)


@pytest.mark.parametrize(
    "form",
    [
        pl.col("block_timestamp").dt.replace_time_zone(None),
        pl.col("block_timestamp").dt.cast_time_unit("ns"),
        pl.col("block_timestamp").dt.convert_time_zone("Asia/Shanghai"),
        pl.col("block_timestamp").dt.epoch("s"),
        pl.col("block_timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        pl.col("block_timestamp").dt.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        pl.col("block_timestamp").dt.strftime("%Y-%m-%d %H:%M:%S"),
        pl.col("block_timestamp").dt.strftime("%Y-%m-%d %H:%M:%S.000000 UTC"),
    ],
)
def test_a_time_is_read_in_every_form_that_warehouses_write(tmp_path: Path, form: pl.Expr) -> None:
    raw = imported_raw([written(tmp_path, as_etl(None, timed=True).with_columns(form), "logs.parquet")])
    assert raw.drop("row").equals(DIRECT.drop("row"))


def test_a_raw_frame_of_our_own_is_read_too(tmp_path: Path) -> None:
    """Its `topics` counts them."""
    assert imported_raw([written(tmp_path, DIRECT, "own.parquet")]).drop("row").equals(DIRECT.drop("row"))


def test_files_in_pieces_are_one_export(tmp_path: Path) -> None:
    """cryo writes a file every 1000 blocks."""
    whole, cut = as_cryo(), 700
    pieces = [written(tmp_path, whole[:cut], "a.parquet"), written(tmp_path, whole[cut:], "b.parquet")]
    one = written(tmp_path, whole, "whole.parquet")
    blocks = block_list(tmp_path)
    assert imported_raw(pieces, blocks).equals(imported_raw([one], blocks)), "rows are counted through"
    said = refused([*pieces, pieces[0]], blocks)
    assert "a.parquet to a.parquet row" in said
    assert "is listed twice." in said


def test_hex_may_be_written_in_mixed_case(tmp_path: Path) -> None:
    hexes = ["block_hash", "contract_address", "topic0", "topic1", "topic2", "topic3", "data", "tx_hash"]
    loud = as_dune().with_columns(pl.col(hexes).str.to_uppercase().str.replace("0X", "0x", literal=True))
    assert imported_raw([written(tmp_path, loud, "dune.csv")]).equals(imported_raw([written(tmp_path, as_dune(), "plain.csv")]))


def test_rows_without_a_time_need_the_block_list(tmp_path: Path) -> None:
    said = refused([written(tmp_path, as_cryo(), "cryo.parquet")])
    assert f"{DIRECT.height} logs have no blockTimestamp and no entry in a block list" in said
    assert 'Add blocks = "blocks.jsonl.gz" to [input]' in said


@pytest.mark.parametrize("name", ["logs.csv", "logs.parquet"])
def test_data_cut_off_is_refused_when_it_is_decoded(tmp_path: Path, name: str) -> None:
    short = changed(as_dune(), FIRST_CHANGED, "data", RECORDED[FIRST_CHANGED]["data"][:-64])
    raw = imported_raw([written(tmp_path, short, name)])
    with pytest.raises(InputError, match=r"The data is not 352 bytes long, as PositionChanged requires"):
        v1.decode_all(raw, 100, HOUSE)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("data", "0x123", '{row}: data is "0x123". It must be whole bytes in hex after 0x'),
        ("data", RECORDED[FIRST_CHANGED]["data"][2:], "It must be whole bytes in hex after 0x"),
        ("data", None, "{row}: data is empty."),
        ("topic1", "0x12", '{row}: topic1 is "0x12". It must be a topic'),
        ("topic0", "0x12", '{row}: topic0 is "0x12". It must be a hash'),
        ("contract_address", HOUSE[2:], "{row}: contract_address is "),
        ("contract_address", None, "{row}: contract_address is empty."),
        ("tx_hash", "0x12", '{row}: tx_hash is "0x12".'),
        ("block_hash", "0x12", '{row}: block_hash is "0x12".'),
        ("index", "-1", '{row}: index is "-1". It must be a whole number.'),
        ("index", None, "{row}: index is empty."),
        ("index", str(2**20), "{row}: index is 1048576, more than any chain has."),
        ("block_number", str(2**40), "{row}: block_number is 1099511627776, more than any chain has."),
        ("block_number", "13500026.5", '{row}: block_number is "13500026.5". The value was a float before'),
        ("block_number", "9007199254740993.0", "The value was a float before"),
        ("block_number", "13,500,026", "Its digits are grouped: export it without separators."),
        ("block_number", "1.35e7", "The value was a float before and may have lost its last digits: export it as text."),
        ("block_time", "2021-02-30 00:00:00", '{row}: block_time is "2021-02-30 00:00:00". It must be a time in UTC'),
        ("block_time", "2021-02-20 22:45:00+08:00", "It must be a time in UTC, to the second, or unix seconds."),
        ("block_time", "2021-02-20 22:45:00.500 UTC", "a time in UTC, to the second"),
        ("block_time", "20/02/2021", "It must be a time in UTC"),
    ],
)
def test_a_damaged_cell_of_a_raw_log_is_named(tmp_path: Path, column: str, value: str | None, said: str) -> None:
    frame = as_dune().with_columns(pl.col("block_number", "index").cast(pl.String))
    path = written(tmp_path, changed(frame, FIRST_CHANGED, column, value), "dune.csv")
    assert said.format(row=f"dune.csv row {FIRST_CHANGED + 2}") in refused([path])


def test_a_log_index_above_every_chains_is_named_in_a_number_column(tmp_path: Path) -> None:
    frame = as_dune().with_columns(pl.when(pl.int_range(pl.len()) == FIRST_CHANGED).then(2**20).otherwise("index").alias("index"))
    said = refused([written(tmp_path, frame, "dune.parquet")])
    assert f"dune.parquet row {FIRST_CHANGED + 1}: index is 1048576, more than any chain has. Export the row again." in said


def test_every_damaged_cell_is_named_at_once(tmp_path: Path) -> None:
    frame = changed(as_dune(), FIRST_CHANGED, "tx_hash", "0x1")
    said = refused([written(tmp_path, changed(frame, FIRST_CHANGED, "topic1", "0x2"), "dune.csv")])
    assert "tx_hash" in said
    assert "topic1" in said


def test_a_float_column_of_a_raw_log_is_named(tmp_path: Path) -> None:
    """What pandas makes of whole numbers beside empty cells: whole numbers below 2**53 are exact, and nothing else is."""
    whole = as_dune().with_columns(pl.col("tx_index").cast(pl.Float64))
    assert imported_raw([written(tmp_path, whole, "dune.parquet")]).equals(imported_raw([written(tmp_path, as_dune(), "ints.parquet")]))
    said = refused([written(tmp_path, changed(whole, FIRST_CHANGED, "tx_index", 0.5), "dune.parquet")])
    assert f'dune.parquet row {FIRST_CHANGED + 1}: tx_index is "0.5". The value was a float before' in said


@pytest.mark.parametrize("column", ["contract_address", "tx_hash", "data"])
def test_a_file_whose_column_holds_nothing_is_refused(tmp_path: Path, column: str) -> None:
    """pandas makes floats of it. The logs of such a file beside a good one were left out without a word where it had no address."""
    half = as_dune().height // 2
    good, rest = as_dune().head(half), as_dune().slice(half)
    empty = rest.with_columns(pl.lit(None, dtype=pl.Float64).alias(column))
    said = refused([written(tmp_path, good, "good.parquet"), written(tmp_path, empty, "hollow.parquet")])
    assert re.search(rf"^hollow.parquet row \d+: {column} is empty\.", said)
    assert "good.parquet row" not in said


def test_a_block_time_with_a_fraction_of_a_second_is_refused(tmp_path: Path) -> None:
    off = as_etl(None, timed=True).with_columns(pl.col("block_timestamp") + pl.duration(milliseconds=1))
    assert "block_timestamp is " in refused([written(tmp_path, off, "logs.parquet")])


@pytest.mark.parametrize("column", ["contract_address", "data", "topic2", "tx_hash", "index", "block_number"])
def test_a_missing_column_of_raw_logs_is_named(tmp_path: Path, column: str) -> None:
    ours = {"contract_address": "address", "tx_hash": "transaction_hash", "index": "log_index"}.get(column, column)
    said = refused([written(tmp_path, as_dune().drop(column), "dune.csv")])
    assert said.startswith("dune.csv: ")
    assert f"{ours} is missing." in said or f"{ours} are missing." in said


def test_a_duplicate_log_is_named(tmp_path: Path) -> None:
    twice = pl.concat([as_dune(), as_dune()[FIRST_CHANGED : FIRST_CHANGED + 1]])
    said = refused([written(tmp_path, twice, "dune.csv")])
    assert f"dune.csv row {FIRST_CHANGED + 2}: Log " in said
    assert f"dune.csv row {twice.height + 1}: Log " in said
    assert "Remove the duplicate" in said


def test_a_block_has_one_hash(tmp_path: Path) -> None:
    assert "more than one timestamp or hash" in refused(
        [written(tmp_path, changed(as_dune(), FIRST_CHANGED, "block_hash", "0x" + "12" * 32), "dune.csv")]
    )


def test_logs_of_another_chain_are_refused(tmp_path: Path) -> None:
    other = as_cryo().with_columns(pl.lit(1, dtype=pl.UInt64).alias("chain_id"))
    assert "chain_id is 1, but the incident's is 100." in refused([written(tmp_path, other, "cryo.parquet")], block_list(tmp_path))


def test_an_older_layout_is_refused(tmp_path: Path) -> None:
    old = changed(as_dune(), FIRST_CHANGED, "topic0", v1.OLD_LAYOUTS[0] + "0" * 56)
    assert "belongs to an older layout of an event" in refused([written(tmp_path, old, "dune.csv")])


def test_two_columns_of_one_meaning_are_refused(tmp_path: Path) -> None:
    both = as_dune().with_columns(pl.col("index").alias("log_index"))
    assert "Columns index and log_index both mean log_index." in refused([written(tmp_path, both, "dune.csv")])


# Decoded events


def check_decoded(tables: dict[str, pl.DataFrame], run: Run, *lacks: str) -> None:
    for event, table in tables.items():
        assert table.schema == TABLES[event].schema, event
        assert table.equals(lacking(TABLES[event], *lacks)), event
    assert build.events_of(tables).equals(lacking(run.events.table, *lacks))


@pytest.mark.parametrize("name", ["long.csv", "long.parquet"])
def test_one_table_of_all_events_is_the_direct_decode(tmp_path: Path, rehearsal: Run, name: str) -> None:
    tables = imported_tables([written(tmp_path, as_long(), name)])
    assert list(tables) == [event.name for event in v1.CLEARING_HOUSE_EVENTS]
    check_decoded(tables, rehearsal)


def test_whole_numbers_of_an_exact_type_are_read_like_text(tmp_path: Path, rehearsal: Run) -> None:
    amounts = [c.name for c in EVENTS.columns if c.kind == "amount"]
    exact = as_long().with_columns(pl.col("margin").cast(pl.Int128), pl.col(amounts[1]).cast(pl.Decimal(38, 0)))
    check_decoded(imported_tables([written(tmp_path, exact, "long.parquet")]), rehearsal)


def test_a_table_holds_the_events_that_its_columns_can_hold(tmp_path: Path) -> None:
    """An input without MarginChanged does not show that the chain has none: margins are then not replayed."""
    bare = as_long().filter(pl.col("event").str.starts_with("PositionChanged") | (pl.col("event") == "PositionLiquidated"))
    path = written(tmp_path, bare.drop("amount", "new_position_size", "liquidation_fee_ratio"), "long.csv")
    assert {"PositionChanged", "PositionLiquidated"} <= set(imported_tables([path]))
    assert not {"MarginChanged", "PositionAdjusted", "LiquidationFeeRatioChanged"} & set(imported_tables([path]))


def test_rows_of_another_contract_are_passed_over(tmp_path: Path, rehearsal: Run) -> None:
    addressed = as_long().with_columns(pl.lit(HOUSE).alias("contract_address"))
    other = addressed[:5].with_columns(pl.lit("0x" + "12" * 20).alias("contract_address"))
    check_decoded(imported_tables([written(tmp_path, pl.concat([addressed, other]), "long.csv")]), rehearsal)


@pytest.mark.parametrize("wrapped", [lambda a: a, lambda a: {"data": a}, lambda a: [{"data": {k: v}} for k, v in a.items()]])
def test_an_answer_of_the_subgraph_is_the_direct_decode(tmp_path: Path, rehearsal: Run, wrapped: Callable[[Any], Any]) -> None:
    tables = imported_tables([answered(tmp_path, wrapped(as_answer()))])
    assert list(tables) == ["PositionChanged", "PositionLiquidated", "MarginChanged"]
    check_decoded(tables, rehearsal, *SUBGRAPH_LACKS)


def test_pages_and_empty_lists_are_one_answer(tmp_path: Path, rehearsal: Run) -> None:
    answer = as_answer()
    first = {key: rows[:20] for key, rows in answer.items()}
    second = {key: rows[20:] for key, rows in answer.items()}
    pages = [answered(tmp_path, page, f"{n}.json") for n, page in enumerate((first, second, {key: [] for key in answer}))]
    check_decoded(imported_tables(pages), rehearsal, *SUBGRAPH_LACKS)
    assert "is listed twice." in refused([*pages, pages[0]])


def test_lists_of_the_subgraph_in_csv_are_recognised_by_their_columns(tmp_path: Path, rehearsal: Run) -> None:
    paths = [written(tmp_path, pl.DataFrame(rows), f"{key}.csv") for key, rows in as_answer().items()]
    check_decoded(imported_tables(paths), rehearsal, *SUBGRAPH_LACKS)


def test_cryos_event_columns_are_read_from_their_text(tmp_path: Path, rehearsal: Run) -> None:
    names = ("PositionChanged", "PositionLiquidated")
    paths = [written(tmp_path, as_cryo_events(name), f"{name}.parquet") for name in names]
    check_decoded(imported_tables(paths, block_list(tmp_path)), rehearsal, "block_hash")


def test_cryos_floats_are_refused(tmp_path: Path) -> None:
    floats = as_cryo_events("PositionChanged").drop("event__margin_string")
    said = refused([written(tmp_path, floats, "cryo.parquet")], block_list(tmp_path))
    assert "cryo.parquet: Column event__margin_f64 is a float, and there is no margin as text." in said
    assert "export it as text" in said


@pytest.mark.parametrize("column", ["margin", "position_notional", "funding_payment", "liquidation_fee"])
def test_a_float_column_is_named(tmp_path: Path, column: str) -> None:
    floats = as_long().with_columns(pl.col(column).cast(pl.Float64))
    said = refused([written(tmp_path, floats, "long.parquet")])
    assert "long.parquet row " in said
    assert f"{column} is " in said
    assert "in a column of type Float64. The value was a float before and may have lost its last digits: export it as text." in said


@pytest.mark.parametrize("value", ["1e+22", "1E22", "1.0", "10000000000000000000000.0", "-1.5e3"])
def test_scientific_notation_and_points_are_named(tmp_path: Path, value: str) -> None:
    row = as_long()["event"].to_list().index("PositionChanged")
    said = refused([written(tmp_path, changed(as_long(), row, "realized_pnl", value), "long.csv")])
    assert f'long.csv row {row + 2}: realized_pnl is "{value}". The value was a float before' in said


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("margin", "-1", 'margin is "-1". It must be a whole number of base units as text, not negative'),
        ("margin", "1" * 39, "with at most 38 digits"),
        ("margin", None, "margin is empty."),
        ("margin", "1,000", 'margin is "1,000".'),
        ("margin", "+1", 'margin is "+1".'),
        ("trader", "0x12", 'trader is "0x12". It must be an address'),
        ("transaction_hash", None, "transaction_hash is empty."),
        ("event", "PositionChange", "event is PositionChange, which is not an event of this protocol. Did you mean 'PositionChanged'?"),
        ("event", "OlderLayout", "event is OlderLayout, which is not an event of this protocol."),
        ("event", None, "event is empty."),
        ("chain_id", 1, "chain_id is 1, but the incident's is 100."),
    ],
)
def test_a_damaged_cell_of_a_decoded_event_is_named(tmp_path: Path, column: str, value: Any, said: str) -> None:
    row = as_long()["event"].to_list().index("PositionChanged")
    path = written(tmp_path, changed(as_long(), row, column, value), "long.csv")
    assert f"long.csv row {row + 2}: " in refused([path])
    assert said in refused([path])


def test_truncated_data_is_found_by_its_length(tmp_path: Path) -> None:
    lengths = {event.name: 32 * len(event.words) for event in v1.CLEARING_HOUSE_EVENTS}
    long = as_long().with_columns(pl.col("event").replace_strict(lengths).alias("data_bytes"))
    assert imported_tables([written(tmp_path, long, "long.csv")])
    row = long["event"].to_list().index("PositionChanged")
    said = refused([written(tmp_path, changed(long, row, "data_bytes", 320), "long.csv")])
    assert f"long.csv row {row + 2}: The log's data had 320 bytes, but PositionChanged has 352." in said


@pytest.mark.parametrize("column", ["margin", "funding_payment", "liquidator", "log_index", "transaction_hash"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    said = refused([written(tmp_path, as_long().drop(column), "long.csv")])
    assert f"long.csv: Column {column} is missing." in said


def test_a_missing_field_of_an_answer_is_named(tmp_path: Path) -> None:
    answer = as_answer()
    for row in answer["positionChangedEvents"]:
        del row["badDebt"]
    said = refused([answered(tmp_path, answer)])
    assert "answer.json positionChangedEvents: Column bad_debt is missing." in said


def test_several_events_need_the_column_that_tells_them_apart(tmp_path: Path) -> None:
    assert "Column event is missing, although the table has the columns of several events." in refused(
        [written(tmp_path, as_long().drop("event"), "long.csv")]
    )


def test_a_duplicate_decoded_row_is_named(tmp_path: Path) -> None:
    twice = pl.concat([as_long(), as_long()[3:4]])
    assert "is listed twice. Remove the duplicate" in refused([written(tmp_path, twice, "long.csv")])


@pytest.mark.parametrize("value", [1e22, 10**22, 5, 1.0])
def test_an_amount_as_a_json_number_is_refused(tmp_path: Path, value: float) -> None:
    answer: dict[str, Any] = as_answer()
    answer["positionChangedEvents"][2]["margin"] = value
    said = refused([answered(tmp_path, answer)])
    assert "answer.json positionChangedEvents row 3: margin is the JSON number " in said
    assert "export it as text" in said


def test_block_numbers_and_times_may_be_json_numbers(tmp_path: Path, rehearsal: Run) -> None:
    answer: dict[str, Any] = as_answer()
    for rows in answer.values():
        for row in rows:
            row |= {"blockNumber": int(row["blockNumber"]), "timestamp": int(row["timestamp"])}
    check_decoded(imported_tables([answered(tmp_path, answer)]), rehearsal, *SUBGRAPH_LACKS)


def test_changes_without_liquidations_are_refused(tmp_path: Path) -> None:
    """An answer without the second list would pay no trader."""
    alone = {"positionChangedEvents": as_answer()["positionChangedEvents"]}
    assert "answer.json: The export holds no PositionLiquidated. Without it, liquidations cannot be found." in refused(
        [answered(tmp_path, alone)]
    )


def test_a_lost_liquidation_is_refused(tmp_path: Path) -> None:
    answer = as_answer()
    del answer["positionLiquidatedEvents"][4]
    with pytest.raises(InputError, match="has no PositionLiquidated in the logs"):
        build.events_of(imported_tables([answered(tmp_path, answer)]))


def test_a_full_page_may_be_cut_off(tmp_path: Path) -> None:
    answer = as_answer()
    row = answer["positionChangedEvents"][0]
    full = [{**row, "id": f"0x{n:064x}-1", "blockNumber": str(n)} for n in range(PAGE)]
    first = answered(tmp_path, answer | {"positionChangedEvents": full}, "1.json")
    assert "Every answer has 1000 rows of PositionChanged" in refused([first])
    assert imported_tables([first, answered(tmp_path, {"positionChangedEvents": []}, "2.json")])["PositionChanged"].height == PAGE


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"errors": [{"message": "indexing_error"}], "data": None}, "This is not a complete answer of a subgraph."),
        ([1], "The row is not a JSON object: 1."),
        ([], "The answer or list holds no row."),
        ({"data": {"positions": []}}, "positions is not a list of events."),
        ({"data": {"positionChangedEvents": {}}}, "positionChangedEvents is not a list of events."),
        ({"data": {"fundingRateUpdatedEvents": []}}, "The list holds the event FundingRateUpdated, which is not read."),
    ],
)
def test_a_malformed_answer_is_refused(tmp_path: Path, answer: Any, said: str) -> None:
    assert said in refused([answered(tmp_path, answer)])


def test_an_id_that_names_no_log_is_refused(tmp_path: Path) -> None:
    answer = as_answer()
    answer["marginChangedEvents"][1]["id"] = "0x12-3"
    assert 'answer.json marginChangedEvents row 2: id is "0x12-3".' in refused([answered(tmp_path, answer)])


def test_a_row_with_another_events_topic_is_refused(tmp_path: Path) -> None:
    mixed = changed(as_cryo_events("PositionChanged"), 3, "topic0", v1.MARGIN_CHANGED.topic0)
    said = refused([written(tmp_path, mixed, "cryo.parquet")], block_list(tmp_path))
    assert f"row 4: topic0 is {v1.MARGIN_CHANGED.topic0}, which is not PositionChanged's." in said


# Which exporter


@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_perpcomps_own_events_table_is_left_to_its_reader(tmp_path: Path, rehearsal: Run, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(to_csv(rehearsal.events.table, EVENTS) if name.endswith(".csv") else to_parquet(rehearsal.events.table))
    assert read_export([path], WANTED) is None
    assert "The input has 2 events tables." in refused([path, path])
    path.write_bytes(to_csv(rehearsal.events.table, EVENTS).replace(b"margin,", b"margn,", 1))
    if name.endswith(".csv"):
        assert read_export([path], WANTED) is None, "its reader names the column"


def test_kinds_of_files_are_not_mixed(tmp_path: Path) -> None:
    raw, decoded = written(tmp_path, as_dune(), "raw.csv"), written(tmp_path, as_long(), "long.csv")
    assert "raw.csv to long.csv: The files hold decoded events and raw logs." in refused([raw, decoded])


@pytest.mark.parametrize(
    ("columns", "nearest"),
    [
        (["block_number", "address", "topic0", "transaction_hash", "log_index"], "raw logs of "),
        (["id", "trader", "amm", "blockNumber"], "a subgraph's events"),
        (["a", "b"], "The nearest is "),
    ],
)
def test_unknown_columns_name_the_nearest_exporter(tmp_path: Path, columns: list[str], nearest: str) -> None:
    said = refused([written(tmp_path, pl.DataFrame({name: [f"0x{1:064x}-1"] for name in columns}), "strange.csv")])
    assert f"strange.csv: The columns ({', '.join(columns)}) are those of no known export" in said
    assert nearest in said
    assert "Known: raw logs of Dune (gnosis.logs); " in said


@pytest.mark.parametrize(("name", "data"), [("x.parquet", b"PAR1no"), ("x.csv", b""), ("x.json", b"{"), ("x.csv", b"a,b\n1,2,3\n")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert f"{name}: The file cannot be read (" in refused([path])


CELL = st.sampled_from(["0x" + "ab" * 32, "0x" + "cd" * 32, "0x" + "Ef" * 32, "0x" + "ab" * 31, "0x" + "ag" * 32, "ab" * 33, "", None])


@pytest.mark.property
@given(st.lists(CELL, max_size=30), st.lists(st.integers(1, 5), min_size=30, max_size=30), st.booleans())
def test_the_quick_look_at_a_column_and_the_search_for_bad_rows_agree(cells: list[str | None], times: list[int], optional: bool) -> None:
    column = [cell for cell, repeated in zip(cells, times, strict=False) for _ in range(repeated)]
    frame = pl.DataFrame({"row": range(len(column)), "transaction_hash": column}, schema={"row": pl.Int64, "transaction_hash": pl.String})
    sheet = Sheet("made", frame, {"transaction_hash": "tx"})
    found = sheet.cells("transaction_hash", "hash", optional).to_list()
    missing = [cell or None for cell in column]
    good = [optional if cell is None else re.fullmatch("0x[0-9a-fA-F]{64}", cell) is not None for cell in missing]
    assert found == [cell.lower() if cell and ok else None for cell, ok in zip(missing, good, strict=True)]
    assert [problem.where for problem in sheet.problems] == [f"made row {row}" for row, ok in enumerate(good) if not ok][:20]
