"""Logs to typed columns: 1,000,000 PositionChanged logs of recorded shape, compared with web3.py, eth_abi and polars_evm.

The peers get fewer rows of the same logs, and prepared contract objects and input. Values are compared before times. polars_evm gives
floats, so its values are compared as floats; it runs on our Polars, in a folder of its own.
"""

import gzip
import importlib
import json
import math
import resource
import subprocess
import sys
from binascii import unhexlify
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import polars as pl
from eth_abi.abi import decode as eth_abi_decode
from hexbytes import HexBytes
from web3 import Web3
from web3.datastructures import AttributeDict

from perpcomp.findings import InputError
from perpcomp.ingest.decode import WORD, decode
from perpcomp.ingest.raw_frame import TEXTS, Log, binary
from perpcomp.systems.perpetual_v1.events import POSITION_CHANGED
from tests.bench.measure import ROOT, Line, rates
from tests.raw_logs import read_logs

RECORDED = ROOT / "tests/lab/large/logs.jsonl.gz"
ROWS, JSON_ROWS, WEB3_ROWS, ETH_ABI_ROWS, EVM_ROWS = 1_000_000, 200_000, 4_000, 15_000, 50_000
EVM = "polars_evm==0.2.6"
PIP_SECONDS = 300
BINARY_TIMES, TEXT_TIMES, MEMORY_MB, JSON_RATE = 1500, 250, 600, 250_000

# As in the contract's source: the peers decode independently of our signature.
ABI_TYPES = ("uint256", "uint256", "int256", "uint256", "int256", "int256", "int256", "uint256", "uint256", "uint256", "int256")
ABI_NAMES = (
    *("margin", "positionNotional", "exchangedPositionSize", "fee", "positionSizeAfter", "realizedPnl", "unrealizedPnlAfter"),
    *("badDebt", "liquidationPenalty", "spotPrice", "fundingPayment"),
)

Row = dict[str, Any]  # a row of eth_getLogs


def lines() -> Iterator[Line]:
    peak = _peak_memory()  # before this process grows: Linux counts what a parent held towards the peak of its children
    rows = _recorded()
    logs, event = [_web3_log(row) for row in rows[:WEB3_ROWS]], _web3_event()
    data = [unhexlify(row["data"][2:]) for row in rows[:ETH_ABI_ROWS]]
    _check(rows, [event.process_log(log) for log in logs])

    raw, text = _frame(rows, ROWS, unhex=True), _frame(rows, ROWS, unhex=False)
    runs: dict[str, tuple[int, Callable[[], object]]] = {
        "binary": (ROWS, lambda: decode(raw, POSITION_CHANGED)),
        "text": (ROWS, lambda: decode(_to_binary(text), POSITION_CHANGED)),
        "web3": (len(logs), lambda: [event.process_log(log) for log in logs]),
        "eth_abi": (len(data), lambda: [eth_abi_decode(ABI_TYPES, cell) for cell in data]),
    }
    peers = {"web3": "web3.py process_log", "eth_abi": "eth_abi decode", "evm": "polars_evm decode_events, to floats"}
    with TemporaryDirectory() as folder:
        if (evm := _evm(Path(folder), raw.head(EVM_ROWS))) is not None:
            runs["evm"] = (EVM_ROWS, evm)
        rate = rates(runs)
    for source, target in (("binary", BINARY_TIMES), ("text", TEXT_TIMES)):
        what, ours = f"decode {ROWS:,} logs, {source} columns", rate[source].steady
        for peer, name in peers.items():
            if peer in rate:
                yield _beside(what, ours, rate[peer].steady, name, target if peer == "web3" else None)
            else:
                yield Line(what, f"{ours:,.0f} rows/CPU-s", f"not measured: pip cannot install {EVM}")
        yield _beside("the same, first call", rate[source].first, rate["web3"].first, "web3.py process_log")
    yield peak
    yield from _reading(rows)


def _beside(what: str, ours: float, peer: float, name: str, target: int | None = None) -> Line:
    """Rows per CPU-second, ours and a peer's."""
    ratio = ours / peer
    promised = (f">= {target:,} x", ratio >= target) if target else ("", None)
    return Line(what, f"{ours:,.0f} rows/CPU-s", f"{peer:,.0f} ({name})", f"{ratio:,.1f} x" if ratio < 10 else f"{ratio:,.0f} x", *promised)


def _reading(rows: list[Row]) -> Iterator[Line]:
    """JSON lines to the checked raw frame. The peers only parse: no check, no bytes of hex, no times, no row's number."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "logs.jsonl"
        copies = _copies(rows, JSON_ROWS)
        path.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in copies))
        addresses = {row["address"] for row in rows}
        schema = {**dict.fromkeys(TEXTS, pl.String()), "topics": pl.List(pl.String()), "removed": pl.Boolean()}
        decoder = msgspec.json.Decoder(Log)
        peers: dict[str, Callable[[], object]] = {
            "json.loads": lambda: [json.loads(line) for line in path.read_bytes().splitlines()],
            "msgspec by line": lambda: [decoder.decode(line) for line in path.read_bytes().splitlines()],
            "scan_ndjson with a schema": lambda: pl.scan_ndjson(path, schema=schema).collect(),
        }
        every = {"ours": lambda: read_logs(path, addresses, {POSITION_CHANGED.topic0}), **peers}
        rate = rates({name: (len(copies), function) for name, function in every.items()})
    what, ours = f"read and check {len(copies):,} logs of JSON", rate["ours"].steady
    for name in peers:
        yield _beside(what, ours, rate[name].steady, f"{name}, parsing only")
    yield Line(what, f"{ours:,.0f} rows/CPU-s", target=f">= {JSON_RATE:,}", met=ours >= JSON_RATE)


def _peak_memory() -> Line:
    command = [sys.executable, "-c", "from tests.bench import decoding; decoding.print_memory()"]
    extra = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    return Line("peak memory of decoding, over its input", f"{extra:,.0f} MB", target=f"< {MEMORY_MB} MB", met=extra < MEMORY_MB)


def print_memory() -> None:
    """In a fresh child: by how many MB decoding a frame of 1,000,000 rows raises the peak memory of the process."""
    raw = _frame(_recorded(), ROWS, unhex=True)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoded = decode(raw, POSITION_CHANGED)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    extra = (after - before) * unit
    words = ROWS * WORD // 2 * len(POSITION_CHANGED.words)  # what the amounts alone take, 16 bytes each
    assert decoded.height == ROWS
    assert extra > words, "the peak was held by something else than decoding"
    print(extra / 1e6)


def _recorded() -> list[Row]:
    """The recorded PositionChanged logs."""
    topic = POSITION_CHANGED.topic0.encode()
    with gzip.open(RECORDED) as file:
        rows = [json.loads(line) for line in file if topic in line]
    return [row for row in rows if row["topics"][0] == POSITION_CHANGED.topic0]


def _copies(rows: list[Row], size: int) -> list[Row]:
    """The rows over and over, each time in other transactions of later blocks: no log, block or transaction may be in a file twice."""
    first, last = rows[0], rows[-1]
    spans = {name: 1 + int(last[name], 16) - int(first[name], 16) for name in ("blockNumber", "blockTimestamp")}
    copies = []
    for n in range(size):
        times, place = divmod(n, len(rows))
        row = rows[place]
        later = {name: hex(int(row[name], 16) + times * span) for name, span in spans.items()}
        hashes = {name: f"0x{times:04x}{row[name][6:]}" for name in ("transactionHash", "blockHash")}
        copies.append({**row, **later, **hashes})
    return copies


def _frame(rows: list[Row], size: int, unhex: bool) -> pl.DataFrame:
    """The columns that decode reads, of the rows over and over. Every cell has bytes of its own, so that no cache holds them all."""
    cells = {
        "transaction_hash": [row["transactionHash"] for row in rows],
        "log_index": [int(row["logIndex"], 16) for row in rows],
        "topics": [len(row["topics"]) for row in rows],
    }
    hexes = {
        "topic1": [row["topics"][1] for row in rows],
        "topic2": [row["topics"][2] for row in rows],
        "data": [row["data"] for row in rows],
    }
    if unhex:
        cells |= {name: [unhexlify(cell[2:]) for cell in column] for name, column in hexes.items()}
    else:
        cells |= hexes
    times = -(-size // len(rows))
    frame = pl.DataFrame([pl.Series(name, (column * times)[:size]) for name, column in cells.items()])
    return frame.with_row_index("row", 1)


def _to_binary(text: pl.DataFrame) -> pl.DataFrame:
    return text.with_columns(binary(text[name]) for name in ("topic1", "topic2", "data"))


def _abi() -> dict[str, Any]:
    indexed = [{"name": name, "type": "address", "indexed": True} for name in ("trader", "amm")]
    words = [{"name": name, "type": type_, "indexed": False} for name, type_ in zip(ABI_NAMES, ABI_TYPES, strict=True)]
    return {"type": "event", "name": "PositionChanged", "anonymous": False, "inputs": indexed + words}


def _web3_event() -> Any:
    """web3.py's PositionChanged, of a contract object made once."""
    return Web3().eth.contract(abi=[_abi()]).events.PositionChanged()


def _evm(folder: Path, raw: pl.DataFrame) -> Callable[[], object] | None:
    """polars_evm's work on these rows, whose values are ours as far as floats go; None where pip cannot install it.

    It asks a package that it does not depend on for the topic of the event, so the topic is given. Of our dependencies it needs none.
    """
    pip = [
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--no-deps",
        "--target",
        str(folder),
        EVM,
    ]
    try:
        done = subprocess.run([sys.executable, "-m", "pip", *pip], stdin=subprocess.DEVNULL, capture_output=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode:
        return None
    sys.path.append(str(folder))
    try:
        importlib.import_module("polars_evm")
        events: Any = importlib.import_module("polars_evm._helpers.decoding.decoding_events")
    finally:
        sys.path.remove(str(folder))
    events.get_event_hash = lambda _: POSITION_CHANGED.topic0
    topic0, no_topic = pl.lit(unhexlify(POSITION_CHANGED.topic0[2:])), pl.lit(None, dtype=pl.Binary)
    whole, abi = raw.with_columns(topic0=topic0, topic3=no_topic), _abi()

    def work() -> pl.DataFrame:
        found: pl.DataFrame = events.decode_events(whole, abi)
        return found

    theirs, ours = work(), decode(raw, POSITION_CHANGED).select(*POSITION_CHANGED.schema)
    for found, wanted in zip(theirs.select("trader", "amm", *ABI_NAMES).rows(), ours.rows(), strict=True):
        assert [f"0x{word.hex()}" for word in found[:2]] == [*wanted[:2]], "polars_evm has other addresses"
        near = all(math.isclose(a, _units(b), rel_tol=1e-12) for a, b in zip(found[2:], wanted[2:], strict=True))
        assert near, "polars_evm has other values"
    return work


def _web3_log(row: Row) -> AttributeDict[str, Any]:
    """A log as web3.py's own middleware would hand it over."""
    return AttributeDict(
        {
            "address": Web3.to_checksum_address(row["address"]),
            "topics": [HexBytes(topic) for topic in row["topics"]],
            "data": HexBytes(row["data"]),
            "blockHash": HexBytes(row["blockHash"]),
            "blockNumber": int(row["blockNumber"], 16),
            "transactionHash": HexBytes(row["transactionHash"]),
            "transactionIndex": int(row["transactionIndex"], 16),
            "logIndex": int(row["logIndex"], 16),
            "removed": row["removed"],
        }
    )


def _check(rows: list[Row], theirs: list[Any]) -> None:
    """Every value of the recorded rows is int.from_bytes', and web3's on its sample; what cannot be exact is refused."""
    raw = _frame(rows, len(rows), unhex=True)
    assert _to_binary(_frame(rows, len(rows), unhex=False)).equals(raw), "text columns give other bytes"
    decoded = decode(raw, POSITION_CHANGED).select(*POSITION_CHANGED.schema).rows()
    for row, ours in zip(rows, decoded, strict=True):
        data = unhexlify(row["data"][2:])
        words = [int.from_bytes(data[WORD * n : WORD * (n + 1)], signed=type_ == "int256") for n, type_ in enumerate(ABI_TYPES)]
        assert ["0x" + topic[26:] for topic in row["topics"][1:]] == [*ours[:2]], "int.from_bytes has other addresses"
        assert words == [_units(value) for value in ours[2:]], "int.from_bytes has other values"
    for log, ours in zip(theirs, decoded[: len(theirs)], strict=True):
        trader, market, *words = log["args"].values()
        assert [trader.lower(), market.lower()] == [*ours[:2]], "web3 has other addresses"
        assert words == [_units(value) for value in ours[2:]], "web3 has other values"

    good = unhexlify(rows[0]["data"][2:])
    limit, rest = 10**38, good[WORD:]
    for what, data in (
        ("10^38", limit.to_bytes(WORD) + rest),
        ("2^127", (2**127).to_bytes(WORD) + rest),
        ("2^128", (2**128).to_bytes(WORD) + rest),
        ("2^255", (2**255).to_bytes(WORD) + rest),
        ("-10^38", good[: 2 * WORD] + (-limit).to_bytes(WORD, signed=True) + good[3 * WORD :]),
        ("an int of 2^127", good[: 2 * WORD] + (2**127).to_bytes(WORD) + good[3 * WORD :]),
        ("a byte less", good[:-1]),
        ("a word more", good + bytes(WORD)),
        ("no data", b""),
    ):
        bad = raw.with_columns(data=pl.when(pl.col("row") == raw.height).then(pl.lit(data)).otherwise("data"))
        _refused(what, InputError, partial(decode, bad, POSITION_CHANGED))
    dirty = raw.with_columns(topic1=pl.lit(bytes([1]) * WORD))
    _refused("a topic that is no address", InputError, partial(decode, dirty, POSITION_CHANGED))
    for cell in ("0x123", "0xzz", "1234", "0x12 34", "", None):
        _refused(f"hex text {cell!r}", ValueError, partial(binary, pl.Series("data", ["0x12", cell], dtype=pl.String)))


def _refused(what: str, error: type[Exception], function: Callable[[], object]) -> None:
    try:
        function()
    except error:
        return
    raise AssertionError(f"{what} was not refused")


def _units(value: Decimal) -> int:
    """The base units of an amount with 18 places, by its digits: Decimal arithmetic would round at 28."""
    return int(f"{value:f}".replace(".", ""))
