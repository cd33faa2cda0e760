"""A fresh, deterministic chain on a free loopback port, gone when the test process is, however that ends."""

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MNEMONIC = "candy maple cake sugar pudding cream honey rich smooth crumble sweet treat"
CHAIN_ID = 100
START_SECONDS = 30
LISTENING = re.compile(r"Listening on (127\.0\.0\.1:\d+)")


@contextmanager
def chain(
    anvil: Path,
    number: int,
    timestamp: int,
    accounts: int = 40,
    options: tuple[str, ...] = (),
    chain_id: int = CHAIN_ID,
    hardfork: str = "istanbul",
) -> Iterator[str]:
    """Run anvil with this genesis block and yield its endpoint. Blocks are mined on demand only; the state of old ones is kept."""
    folder = Path(tempfile.mkdtemp(prefix="perpcomp-chain-"))
    log = folder / "anvil.log"
    command = [
        *(str(anvil), "--host", "127.0.0.1", "--port", "0", "--chain-id", str(chain_id), "--hardfork", hardfork),
        *("--number", str(number), "--timestamp", str(timestamp), "--no-mining", "--order", "fifo"),
        *("--mnemonic", MNEMONIC, "--accounts", str(accounts), "--balance", "1000000"),
        *("--gas-limit", "12500000", "--gas-price", "1000000000", "--base-fee", "0"),
        *("--cache-path", str(folder / "states"), *options),
    ]
    with log.open("wb") as output:
        node = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    # One way to stop: a shell that waits for this pipe to close. The system closes it also when this process is killed.
    stop = ["/bin/sh", "-c", 'read _; kill -9 "$1"; rm -rf "$2"', "stop", str(node.pid), str(folder)]
    stopper = subprocess.Popen(stop, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert stopper.stdin
    try:
        yield f"http://{_address(node, log)}"
    finally:
        stopper.stdin.close()
        node.wait()
        stopper.wait()


def _address(node: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens: it picks a free port itself, so that no other program can take it in between."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and node.poll() is None:
        if found := LISTENING.search(log.read_text(errors="replace")):
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"anvil did not start (exit code {node.poll()}):\n{log.read_text(errors='replace')[-2000:]}")
