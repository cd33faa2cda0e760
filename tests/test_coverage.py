"""How far an input reaches is stated, and a file that may be cut off is named: an error by its own evidence, a warning without any."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from perpcomp import pipeline
from perpcomp.audit.verify import verify
from perpcomp.coverage import NOT_PROVED, PAGES, coverage
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node.store import Store, Subject
from perpcomp.input import Input, find_input, read_events
from perpcomp.publish.files import files
from perpcomp.publish.folder import write
from perpcomp.publish.manifest import manifest
from perpcomp.publish.stated import MANIFEST, parse_manifest
from perpcomp.publish.summary import summary
from perpcomp.systems.perpetual_v1.events import TOPICS
from tests.build import START, made_up
from tests.stated import written

HOUSE, AMM = "0x" + "aa" * 20, "0x" + "bb" * 20
CHANGED = "0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2"
LIQUIDATED = "0x5225638a979dd133f201045ab4169ec2189874d864f2b5a10be72ac6e4b421b4"
FIRST, SECONDS = 1_000_000, 5
BEGIN = int(START.timestamp()) - 3600  # of block FIRST
E18 = 10**18


def word(number: int) -> str:
    return f"{number % 2**256:064x}"


def opening(n: int, at: int) -> dict[str, Any]:
    """A position that is opened `at` seconds after block FIRST, in a log of its own."""
    words = [1000 * E18, 5000 * E18, E18, 5 * E18, E18, 0, 0, 0, 0, 5000 * E18, 0]
    block = FIRST + at // SECONDS
    return {
        "address": HOUSE,
        "topics": [CHANGED, f"0x{n + 1:064x}", "0x" + "0" * 24 + AMM[2:]],
        "data": "0x" + "".join(map(word, words)),
        "blockHash": f"0x{block:064x}",
        "blockNumber": hex(block),
        "blockTimestamp": hex(BEGIN + at),
        "transactionHash": f"0x{n + 10**9:064x}",
        "transactionIndex": hex(n % 1000),
        "logIndex": hex(n % 1000),
    }


def logs(count: int, last: int = 9000, first: int = 0) -> list[dict[str, Any]]:
    """So many positions, opened evenly from `first` to `last` seconds after block FIRST: the window is from 3600 to 7200."""
    return [opening(n, (first + (last - first) * n // max(1, count - 1)) // SECONDS * SECONDS) for n in range(count)]


def liquidated(rows: list[dict[str, Any]], at: int = 4800) -> list[dict[str, Any]]:
    """The rows, with a liquidation of the first trader."""
    block = {"blockNumber": hex(FIRST + at // SECONDS), "blockHash": f"0x{FIRST + at // SECONDS:064x}", "blockTimestamp": hex(BEGIN + at)}
    one = {**rows[0], **block, "transactionHash": "0x" + "9" * 64}
    changed = [0, 4120 * E18, -E18, 0, 0, -880 * E18, 0, 0, 120 * E18, 4120 * E18, 0]
    paid = [4120 * E18, E18, 515 * E18 // 10, int("cc" * 20, 16), 0]
    halves = [
        {**one, "topics": [LIQUIDATED, *one["topics"][1:]], "data": "0x" + "".join(map(word, paid)), "logIndex": "0x400"},
        {**one, "data": "0x" + "".join(map(word, changed)), "logIndex": "0x401"},
    ]
    return sorted([*rows, *halves], key=lambda row: (int(row["blockNumber"], 16), int(row["logIndex"], 16)))


def jsonl(folder: Path, rows: list[dict[str, Any]], name: str = "logs.jsonl") -> Path:
    path = folder / name
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


@pytest.fixture
def incident(tmp_path: Path) -> Incident:
    return made_up(tmp_path)


def found(incident: Incident, path: Path) -> list[Finding]:
    source = find_input(incident, path)
    return list(coverage(read_events(source, incident), source, incident).problems)


def codes(incident: Incident, path: Path) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in found(incident, path)]


def test_logs_from_before_the_window_to_after_it_need_no_word(incident: Incident, tmp_path: Path) -> None:
    assert not found(incident, jsonl(tmp_path, logs(30)))


def test_the_last_log_inside_the_window_is_a_warning_with_both_times(incident: Incident, tmp_path: Path) -> None:
    (warning,) = found(incident, jsonl(tmp_path, logs(30, last=6000)))
    assert (warning.level, warning.code) == ("warning", "input-may-be-cut")
    assert "2021-02-20T23:25:00Z" in warning.what
    assert "2021-02-20T23:45:00Z" in warning.what


def test_the_first_log_inside_the_window_is_a_warning(incident: Incident, tmp_path: Path) -> None:
    assert codes(incident, jsonl(tmp_path, logs(30, first=3700))) == [("warning", "input-may-be-cut")]


@pytest.mark.parametrize("rows", [100, 500, 1000])
@pytest.mark.parametrize("name", ["logs.jsonl", "logs.jsonl.gz"])
def test_a_file_with_exactly_the_rows_of_a_page_is_a_warning(incident: Incident, tmp_path: Path, rows: int, name: str) -> None:
    assert rows in PAGES
    assert codes(incident, jsonl(tmp_path, logs(rows), name)) == [("warning", "full-page")]
    for other in (rows - 1, rows + 1):
        assert not found(incident, jsonl(tmp_path, logs(other), name))


def test_rows_of_other_contracts_count_for_a_page(incident: Incident, tmp_path: Path) -> None:
    rows = logs(99)
    assert codes(incident, jsonl(tmp_path, [*rows, {**rows[-1], "address": "0x" + "99" * 20}])) == [("warning", "full-page")]


# A subgraph's answers


def entity(n: int, at: int) -> dict[str, str]:
    names = [
        "margin",
        "positionNotional",
        "exchangedPositionSize",
        "fee",
        "positionSizeAfter",
        "realizedPnl",
        "unrealizedPnlAfter",
        "badDebt",
    ]
    amounts = dict.fromkeys([*names, "liquidationPenalty", "spotPrice", "fundingPayment"], "0") | {"margin": str(1000 * E18)}
    sizes = {"positionNotional": str(5000 * E18), "exchangedPositionSize": str(E18), "positionSizeAfter": str(E18)}
    place = {"id": f"0x{n + 1:064x}-{n}", "blockNumber": str(FIRST + at // SECONDS), "timestamp": str(BEGIN + at)}
    return {**place, "trader": f"0x{n + 1:040x}", "amm": AMM, **amounts, **sizes}


def answer(meta: Any, last: int = 6000, count: int = 30, first: int = 0) -> dict[str, Any]:
    rows = [entity(first + n, last * (n + first) // (first + count) // SECONDS * SECONDS) for n in range(count)]
    lists = {"positionChangedEvents": rows, "positionLiquidatedEvents": [], "marginChangedEvents": []}
    return {"data": {**({} if meta is None else {"_meta": meta}), **lists}}


def block(seconds: int, time: bool = False) -> dict[str, Any]:
    number = {"number": FIRST + seconds // SECONDS}
    return number | ({"timestamp": BEGIN + seconds} if time else {})


def saved(folder: Path, *answers: dict[str, Any]) -> Path:
    path = folder / "answers.json"
    path.write_text(json.dumps(answers[0] if len(answers) == 1 else answers))
    return path


def test_a_subgraph_beyond_the_window_needs_no_word(incident: Incident, tmp_path: Path) -> None:
    for time in (False, True):
        assert not found(incident, saved(tmp_path, answer({"block": block(20_000, time), "hasIndexingErrors": False})))


@pytest.mark.parametrize("time", [False, True])
def test_a_subgraph_inside_the_window_is_an_error(incident: Incident, tmp_path: Path, time: bool) -> None:
    stalled = answer({"block": block(6100, time), "hasIndexingErrors": False})
    assert codes(incident, saved(tmp_path, stalled)) == [("error", "input-ends-early")]


def test_a_subgraph_with_indexing_errors_is_an_error(incident: Incident, tmp_path: Path) -> None:
    failed = answer({"block": block(20_000), "hasIndexingErrors": True})
    assert codes(incident, saved(tmp_path, failed)) == [("error", "subgraph-errors")]


def test_an_answer_without_meta_is_a_warning(incident: Incident, tmp_path: Path) -> None:
    assert codes(incident, saved(tmp_path, answer(None, last=9000))) == [("warning", "subgraph-without-meta")]


def test_answers_of_different_blocks_are_a_warning(incident: Incident, tmp_path: Path) -> None:
    two = [answer({"block": block(20_000 + 100 * n)}, first=30 * n) for n in range(2)]
    assert codes(incident, saved(tmp_path, *two)) == [("warning", "subgraph-blocks-differ")]


def test_the_default_page_of_a_subgraph_is_a_warning(incident: Incident, tmp_path: Path) -> None:
    page = answer({"block": block(20_000)}, count=100)
    assert codes(incident, saved(tmp_path, page)) == [("warning", "full-page")]
    two = [page, answer({"block": block(20_000)}, count=30, first=100)]
    assert not found(incident, saved(tmp_path, *two))


# Names of files


def as_table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Logs as cryo exports them."""
    return pl.DataFrame(
        [
            {
                "block_number": int(row["blockNumber"], 16),
                "transaction_index": int(row["transactionIndex"], 16),
                "log_index": int(row["logIndex"], 16),
                "transaction_hash": row["transactionHash"],
                "address": row["address"],
                **{f"topic{n}": row["topics"][n] if n < len(row["topics"]) else None for n in range(4)},
                "data": row["data"],
                "block_hash": row["blockHash"],
                "timestamp": int(row["blockTimestamp"], 16),
                "chain_id": 100,
            }
            for row in rows
        ],
        schema_overrides={f"topic{n}": pl.String for n in range(4)},
    )


def folder_of(path: Path, *ranges: tuple[int, int]) -> Path:
    """A folder of files that state these seconds after block FIRST as blocks, with the logs in them."""
    folder = path / "exported"
    folder.mkdir(exist_ok=True)
    for first, last in ranges:
        inside = [row for row in logs(90, last=8900) if first <= int(row["blockTimestamp"], 16) - BEGIN <= last]
        name = f"gnosis__logs__{FIRST + first // SECONDS:08}_to_{FIRST + last // SECONDS:08}.parquet"
        as_table(inside).write_parquet(folder / name)
    return folder


def test_names_that_state_all_blocks_need_no_word(incident: Incident, tmp_path: Path) -> None:
    assert not found(incident, folder_of(tmp_path, (0, 2995), (3000, 5995), (6000, 8995)))


def test_a_hole_in_the_names_is_an_error_that_names_the_blocks(incident: Incident, tmp_path: Path) -> None:
    (error,) = found(incident, folder_of(tmp_path, (0, 2995), (6000, 8995)))
    assert (error.level, error.code) == ("error", "hole-in-input")
    assert "Blocks 1000600 to 1001199 are missing" in error.what


def test_names_that_end_inside_the_window_are_an_error(incident: Incident, tmp_path: Path) -> None:
    assert codes(incident, folder_of(tmp_path, (0, 2995), (3000, 5995))) == [("error", "input-ends-early")]


def test_names_that_begin_inside_the_window_are_an_error(incident: Incident, tmp_path: Path) -> None:
    assert codes(incident, folder_of(tmp_path, (4000, 8995))) == [("error", "input-begins-late")]


def test_names_that_end_after_the_window_need_no_later_log(incident: Incident, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, (0, 2995), (3000, 5995))
    (folder / "gnosis__logs__01000600_to_01001199.parquet").rename(folder / "gnosis__logs__01000600_to_01001799.parquet")
    assert not found(incident, folder)


# A store


def stored(incident: Incident, folder: Path, last: int, stated: dict[str, Any]) -> Path:
    from perpcomp.ingest.log_file import log_pieces

    written = jsonl(folder, liquidated(logs(60, last=min(last, 6000))))
    raw = pl.concat([piece() for piece in log_pieces([written], [HOUSE], sorted(TOPICS), (), {})])
    store = Store(folder / "store", Subject(100, "", (HOUSE,), (CHANGED,)))
    asked = (FIRST, FIRST + last // SECONDS)
    store.add(*asked, "0x0", "0x0", raw)
    store.write_range([asked], {"first": asked[0], "last": asked[1], "final": True, **stated})
    return folder / "store" / "logs.parquet"


WINDOW = {"asked": {"window": ["2021-02-20T22:45:00Z", "2021-02-20T23:45:00Z", None]}}
BLOCKS = {"asked": {"blocks": [FIRST, 0]}, "from_time": BEGIN}


@pytest.mark.parametrize(
    ("last", "stated", "said"),
    [
        (7195, WINDOW, []),
        (7195, {"asked": {"window": [FIRST, FIRST + 7195 // SECONDS, FIRST]}}, []),
        (7195, WINDOW | {"final": False}, [("warning", "range-not-final")]),
        (7195, BLOCKS | {"until_time": BEGIN + 7200}, []),
        (6995, BLOCKS | {"until_time": BEGIN + 7000}, [("error", "input-ends-early")]),
        (7195, {"asked": {"window": ["2021-02-20T22:45:00Z", "2021-02-20T23:30:00Z", None]}}, [("error", "input-ends-early")]),
        (7000, BLOCKS | {"until_time": None}, [("error", "input-ends-early")]),
        (9000, BLOCKS | {"until_time": None}, []),
    ],
)
def test_a_store_says_how_far_it_reaches(
    incident: Incident, tmp_path: Path, last: int, stated: dict[str, Any], said: list[tuple[str, str]]
) -> None:
    assert codes(incident, stored(incident, tmp_path, last, stated)) == said


@pytest.mark.parametrize(
    "damage",
    [
        {"first": None},
        {"last": "0x1"},
        {"first": -1},
        {"from_time": 10**30, "until_time": 10**30},
        {"asked": {"window": ["2021-02-30T22:45:00Z", "2021-02-30T23:45:00Z", None]}},
        {"asked": 5},
        {"proved": {"all": ["x", 1]}},
    ],
)
def test_a_damaged_statement_of_a_store_is_no_statement(incident: Incident, tmp_path: Path, damage: dict[str, Any]) -> None:
    """The file is then read as anybody's, whose end nothing states."""
    file = stored(incident, tmp_path, 7195, WINDOW)
    said = file.with_name("range.json")
    said.write_text(json.dumps(json.loads(said.read_text()) | damage))
    assert Input(file, None).range is None
    assert codes(incident, file) == [("warning", "input-may-be-cut")]


# Where it is said


def test_summary_workbook_and_manifest_state_the_same_and_verify_reads_it(incident: Incident, tmp_path: Path) -> None:
    for file, evidence in (
        (jsonl(tmp_path, liquidated(logs(30, last=6000)), "cut.jsonl"), "the first and the last log only"),
        (
            stored(incident, tmp_path, 7195, WINDOW),
            f"every block of the store's range was asked for, until 2021-02-20T23:45:00Z; {NOT_PROVED}",
        ),
    ):
        run = pipeline.compute(incident, Input(file, None))
        assert [problem.code for problem in run.problems if problem.code == "input-may-be-cut"] == ["input-may-be-cut"][
            : file.name == "cut.jsonl"
        ]
        (line,) = [line for line in summary(run) if line.label == "Input reaches"]
        assert line.value.startswith("first log in block 1000000, 2021-02-20T21:45:00Z; last log in block 100")
        assert evidence in line.source
        published = files(run)
        document = parse_manifest(manifest(run, published), MANIFEST)
        assert document["coverage"]["first_block"] == "1000000"
        assert document["coverage"]["evidence"] in line.source
        folder = tmp_path / f"out-{file.stem}-{file.suffix[1:]}"
        write(folder, published | {MANIFEST: manifest(run, published)}, incident.name)
        assert verify(folder).same
        # A manifest that does not state it, as older versions wrote it, verifies too.
        del document["coverage"]
        document["inputs"].pop("range") if not document["inputs"]["range"] else None
        document["tool"]["version"] = "0.1.0"
        (folder / MANIFEST).write_bytes(written(document))
        assert verify(folder).same
