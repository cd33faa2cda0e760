"""Events pulled from a live chain: the exact set or a refusal, whatever the node does; and never the key of an endpoint anywhere."""

import json
import multiprocessing
import os
import re
import signal
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest

import perpcomp
from perpcomp import pipeline, progress
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.ingest.node import pull as puller
from perpcomp.ingest.node.held import Options, default_store
from perpcomp.ingest.node.segments import Settings
from perpcomp.ingest.node.store import own_pieces
from perpcomp.ingest.proof.headers import Unproved
from perpcomp.input import Input, find_input, read_events
from perpcomp.lost_logs import gaps
from perpcomp.systems.perpetual_v1.events import TOPICS
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from tests.chain.crash import crash
from tests.chain.faults import KINDS, Fault
from tests.chain.node import NodeTools
from tests.chain.proxy import Proxy
from tests.chain.refusals import REFUSALS
from tests.chain.traded import TradedChain
from tests.commands import call, process

FUZZ = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
SEEDS = range(20 if FUZZ else 3)
KILLS = 1_000 if FUZZ else 20
SMALL = Settings(window=15, segment=40, confirmations=0)


@pytest.fixture(scope="module")
def truth(crash_chain: TradedChain, about: Incident, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The events by the path of files: the node's own answer for the whole chain, without a puller."""
    file = tmp_path_factory.mktemp("truth") / "logs.jsonl"
    crash_chain.dump(file)
    return read_events(Input(file, None), about).table


def options(chain: TradedChain, folder: Path, **changes: Any) -> Options:
    blocks = (chain.first_block, chain.last_block)
    base: dict[str, Any] = {
        "store": folder / "store",
        "blocks": blocks,
        "settings": SMALL,
        "timeout": 1.0,
        "patience": 0.005,
        "attempts": 8,
    }
    return Options(**{**base, **changes})


def pull(about: Incident, urls: list[str], how: Options) -> pl.DataFrame:
    fetched = puller.fetch(about, sorted(TOPICS), urls, how)
    return read_events(Input(fetched.file, None), about).table


def pull_or_refusal(about: Incident, url: str, how: Options) -> tuple[pl.DataFrame | None, InputError | None]:
    """The events, or the refusal: nothing else may happen."""
    try:
        return pull(about, [url], how), None
    except InputError as error:
        return None, error


def test_the_pulled_events_are_the_recorded_ones_row_for_row(
    crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    assert pull(about, [crash_chain.url], options(crash_chain, tmp_path)).equals(truth)


def test_every_liquidation_pulled_equals_the_contracts_views_one_block_earlier(
    crash_chain: TradedChain, about: Incident, tmp_path: Path
) -> None:
    from tests.chain.test_live import compare

    fetched = puller.fetch(about, sorted(TOPICS), [crash_chain.url], options(crash_chain, tmp_path, prove="all"))
    compare(crash_chain, pipeline.compute(about, Input(fetched.file, None)))
    assert "proved complete and unaltered" in fetched.proof[0]


def test_the_later_contracts_are_pulled_the_same_way(later_chain: TradedChain, tmp_path: Path) -> None:
    query = incident_file.parse(re.sub(r"\[input\]\nfile = .*\n", "", later_chain.incident()).encode(), "later", tmp_path)
    later_chain.dump(tmp_path / "logs.jsonl")
    expected = read_events(Input(tmp_path / "logs.jsonl", None), query).table
    assert pull(query, [later_chain.url], options(later_chain, tmp_path)).equals(expected)


# Faults.

CANNOT_BE_SEEN_WITHOUT_A_PROOF = {"drop-log", "alter-data", "empty-range"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "refuse"])
def test_a_fault_gives_the_exact_set_or_a_refusal(
    kind: str, seed: int, crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """A silent fault (a log left out or altered) is seen with --prove only, so it is tried with it."""
    delays = {"late": 1.5 if seed % 3 == 0 else 0.05}
    fault = Fault(kind, seed=seed, delay=delays.get(kind, 0.05), retry_after=1, limit=50)
    how = options(crash_chain, tmp_path, prove="all" if kind in CANNOT_BE_SEEN_WITHOUT_A_PROOF or seed % 2 else None, timeout=0.4)
    with Proxy(crash_chain.url, [fault]) as proxy:
        events, refused = pull_or_refusal(about, proxy.url, how)
    assert (events is not None and events.equals(truth)) or (refused is not None and refused.exit_code in (1, 2, 3))


@pytest.mark.parametrize("window", [141, 70])
@pytest.mark.parametrize("cap", [50, 64, 100])
def test_a_node_that_silently_caps_its_answers_gives_the_exact_set(
    cap: int, window: int, crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """Found without a proof: the last block of an answer with a round count is asked again, with the rest."""
    with Proxy(crash_chain.url, [Fault("silent-cap", permanent=True, limit=cap)]) as proxy:
        how = options(crash_chain, tmp_path, settings=Settings(window=window, segment=141, confirmations=0))
        assert pull(about, [proxy.url], how).equals(truth)
    assert proxy.hits["silent-cap"]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wording", sorted(REFUSALS))
def test_a_provider_that_refuses_in_its_own_words(
    wording: str, seed: int, crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """Limits are followed to the exact set; what cannot be followed stops with the provider's text. Limits and windows are drawn."""
    draw = Random(f"{wording} {seed}")
    fault = Fault("refuse", seed=seed, wording=wording, limit=draw.randint(5, 40))
    window = draw.randint(50, 141) if REFUSALS[wording].always else draw.randint(15, 35)  # against the limit, or in enough requests
    with Proxy(crash_chain.url, [fault]) as proxy:
        how = options(crash_chain, tmp_path, settings=Settings(window=window, segment=141, confirmations=0))
        events, refused = pull_or_refusal(about, proxy.url, how)
    assert proxy.hits["refuse"]
    if wording in ("geth-history", "any-fatal", "nethermind-head"):
        assert refused is not None
        assert refused.exit_code == 3
        assert "The node refuses blocks" in str(refused)
    else:
        assert events is not None, str(refused)
        assert events.equals(truth)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["drop-log", "alter-data"])
def test_with_prove_every_dropped_or_altered_log_is_found(
    kind: str, seed: int, crash_chain: TradedChain, about: Incident, tmp_path: Path
) -> None:
    with Proxy(crash_chain.url, [Fault(kind, seed=seed, permanent=True)]) as proxy, pytest.raises(InputError) as error:
        puller.fetch(about, sorted(TOPICS), [proxy.url], options(crash_chain, tmp_path, prove="all"))
    assert proxy.hits[kind] > 0
    if isinstance(error.value, Unproved):
        assert error.value.exit_code == 1
        assert re.search(r"block \d+ log \d+", str(error.value))


def test_without_prove_a_dropped_half_of_a_liquidation_is_found_by_its_other_half(
    crash_chain: TradedChain, about: Incident, tmp_path: Path
) -> None:
    liquidated = {log.transaction_hash for log in crash_chain.liquidations()}
    changed = "0x4c7b764f428c13bbea8cc8da90ebe6eef4dafeb27a4e3d9041d64208c47ca7c2"
    fault = Fault("drop-log", permanent=True, where=lambda log: log["transactionHash"] in liquidated and log["topics"][0] == changed)
    with Proxy(crash_chain.url, [fault]) as proxy, pytest.raises(InputError, match="has no PositionChanged"):
        pull(about, [proxy.url], options(crash_chain, tmp_path))


def test_without_prove_a_log_that_is_lost_inside_a_position_is_found_by_the_sizes_around_it(
    crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """Whoever's position it is."""
    of_one = ["trader", "market"]
    inside = truth.filter(pl.int_range(pl.len()).over(of_one).is_between(1, pl.len().over(of_one) - 2))
    lost = inside.filter(kind="increase").row(0, named=True)
    place = (hex(lost["block_number"]), hex(lost["log_index"]))
    fault = Fault("drop-log", permanent=True, where=lambda log: (log["blockNumber"], log["logIndex"]) == place)
    with Proxy(crash_chain.url, [fault]) as proxy:
        fetched = puller.fetch(about, sorted(TOPICS), [proxy.url], options(crash_chain, tmp_path))
    read = read_events(Input(fetched.file, None), about)
    assert read.table.height == truth.height - 1
    gap, swap = gaps(read, about)
    assert (gap.code, swap.code) == ("gap-in-position", "logs-missing")
    assert f"The position of {lost['trader']} starts from size" in gap.what
    assert swap.where == f"tx {lost['transaction_hash']}"


def test_a_liquidation_that_lost_both_of_its_logs_is_found_with_a_proof_and_without(
    crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """The last event of its position: no later event of the trader shows it, but the swap of it does."""
    last = truth.unique(["trader", "market"], keep="last").filter(kind="liquidation").sort("block_number").row(0, named=True)

    def dropped(index: int) -> Fault:
        place = (hex(last["block_number"]), hex(index))
        return Fault("drop-log", permanent=True, where=lambda log: (log["blockNumber"], log["logIndex"]) == place)

    with Proxy(crash_chain.url, [dropped(last["log_index"] - 1), dropped(last["log_index"])]) as proxy:
        with pytest.raises(InputError) as error:
            puller.fetch(about, sorted(TOPICS), [proxy.url], options(crash_chain, tmp_path / "proved", prove="all", timeout=30.0))
        assert f"block {last['block_number']} log" in str(error.value)
        fetched = puller.fetch(about, sorted(TOPICS), [proxy.url], options(crash_chain, tmp_path, timeout=30.0))
    read = read_events(Input(fetched.file, None), about)
    assert read.table.height == truth.height - 1
    (found,) = gaps(read, about)
    assert (found.level, found.code, found.where) == ("error", "logs-missing", f"tx {last['transaction_hash']}")


def test_a_second_node_names_the_first_block_that_differs(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    with Proxy(crash_chain.url, [Fault("drop-log", seed=2, permanent=True)]) as proxy, pytest.raises(InputError) as error:
        puller.fetch(about, sorted(TOPICS), [crash_chain.url], options(crash_chain, tmp_path, second=proxy.url))
    assert error.value.exit_code == 1
    assert re.search(r"differ first in block \d+: \d+ logs from --rpc, \d+ from", str(error.value))
    assert not puller.fetch(about, sorted(TOPICS), [crash_chain.url], options(crash_chain, tmp_path, second=crash_chain.url)).proof


# The chain itself.


def test_another_chain_is_refused_before_anything_else(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    with Proxy(crash_chain.url, [Fault("wrong-chain-id", permanent=True)]) as proxy, pytest.raises(InputError, match="is on chain 100"):
        pull(about, [proxy.url], options(crash_chain, tmp_path))
    assert proxy.counts["eth_getLogs"] == 0


def test_another_first_block_is_refused(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    text = about.raw.decode().replace("[chain]", f'[chain]\ngenesis = "0x{"ab" * 32}"')
    query = incident_file.parse(text.encode(), "live", tmp_path)
    with pytest.raises(InputError) as error:
        pull(query, [crash_chain.url], options(crash_chain, tmp_path))
    assert error.value.exit_code == 3


def test_a_stored_chain_that_was_reorganised_is_fetched_again_from_the_common_ancestor(
    crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """First the store is filled from a node that lives on another end of the chain; then the true node is asked."""
    middle = crash_chain.first_block + 70
    how = options(crash_chain, tmp_path, settings=Settings(window=15, segment=40, confirmations=10_000))
    with Proxy(crash_chain.url, [Fault("reorg", seed=1, permanent=True, at=middle)]) as proxy:
        other = pull(about, [proxy.url], how)
    assert not other["block_hash"].equals(truth["block_hash"]), "the other end has other blocks"
    assert other.filter(pl.col("block_number") < middle).equals(truth.filter(pl.col("block_number") < middle))
    with Proxy(crash_chain.url, []) as proxy:
        again = pull(about, [proxy.url], how)
        kept = (middle - crash_chain.first_block) // 40
        assert proxy.counts["eth_getLogs"] < 4 * 3, f"the {kept} segments before it were kept"
    assert again.equals(truth)


# Going on.


def test_a_second_run_asks_nothing(crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path) -> None:
    how = options(crash_chain, tmp_path, prove="all")
    with Proxy(crash_chain.url, []) as proxy:
        assert pull(about, [proxy.url], how).equals(truth)
        before = sum(proxy.counts.values())
        again = puller.fetch(about, sorted(TOPICS), [proxy.url], how)
        assert sum(proxy.counts.values()) == before
    assert again.requests == 0
    assert "proved" in again.proof[0], "the proof was made again, from the store alone"


def test_evidence_that_was_tampered_with_proves_nothing(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    how = options(crash_chain, tmp_path, prove="all")
    puller.fetch(about, sorted(TOPICS), [crash_chain.url], how)
    headers = next((tmp_path / "store" / "proof").glob("*/headers.bin"))
    data = bytearray(headers.read_bytes())
    data[len(data) // 2] ^= 1
    headers.write_bytes(bytes(data))
    with pytest.raises(InputError):
        puller.fetch(about, sorted(TOPICS), [crash_chain.url], how)


def test_a_longer_range_keeps_what_it_can_of_a_shorter_one(
    crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    """The shorter one ends inside a segment of the longer."""
    first, _last = crash_chain.first_block, crash_chain.last_block
    middle = first + 70
    shorter = pull(about, [crash_chain.url], options(crash_chain, tmp_path, blocks=(first, middle)))
    assert shorter.equals(truth.filter(pl.col("block_number") <= middle))
    with Proxy(crash_chain.url, []) as proxy:
        assert pull(about, [proxy.url], options(crash_chain, tmp_path)).equals(truth)
        starts = [int(request.params[0]["fromBlock"], 16) for request in proxy.requests if request.method == "eth_getLogs"]
    assert min(starts) == middle // SMALL.segment * SMALL.segment, "the segments before it were kept"
    assert pull(about, [crash_chain.url], options(crash_chain, tmp_path, blocks=(first, middle))).equals(shorter), "and back"


def test_our_own_logs_are_read_as_other_peoples_are_and_changed_ones_never_as_our_own(
    crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path
) -> None:
    pull(about, [crash_chain.url], options(crash_chain, tmp_path))
    own = tmp_path / "store" / "logs.parquet"
    addresses = [about.chain.clearing_house, *(market.amm for market in about.markets)]
    pieces = own_pieces(own, addresses)
    assert pieces is not None
    assert pl.concat(piece() for piece in pieces).height == pl.read_parquet(own).height
    nobody = own_pieces(own, ["0x" + "12" * 20])
    assert nobody is not None
    assert pl.concat(piece() for piece in nobody).is_empty(), "another incident's logs"
    elsewhere = tmp_path / "elsewhere.parquet"
    elsewhere.write_bytes(own.read_bytes())
    assert own_pieces(elsewhere, addresses) is None
    assert read_events(Input(elsewhere, None), about).table.equals(truth)
    pl.read_parquet(own).with_columns(pl.col("transaction_hash").str.slice(1)).write_parquet(own)
    assert own_pieces(own, addresses) is None
    with pytest.raises(InputError, match="transaction_hash is"):
        read_events(Input(own, None), about)


def test_a_damaged_segment_is_fetched_again(crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path) -> None:
    how = options(crash_chain, tmp_path)
    pull(about, [crash_chain.url], how)
    segment = sorted((tmp_path / "store" / "segments").iterdir())[0]
    segment.write_bytes(segment.read_bytes()[:-7])
    (tmp_path / "store" / "logs.parquet").unlink()
    assert pull(about, [crash_chain.url], how).equals(truth)


def test_a_store_of_something_else_is_refused(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    how = options(crash_chain, tmp_path)
    pull(about, [crash_chain.url], how)
    text = about.raw.decode().replace(crash_chain.clearing_house, "0x" + "12" * 20)
    with pytest.raises(InputError, match="holds logs with other addresses"):
        pull(incident_file.parse(text.encode(), "live", tmp_path), [crash_chain.url], how)


def pulls(query: str, url: str, store: str, blocks: tuple[int, int], said: Any) -> None:
    """Fetch in small pieces, and say each one."""
    how = Options(Path(store), blocks, settings=Settings(window=5, segment=10, confirmations=0), timeout=5.0, patience=0.01)
    advance = progress.advance

    def told(*what: Any) -> None:
        said.send(None)
        advance(*what)

    progress.advance = told  # type: ignore[assignment]
    puller.fetch(incident_file.load(query), sorted(TOPICS), [url], how)


def pulled(forks: Any, arguments: tuple[Any, ...], pieces: int, seconds: float) -> bool:
    """Whether a fetch ends before it has said so many pieces and so many seconds more; it is killed then."""
    heard, said = forks.Pipe(duplex=False)
    process = forks.Process(target=pulls, args=(*arguments, said))
    process.start()
    said.close()
    with suppress(EOFError):  # it is done
        for _ in range(pieces):
            heard.recv()
        time.sleep(seconds)
        process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return bool(process.exitcode == 0)


def test_a_kill_at_any_moment_changes_nothing(crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path) -> None:
    """kill -9 at random moments, the same fetch again, and after ten kills to its end; each time the same rows."""
    forks = multiprocessing.get_context("forkserver")  # one process has imported everything
    forks.set_forkserver_preload([__name__, "perpcomp.ingest.node.pull", "perpcomp.ingest.node.providers"])
    random, kills, expected = Random(7), 0, row_hash(truth, EVENTS)
    with Proxy(crash_chain.url, [Fault("late", permanent=True, delay=0.004)]) as proxy:
        for n in count():
            store = tmp_path / f"store{n}"
            arguments = (str(about.folder / "live.toml"), proxy.url, str(store), (crash_chain.first_block, crash_chain.last_block))
            before = kills
            while kills < before + 10 and not pulled(forks, arguments, random.randrange(1, 6), random.random() * 0.02):
                kills += 1
            assert pulled(forks, arguments, 10**6, 0)
            events = read_events(Input(store / "logs.parquet", None), about).table
            assert row_hash(events, EVENTS) == expected
            assert not list(store.rglob("*.partial")) or kills > before, "only a killed process may leave a temporary file"
            if kills >= KILLS:
                return


# Endpoints.


@pytest.mark.parametrize("bad", ["http-401", "http-500", "html", "never", "wrong-id"])
def test_the_next_endpoint_takes_over(bad: str, crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path) -> None:
    how = options(crash_chain, tmp_path, timeout=0.3)
    kinds = ("eth_getLogs",)
    with Proxy(crash_chain.url, [Fault(bad, permanent=True, methods=kinds)]) as proxy:
        assert pull(about, [proxy.url, crash_chain.url], how).equals(truth)


def test_a_node_that_is_not_there_is_said_so(about: Incident, crash_chain: TradedChain, tmp_path: Path) -> None:
    with Proxy(crash_chain.url, []) as proxy:
        gone = proxy.url
    with pytest.raises(InputError, match="cannot be reached") as error:
        pull(about, [gone], options(crash_chain, tmp_path))
    assert error.value.exit_code == 3


def test_websocket(crash_chain: TradedChain, about: Incident, truth: pl.DataFrame, tmp_path: Path) -> None:
    assert pull(about, [crash_chain.url.replace("http://", "ws://")], options(crash_chain, tmp_path)).equals(truth)


def test_ipc(node_tools: NodeTools, about: Incident, truth: pl.DataFrame, tmp_path: Path) -> None:
    """A node of its own, with a socket; its script is the same, so its logs are."""
    with TemporaryDirectory() as short:  # a socket's path has some 100 characters at most
        socket = f"{short}/node.ipc"
        with crash(node_tools, ("--ipc", socket)) as chain:
            assert pull(about, [socket], options(chain, tmp_path)).equals(truth)


KEY = "s3cr3tKey0123456789abcdef"
SPOILT = ["http-401", "http-429", "http-500", "html", "truncated-json", "wrong-id", "null-result", "cut-connection"]


@pytest.mark.parametrize("kind", SPOILT)
def test_the_key_of_an_endpoint_appears_nowhere(kind: str, crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    """In the path, the query and the password; over words, store, outputs and tracebacks."""
    with Proxy(crash_chain.url, [Fault(kind, permanent=True, retry_after=1)]) as proxy:
        url = proxy.url.replace("http://", f"http://user:{KEY}@") + f"/v3/{KEY}?apikey={KEY}"
        with pytest.raises(InputError) as error:
            pull(about, [url], options(crash_chain, tmp_path, attempts=2))
    assert KEY not in str(error.value)
    import traceback

    assert KEY not in "".join(traceback.format_exception(error.value))
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


# The command line.


def test_run_with_rpc_fetches_proves_publishes_and_verifies(crash_chain: TradedChain, about: Incident, final: str, tmp_path: Path) -> None:
    query = str(about.folder / "live.toml")
    url = crash_chain.url + f"?key={KEY}"
    done = process("run", query, "--rpc", url, "--prove", "--blocks", final, "--out", "o", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: ") == 1
    assert "The input reaches only to 2021-02-20T23:15:30Z (every block of the store's range was asked for)" in done.stderr
    assert "all final" in done.stderr
    assert "proved complete and unaltered" in done.stderr
    assert (tmp_path / "o" / "inputs" / "logs.parquet").is_file()
    assert call("verify", "o", cwd=tmp_path).returncode == 0, "the logs went with the run: no node is needed"
    again = call("run", query, "--rpc", "http://127.0.0.1:1/nobody", "--prove", "--blocks", final, "--out", "o", cwd=tmp_path)
    assert again.returncode == 1, again.stderr
    assert "0 requests" in again.stderr
    partly = call("payouts", query, "--json", cwd=tmp_path)
    assert partly.returncode == 3
    assert "not the complete and final range of the window" in partly.stderr, "a victim could be missing"
    assert call("payouts", query, "--json", "--input", "store/live/logs.parquet", cwd=tmp_path).returncode == 1
    for words in (done.stdout, done.stderr, again.stderr):
        assert KEY not in words
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def test_the_url_may_come_from_the_environment(crash_chain: TradedChain, about: Incident, final: str, tmp_path: Path) -> None:
    query = str(about.folder / "live.toml")
    done = call("events", query, "--blocks", final, "--json", cwd=tmp_path, PERPCOMP_RPC_URL=crash_chain.url)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: ") == done.stderr.count("error: logs.parquet: The input reaches only to ") == 1
    assert len(json.loads(done.stdout)) > 20


def test_dry_run_says_what_would_be_asked_and_sends_nothing(crash_chain: TradedChain, about: Incident, final: str, tmp_path: Path) -> None:
    query = str(about.folder / "live.toml")
    with Proxy(crash_chain.url, []) as proxy:
        done = call("events", query, "--rpc", proxy.url, "--blocks", final, "--dry-run", cwd=tmp_path)
        assert sum(proxy.counts.values()) == 0
    assert done.returncode == 0
    assert "eth_getLogs" in done.stderr
    assert "Columns: block_number" in done.stderr
    assert "Nothing was sent." in done.stderr
    assert not (tmp_path / "store").exists()
    assert "at most 64 requests" in call("events", query, "--rpc", "http://x", "--dry-run", cwd=tmp_path).stderr


@pytest.mark.parametrize("blocks", ["5", "9:5", "a:b", "1:", "１:２"])
def test_a_range_that_is_none_is_refused(blocks: str, about: Incident, tmp_path: Path) -> None:
    done = call("events", str(about.folder / "live.toml"), "--rpc", "http://127.0.0.1:1", "--blocks", blocks, cwd=tmp_path)
    assert done.returncode == 2
    assert "is not a range of blocks" in done.stderr


def test_the_windows_blocks_are_found_by_their_times(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    """A window that ended: the range ends with the last block before it, and begins where the query says."""
    from datetime import UTC, datetime

    start, end = crash_chain.reference_block + 3, crash_chain.last_block - 45
    times = [int(crash_chain.world.blocks.rpc("eth_getBlockByNumber", hex(n), False)["timestamp"], 16) for n in (start, end)]
    first, last = (datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for t in times)
    text = re.sub(r"from = .*\nto = .*\n", f"from = {first}\nto = {last}\n", about.raw.decode())
    text = text.replace("[chain]", f"[chain]\nfirst_block = {crash_chain.first_block}")
    query = incident_file.parse(text.encode(), "live", tmp_path)
    fetched = puller.fetch(query, sorted(TOPICS), [crash_chain.url], Options(tmp_path / "store", settings=SMALL))
    assert (fetched.first, fetched.last) == (crash_chain.first_block, end - 1)


def test_what_was_fetched_for_the_window_is_the_incidents_input_from_then_on(
    crash_chain: TradedChain, about: Incident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    end = int(crash_chain.world.blocks.rpc("eth_getBlockByNumber", hex(crash_chain.last_block - 45), False)["timestamp"], 16)
    text = re.sub(r"to = .*\n", f"to = {datetime.fromtimestamp(end, UTC):%Y-%m-%dT%H:%M:%SZ}\n", about.raw.decode(), count=1)
    query = incident_file.parse(text.replace("[chain]", f"[chain]\nfirst_block = {crash_chain.first_block}").encode(), "live", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="names no input"):
        find_input(query, None)
    puller.fetch(query, sorted(TOPICS), [crash_chain.url], Options(default_store(query)))
    assert find_input(query, None).file == Path("store/live/logs.parquet")
    other = incident_file.parse(query.raw + b"\n[[expect]]\nwhat = 'traders'\nvalue = 1\nsource = 'script'\n", "live", tmp_path)
    assert find_input(other, None).file.is_file(), "another policy, the same window"
    (tmp_path / "store" / "live" / "range.json").unlink()
    with pytest.raises(InputError, match="an unfinished range"):
        find_input(query, None)


def test_a_window_that_is_not_over_is_refused(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    text = re.sub(r"to = .*\n", "to = 2030-01-01T00:00:00Z\n", about.raw.decode(), count=1)
    text = text.replace("[chain]", f"[chain]\nfirst_block = {crash_chain.first_block}")
    with pytest.raises(InputError, match="the newest block is older"):
        puller.fetch(incident_file.parse(text.encode(), "live", tmp_path), sorted(TOPICS), [crash_chain.url], Options(tmp_path / "s"))


def test_the_library_door(crash_chain: TradedChain, about: Incident, tmp_path: Path) -> None:
    blocks = (crash_chain.first_block, crash_chain.last_block)
    fetched = perpcomp.fetch(str(about.folder / "live.toml"), [crash_chain.url], blocks=blocks, store=tmp_path / "s")
    assert fetched.final is False, "the newest blocks lie within reach of a reorganisation"
    assert perpcomp.compute(str(about.folder / "live.toml"), fetched.file).liquidations.height == len(crash_chain.liquidations())
