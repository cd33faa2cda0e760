"""By what the contracts' code that ran divides for the margin ratio, block by block.

The code of era 2 divides by the position's notional. So did the last code of era 1, which logs cannot tell from the code before it:
where no statement says otherwise, code of era 1 is taken to divide by the open notional.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import polars as pl

from perpcomp.incident.chain import POSITION_NOTIONAL, Code
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.perpetual_v1.eras import ASSUMED
from perpcomp.systems.perpetual_v1.events import UPGRADED

Denominators = Sequence[tuple[int, bool | None]]  # (first block, by the position's notional), in order; None: unknown
BY_OPEN_NOTIONAL: Denominators = ((0, False),)


def at_block(denominators: Denominators, block: int) -> bool | None:
    """Whether the code at the end of a block divides by the position's notional; None where that is unknown."""
    return denominators[bisect_right(denominators, block, key=lambda change: change[0]) - 1][1]


def denominators(liquidations: pl.DataFrame, tables: Mapping[str, pl.DataFrame], code: Sequence[Code]) -> Denominators:
    """From a liquidations table, the Upgraded logs and [[chain.code]].

    A liquidation shows the era of the code that ran since the Upgraded log before it and until the next one. Between the last one of era 1
    and the first of era 2 the code is unknown, but for the parts that these logs join to one of the two; so it is after an Upgraded log
    that no liquidation follows, and before one that only code of era 2 follows. A statement holds from its block on, until the logs
    contradict it.
    """
    decided = liquidations.filter(~pl.col("era_rule").is_in(ASSUMED)).select("era", "block_number", LOG_ORDER.alias("place"))
    last_1 = decided.filter(era=1).select(pl.col("place").max(), pl.col("block_number").max()).row(0)
    first_2 = decided.filter(era=2).select(pl.col("place").min(), pl.col("block_number").min()).row(0)
    upgrades = []
    if UPGRADED.name in tables:
        upgrades = sorted(tables[UPGRADED.name].select(LOG_ORDER, pl.col("block_number").alias("block")).iter_rows())
    by_logs = _by_logs(last_1, first_2, upgrades)
    seen_1, seen_2 = (-1 if last_1[1] is None else last_1[1]), (2**62 if first_2[1] is None else first_2[1])
    changes = {0, seen_1 + 1, seen_2, *(block for block, _ in by_logs), *(one.from_block for one in code)}
    found: list[tuple[int, bool | None]] = []
    for block in sorted(changes):
        stated = next((one for one in reversed(code) if one.from_block <= block), None)
        if stated is None:
            value = at_block(by_logs, block)
        elif block >= seen_2 or (block <= seen_1 and stated.meaning == 2):
            value = True if block >= seen_2 and stated.denominator == POSITION_NOTIONAL else None
        else:
            value = stated.denominator == POSITION_NOTIONAL
        found.append((block, value))
    return found


def _by_logs(last_1: Sequence[int | None], first_2: Sequence[int | None], upgrades: Sequence[tuple[int, int]]) -> Denominators:
    """From the (place, block) of the last liquidation of era 1, of the first one of era 2, and of each Upgraded log."""
    (end_1, block_1), (start_2, block_2) = last_1, first_2
    after_1 = next((block for place, block in upgrades if place > (-1 if end_1 is None else end_1)), None)
    if start_2 is None or block_2 is None:
        return BY_OPEN_NOTIONAL if after_1 is None else (*BY_OPEN_NOTIONAL, (after_1, None))
    before_2 = next((block for place, block in reversed(upgrades) if place < start_2 and place > (-1 if end_1 is None else end_1)), None)
    if block_1 is None:
        return ((0, True),) if before_2 is None else ((0, None), (before_2, True))
    if before_2 is None or after_1 is None:
        return (*BY_OPEN_NOTIONAL, (block_1 + 1, None), (block_2, True))
    return (*BY_OPEN_NOTIONAL, (after_1, None), (before_2, True)) if after_1 < before_2 else (*BY_OPEN_NOTIONAL, (before_2, True))
