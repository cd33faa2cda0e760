"""Synthetix Perps V2 as a System."""

from perpcomp.systems.synthetix_v2 import completeness, events, explain, flags, liquidations
from perpcomp.systems.system import System


class SynthetixV2(System):
    """The markets' proxies and PerpsV2MarketSettings. Prices are an oracle's, so there is no pool to replay."""

    key = events.SYSTEM
    contract_key = "settings"
    several_contracts = True
    stores_entry_price = True
    quote_unit = "sUSD"
    topics = events.TOPICS
    contract_events = (events.PARAMETER_UPDATED.name,)
    market_topics = events.MARKET_TOPICS
    required_event = f"{events.POSITION_MODIFIED.name} of the markets' proxies"
    other_actions = events.OTHER_ACTIONS
    flag_event = events.POSITION_FLAGGED.name
    chain_id = 10
    contracts_in = staticmethod(events.contracts_in)
    prices = staticmethod(events.prices)
    wanted = staticmethod(events.wanted)
    decode = staticmethod(events.decode_all)
    events_table = staticmethod(events.events_table)
    gaps = staticmethod(liquidations.gaps)
    lost_logs = staticmethod(completeness.lost_logs)
    liquidations = staticmethod(liquidations.liquidations)
    check_flags = staticmethod(flags.parameter_missing)
    flags = staticmethod(flags.flags)
    explain_position = staticmethod(explain.position)


SYNTHETIX_V2: System = SynthetixV2()
