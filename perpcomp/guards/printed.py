"""What `perpcomp guards` prints of a report: grids of text cells, and sentences that say what the codes mean."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from perpcomp.guards.counterfactual.outcomes import OUTCOMES
from perpcomp.guards.report import Report
from perpcomp.guards.verdicts import MEANING, Verdicts
from perpcomp.incident.incident import Incident
from perpcomp.number_text import exact
from perpcomp.systems.units import units

Grid = tuple[list[str], list[list[str]], Sequence[int]]  # header, rows, which columns are aligned right
Shown = Callable[[Any, int], str]  # a cell's value as text, an amount with so many decimals
MONEY, RATIO = 2, 4  # decimals

STOPPED = ("NEVER_FLAGGED", "FLAGGED_THEN_RECOVERED")  # outcomes in which no liquidation happened and no flag is left
SUMS = {
    "margin taken in history": "remaining_historical",
    "margin taken under these rules": "remaining_counterfactual",
    "equity still held at the end": "equity_at_end",
}


def sentences(report: Report) -> Iterator[str]:
    """What the codes in the tables mean, and what a reader must know beside them."""
    verdicts = report.verdicts.table
    for code in sorted({*verdicts.get_column("verdict"), *verdicts.get_column("verdict_of_limits")}):
        yield f"{code}: {MEANING[code]}."
    oldest = verdicts.get_column("index_age_seconds").max()
    if isinstance(oldest, int):
        yield f"The oldest index price used was {oldest:,} seconds old."
    if report.replay is not None:
        for code in sorted(set(report.replay.outcomes.get_column("outcome"))):
            yield f"{code}: {OUTCOMES[code]}."
        for remark in report.replay.findings:
            if remark.level == "note":
                yield f"note: {remark}"


def grids(report: Report, incident: Incident, shown: Shown) -> Iterator[Grid]:
    """Each liquidation, the replay and the sweep where there are any, the counts, and the parameters that they rest on."""
    ratios = ("price_impact", "slack_delta", "premium", "slack_pd")
    columns = ("trader", "market_name", "verdict", *ratios, "verdict_of_limits", "closed_size", "index_age_seconds", "block_time")
    verdicts, quote = report.verdicts.table, units(incident).quote
    in_order = verdicts.sort("notional", descending=True, maintain_order=True).select(columns)
    yield [*columns], [[shown(cell, RATIO) for cell in row] for row in in_order.iter_rows()], (3, 4, 5, 6, 8, 9)
    if report.replay is not None:
        since = pl.col("block_time") >= incident.eligibility.start
        yield _accounts(report.replay.outcomes, quote, shown)
        yield _scenarios(report.replay.outcomes, report.replay.paths.filter(since), quote, shown)
    if report.sweep is not None:
        yield from _sweep(report.sweep)
    yield _counts(verdicts, incident.guards.flag_rule, quote, shown)
    yield _parameters(report.verdicts, {market.amm: market.name for market in incident.markets}, shown)


def _counts(verdicts: pl.DataFrame, flag_rule: str, quote: str, shown: Shown) -> Grid:
    """How many liquidations have each verdict, and their sums: by the limits alone, then by the flag rule too."""
    header, rows = ["verdict"], []
    for name in ("by the limits alone", f"flagged by {flag_rule}"):
        header += [name, f"notional ({quote})", f"remaining ({quote})"]
    for code in MEANING:
        frames = [verdicts.filter(pl.col(column) == code) for column in ("verdict_of_limits", "verdict")]
        if any(frame.height for frame in frames):
            row = [code]
            for frame in frames:
                row += [str(frame.height), *(shown(frame.get_column(name).sum(), MONEY) for name in ("notional", "remaining_margin"))]
            rows.append(row)
    return header, rows, range(1, 7)


def _parameters(verdicts: Verdicts, names: Mapping[str, str], shown: Shown) -> Grid:
    """The limits of each market and where they and the index price come from."""
    rows = []
    for market, limit in verdicts.limits.items():
        limits = verdicts.table.filter(pl.col("market") == market).select("max_liquidation_delta", "max_pd").row(-1)  # as `limit`
        shown_limits = ["none" if value is None else shown(value, RATIO) for value in limits]
        rows.append([names.get(market, market), *shown_limits, verdicts.indices[market].source, limit.source])
    return ["market", "max_liquidation_delta", "max_pd", "index price", "limits from"], rows, (1, 2)


def _accounts(outcomes: pl.DataFrame, quote: str, shown: Shown) -> Grid:
    """Each account's outcome: a row an account, a column a scenario."""
    names = _scenario_names(outcomes)
    by_account: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in outcomes.iter_rows(named=True):
        account = (row["market_name"], row["trader"], row["number"], row["remaining_historical"])
        by_account.setdefault(account, {})[row["scenario"]] = row["outcome"]
    rows = [
        [trader, market, *(found.get(name, "") for name in names), shown(taken, MONEY)]
        for (market, trader, _, taken), found in sorted(by_account.items(), key=lambda account: -(account[0][3] or 0))
    ]
    return ["trader", "market", *names, f"taken in history ({quote})"], rows, (len(names) + 2,)


def _scenarios(outcomes: pl.DataFrame, paths: pl.DataFrame, quote: str, shown: Shown) -> Grid:
    """Counts of outcomes, sums of margins and extreme prices: a column a scenario."""
    names = _scenario_names(outcomes)
    rows = [[code, *(str(outcomes.filter(scenario=name, outcome=code).height) for name in names)] for code in OUTCOMES]
    rows = [row for row in rows if any(count != "0" for count in row[1:])]
    stopped = pl.col("outcome").is_in(STOPPED)
    rows.append(["stopped by the rules", *(str(outcomes.filter(stopped, scenario=name).height) for name in names)])
    for label, column in SUMS.items():
        rows.append([f"{label} ({quote})", *(shown(outcomes.filter(scenario=name).get_column(column).sum(), MONEY) for name in names)])
    for market in paths.get_column("market").unique(maintain_order=True):
        in_market = [paths.filter(market=market, scenario=name) for name in names]
        market_name = outcomes.filter(market=market).get_column("market_name")[0]
        for word, extreme in (("low", pl.Series.min), ("high", pl.Series.max)):
            for where, column in (("in history", "spot_price"), ("under these rules", "counterfactual_spot_price")):
                rows.append([f"{market_name} {word} {where}", *(shown(extreme(path.get_column(column)), MONEY) for path in in_market)])
    return ["outcome", *names], rows, range(1, len(names) + 1)


def _scenario_names(outcomes: pl.DataFrame) -> list[str]:
    names: list[str] = outcomes.get_column("scenario").unique(maintain_order=True).to_list()
    return names


def _sweep(swept: pl.DataFrame) -> Iterator[Grid]:
    """How many would still be liquidated: a row for each limit of the price impact, a column for each limit of the premium."""
    deltas, pds = (sorted(set(swept.get_column(name))) for name in ("max_liquidation_delta", "max_pd"))
    for rule in ("v1", "index"):
        liquidated = swept.filter(flag_rule=rule, verdict="LIQUIDATED").select("max_liquidation_delta", "max_pd", "liquidations")
        count = {(delta, pd): number for delta, pd, number in liquidated.iter_rows()}
        header = [f"liquidated, flagged by {rule}", *(f"pd {exact(pd)}" for pd in pds)]
        rows = [[f"delta {exact(delta)}", *(str(count.get((delta, pd), 0)) for pd in pds)] for delta in deltas]
        yield header, rows, range(1, len(pds) + 1)
