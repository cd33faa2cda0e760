"""What `perpcomp guards` answers: tables, the files made of them, and what a person reads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from perpcomp.findings import Finding, refusal
from perpcomp.guards.counterfactual.outcomes import OUTCOMES
from perpcomp.guards.counterfactual.rules import rulebook
from perpcomp.guards.counterfactual.scenarios import Scenarios, scenarios
from perpcomp.guards.sweep import grid, sweep
from perpcomp.guards.verdicts import MEANING, Screen, screen
from perpcomp.incident.incident import Incident
from perpcomp.number_text import exact
from perpcomp.systems.perpetual_v1.events import SYSTEM
from perpcomp.tables.files import to_csv
from perpcomp.tables.guards import COUNTERFACTUAL, DROPPED, PATHS, SWEEP, VERDICTS
from perpcomp.tables.schema import Table
from perpcomp.writing import write_whole

FILES: dict[str, tuple[str, Table]] = {  # name of a table in an answer -> its file
    "verdicts": ("verdicts.csv", VERDICTS),
    "replay": ("replay.csv", COUNTERFACTUAL),
    "paths": ("paths.csv", PATHS),
    "dropped": ("dropped.csv", DROPPED),
    "sweep": ("sweep.csv", SWEEP),
}
Grid = tuple[list[str], list[list[str]], Sequence[int]]  # header, rows, which columns stand to the right


@dataclass(frozen=True)
class Answer:
    """The verdicts; the counterfactual and the sweep where they were asked for."""

    screen: Screen
    replay: Scenarios | None
    sweep: pl.DataFrame | None

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        found = {"verdicts": self.screen.verdicts}
        if self.replay is not None:
            found |= {"replay": self.replay.outcomes, "paths": self.replay.paths, "dropped": self.replay.dropped}
        return found if self.sweep is None else {**found, "sweep": self.sweep}

    @property
    def findings(self) -> list[Finding]:
        return [*self.screen.findings, *(self.replay.findings if self.replay else ())]


def answer(
    liquidations: pl.DataFrame,
    events: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    incident: Incident,
    rules: str | None,
    swept: bool,
) -> Answer:
    """The whole answer. `rules` names the rules of the counterfactual; None: none is made."""
    if rules is not None and incident.system != SYSTEM:
        what = f"has the system {incident.system}: a crash is executed again on the curve of {SYSTEM} only."
        raise refusal(f"{incident.name}.toml", what, "Leave --replay and --rules out: the verdicts and --sweep need neither.")
    chosen = None if rules is None else rulebook(rules, incident)
    verdicts = screen(liquidations, events, tables, incident)
    replayed = None if chosen is None else scenarios(chosen, liquidations, events, tables, incident)
    return Answer(verdicts, replayed, sweep(verdicts.verdicts, *grid(verdicts)) if swept else None)


def write(found: Answer, folder: Path) -> list[str]:
    """Write the tables as CSV files; those of an earlier answer that are not made again go. Returns the names."""
    if folder.exists() and not folder.is_dir():
        raise refusal(str(folder), "is not a folder.", "Choose another with --out.")
    files = {FILES[name][0]: to_csv(frame, FILES[name][1]) for name, frame in found.tables.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data)
        for name, _ in FILES.values():
            if name not in files:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise refusal(str(folder), f"cannot be written ({error.strerror}).", "Choose another with --out.") from None
    return list(files)


def words(found: Answer) -> Iterator[str]:
    """What the codes in the tables mean, and what must be said beside them."""
    verdicts = found.screen.verdicts
    for code in sorted({*verdicts.get_column("verdict"), *verdicts.get_column("verdict_of_limits")}):
        yield f"{code}: {MEANING[code]}."
    oldest = verdicts.get_column("index_age_seconds").max()
    if isinstance(oldest, int):
        yield f"The oldest index price used was {oldest:,} seconds old."
    if found.replay is not None:
        for code in sorted(set(found.replay.outcomes.get_column("outcome"))):
            yield f"{code}: {OUTCOMES[code]}."
        for remark in found.replay.findings:
            if remark.level == "note":
                yield f"note: {remark}"


def grids(found: Answer, incident: Incident, shown: Callable[[Any], str]) -> Iterator[Grid]:
    """What is printed: each liquidation, the counts, and the parameters, always together."""
    ratios = ("price_impact", "slack_delta", "premium", "slack_pd", "index_age_seconds")
    columns = ("block_time", "trader", "closed_size", *ratios, "verdict_of_limits", "verdict")
    verdicts = found.screen.verdicts
    yield [*columns], [[shown(cell) for cell in row] for row in verdicts.select(columns).iter_rows()], range(2, 8)
    if found.replay is not None:
        since = pl.col("block_time") >= incident.eligibility.start
        yield from _of_replay(found.replay.outcomes, found.replay.paths.filter(since), shown)
    if found.sweep is not None:
        yield from _of_sweep(found.sweep, shown)
    yield _counts(verdicts, incident.guards.flag_rule, shown)
    yield _parameters(found.screen, {market.amm: market.name for market in incident.markets}, shown)


def _counts(verdicts: pl.DataFrame, flag_rule: str, shown: Callable[[Any], str]) -> Grid:
    rows = []
    for code in MEANING:
        of = [verdicts.filter(pl.col(column) == code) for column in ("verdict", "verdict_of_limits")]
        if any(frame.height for frame in of):
            sums = [shown(frame.get_column(name).sum()) for frame in of for name in ("notional", "remaining_margin")]
            rows.append([code, str(of[1].height), *sums[2:], str(of[0].height), *sums[:2]])
    by = ["by the limits alone", "notional (USDC)", "remaining (USDC)", f"flagged by {flag_rule}", "notional (USDC)", "remaining (USDC)"]
    return ["verdict", *by], rows, range(1, 7)


def _parameters(found: Screen, names: Mapping[str, str], shown: Callable[[Any], str]) -> Grid:
    rows = []
    for market, limit in found.limits.items():
        limits = (found.verdicts.filter(pl.col("market") == market).select("max_liquidation_delta", "max_pd")).row(0)
        most = ["none" if value is None else shown(value) for value in limits]
        rows.append([names.get(market, market), *most, found.indices[market].source, limit.source])
    return ["market", "max_liquidation_delta", "max_pd", "index price", "limits from"], rows, (1, 2)


def _of_replay(outcomes: pl.DataFrame, paths: pl.DataFrame, shown: Callable[[Any], str]) -> Iterator[Grid]:
    """Each account under each rulebook; then counts and sums by rulebook."""
    names = outcomes.get_column("scenario").unique(maintain_order=True).to_list()
    beside: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in outcomes.iter_rows(named=True):
        account = (row["market_name"], row["trader"], row["number"], shown(row["remaining_historical"]))
        beside.setdefault(account, {})[row["scenario"]] = row["outcome"]
    table = [[key[0], key[1], key[3], *(of.get(name, "") for name in names)] for key, of in sorted(beside.items())]
    yield ["market", "trader", "taken in history (USDC)", *names], table, (2,)
    rows = [[code, *(str(outcomes.filter(scenario=name, outcome=code).height) for name in names)] for code in OUTCOMES]
    rows = [row for row in rows if any(count != "0" for count in row[1:])]
    stopped = pl.col("outcome").is_in(["NEVER_FLAGGED", "FLAGGED_THEN_RECOVERED"])
    rows.append(["stopped by the rules", *(str(outcomes.filter(stopped, scenario=name).height) for name in names)])
    for label, column in (
        ("margin taken in history (USDC)", "remaining_historical"),
        ("margin taken under these rules (USDC)", "remaining_counterfactual"),
        ("equity still held at the end (USDC)", "equity_at_end"),
    ):
        rows.append([label, *(shown(outcomes.filter(scenario=name).get_column(column).sum()) for name in names)])
    for market in paths.get_column("market").unique(maintain_order=True):
        here = paths.filter(market=market)
        name = outcomes.filter(market=market).get_column("market_name")[0]
        for word, pick in (("low", pl.Series.min), ("high", pl.Series.max)):
            columns = [here.filter(scenario=name_) for name_ in names]
            rows.append([f"{name} {word} in history", *(shown(pick(c.get_column("spot_price"))) for c in columns)])
            rows.append([f"{name} {word} under these rules", *(shown(pick(c.get_column("counterfactual_spot_price"))) for c in columns)])
    yield ["outcome", *names], rows, range(1, len(names) + 1)


def _of_sweep(swept: pl.DataFrame, shown: Callable[[Any], str]) -> Iterator[Grid]:
    """How many would have been liquidated all the same: a row for each limit of the impact, a column for each of the premium."""
    deltas, pds = (sorted(set(swept.get_column(name))) for name in ("max_liquidation_delta", "max_pd"))
    for rule in ("v1", "index"):
        count = {
            (delta, pd): n
            for delta, pd, n in swept.filter(flag_rule=rule, verdict="LIQUIDATED")
            .select("max_liquidation_delta", "max_pd", "liquidations")
            .iter_rows()
        }
        header = [f"liquidated, flagged by {rule}", *(f"pd {exact(pd)}" for pd in pds)]
        yield (
            header,
            [[f"delta {exact(delta)}", *(str(count.get((delta, pd), 0)) for pd in pds)] for delta in deltas],
            range(1, len(pds) + 1),
        )
