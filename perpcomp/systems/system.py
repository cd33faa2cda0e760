"""The interface of a protocol: all that the rest of perpcomp asks of one.

A protocol is one object of an installed package, under the entry point group `perpcomp.systems`. Its entry point's name is its `key`,
which an incident file gives as `system`. Tables of decoded events go by the event's name.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any, Protocol

import polars as pl

from perpcomp.findings import Finding, refusal
from perpcomp.incident.chain import Chain
from perpcomp.incident.funds import InsuranceFund
from perpcomp.incident.incident import Incident
from perpcomp.ingest.decode import Event
from perpcomp.ingest.exports.exporter import Wanted
from perpcomp.installed import SYSTEMS, load
from perpcomp.steps import Row, Step
from perpcomp.systems.replay import Replay

CONTRACTS = {"contract": pl.String(), "market": pl.String(), "logs": pl.UInt32()}  # of contracts_in
Tables = Mapping[str, pl.LazyFrame]
Each = Callable[[Callable[..., Any]], Iterator[Any]]


class Replayer(Protocol):
    """Replays an input: the other events, the events table, a table of its liquidations and [chain] (both say which code ran), and the
    times (unix seconds) of blocks that need not have logged anything.
    """

    def __call__(
        self,
        tables: Mapping[str, pl.DataFrame],
        events: pl.DataFrame,
        liquidations: pl.DataFrame,
        chain: Chain,
        block_times: Mapping[int, int],
        /,
    ) -> Replay: ...


class System(Protocol):
    """One protocol. A class that inherits from this one need not give the members that have a value here."""

    key: str  # the incident file's `system`, and the name of the entry point
    contract_key: str  # the key of [chain] that names the contract beside the markets whose logs count
    several_contracts: bool = False  # whether that key may list several, of which one replaced another
    quote_unit: str  # its quote asset, which amounts are in where the incident names no other

    # The events

    topics: frozenset[str]  # topic0 of every event that is pulled and decoded
    old_layouts: tuple[str, ...] = ()  # beginnings of topic0 of layouts that cannot be read; an input that holds one is refused
    contract_events: tuple[str, ...] = ()  # tables of events that the contract of [chain] logs, by which it is known to be in the input
    market_topics: frozenset[str] = frozenset()  # those of `topics` that count at any address: only a market logs them
    required_event: str  # what an input must hold, as a noun phrase; {contract} stands for the contract's address
    other_actions: Mapping[str, str] = {}  # events beside the events table in which a trader acts -> what the left-out table calls it
    flag_event: str | None = None  # the event that marks a position for a liquidation that may come later
    transfer_event: Event | None = None  # of the insurance fund's token; None: the protocol's logs cannot give a fund's balance

    def wanted(self, chain_id: int, contract: str, addresses: Collection[str], fund: InsuranceFund | None, /) -> Wanted:
        """What an import must find in an export of another tool."""

    def decode(self, raw: pl.DataFrame, chain_id: int, contract: str, fund: InsuranceFund | None, /) -> dict[str, pl.DataFrame]:
        """Event name -> decoded table, of every event of the protocol, from raw logs. Every table is there, with or without rows."""

    def events_table(self, tables: Tables, charging: Collection[str] | None = None, /) -> pl.LazyFrame:
        """The published events table (EVENTS). InputError where a liquidation lacks one of its logs.

        Only a protocol with `summed` gets `charging`: the `charging` markets of the whole input, where `tables` hold a part of it.
        """

    def recheck(self, events: pl.DataFrame, chain_id: int, /) -> pl.DataFrame:
        """An events table from a file, checked. InputError where it is of another chain or protocol, or says too little, as here."""
        what = f"An events table of {self.key} does not hold the margins before each liquidation."
        raise refusal("the events table", what, "Pass the logs; a published run has them among its inputs.")

    # How an input is cut into parts, for several processes

    # Columns of the events of positions that `lost_logs` reads beside the logs of a market itself, by event. None: positions or markets
    # depend on each other, so that an input is not cut.
    summed: Mapping[str, tuple[str, ...]] | None = None

    def charging(self, tables: Tables, /) -> set[str]:
        """The markets in which a trade paid a fee; only a protocol with `summed` needs to know."""
        return set()

    # The liquidations

    stores_entry_price: bool = False  # a profit is size * (price - entry_price), truncated once; else a difference of notionals

    def liquidations(
        self, events: pl.LazyFrame, others: Tables, chain: Chain, before_crash: pl.Expr, each: Each, /
    ) -> tuple[pl.DataFrame, list[Finding]]:
        """Every liquidation, with the position just before it (the COLUMNS of columns.py); and what does not fit.

        each(function) gives function(events, others) of every part of the input. Every event of a position is in one part.

        `chain` has what the incident file states beside the logs. `before_crash` is true of the blocks before the crash.
        """

    def gaps(self, events: pl.LazyFrame, others: Tables, /) -> list[Finding]:
        """The events whose position starts from another size than the previous event ended at."""

    def lost_logs(self, events: pl.LazyFrame, others: Tables, incident: Incident, /) -> list[Finding]:
        """Where logs are missing, as far as the sums of each market's events show it; a warning where the input lacks the events for it."""
        return []

    # What an input tells of itself, before an incident file exists

    chain_id: int | None = None  # the chain on which the protocol was deployed

    def contracts_in(self, raw: pl.DataFrame, /) -> pl.DataFrame:
        """Who logged, in a raw frame of the protocol's events of any contract: the columns of CONTRACTS, one row a pair of contracts.

        `contract` is that of [chain] or null, `market` a market or null, `logs` how many logs speak for it.
        """
        return pl.DataFrame(schema=CONTRACTS)

    def prices(self, events: pl.LazyFrame, others: Tables, /) -> pl.LazyFrame:
        """market, block_number, log_index, block_time, price: each market's price as its trades and liquidations state it."""
        return events.select("market", "block_number", "log_index", "block_time", price="spot_price").drop_nulls("price")

    def fee_ratio(self, events: pl.LazyFrame, others: Tables, /) -> Decimal | None:
        """The liquidation fee ratio that the logs state or prove; None where they do neither, or the protocol has no such ratio."""
        return None

    # What only some protocols have

    replay: Replayer | None = None  # None: the protocol has no replay
    has_eras: bool = False  # whether its events changed their meaning, so that [[chain.code]] may state it

    def index_drawdowns(self, tables: Tables, incident: Incident, /) -> dict[str, int]:
        """Market -> the largest fall of its index over the window (1e-18 of the highest value before); a market without one is unknown."""
        return {}

    def flags(self, others: Tables, market_names: Mapping[str, str], /) -> pl.DataFrame | None:
        """The FLAGS table, where liquidators flag a position before they close it."""
        return None

    def check_flags(self, flags: pl.DataFrame, /) -> list[Finding]:
        """What in a FLAGS table contradicts the limits in the logs."""
        return []

    # Explanations

    def explain_position(
        self, events: pl.LazyFrame, others: Tables, row: Row, log: Row, numbers: Mapping[str, str], quote: str, /
    ) -> Iterator[Step]:
        """Size, margin and open notional of a liquidation as steps of arithmetic.

        `row` is of the liquidations table, `log` is its row of the events table, `numbers` has the values of both as texts for a Step.
        `quote` is the asset that margin and open notional are in.
        """
        return iter(())


def find(key: str) -> System:
    """The installed protocol of that key. InputError: it is not installed, cannot be loaded, or goes by another key."""
    loaded: System = load(SYSTEMS, key)
    if getattr(loaded, "key", None) != key:
        raise refusal(
            f"system '{key}'", f"The object of its entry point has the key {getattr(loaded, 'key', None)!r}.", "Repair its package."
        )
    return loaded


def topics(system: System, fund: InsuranceFund | None) -> frozenset[str]:
    """Every topic0 to read: the protocol's, and that of Transfer where the balance of `fund` is to be read from logs."""
    return system.topics if fund is None or system.transfer_event is None else system.topics | {system.transfer_event.topic0}


def replayer(system: System) -> Replayer:
    """The protocol's replay; InputError where it has none."""
    if system.replay is None:
        what = f"Positions cannot be replayed for the system {system.key}."
        raise refusal("[system]", what, "`perpcomp liquidations` shows the position before each liquidation.")
    return system.replay
