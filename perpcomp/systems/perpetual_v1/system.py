"""Perpetual Protocol V1 as a System."""

from collections.abc import Mapping

import polars as pl

from perpcomp.incident.chain import Chain
from perpcomp.systems.perpetual_v1 import events, explain, index_drawdown, liquidations, market_sums
from perpcomp.systems.perpetual_v1.code import denominators
from perpcomp.systems.perpetual_v1.replay.replay import Replay, replay
from perpcomp.systems.system import System


def _replay(
    tables: Mapping[str, pl.DataFrame], changes: pl.DataFrame, found: pl.DataFrame, chain: Chain, block_times: Mapping[int, int]
) -> Replay:
    taken, proved = (denominators(found, tables, chain.code, assume=assume) for assume in (True, False))
    return replay(tables, changes, block_times=block_times, denominators=taken, proved=proved)


class PerpetualV1(System):
    """The ClearingHouse and its Amms."""

    key = events.SYSTEM
    contract_key = "clearing_house"
    quote_unit = "USDC"
    topics = events.TOPICS
    old_layouts = events.OLD_LAYOUTS
    required_event = f"{events.POSITION_CHANGED.name} of the ClearingHouse {{contract}}"
    other_actions = events.OTHER_ACTIONS
    transfer_event = events.TRANSFER
    chain_id = 100
    contracts_in = staticmethod(events.contracts_in)
    fee_ratio = staticmethod(events.fee_ratio)
    wanted = staticmethod(events.wanted)
    summed = market_sums.SUMMED
    charging = staticmethod(events.charging)
    decode = staticmethod(events.decode_all)
    events_table = staticmethod(events.events_table)
    recheck = staticmethod(events.recheck)
    gaps = staticmethod(liquidations.gaps)
    lost_logs = staticmethod(market_sums.lost_logs)
    liquidations = staticmethod(liquidations.liquidations)
    replay = staticmethod(_replay)
    has_eras = True
    index_drawdowns = staticmethod(index_drawdown.index_drawdowns)
    explain_position = staticmethod(explain.position)


PERPETUAL_V1: System = PerpetualV1()
