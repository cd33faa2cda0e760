"""The queries for Dune, a warehouse and the subgraph, run over the recorded logs: imported, each gives the direct decode's rows.

No Trino, BigQuery or graph-node runs here. DuckDB executes the SQL after sqlglot has translated it from Trino's and from BigQuery's
dialect, with the functions that only DuneSQL has defined below; graphql-core validates and executes the GraphQL document against
the part of the subgraph's schema in lab/, with the recorded events behind it.
"""

import re
from pathlib import Path
from typing import Any

import duckdb
import graphql
import polars as pl
import pytest
import sqlglot

from perpcomp.incident import incident_file
from perpcomp.ingest.exports.subgraph import PAGE
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1 import events as v1
from tests import build
from tests.conftest import LAB
from tests.raw_logs import read_export
from tests.test_exports import (
    DIRECT,
    HOUSE,
    REHEARSAL,
    SUBGRAPH_LACKS,
    TABLES,
    WANTED,
    answered,
    as_answer,
    as_dune,
    as_etl,
    check_decoded,
    imported_raw,
    imported_tables,
    v1_event,
)

DUNE = (incident_file.shelf() / "perpetual-v1.dune.sql").read_text()
WAREHOUSE = (incident_file.shelf() / "perpetual-v1.warehouse.sql").read_text()
SUBGRAPH = (incident_file.shelf() / "perpetual-v1.subgraph.graphql").read_text()
META = """
type _Block_ { number: Int! timestamp: Int }
type _Meta_ { block: _Block_! hasIndexingErrors: Boolean! }
extend type Query { _meta: _Meta_ }
"""  # what graph-node adds to the schema of every subgraph
SCHEMA = graphql.build_schema((LAB / "perp-position-subgraph.graphql").read_text() + META)
START, END = "2020-12-01 00:00:00", "2021-06-01 00:00:00"

# What DuneSQL has and DuckDB has not. Positions count bytes from 1. DuckDB's BIGNUM adds exactly at any width and multiplies as a
# float, so that the digits of a word are summed up by adding alone.
DUNE_FUNCTIONS = f"""
CREATE MACRO varbinary_substring(bytes, first, length) AS unhex(substr(hex(bytes), 2 * first - 1, 2 * length));
CREATE MACRO length(bytes) AS octet_length(bytes);
CREATE MACRO twice(n) AS n + n;
CREATE MACRO varbinary_to_uint256(word) AS CASE WHEN octet_length(word) <> 32 THEN error('not a word') ELSE list_reduce(
    list_transform(string_split(hex(word), ''), lambda digit: (strpos('0123456789ABCDEF', digit) - 1)::BIGNUM),
    lambda n, digit: twice(twice(twice(twice(n)))) + digit
) END;
CREATE MACRO varbinary_to_int256(word) AS
    varbinary_to_uint256(word) - CASE WHEN hex(word) >= '8' THEN '{2**256}'::BIGNUM ELSE 0::BIGNUM END;
CREATE SCHEMA gnosis;
CREATE SCHEMA dataset;
"""


def database(folder: Path) -> duckdb.DuckDBPyConnection:
    """gnosis.logs as Dune has it, and dataset.logs in the shape of ethereum-etl's."""
    db = duckdb.connect()
    db.execute(DUNE_FUNCTIONS)
    hexes = ["block_hash", "contract_address", "topic0", "topic1", "topic2", "topic3", "data", "tx_hash"]
    times = pl.col("block_time").str.to_datetime("%Y-%m-%d %H:%M:%S.000 UTC")
    as_dune().with_columns(times, pl.col(hexes).str.slice(2).str.decode("hex")).write_parquet(folder / "gnosis.parquet")
    as_etl(None, timed=True).with_columns(pl.col("block_timestamp").dt.replace_time_zone(None)).write_parquet(folder / "etl.parquet")
    db.execute(f"CREATE TABLE gnosis.logs AS FROM '{folder / 'gnosis.parquet'}'")
    db.execute(f"CREATE TABLE dataset.logs AS FROM '{folder / 'etl.parquet'}'")
    return db


def dune_sql(**parameters: str) -> str:
    """The Dune query with its parameters put in as Dune does, as text, and translated."""
    text = DUNE
    for name, value in {"clearing_house": HOUSE, "start_ts": START, "end_ts": END, **parameters}.items():
        assert f"{{{{{name}}}}}" in text
        text = text.replace(f"{{{{{name}}}}}", value)
    assert "{{" not in text
    (sql,) = sqlglot.transpile(text, read="trino", write="duckdb")
    return sql


def exported(db: duckdb.DuckDBPyConnection, folder: Path, sql: str, name: str, parameters: dict[str, Any] | None = None) -> Path:
    """The result of a query in a file."""
    path = folder / name
    db.execute(f"CREATE OR REPLACE TABLE result AS {sql}", parameters)
    db.execute(f"COPY result TO '{path}' " + ("(HEADER)" if name.endswith(".csv") else "(FORMAT parquet)"))
    return path


def warehouse_parameters() -> dict[str, Any]:
    return {"clearing_house": HOUSE, "markets": [m.amm for m in REHEARSAL.markets], "start_ts": START, "end_ts": END}


@pytest.mark.parametrize("name", ["dune.csv", "dune.parquet"])
def test_the_dune_query_gives_the_direct_decode(tmp_path: Path, rehearsal: Run, name: str) -> None:
    tables = imported_tables([exported(database(tmp_path), tmp_path, dune_sql(), name)])
    assert list(tables) == [event.name for event in v1.CLEARING_HOUSE_EVENTS]
    check_decoded(tables, rehearsal)


@pytest.mark.parametrize("name", ["warehouse.csv", "warehouse.parquet"])
def test_the_warehouse_query_gives_the_nodes_rows(tmp_path: Path, rehearsal: Run, name: str) -> None:
    (sql,) = sqlglot.transpile(WAREHOUSE, read="bigquery", write="duckdb")
    raw = imported_raw([exported(database(tmp_path), tmp_path, sql, name, warehouse_parameters())])
    house = [event.topic0 for event in v1.CLEARING_HOUSE_EVENTS]  # a market has an Upgraded too, which is not asked for
    assert raw.drop("row").equals(DIRECT.filter((pl.col("address") == HOUSE) == pl.col("topic0").is_in(house)).drop("row"))
    tables = v1.decode_all(raw, 100, HOUSE)
    assert all(tables[event].equals(TABLES[event]) for event in TABLES)
    assert build.events_of(tables).equals(rehearsal.events.table)


def test_the_warehouse_query_runs_without_markets(tmp_path: Path, rehearsal: Run) -> None:
    (sql,) = sqlglot.transpile(WAREHOUSE, read="bigquery", write="duckdb")
    raw = imported_raw([exported(database(tmp_path), tmp_path, sql, "raw.csv", {**warehouse_parameters(), "markets": []})])
    assert set(raw["address"]) == {HOUSE}
    assert build.events_of(v1.decode_all(raw, 100, HOUSE)).equals(rehearsal.events.table)


def test_the_window_of_the_sql_is_half_open(tmp_path: Path) -> None:
    """From the second of the first event on, up to and without that of the last."""
    table = TABLES["PositionChanged"]
    first, last = table["block_time"][0], table["block_time"][-1]
    inside = table.filter(pl.col("block_time").is_between(first, last, closed="left"))
    assert 0 < inside.height < table.height
    db, window = database(tmp_path), {"start_ts": f"{first:%Y-%m-%d %H:%M:%S}", "end_ts": f"{last:%Y-%m-%d %H:%M:%S}"}
    decoded = imported_tables([exported(db, tmp_path, dune_sql(**window), "dune.csv")])
    assert decoded["PositionChanged"].equals(inside)
    (sql,) = sqlglot.transpile(WAREHOUSE, read="bigquery", write="duckdb")
    raw = imported_raw([exported(db, tmp_path, sql, "raw.csv", warehouse_parameters() | window)])
    assert v1.decode_all(raw, 100, HOUSE)["PositionChanged"].equals(inside)


def test_an_older_layout_comes_out_of_the_sql_and_is_refused(tmp_path: Path) -> None:
    """Silence would be worse: a log of the ClearingHouse whose words mean something else."""
    db = database(tmp_path)
    old = v1.OLD_LAYOUTS[1] + "0" * 56
    changed = v1.POSITION_CHANGED.topic0
    db.execute(f"UPDATE gnosis.logs SET topic0 = unhex('{old[2:]}') WHERE topic0 = unhex('{changed[2:]}')")
    db.execute(f"UPDATE dataset.logs SET topics = list_concat(['{old}'], topics[2:]) WHERE topics[1] = '{changed}'")
    with pytest.raises(Exception, match="event is OlderLayout"):
        read_export([exported(db, tmp_path, dune_sql(), "dune.csv")], WANTED)
    (sql,) = sqlglot.transpile(WAREHOUSE, read="bigquery", write="duckdb")
    with pytest.raises(Exception, match="belongs to an older layout of an event"):
        read_export([exported(db, tmp_path, sql, "raw.csv", warehouse_parameters())], WANTED)


def test_the_whole_word_is_decoded_in_sql(tmp_path: Path) -> None:
    """A word of 39 digits comes out whole, and is refused as it is when perpcomp decodes it."""
    db = database(tmp_path)
    db.execute(f"UPDATE gnosis.logs SET data = unhex(repeat('ff', 352)) WHERE topic0 = unhex('{v1.POSITION_CHANGED.topic0[2:]}')")
    with pytest.raises(Exception, match=f'margin is "{2**256 - 1}"'):
        read_export([exported(db, tmp_path, dune_sql(), "dune.csv")], WANTED)


# What is written in the queries is what the code has


def topics_in(text: str) -> set[str]:
    return set(re.findall(r"0x[0-9a-f]{64}\b", text))


def test_the_topics_in_the_queries_are_those_of_the_code() -> None:
    house = {event.topic0: event.name for event in v1.CLEARING_HOUSE_EVENTS}
    markets = {event.topic0: event.name for event in v1.MARKET_EVENTS}
    assert topics_in(DUNE) == house.keys()
    assert topics_in(WAREHOUSE) == house.keys() | markets.keys()
    assert dict(re.findall(r"topic0 = (0x\w{64}) THEN '(\w+)'", DUNE)) == house
    assert dict(re.findall(r"'(0x\w{64})',? -- (\w+)", WAREHOUSE)) == house | markets
    for text in (DUNE, WAREHOUSE):
        assert tuple(re.findall(r"0x[0-9a-f]{8}\b", text)) == v1.OLD_LAYOUTS


@pytest.mark.parametrize("query", ["2021-02-21-btc-flash-crash", "2021-04-18-eth-flash-crash"])
def test_the_address_in_the_queries_is_that_of_the_incidents(query: str) -> None:
    house = incident_file.load(query).chain.clearing_house
    for text in (DUNE, WAREHOUSE):
        assert re.findall(r"0x[0-9a-fA-F]{40}\b", text) == [house]
    assert not re.findall(r"0x", SUBGRAPH), "a subgraph is of one deployment"


def test_the_columns_of_the_dune_query_are_those_of_the_events() -> None:
    """Every argument is there under our name, read at its place and with its sign."""
    (tree,) = sqlglot.parse(re.sub(r"{{\w+}}", "2021-01-01", DUNE).replace("contract_address = 2021-01-01", "true"), read="trino")
    assert tree is not None
    found = {column.alias_or_name: column.sql("trino") for column in tree.find(sqlglot.exp.Select).expressions}  # type: ignore[union-attr]
    for event in v1.CLEARING_HOUSE_EVENTS:
        for n, argument in enumerate(event.words):
            text = found[argument.name]
            assert f"'{event.name}'" in text
            if argument.type != "address":
                kind = "int" if argument.type == "int" else "uint"
                assert f"VARBINARY_TO_{kind.upper()}256(VARBINARY_SUBSTRING(data, {32 * n + 1}, 32))" in text


# The subgraph


def answers(size: int) -> list[dict[str, Any]]:
    """What the subgraph gives, page by page, when the document is sent as its comment says; `size` rows a page."""
    lists = as_answer()

    def resolve(key: str) -> Any:
        def rows(_info: Any, skip: int, first: int, orderBy: str, orderDirection: str, where: dict[str, str]) -> list[dict[str, str]]:  # noqa: N803
            assert (orderBy, orderDirection) == ("id", "asc")
            assert skip == 0
            kept = [
                row
                for row in sorted(lists[key], key=lambda row: row["id"])
                if row["id"] > where["id_gt"] and int(where["timestamp_gte"]) <= int(row["timestamp"]) < int(where["timestamp_lt"])
            ]
            return kept[:first]

        return rows

    meta = {"block": {"number": 13_500_400, "timestamp": 1_622_505_600}, "hasIndexingErrors": False}
    root = {"_meta": meta, **{key: resolve(key) for key in lists}}
    document = SUBGRAPH.replace(f"first: {PAGE}", f"first: {size}")
    after = {"afterChanged": "", "afterLiquidated": "", "afterMargin": ""}
    pages: list[dict[str, Any]] = []
    while True:
        result = graphql.graphql_sync(SCHEMA, document, root, variable_values={"from": "1606780800", "to": "1622505600", **after})
        assert result.errors is None, result.errors
        assert result.data is not None
        pages.append({"data": result.data})
        found = [rows for key, rows in result.data.items() if key != "_meta"]
        if all(len(rows) < size for rows in found):
            return pages
        for name, rows in zip(after, found, strict=True):
            after[name] = rows[-1]["id"] if rows else after[name]


def test_the_document_is_valid_and_asks_for_full_pages() -> None:
    document = graphql.parse(SUBGRAPH)
    assert graphql.validate(SCHEMA, document) == []
    assert SUBGRAPH.count(f"first: {PAGE}\n") == 3


def test_the_document_asks_for_every_argument() -> None:
    (operation,) = graphql.parse(SUBGRAPH).definitions
    assert isinstance(operation, graphql.OperationDefinitionNode)
    asked = {
        field.name.value: {part.name.value for part in field.selection_set.selections}  # type: ignore[union-attr]
        for field in operation.selection_set.selections
        if isinstance(field, graphql.FieldNode)
    }
    for key, rows in as_answer().items():
        assert asked[key] == rows[0].keys()
        assert len(asked[key]) == 3 + len(v1_event(key[0].upper() + key[1:].removesuffix("Events")).arguments)


@pytest.mark.parametrize("size", [PAGE, 100, 7])
def test_the_subgraphs_answers_are_the_direct_decode(tmp_path: Path, rehearsal: Run, size: int) -> None:
    pages = answers(size)
    assert size == PAGE or len(pages) > 1
    files = [answered(tmp_path, page, f"{n}.json") for n, page in enumerate(pages)]
    check_decoded(imported_tables(files), rehearsal, *SUBGRAPH_LACKS)
    check_decoded(imported_tables([answered(tmp_path, pages, "all.json")]), rehearsal, *SUBGRAPH_LACKS)
