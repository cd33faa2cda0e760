"""Small made-up incidents: an events table and an incident file around it, for what no recorded chain shows."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp import pipeline
from perpcomp.fixed import from_integer, mul_integers, to_integer
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.input import Input
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.events import LIQUIDITY_CHANGED, events_table
from perpcomp.systems.perpetual_v1.lives import POSITION, before_liquidations, numbered
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from perpcomp.tables.schema import check

MARKET, KEEPER = "0x" + "bb" * 20, "0x" + "cc" * 20
START = datetime(2021, 2, 20, 22, 45, tzinfo=UTC)

QUERY = """
title = "A made-up incident"
system = "perpetual-v1"

[chain]
id = 100
clearing_house = "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
liquidation_fee_ratio = 0.0125
source = "test"

[[market]]
name = "BTCUSDC"
amm = "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
affected = true
reference_price = 50_000
source = "test"

[eligibility]
from = 2021-02-20T22:45:00Z
to = 2021-02-20T23:45:00Z
rebound_shorts = "include"
opened_in_window = "exclude"
second_life = "exclude"
self_liquidation = "include"
source = "test"

[formula]
name = "margin-only"
source = "test"

[allocation]
rounded_off_to = "the treasury"
source = "test"

[[settlement]]
token = "PERP"
decimals = 18
share = 1
price = 7
price_policy = "fixed"
source = "test"

[vesting]
upfront = 0.5
calendar = "calendar-months"
length = 3
tranches = 3
start = 2021-03-01T00:00:00Z
source = "test"

[sources]
test = "a test"
"""


def address(n: int) -> str:
    """The n-th trader's address, in the order of n; small numbers alone are precompiles."""
    return f"0x{'7a' * 12}{n:016x}"


def made_up(folder: Path, changes: Mapping[str, str] | None = None) -> Incident:
    """The incident above, with pieces of its text replaced."""
    text = QUERY
    for old, new in (changes or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    return incident_file.parse(text.encode(), "made-up", folder)


def event(n: int, trader: str, at: datetime, **values: Any) -> dict[str, Any]:
    """A row of the events table, block n; what is not given is 0 or empty."""
    amounts = {c.name: Decimal(0) for c in EVENTS.columns if c.kind == "amount" and c.name not in ("liquidation_fee", "fee_shortfall")}
    row = {
        "chain_id": 100,
        "block_number": n,
        "block_time": at,
        "block_hash": f"0x{n:064x}",
        "transaction_hash": f"0x{n:064x}",
        "transaction_index": 0,
        "log_index": 7,
        "system": "perpetual-v1",
        "trader": trader,
        "market": MARKET,
        "liquidator": None,
        "liquidation_fee": None,
        "fee_shortfall": None,
    }
    return {**row, **amounts, **values}


def opened(n: int, trader: str, at: datetime, size: Decimal, notional: Decimal, margin: Decimal) -> dict[str, Any]:
    return event(
        n,
        trader,
        at,
        kind="open",
        margin=margin,
        position_notional=notional,
        exchanged_position_size=size,
        position_size_after=size,
        fee=notional / 1000,
        spot_price=notional / abs(size),
    )


def liquidated(
    n: int,
    trader: str,
    at: datetime,
    size: Decimal,
    notional: Decimal,
    margin: Decimal,
    fetched: Decimal,
    funding: Decimal = Decimal(0),
    **more: Any,
) -> dict[str, Any]:
    """A full liquidation as the contracts of February log it."""
    realized = fetched - notional if size > 0 else notional - fetched
    left = margin + realized - funding
    fee = from_integer(mul_integers(to_integer(fetched), 125 * 10**14))
    penalty = max(Decimal(0), left)
    row = event(
        n,
        trader,
        at,
        kind="liquidation",
        position_notional=fetched,
        exchanged_position_size=-size,
        realized_pnl=realized,
        bad_debt=max(Decimal(0), -left),
        liquidation_penalty=penalty,
        funding_payment=funding,
        spot_price=fetched / abs(size),
        liquidator=KEEPER,
        liquidation_fee=fee,
        fee_shortfall=max(Decimal(0), fee - penalty),
    )
    return {**row, **more}


def table(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    return check(pl.DataFrame(list(rows), schema=EVENTS.schema), EVENTS)


def events_of(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The events table of decoded tables in memory."""
    return check(events_table({name: frame.lazy() for name, frame in tables.items()}).collect(), EVENTS)


def lives(events: pl.DataFrame, tables: Mapping[str, pl.DataFrame], before_crash: pl.Expr) -> pl.DataFrame:
    """What lives.py tells of every liquidation of these logs."""
    positions = numbered(events, tables.get(LIQUIDITY_CHANGED.name), before_crash)
    lines = {name: table.join(positions, on=POSITION) for name, table in tables.items() if name != LIQUIDITY_CHANGED.name}
    return before_liquidations(events.join(positions, on=POSITION, maintain_order="left"), lines, before_crash)


def run(folder: Path, rows: Iterable[dict[str, Any]], changes: Mapping[str, str] | None = None, formula: str | None = None) -> Run:
    """The run of the made-up incident over these events."""
    file = folder / "events.csv"
    file.write_bytes(to_csv(table(rows), EVENTS))
    return pipeline.compute(made_up(folder, changes), Input(file, None), formula)


def position(
    n: int, trader: str, size: Any, bought_at: Any, margin: Any, liquidated_at: Any, funding: Any = 0, minutes: int = 5
) -> list[dict[str, Any]]:
    """Opened a day before the window, liquidated so many minutes after its start."""
    s, m = Decimal(size), Decimal(margin)
    notional, fetched = abs(s) * Decimal(bought_at), abs(s) * Decimal(liquidated_at)
    return [
        opened(n, trader, START - timedelta(days=1), s, notional, m),
        liquidated(10_000 + n, trader, START + timedelta(minutes=minutes), s, notional, m, fetched, Decimal(funding)),
    ]


def all_places(n: int, whole: int) -> Decimal:
    """An amount between 1 and 1 + `whole` with 18 places, another for each n."""
    return Decimal(n * 0x9E3779B97F4A7C15 * 1_000_003 % (whole * 10**18)).scaleb(-18) + 1


def many(folder: Path, accounts: int) -> Run:
    """The run of so many accounts, whose amounts have all places. Each ninth has two positions where there are fewer than a thousand."""
    rows = [
        row
        for n in range(1, accounts + 1)
        for k in range(2 if accounts < 1_000 and n % 9 == 0 else 1)
        for row in position(2 * n + k, address(n), all_places(n, 9), 55_000, all_places(n, 90_000), 50_000 - 7 * k, all_places(n, 900))
    ]
    return run(folder, rows, {'name = "margin-only"': 'name = "margin-upl-funding"'})
