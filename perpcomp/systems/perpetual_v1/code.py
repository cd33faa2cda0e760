"""By what the contracts' code that ran divides for the margin ratio, block by block.

The code of era 2 divides by the position's notional. So did the last code of era 1, which logs cannot tell from the code before it.
Up to the last liquidation of era 1 the code is assumed to divide by the open notional, and where no other era is seen, before the first
one of era 2 by the position's: `assumption` says so.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import polars as pl

from perpcomp.findings import Finding
from perpcomp.incident.chain import OPEN_NOTIONAL, POSITION_NOTIONAL, Code
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.perpetual_v1.eras import ASSUMED
from perpcomp.systems.perpetual_v1.events import UPGRADED

Denominators = Sequence[tuple[int, bool | None]]  # (first block, by the position's notional), in order; None: unknown
BY_OPEN_NOTIONAL: Denominators = ((0, False),)
UNKNOWN: Denominators = ((0, None),)
STATE_IT = "State it: [[chain.code]] with from_block, meaning, denominator and source."


def at_block(denominators: Denominators, block: int) -> bool | None:
    """Whether the code at the end of a block divides by the position's notional; None where that is unknown."""
    return denominators[bisect_right(denominators, block, key=lambda change: change[0]) - 1][1]


def denominators(
    liquidations: pl.DataFrame, tables: Mapping[str, pl.DataFrame], code: Sequence[Code], *, assume: bool = True
) -> Denominators:
    """From a liquidations table, the Upgraded logs and [[chain.code]].

    A liquidation shows the era of the code that ran since the Upgraded log before it and until the next one. Between the last one of era 1
    and the first of era 2 the code is unknown, but for the parts that these logs join to one of the two; so it is after an Upgraded log
    that no liquidation follows, and before one that only code of era 2 follows. A statement holds from its block on, until the logs
    contradict it; code before one that divides by the open notional did so too. Without `assume`, what is only assumed is unknown.
    """
    decided = liquidations.filter(~pl.col("era_rule").is_in(ASSUMED)).select("era", "block_number", LOG_ORDER.alias("place"))
    last_1 = decided.filter(era=1).select(pl.col("place").max(), pl.col("block_number").max()).row(0)
    first_2 = decided.filter(era=2).select(pl.col("place").min(), pl.col("block_number").min()).row(0)
    upgrades = []
    if UPGRADED.name in tables:
        upgrades = sorted(tables[UPGRADED.name].select(LOG_ORDER, pl.col("block_number").alias("block")).iter_rows())
    by_logs = _by_logs(last_1, first_2, upgrades, assume)
    seen_1, seen_2 = (-1 if last_1[1] is None else last_1[1]), (2**62 if first_2[1] is None else first_2[1])
    changes = {0, seen_1 + 1, seen_2, *(block for block, _ in by_logs), *(one.from_block for one in code)}
    found: list[tuple[int, bool | None]] = []
    for block in sorted(changes):
        stated = next((one for one in reversed(code) if one.from_block <= block), None)
        if stated is None and block < seen_2 and any(one.denominator == OPEN_NOTIONAL for one in code):
            value: bool | None = False
        elif stated is None:
            value = at_block(by_logs, block)
        elif block >= seen_2 or (block <= seen_1 and stated.meaning == 2):
            value = True if block >= seen_2 and stated.denominator == POSITION_NOTIONAL else None
        else:
            value = stated.denominator == POSITION_NOTIONAL
        found.append((block, value))
    return found


def _by_logs(
    last_1: Sequence[int | None], first_2: Sequence[int | None], upgrades: Sequence[tuple[int, int]], assume: bool
) -> Denominators:
    """From the (place, block) of the last liquidation of era 1, of the first one of era 2, and of each Upgraded log."""
    (end_1, block_1), (start_2, block_2) = last_1, first_2
    by_open = BY_OPEN_NOTIONAL if assume else UNKNOWN
    after_1 = next((block for place, block in upgrades if place > (-1 if end_1 is None else end_1)), None)
    if start_2 is None or block_2 is None:
        return by_open if after_1 is None else (*by_open, (after_1, None))
    before_2 = next((block for place, block in reversed(upgrades) if place < start_2 and place > (-1 if end_1 is None else end_1)), None)
    if block_1 is None:
        by_position = ((0, True),) if assume else (*UNKNOWN, (block_2, True))
        return by_position if before_2 is None else (*UNKNOWN, (before_2, True))
    if before_2 is None or after_1 is None:
        return (*by_open, (block_1 + 1, None), (block_2, True))
    return (*by_open, (after_1, None), (before_2, True)) if after_1 < before_2 else (*by_open, (before_2, True))


def assumption(proved: Denominators, taken: Denominators, block: int) -> Finding | None:
    """A warning where the code of a block is only assumed: `taken` are the denominators with assumptions, `proved` those without."""
    over = at_block(taken, block)
    if over is None or at_block(proved, block) is not None:
        return None
    one, other = ("position's", "open") if over else ("open", "position's")
    what = (
        f"Nothing states which code ran, so the margin ratio is assumed to be over the {one} notional. Over the {other} notional, margin"
        " ratios and liquidation prices would differ by some per cent."
    )
    return Finding("warning", f"block {block}", what, STATE_IT, code="code-assumed")
