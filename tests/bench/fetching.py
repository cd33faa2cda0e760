"""A node's logs to typed columns: 50,000 PositionChanged of recorded shape on one local anvil, compared with cryo's event columns and web3.py.

Each client is a process of its own, asks the same node for the same blocks in windows of 100, and runs once in every round. Its CPU
time with all threads counts, from the end of its imports to its typed rows; the node's does not. Rows are compared before times.
Imports are inside functions, because this file also runs in an environment that holds only cryo.
"""

import gzip
import hashlib
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.measure import ROOT, Line, peak_memory

RECORDED = ROOT / "tests/lab/large/logs.jsonl.gz"
EVENTS, BLOCKS, WINDOW, SAMPLE_BLOCKS, ROUNDS = 50_000, 1_265, 100, 100, 9
CRYO_TIMES, WEB3_TIMES, MEMORY_MB = 2, 50, 500
CRYO = "cryo==0.3.2"
FIRST, GENESIS, CHAIN = 14_000_000, 1_613_692_800, 100  # the first block's number and unix time, and the chain's id
LOGS_GAS, DEPLOYMENT_GAS, PRICE, MINES = 3_000_000, 200_000, 10**9, 100
PIP_SECONDS, CLIENT_SECONDS = 300, 300

# As in the contract's source: the peers decode independently of our signature.
TOPIC = "0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2"
TYPES = {
    "margin": "uint256",
    "positionNotional": "uint256",
    "exchangedPositionSize": "int256",
    "fee": "uint256",
    "positionSizeAfter": "int256",
    "realizedPnl": "int256",
    "unrealizedPnlAfter": "int256",
    "badDebt": "uint256",
    "liquidationPenalty": "uint256",
    "spotPrice": "uint256",
    "fundingPayment": "int256",
}

# A contract that logs every 416 bytes of its calldata (trader, market, 352 bytes of data) as one PositionChanged.
EMITTER = f"""
60 00           PUSH1 0             [at]
5b              JUMPDEST            2: the next log
36 81 10        CALLDATASIZE DUP2 LT
60 0a 57        PUSH1 10 JUMPI
00              STOP
5b              JUMPDEST            10: one more
61 0160 81      PUSH2 352 DUP2
60 40 01        PUSH1 64 ADD
60 00 37        PUSH1 0 CALLDATACOPY
80 60 20 01 35  DUP1 PUSH1 32 ADD CALLDATALOAD
81 35           DUP2 CALLDATALOAD   [at, market, trader]
7f {TOPIC[2:]}  PUSH32
61 0160 60 00   PUSH2 352 PUSH1 0
a3              LOG3                [at]
61 01a0 01      PUSH2 416 ADD
60 02 56        PUSH1 2 JUMP
"""
DEPLOYMENT = "60 {size:02x} 80 60 09 3d 39 3d f3  PUSH1 size DUP1 PUSH1 9 RETURNDATASIZE CODECOPY RETURNDATASIZE RETURN"

Row = tuple[int | str, ...]  # block, log index, trader, market, the words


@dataclass(frozen=True)
class Task:
    """What a client is told: where to ask, which blocks, and a folder of its own."""

    url: str
    house: str
    first: int
    last: int
    incident: str  # the text of the incident file: making it here imports more than fetching does
    folder: str


@dataclass(frozen=True)
class Measured:
    """What a client took, and what it found. `startup` is the CPU time of its imports, `seconds` that of the work after them."""

    startup: float
    seconds: float
    peak: float  # MB
    rows: int
    digest: str


def lines() -> Iterator[Line]:
    from tests.chain.anvil import chain
    from tests.chain.node import NodeToolsMissing, install

    what = f"fetch and decode {EVENTS:,} logs"
    try:
        anvil = install().anvil
    except NodeToolsMissing as missing:
        yield Line(what, "not measured", str(missing).partition("\n")[0], met=False)
        return
    with TemporaryDirectory() as name, chain(anvil, FIRST, GENESIS) as url:
        folder = Path(name)
        python = _install_cryo(folder / "cryo")
        house, rows = _emit(url)
        runs = _rounds(python, folder, url, house, rows)
    rates = {client: [run.rows / run.seconds for run in found] for client, found in runs.items()}
    ours, web3 = rates["perpcomp"], rates["web3"]
    if python is None:
        peer = f"not measured: pip cannot install {CRYO}"
        yield Line(what, f"{median(ours):,.0f} rows/CPU-s", peer, target=f">= {CRYO_TIMES} x", met=False)
    else:
        yield _beside(what, ours, rates["cryo"], "cryo, binary words", CRYO_TIMES)
        whole = {client: [run.rows / (run.startup + run.seconds) for run in runs[client]] for client in ("perpcomp", "cryo")}
        yield _beside("the same with the start-up of each", whole["perpcomp"], whole["cryo"], "cryo, binary words", 1)
    yield _beside(what, ours, web3, "web3.py get_logs", WEB3_TIMES)
    startups = {client: median(run.startup for run in found) for client, found in runs.items()}
    peers = ", ".join(f"{seconds:.2f} ({client})" for client, seconds in startups.items() if client != "perpcomp")
    yield Line("the start-up of each, not counted above", f"{startups['perpcomp']:.2f} CPU-s", peers)
    peak = median(run.peak for run in runs["perpcomp"])
    theirs = f"{median(run.peak for run in runs['cryo']):,.0f} MB (cryo)" if python else ""
    yield Line("peak memory of fetching, imports and all", f"{peak:,.0f} MB", theirs, target=f"< {MEMORY_MB} MB", met=peak < MEMORY_MB)


def _beside(what: str, ours: list[float], theirs: list[float], peer: str, target: int) -> Line:
    """Rows per CPU-second, ours and a peer's, and the median of the rounds' ratios."""
    ratio = median(one / other for one, other in zip(ours, theirs, strict=True))
    shown = f"{ratio:.2f} x" if ratio < 10 else f"{ratio:,.0f} x"
    return Line(what, f"{median(ours):,.0f} rows/CPU-s", f"{median(theirs):,.0f} ({peer})", shown, f">= {target} x", ratio >= target)


def _rounds(python: Path | None, folder: Path, url: str, house: str, rows: list[Row]) -> dict[str, list[Measured]]:
    """Every client in every round, in an order that turns; each must find the rows that were emitted."""
    first = int(rows[0][0])
    sample = [row for row in rows if int(row[0]) < first + SAMPLE_BLOCKS]
    clients: dict[str, tuple[Path, list[Row]]] = {"perpcomp": (Path(sys.executable), rows), "web3": (Path(sys.executable), sample)}
    if python is not None:
        clients["cryo"] = (python, rows)
    incident = _incident(house, sorted({str(row[3]) for row in rows}))
    found: dict[str, list[Measured]] = {client: [] for client in clients}
    for turn in range(ROUNDS):
        order = [*clients]
        for client in order[turn % len(order) :] + order[: turn % len(order)]:
            interpreter, wanted = clients[client]
            own = folder / f"{client}-{turn}"
            own.mkdir()
            measured = _run(interpreter, client, Task(url, house, first, int(wanted[-1][0]), incident, str(own)))
            assert measured.rows == len(wanted), f"{client} found {measured.rows} of {len(wanted)} rows"
            assert measured.digest == _digest(wanted), f"{client} found other values"
            found[client].append(measured)
    return found


def _run(python: Path, client: str, task: Task) -> Measured:
    code = "import sys; from tests.bench import fetching; fetching.be_client(*sys.argv[1:])"
    command = [str(python), "-c", code, client, json.dumps(asdict(task))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    assert done.returncode == 0, f"{client} failed ({done.returncode}):\n{done.stderr[-3000:]}"
    said = json.loads(done.stdout.splitlines()[-1])
    if client == "cryo":
        rows = list(_frozen(Path(task.folder)))
        said |= {"rows": len(rows), "digest": _digest(rows)}
    return Measured(**said)


def _incident(house: str, markets: Sequence[str]) -> str:
    """The text of an incident file over the emitter: every market, a window around every block."""
    from tests.chain.traded import INCIDENT

    market = '[[market]]\nname = "{n}"\namm = "{amm}"\n{terms}source = "script"\n\n'
    terms = "affected = true\nreference_price = 1\n"
    tables = "".join(market.format(n=f"M{n}USDC", amm=amm, terms="" if n else terms) for n, amm in enumerate(markets))
    values = {"FILE": "logs.jsonl", "CHAIN": str(CHAIN), "HOUSE": house, "MARKETS": tables}
    text = INCIDENT
    for name, value in {**values, "FROM": "2021-02-01T00:00:00Z", "TO": "2021-04-01T00:00:00Z"}.items():
        text = text.replace(f"<{name}>", value)
    return text


def _digest(rows: Iterable[Row]) -> str:
    return hashlib.sha256("\n".join(",".join(map(str, row)) for row in sorted(rows)).encode()).hexdigest()


# The clients. Each function imports and makes ready, and returns the work and how to see its rows.


def be_client(client: str, task: str) -> None:
    """In a process of its own: do the work, and print what it took."""
    told = Task(**json.loads(task))
    work, rows_of = {"perpcomp": _perpcomp, "web3": _web3, "cryo": _cryo}[client](told)
    startup = time.process_time()
    result = work()
    seconds, peak = time.process_time() - startup, peak_memory() / 1e6
    rows = list(rows_of(result))
    print(json.dumps({"startup": startup, "seconds": seconds, "peak": peak, "rows": len(rows), "digest": _digest(rows)}), flush=True)
    os._exit(0)  # at Python's own end a thread of cryo's may abort the process


Client = tuple[Callable[[], Any], Callable[[Any], Iterable[Row]]]


def _perpcomp(task: Task) -> Client:
    """Fetched with every check into a fresh store, and read from there as a run reads it."""
    import polars as pl

    from perpcomp.incident import incident_file
    from perpcomp.ingest.node import held, providers, pull
    from perpcomp.ingest.node.segments import Settings
    from perpcomp.input import Input, read_events
    from perpcomp.systems.perpetual_v1.events import POSITION_CHANGED, TOPICS
    from perpcomp.systems.system import find

    assert providers  # imported now, not when first used
    file = Path(task.folder) / "bench.toml"
    file.write_text(task.incident)
    about, topics = incident_file.load(str(file)), sorted(TOPICS)
    find(about.system)  # loads the protocol now, as an import would
    options = held.Options(Path(task.folder) / "store", (task.first, task.last), settings=Settings(window=WINDOW))

    def work() -> pl.DataFrame:
        fetched = pull.fetch(about, topics, [task.url], options)
        return read_events(Input(fetched.file, None), about).table

    def rows_of(events: pl.DataFrame) -> Iterable[Row]:
        words = [pl.col(word.name).reinterpret(dtype=pl.Int128) for word in POSITION_CHANGED.words]
        return events.select("block_number", "log_index", "trader", "market", *words).iter_rows()

    return work, rows_of


def _web3(task: Task) -> Client:
    """get_logs of a ready-made event, window by window."""
    from web3 import HTTPProvider, Web3

    indexed = [{"name": name, "type": "address", "indexed": True} for name in ("trader", "amm")]
    words = [{"name": name, "type": type_, "indexed": False} for name, type_ in TYPES.items()]
    abi = [{"type": "event", "name": "PositionChanged", "anonymous": False, "inputs": indexed + words}]
    contract = Web3(HTTPProvider(task.url)).eth.contract(address=Web3.to_checksum_address(task.house), abi=abi)
    event = contract.events.PositionChanged()

    def work() -> list[Any]:
        windows = [(first, min(first + WINDOW - 1, task.last)) for first in range(task.first, task.last + 1, WINDOW)]
        return [log for first, last in windows for log in event.get_logs(from_block=first, to_block=last)]

    def rows_of(logs: list[Any]) -> Iterator[Row]:
        for log in logs:
            trader, market, *words = log["args"].values()
            yield (log["blockNumber"], log["logIndex"], trader.lower(), market.lower(), *words)

    return work, rows_of


def _cryo(task: Task) -> Client:
    """Logs frozen to Parquet with the event's columns, its words as binary. No file of cryo's is read here: that needs a polars."""
    cryo = importlib.import_module("cryo")
    importlib.import_module("cryo._cryo_rust")  # now, not when first used

    words = ", ".join(f"{type_} {name}" for name, type_ in TYPES.items())
    asked = {
        "blocks": [f"{task.first}:{task.last + 1}"],
        "inner_request_size": WINDOW,
        "event_signature": f"PositionChanged(address indexed trader, address indexed amm, {words})",
        "contract": [task.house],
        "topic0": [TOPIC],
        "u256_types": ["binary"],
        "network_name": "bench",
        "no_report": True,
        "verbose": False,
    }
    return lambda: cryo.freeze("logs", rpc=task.url, output_dir=task.folder, **asked), lambda _: ()


def _frozen(folder: Path) -> Iterator[Row]:
    """The rows that cryo left, read by another Parquet reader than its own."""
    import polars as pl

    frame = pl.concat(pl.read_parquet(file) for file in sorted(folder.glob("*.parquet")))
    words = [f"event__{name}_binary" for name in TYPES]
    for block, log, trader, market, *cells in frame.select("block_number", "log_index", "event__trader", "event__amm", *words).iter_rows():
        values = [int.from_bytes(cell, signed=type_ == "int256") for cell, type_ in zip(cells, TYPES.values(), strict=True)]
        yield (block, log, f"0x{trader.hex()}", f"0x{market.hex()}", *values)


def _install_cryo(folder: Path) -> Path | None:
    """The interpreter of an environment that holds cryo; None where pip cannot install it."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--only-binary", ":all:", CRYO]
    try:
        done = subprocess.run(pip, stdin=subprocess.DEVNULL, capture_output=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return python if done.returncode == 0 else None


# The chain


def _emit(url: str) -> tuple[str, list[Row]]:
    """Log the events, a transaction a block; returns the emitter's address and every row as it was sent."""
    from tests.chain.rpc import Rpc

    rpc = Rpc(url)
    sender = rpc("eth_accounts")[0]
    code = _assemble(EMITTER)
    maker = "0x" + _assemble(DEPLOYMENT.format(size=len(code) // 2)) + code
    deployment = _mined(rpc, {"from": sender, "data": maker, "gas": hex(DEPLOYMENT_GAS)})
    house = rpc("eth_getTransactionReceipt", deployment)["contractAddress"].lower()

    recorded = _recorded()
    cuts = [EVENTS * n // BLOCKS for n in range(BLOCKS + 1)]
    sent = []
    for start, end in pairwise(cuts):
        events = [recorded[n % len(recorded)] for n in range(start, end)]
        sent.append((_mined(rpc, {"from": sender, "to": house, "data": "0x" + "".join(events), "gas": hex(LOGS_GAS)}), events))
    receipts = rpc.batch([("eth_getTransactionReceipt", (transaction,)) for transaction, _ in sent])
    rows = []
    for receipt, (_, events) in zip(receipts, sent, strict=True):
        assert receipt["status"] == "0x1", "the emitter reverted"
        rows += [_row(int(receipt["blockNumber"], 16), n, event) for n, event in enumerate(events)]
    return house, rows


def _mined(rpc: Any, transaction: dict[str, str]) -> str:
    """The hash of a transaction that is in a block now: one that is sent may reach the pool after the next block."""
    sent: str = rpc("eth_sendTransaction", transaction | {"gasPrice": hex(PRICE)})
    for _ in range(MINES):
        rpc("evm_mine")
        if {*rpc("txpool_status").values()} == {"0x0"}:
            return sent
    raise AssertionError("a transaction stays in the pool")


def _assemble(text: str) -> str:
    """The bytecode, as hex: of each line what stands before two spaces."""
    return "".join(line.partition("  ")[0].replace(" ", "") for line in text.strip().splitlines())


def _recorded() -> list[str]:
    """The calldata of every recorded PositionChanged but liquidations, whose other event no emitter logs."""
    with gzip.open(RECORDED) as file:
        rows = [json.loads(line) for line in file if TOPIC.encode() in line]
    names = [*TYPES]
    kept = []
    for row in rows:
        words = [row["data"][2:][64 * n : 64 * (n + 1)] for n in range(len(names))]
        if row["topics"][0] == TOPIC and int(words[names.index("liquidationPenalty")], 16) == 0 < int(words[names.index("fee")], 16):
            kept.append(row["topics"][1][2:] + row["topics"][2][2:] + row["data"][2:])
    return kept


def _row(block: int, log: int, event: str) -> Row:
    words = [bytes.fromhex(event[start : start + 64]) for start in range(0, len(event), 64)]
    trader, market = (f"0x{word[12:].hex()}" for word in words[:2])
    return (block, log, trader, market, *(int.from_bytes(w, signed=t == "int256") for w, t in zip(words[2:], TYPES.values(), strict=True)))
