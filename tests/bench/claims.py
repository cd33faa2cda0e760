"""Root and all proofs of a list of 100,000 rows: ours, and OpenZeppelin's JavaScript library in the same run. The roots are compared first."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from perpcomp.claims.payee_list import Row
from perpcomp.claims.trees.dialects import DIALECTS
from tests.bench.measure import Line, peak_memory, rates
from tests.chain.javascript import ask
from tests.chain.node import NodeToolsMissing, install

ROWS, SECONDS, TIMES, BYTES = 100_000, 1, 60, 10**9
TOKEN = "0x" + "ab" * 20


def lines() -> Iterator[Line]:
    chance = random.Random(1)
    accounts = [(f"0x{chance.getrandbits(160):040x}", chance.randrange(1, 10**24)) for _ in range(ROWS)]
    lists = {name: [Row(who, TOKEN if one.tokens else "", amount) for who, amount in accounts] for name, one in DIALECTS.items()}
    theirs = _theirs(accounts)
    if isinstance(theirs, dict):
        assert DIALECTS["oz-standard"].tree(lists["oz-standard"], "bench").root == theirs["root"], "the roots differ"
    measured = rates({name: (ROWS, lambda one=one, name=name: one.tree(lists[name], "bench")) for name, one in DIALECTS.items()})  # type: ignore[misc]
    for name, rate in measured.items():
        seconds = ROWS / rate.steady
        yield Line(f"{name}: root and proofs of {ROWS:,} rows", f"{seconds:.2f} CPU-s", target=f"< {SECONDS} CPU-s", met=seconds < SECONDS)
    ours = ROWS / measured["oz-standard"].steady
    if isinstance(theirs, dict):
        peer = theirs["build"] + theirs["proofs"]
        words = f"{peer:.1f} CPU-s (OpenZeppelin's JavaScript library: {theirs['build']:.1f} tree, {theirs['proofs']:.1f} proofs)"
        yield Line("oz-standard beside its peer", f"{ours:.2f} CPU-s", words, f"{peer / ours:.0f} x", f">= {TIMES} x", peer / ours >= TIMES)
    else:
        yield Line("oz-standard beside its peer", f"{ours:.2f} CPU-s", f"not measured: {theirs}", target=f">= {TIMES} x", met=False)
    made = DIALECTS["oz-standard"].tree(lists["oz-standard"], "bench")
    written = rates({"file": (ROWS, lambda: msgspec.json.encode(made.document))})["file"].steady
    yield Line("oz-standard: the file", f"{ROWS / written:.2f} CPU-s")
    used = peak_memory()
    yield Line("most memory of all dialects", f"{used / 10**6:,.0f} MB", target=f"< {BYTES / 10**6:,.0f} MB", met=used < BYTES)


def _theirs(accounts: list[tuple[str, int]]) -> dict[str, Any] | str:
    """The root of OpenZeppelin's JavaScript library and the seconds it took; why there is none where it cannot be installed."""
    try:
        install()
    except NodeToolsMissing as missing:
        return str(missing).partition("\n")[0]
    found: dict[str, Any] = ask("seconds", rows=[{"account": who, "amount": str(amount)} for who, amount in accounts])
    return found
