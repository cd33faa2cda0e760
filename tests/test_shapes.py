"""The same crash in every shape that people have it in pays the same; what cannot be read is named."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from perpcomp import pipeline
from perpcomp.findings import InputError
from perpcomp.fixed import AMOUNT
from perpcomp.input import Input
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.events import CLEARING_HOUSE_EVENTS, POSITION_CHANGED, POSITION_LIQUIDATED
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from tests import build
from tests.made_logs import CHANGES, account, crash

Logs = list[dict[str, Any]]
MARGINS = [30_000, 22_500]
LOGS = crash(MARGINS)
PAID = {account(0): Decimal(30_000), account(1): Decimal(22_500)}
COUNTS = ("blockNumber", "transactionIndex", "logIndex", "blockTimestamp")


def run(folder: Path, file: Path, blocks: Path | None = None) -> Run:
    return pipeline.compute(build.made_up(folder, CHANGES), Input(file, blocks))


def paid(folder: Path, file: Path, blocks: Path | None = None) -> dict[str, Decimal]:
    payouts = run(folder, file, blocks).payouts
    return dict(payouts.select("trader", "entitlement").rows())


def refused(folder: Path, file: Path) -> str:
    with pytest.raises(InputError) as caught:
        run(folder, file)
    assert caught.value.exit_code == 2
    return str(caught.value)


def put(folder: Path, name: str, content: str | bytes | Any) -> Path:
    """A file; what is neither text nor bytes becomes JSON."""
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lines(rows: Logs) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# The shapes of raw logs


def with_numbers(index: str = "logIndex", **more: Any) -> Logs:
    """Rows as ethers, viem and web3.py write them."""
    rows = [{**log, **{name: int(log[name], 16) for name in COUNTS}, **more} for log in LOGS]
    return [{index if name == "logIndex" else name: value for name, value in row.items()} for row in rows]


def by_explorer(nulls: bool = True, zero: str = "0x0") -> Logs:
    return [
        {
            **{name: log[name] for name in ("address", "data", "blockNumber", "transactionHash")},
            **{name: zero if log[name] == "0x0" else log[name] for name in ("logIndex", "transactionIndex")},
            "topics": (log["topics"] + [None] * 4)[:4] if nulls else log["topics"],
            "timeStamp": log["blockTimestamp"],
            "gasPrice": "0x3b9aca00",
            "gasUsed": "0x121a0",
        }
        for log in LOGS
    ]


def by_erigon(logs: Logs = LOGS) -> Logs:
    return [{("timestamp" if name == "blockTimestamp" else name): value for name, value in log.items()} for log in logs]


def by_etl() -> Logs:
    """JSON lines of ethereum-etl."""
    return [
        {
            "type": "log",
            "log_index": int(log["logIndex"], 16),
            "transaction_hash": log["transactionHash"],
            "transaction_index": int(log["transactionIndex"], 16),
            "block_hash": log["blockHash"],
            "block_number": int(log["blockNumber"], 16),
            "address": log["address"],
            "data": log["data"],
            "topics": log["topics"],
            "block_timestamp": int(log["blockTimestamp"], 16),
        }
        for log in LOGS
    ]


def by_dune(rows: Logs = LOGS) -> Logs:
    """Rows of gnosis.logs in an answer of Dune's API."""
    return [
        {
            "block_time": f"{datetime.fromtimestamp(int(log['blockTimestamp'], 16), UTC):%Y-%m-%d %H:%M:%S}.000 UTC",
            "block_number": int(log["blockNumber"], 16),
            "block_hash": log["blockHash"],
            "contract_address": log["address"],
            **{f"topic{n}": log["topics"][n] if n < len(log["topics"]) else None for n in range(4)},
            "data": log["data"],
            "tx_hash": log["transactionHash"],
            "index": int(log["logIndex"], 16),
            "tx_index": int(log["transactionIndex"], 16),
        }
        for log in rows
    ]


def dune_answer(rows: Logs, total: int = len(LOGS), **more: Any) -> dict[str, Any]:
    result = {"rows": rows, "metadata": {"column_names": list(rows[0]), "row_count": len(rows), "total_row_count": total}}
    return {"execution_id": "01H", "query_id": 1, "is_execution_finished": True, "state": "QUERY_STATE_COMPLETED", "result": result, **more}


def envelope(rows: Logs) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": rows}


SHAPES: dict[str, tuple[str, Any]] = {
    "node": ("logs.jsonl", lines(LOGS)),
    "newline-delimited, under the other names": ("logs.ndjson", lines(LOGS)),
    "rows a line in .json": ("logs.json", lines(LOGS)),
    "curl": ("curl.json", envelope(LOGS)),
    "curl in .jsonl": ("curl.jsonl", envelope(LOGS)),
    "curl, two requests": ("batch.json", [envelope(LOGS[:2]), envelope(LOGS[2:])]),
    "an answer a line": ("answers.jsonl", lines([envelope(LOGS[:2]), envelope(LOGS[2:])])),
    "cast logs --json": ("cast.json", LOGS),
    "pretty": ("pretty.json", json.dumps(LOGS, indent=2)),
    "pretty in .jsonl": ("pretty.jsonl", json.dumps(LOGS, indent=2)),
    "ethers 5": ("ethers.json", with_numbers()),
    "ethers 6": ("ethers6.json", with_numbers("index", _type="log")),
    "viem": ("viem.json", with_numbers(args={"trader": "0x1"}, eventName="PositionChanged")),
    "ethers lines": ("ethers.jsonl", lines(with_numbers())),
    "blank lines": ("blank.jsonl", "\n\n" + lines(with_numbers()).replace("\n", "\n\n")),
    "blockscout": ("answer.json", {"message": "OK", "result": by_explorer(), "status": "1"}),
    "blockscout rows": ("rows.jsonl", lines(by_explorer())),
    "etherscan": ("etherscan.json", {"status": "1", "message": "OK", "result": by_explorer(nulls=False, zero="0x")}),
    "erigon": ("erigon.jsonl", lines(by_erigon())),
    "erigon's answer": ("erigon.json", envelope(by_erigon())),
    "ethereum-etl": ("etl.json", lines(by_etl())),
    "dune": ("dune.json", dune_answer(by_dune())),
    "dune, two pages": ("dune.jsonl", lines([dune_answer(by_dune(LOGS[:2]), next_offset=2), dune_answer(by_dune(LOGS[2:]))])),
    "an answer without logs before the other": ("answers.jsonl", lines([envelope([]), envelope(LOGS)])),
    "with the chain's number": ("logs.jsonl", lines([{**log, "chainId": "0x64"} for log in LOGS])),
    "gzip": ("logs.jsonl.gz", gzip.compress(lines(LOGS).encode())),
    "gzip without the ending": ("logs.jsonl", gzip.compress(lines(LOGS).encode())),
    "gzipped answer": ("curl.json.gz", gzip.compress(json.dumps(envelope(LOGS)).encode())),
    "byte order mark": ("logs.jsonl", "\ufeff" + lines(LOGS)),
    "redirected by PowerShell": ("cast.json", json.dumps(LOGS).encode("utf-16")),
    "rows redirected by PowerShell": ("logs.jsonl", lines(LOGS).replace("\n", "\r\n").encode("utf-16")),
}


@pytest.mark.parametrize(("name", "content"), SHAPES.values(), ids=SHAPES)
def test_every_shape_of_logs_pays_the_same(tmp_path: Path, name: str, content: Any) -> None:
    assert paid(tmp_path, put(tmp_path, name, content)) == PAID


def test_an_explorers_answer_pays_four_accounts(tmp_path: Path) -> None:
    """30,000 + 22,500 + 8,000 + 5,000 = 65,500."""
    logs = crash([30_000, 22_500, 8_000, 5_000])
    rows = [{**{k: v for k, v in log.items() if k not in ("blockHash", "removed")}, "topics": [*log["topics"], None]} for log in logs]
    rows = [{("timeStamp" if k == "blockTimestamp" else k): v for k, v in row.items()} for row in rows]
    found = paid(tmp_path, put(tmp_path, "answer.json", {"message": "OK", "result": rows, "status": "1"}))
    assert sum(found.values()) == 65_500
    assert len(found) == 4


def test_a_folder_of_log_files_is_one_input(tmp_path: Path) -> None:
    """Sorted by name; rows are counted through, so that a finding names one."""
    folder = tmp_path / "logs"
    folder.mkdir()
    put(folder, "14600000_to_14610000.jsonl", lines(LOGS[:1]))
    put(folder, "14610001_to_14620000.jsonl.gz", gzip.compress(lines(LOGS[1:4]).encode()))
    last = put(folder, "14620001_to_14630000.jsonl", lines(LOGS[4:]))
    assert paid(tmp_path, folder) == PAID
    last.write_text(lines([*LOGS[4:], LOGS[3]]))
    said = refused(tmp_path, folder)
    assert f"logs row 4: Log {int(LOGS[3]['logIndex'], 16)} of block {int(LOGS[3]['blockNumber'], 16)} is listed twice." in said
    assert f"logs row {len(LOGS) + 1}: " in said


def test_a_folder_may_mix_shapes_of_logs(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    put(folder, "a.jsonl", lines(LOGS[:2]))
    put(folder, "b.json", envelope(LOGS[2:]))
    assert paid(tmp_path, folder) == PAID


@pytest.mark.parametrize("name", ["logs.json", "logs.jsonl"])
def test_a_removed_log_is_refused_in_every_shape(tmp_path: Path, name: str) -> None:
    rows = with_numbers()
    rows[3]["removed"] = True
    said = refused(tmp_path, put(tmp_path, name, lines(rows)))
    assert f"{name} row 4: The log was removed by a reorganisation" in said


# Tables of raw logs

DUNE = [
    "block_time",
    "block_number",
    "block_hash",
    "contract_address",
    "topic0",
    "topic1",
    "topic2",
    "topic3",
    "data",
    "tx_hash",
    "index",
    "tx_index",
]
ETL = ["log_index", "transaction_hash", "transaction_index", "block_hash", "block_number", "address", "data", "topics", "block_timestamp"]
SCOUT = ["TxHash", "Index", "BlockNumber", "BlockHash", "ContractAddress", "Data", "FirstTopic", "SecondTopic", "ThirdTopic", "FourthTopic"]


def utc(log: dict[str, Any]) -> str:
    return f"{datetime.fromtimestamp(int(log['blockTimestamp'], 16), UTC):%Y-%m-%d %H:%M:%S} UTC"


def table(columns: list[str], rows: list[list[Any]], separator: str = ",", quoting: Any = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, quoting=quoting, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue()


def number(log: dict[str, Any], name: str) -> int:
    return int(log[name], 16)


def dune_rows(nothing: str = "") -> list[list[Any]]:
    return [
        [
            utc(log),
            number(log, "blockNumber"),
            log["blockHash"],
            log["address"],
            *log["topics"],
            nothing,
            log["data"],
            log["transactionHash"],
            number(log, "logIndex"),
            number(log, "transactionIndex"),
        ]
        for log in LOGS
    ]


def etl_rows() -> list[list[Any]]:
    return [
        [
            number(log, "logIndex"),
            log["transactionHash"],
            number(log, "transactionIndex"),
            log["blockHash"],
            number(log, "blockNumber"),
            log["address"],
            log["data"],
            ",".join(log["topics"]),
            utc(log),
        ]
        for log in LOGS
    ]


@pytest.mark.parametrize("nothing", ["", "<nil>", "NULL", "None", "nan", "\\N", "null", "NaN", "N/A", "<NA>"])
def test_a_topic_that_is_not_there_is_not_there(tmp_path: Path, nothing: str) -> None:
    assert paid(tmp_path, put(tmp_path, "dune.csv", table(DUNE, dune_rows(nothing)))) == PAID


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encode",
    [str.encode, lambda t: t.encode("utf-8-sig"), lambda t: t.encode("utf-16"), lambda t: gzip.compress(t.encode())],
    ids=["utf-8", "bom", "utf-16", "gzip"],
)
def test_a_table_is_read_whatever_program_saved_it(tmp_path: Path, encode: Callable[[str], bytes], separator: str, quoting: int) -> None:
    text = table(DUNE, dune_rows(), separator, quoting).replace("\n", "\r\n")
    assert paid(tmp_path, put(tmp_path, "dune.csv", encode(text))) == PAID


def test_blockscouts_csv_is_read_with_a_block_list(tmp_path: Path) -> None:
    rows = [
        [
            log["transactionHash"],
            number(log, "logIndex"),
            number(log, "blockNumber"),
            log["blockHash"],
            log["address"],
            log["data"],
            *log["topics"],
            "",
        ]
        for log in LOGS
    ]
    times = sorted({(number(log, "blockNumber"), number(log, "blockTimestamp")) for log in LOGS})
    blocks = put(tmp_path, "blocks.csv", table(["number", "timestamp"], [list(pair) for pair in times]))
    assert paid(tmp_path, put(tmp_path, "logs.csv", table(SCOUT, rows)), blocks) == PAID
    undated = [{k: v for k, v in log.items() if k != "blockTimestamp"} for log in LOGS]
    assert paid(tmp_path, put(tmp_path, "logs.jsonl", lines(undated)), blocks) == PAID, "a list in CSV dates JSON lines too"


def torn(rows: list[str], n: int) -> str:
    """Two writers in one file: row n is cut, and the next begins in it."""
    return "\n".join([*rows[:n], rows[n][:180] + rows[n + 1], rows[n][180:], *rows[n + 2 :]]) + "\n"


def test_a_torn_row_is_named(tmp_path: Path) -> None:
    rows = table(ETL, etl_rows()).splitlines()
    assert paid(tmp_path, put(tmp_path, "etl.csv", "\n".join(rows) + "\n")) == PAID
    assert "Row 4 has 14 cells, but the header has 9." in refused(tmp_path, put(tmp_path, "torn.csv", torn(rows, 3)))
    short = [*rows[:3], ",".join(rows[3].split(",")[:5]), *rows[4:]]
    assert "Row 4 has 5 cells, but the header has 9." in refused(tmp_path, put(tmp_path, "short.csv", "\n".join(short) + "\n"))
    cut = "\n".join(rows)[:-400]
    assert f"Row {len(rows)} has 7 cells, but the header has 9." in refused(tmp_path, put(tmp_path, "cut.csv", cut))


def test_a_log_without_topics_is_never_left_out(tmp_path: Path) -> None:
    rows = dune_rows()
    rows[2][4:8] = [""] * 4
    assert "dune.csv row 4: The log has no topic" in refused(tmp_path, put(tmp_path, "dune.csv", table(DUNE, rows)))


# The place of a log


def test_an_index_that_two_transactions_share_is_left_empty(tmp_path: Path) -> None:
    """erigon_getLogs gives 0 for every transaction."""
    logs = [{**log, "transactionIndex": "0x0"} for log in crash(MARGINS, one_block=True)]
    for name, rows in (("erigon.jsonl", by_erigon(logs)), ("timed.jsonl", logs)):
        found = run(tmp_path, put(tmp_path, name, lines(rows)))
        assert dict(found.payouts.select("trader", "entitlement").rows()) == PAID
        assert found.events.table["transaction_index"].null_count() == found.events.table.height
        (finding,) = [problem for problem in found.problems if problem.code == "shared-transaction-index"]
        assert "have the index 0, so the column transaction_index of the events is left empty." in finding.what
    right = run(tmp_path, put(tmp_path, "right.jsonl", lines(crash(MARGINS, one_block=True))))
    assert right.events.table["transaction_index"].null_count() == 0
    assert not [problem for problem in right.problems if problem.code == "shared-transaction-index"]


def test_an_index_of_logs_that_begins_in_each_transaction_is_named(tmp_path: Path) -> None:
    """Rows of two transactions are no duplicates: to remove one would remove a victim."""
    logs = crash([30_000, 22_500, 8_000], one_block=True)
    assert sum(paid(tmp_path, put(tmp_path, "right.jsonl", lines(logs))).values()) == 60_500
    seen: dict[str, int] = {}
    for log in logs:
        seen[log["transactionHash"]] = seen.get(log["transactionHash"], -1) + 1
        log["logIndex"] = hex(seen[log["transactionHash"]])
    said = refused(tmp_path, put(tmp_path, "rows.jsonl", lines(logs)))
    assert (
        "these belong to different transactions: they are different logs, not duplicates. Some gateways count logIndex inside each" in said
    )
    assert "Keep all of them" in said
    assert "listed twice" not in said


# Decoded events


def decoded_rows() -> list[dict[str, Any]]:
    """Every event in one table, amounts in base units."""
    rows = []
    for log in LOGS:
        event = next(event for event in CLEARING_HOUSE_EVENTS if event.topic0 == log["topics"][0])
        row: dict[str, Any] = {"event": event.name, "trader": "0x" + log["topics"][1][26:], "market": "0x" + log["topics"][2][26:]}
        for n, argument in enumerate(event.words):
            word = int(log["data"][2 + 64 * n : 66 + 64 * n], 16)
            row[argument.name] = f"0x{word:040x}" if argument.type == "address" else word - 2**256 * (word >= 2**255)
        row |= {"block_number": number(log, "blockNumber"), "transaction_index": number(log, "transactionIndex")}
        row |= {"log_index": number(log, "logIndex"), "transaction_hash": log["transactionHash"], "block_time": utc(log)}
        rows.append(row)
    return rows


ADDRESSES = ("event", "trader", "market", "liquidator", "block_number", "transaction_index", "log_index", "transaction_hash", "block_time")


def decoded_table(change: Callable[[str, Any], Any] = lambda _, value: value, separator: str = ",") -> str:
    rows = decoded_rows()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return table(columns, [[change(name, row[name]) if name in row else "" for name in columns] for row in rows], separator)


def test_decoded_events_survive_a_spreadsheet(tmp_path: Path) -> None:
    assert paid(tmp_path, put(tmp_path, "plain.csv", decoded_table())) == PAID
    assert paid(tmp_path, put(tmp_path, "semicolon.csv", decoded_table(separator=";").replace("\n", "\r\n"))) == PAID
    counts = ("block_number", "transaction_index", "log_index")
    pointed = decoded_table(lambda name, value: f"{value}.0" if name in counts else value)
    assert paid(tmp_path, put(tmp_path, "point-zero.csv", pointed)) == PAID


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n, v: f"{v:.5E}" if n == "margin" and v else v, 'margin is "3.00000E+22". The value was a float before and may have lost'),
        (lambda n, v: f"{v:,}" if n == "margin" and v else v, "Its digits are grouped: export it without separators."),
        (lambda n, v: f"{v}.0" if n == "margin" and v else v, "The value was a float before, or it counts tokens and not base units"),
        (lambda n, v: "2/20/2021 22:46" if n == "block_time" else v, 'block_time is "2/20/2021 22:46". It must be a time in UTC'),
        (lambda n, v: "20210220" if n == "block_time" else v, 'block_time is "20210220". It must be a time in UTC'),
    ],
)
def test_what_a_spreadsheet_spoilt_is_named(tmp_path: Path, change: Callable[[str, Any], Any], said: str) -> None:
    assert said in refused(tmp_path, put(tmp_path, "spoilt.csv", decoded_table(change)))


def amounts_as(dtype: Any, scale: int = 0) -> pl.DataFrame:
    rows = [
        {name: value if name in ADDRESSES or scale == 0 else Decimal(value).scaleb(-scale) for name, value in row.items()}
        for row in decoded_rows()
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    series = []
    for name in columns:
        values = [row.get(name) for row in rows]
        exact = pl.Series(name, values, dtype=pl.Int128) if name not in ADDRESSES and scale == 0 else None
        series.append(exact.cast(dtype) if exact is not None else pl.Series(name, values, dtype=None if name in ADDRESSES else dtype))
    return pl.DataFrame(series)


def test_exact_types_of_parquet_are_read(tmp_path: Path) -> None:
    for name, frame in (("base", amounts_as(pl.Decimal(38, 0))), ("tokens", amounts_as(AMOUNT, 18)), ("int128", amounts_as(pl.Int128))):
        path = tmp_path / f"{name}.parquet"
        frame.write_parquet(path)
        assert paid(tmp_path, path) == PAID, name
    path = tmp_path / "double.parquet"
    amounts_as(pl.Float64).write_parquet(path)
    assert "in a column of type Float64. The value was a float before" in refused(tmp_path, path)


def test_base_units_in_a_type_of_tokens_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.parquet"
    tokens = amounts_as(AMOUNT, 18).with_columns(pl.lit(Decimal(10**15), AMOUNT).alias("fee"))
    tokens.write_parquet(path)
    assert "fee is 1000000000000000.000000000000000000 tokens. With 18 places it must count tokens" in refused(tmp_path, path)


def test_token_terminals_tables_are_read(tmp_path: Path) -> None:
    """A table an event, and in_ before each argument."""
    folder = tmp_path / "terminal"
    folder.mkdir()
    renamed = {"market": "amm", "trader": "trader"}
    for event in (POSITION_CHANGED, POSITION_LIQUIDATED):
        rows = []
        for row in (row for row in decoded_rows() if row["event"] == event.name):
            cells = {"block_timestamp": row["block_time"], "contract_address": CHANGES["0x" + "a" * 40]}
            cells |= {name: row[name] for name in ("block_number", "transaction_hash", "transaction_index", "log_index")}
            for argument in event.arguments:
                theirs = {**renamed, **({"fee_shortfall": "bad_debt"} if event is POSITION_LIQUIDATED else {})}.get(
                    argument.name, argument.name
                )
                head, *tail = theirs.split("_")
                cells["in_" + head + "".join(part.title() for part in tail)] = row[argument.name]
            rows.append(cells)
        put(folder, f"ClearingHouse_{event.name}_event.csv", table(list(rows[0]), [list(row.values()) for row in rows]))
    assert paid(tmp_path, folder) == PAID


def entities(identity: Callable[[str, int], str]) -> dict[str, Any]:
    """A subgraph's answer; `identity` makes an id of transaction hash and log index."""
    lists: dict[str, Any] = {"positionChangedEvents": [], "positionLiquidatedEvents": []}
    for row, log in zip(decoded_rows(), LOGS, strict=True):
        entity = {"id": identity(row["transaction_hash"], row["log_index"]), "timestamp": str(number(log, "blockTimestamp"))}
        for name, value in row.items():
            if name in ("event", "transaction_hash", "transaction_index", "log_index", "block_time"):
                continue
            name = {"market": "amm", "fee_shortfall": "bad_debt"}.get(name, name)
            head, *tail = name.split("_")
            entity[head + "".join(part.title() for part in tail)] = str(value)
        lists["positionChangedEvents" if row["event"] == "PositionChanged" else "positionLiquidatedEvents"].append(entity)
    return {"data": lists}


@pytest.mark.parametrize("identity", [lambda h, i: f"{h}-{i}", lambda h, i: h + i.to_bytes(4, "little").hex()], ids=["text", "bytes"])
def test_a_subgraphs_id_holds_the_place_of_the_log(tmp_path: Path, identity: Callable[[str, int], str]) -> None:
    found = run(tmp_path, put(tmp_path, "answer.json", entities(identity)))
    assert dict(found.payouts.select("trader", "entitlement").rows()) == PAID
    place = {(number(log, "blockNumber"), number(log, "logIndex")) for log in LOGS if log["topics"][0] == POSITION_CHANGED.topic0}
    assert set(found.events.table.select("block_number", "log_index").rows()) == place


# What is no logs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "limit exceeded"}},
            "This is an answer to eth_getLogs, and an error: ",
        ),
        ({"jsonrpc": "2.0", "id": 1, "result": "0x10"}, 'This is a node\'s answer, but its result is not a list of logs: "0x10".'),
        ({"status": "0", "message": "NOTOK", "result": "Max rate limit reached"}, 'is not a list of logs: "Max rate limit reached".'),
        ({"items": [{"index": 1}], "next_page_params": None}, "module=logs&action=getLogs&address=CONTRACT"),
        ({"data": {"items": [{"log_offset": 1}]}, "error": False}, "This is a page of a REST API"),
        (dune_answer(by_dune(), next_offset=4), "next_offset of the last answer says that more rows follow."),
        (dune_answer(by_dune(LOGS[:2])), f"total_row_count of the last answer is {len(LOGS)}, but the file has 2 rows."),
        (dune_answer(by_dune()) | {"state": "QUERY_STATE_COMPLETED_PARTIAL"}, "its query is not complete"),
        ({"execution_id": "01H", "state": "QUERY_STATE_EXECUTING"}, "This is an answer of Dune's API, and its query is not complete"),
        ({"error": "invalid API Key"}, 'and an error: "invalid API Key".'),
        ({"result": by_dune(), "cursor": "eyJ"}, "cursor of the last answer says that more rows follow."),
        ([], "The answer or list holds no row."),
        (envelope([]), "The answer or list holds no row."),
        ([{**log, "chainId": 1} for log in LOGS], "row 1: chain_id is 1, but the incident's is 100."),
        ([{"amount": 1, "who": "0x1"}], "The columns (amount, who) are those of no known export."),
        ({"data": {"positions": []}}, "positions is not a list of events."),
        ([[1]], "The row is not a JSON object: [1]."),
        ("[", "The file cannot be read ("),
        ("", "The file cannot be read ("),
    ],
)
def test_what_an_answer_is_is_named(tmp_path: Path, content: Any, said: str) -> None:
    assert said in refused(tmp_path, put(tmp_path, "answer.json", content))


def test_a_line_that_is_no_log_is_shown(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    said = refused(tmp_path, put(tmp_path, "logs.jsonl", pointer))
    assert "row 1: The line is not a row of eth_getLogs" in said
    assert "It begins: 'version https://git-lfs.github.com/spec/'." in said
    other_chain = put(tmp_path, "logs.jsonl", lines([{**log, "chainId": "0x1"} for log in LOGS]))
    assert "row 1: chain_id is 1, but the incident's is 100." in refused(tmp_path, other_chain)


def test_our_own_events_are_read_again_without_a_warning(tmp_path: Path) -> None:
    first = run(tmp_path, put(tmp_path, "logs.jsonl", lines(LOGS)))
    text = to_csv(first.events.table, EVENTS).decode()
    for name, content in (
        ("1-events.csv", text),
        ("excel.csv", ("\ufeff" + text.replace(",", ";")).encode()),
        ("utf16.csv", text.encode("utf-16")),
    ):
        again = run(tmp_path, put(tmp_path, name, content))
        assert again.events.table.equals(first.events.table)
        assert {replace(problem, where="") for problem in again.problems} == {replace(problem, where="") for problem in first.problems}
