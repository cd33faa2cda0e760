"""A small made-up crash as a node logs it, for inputs of other shapes: each account is long 1 BTC and is liquidated in the window."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from perpcomp.systems.perpetual_v1.events import POSITION_CHANGED, POSITION_LIQUIDATED

TOKEN = 10**18
HOUSE, MARKET, KEEPER = "0x" + "a1" * 20, "0x" + "b1" * 20, "0x" + "cc" * 20
FIRST_BLOCK, FIRST_TIME = 14_600_000, int(datetime(2021, 2, 19, tzinfo=UTC).timestamp())
WINDOW = int(datetime(2021, 2, 20, 22, 45, tzinfo=UTC).timestamp())

# What must be replaced in tests/build.py's incident.
CHANGES = {"0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": HOUSE, "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb": MARKET}


def digest(text: str) -> str:
    return "0x" + hashlib.sha256(text.encode()).hexdigest()


def account(n: int) -> str:
    return "0x" + hashlib.sha256(b"trader%d" % n).hexdigest()[:40]


def crash(margins: list[int], one_block: bool = False) -> list[dict[str, Any]]:
    """The logs of one account for each margin (tokens), in the order of the chain. Each margin is what the formula margin-only pays.

    With `one_block` all are liquidated in one block, each in its own transaction.
    """
    logs: list[dict[str, Any]] = []

    def log(time: int, topic0: str, trader: str, words: list[int], transaction: str) -> None:
        block = FIRST_BLOCK + (time - FIRST_TIME) // 5
        before = [one for one in logs if one["blockNumber"] == hex(block)]
        seen = list(dict.fromkeys(one["transactionHash"] for one in before))
        hashed = digest(transaction)
        logs.append(
            {
                "address": HOUSE,
                "topics": [topic0, *("0x" + "0" * 24 + indexed[2:] for indexed in (trader, MARKET))],
                "data": "0x" + "".join((word % 2**256).to_bytes(32, "big").hex() for word in words),
                "blockHash": digest(f"block {block}"),
                "blockNumber": hex(block),
                "blockTimestamp": hex(FIRST_TIME + 5 * (block - FIRST_BLOCK)),
                "transactionHash": hashed,
                "transactionIndex": hex(seen.index(hashed) if hashed in seen else len(seen)),
                "logIndex": hex(len(before)),
                "removed": False,
            }
        )

    notional = 55_000 * TOKEN
    for n, tokens in enumerate(margins):
        margin, trader = tokens * TOKEN, account(n)
        fetched = (notional - margin) * 103 // 100
        opening = [margin, notional, TOKEN, notional // 1000, TOKEN, 0, 0, 0, 0, notional, 0]
        log(WINDOW - 86_400 + 10 * n, POSITION_CHANGED.topic0, trader, opening, f"open {n}")
        realized = fetched - notional
        left, fee = margin + realized, fetched * 125 // 10_000
        penalty, bad_debt, time = max(0, left), max(0, -left), WINDOW + 60 + (0 if one_block else 10 * n)
        log(time, POSITION_LIQUIDATED.topic0, trader, [fetched, TOKEN, fee, int(KEEPER, 16), max(0, fee - penalty)], f"close {n}")
        closing = [0, fetched, -TOKEN, 0, 0, realized, 0, bad_debt, penalty, fetched, 0]
        log(time, POSITION_CHANGED.topic0, trader, closing, f"close {n}")
    return sorted(logs, key=lambda one: (int(one["blockNumber"], 16), int(one["logIndex"], 16)))
