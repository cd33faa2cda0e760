"""Sheets of published tables: what is left out, excluded, found, and who receives it. Nothing in them is computed."""

from collections.abc import Sequence

import polars as pl
from msgspec.structs import replace

from perpcomp.publish.workbook.linked import TRANSACTION, pages
from perpcomp.publish.workbook.plan import Cells, Sheet
from perpcomp.publish.workbook.series import addresses, chosen, column, flags, floats, texts
from perpcomp.run import Run
from perpcomp.sheet_limits import held, shown_rows
from perpcomp.systems.units import units
from perpcomp.tables.decide import EXCLUSIONS, FINDINGS
from perpcomp.tables.liquidations import LEFT_OUT
from perpcomp.tables.payouts import ADJUSTED, REDIRECTED, RULE_STEPS
from perpcomp.tables.schema import CSV_TIME, Table
from perpcomp.tables.schema import Column as TableColumn

WIDTHS = {"address": 40, "hash": 15, "time": 20, "digits": 27, "flag": 8, "integer": 9, "amount": 16}
WIDE = {"reason_code": 22, "code": 24, "reason": 90, "what": 90, "what_to_do": 70, "where": 40, "evidence": 50}


def sheets(run: Run) -> list[Sheet]:
    """Left out and Findings always; Rule where one pays, Adjusted, Redirected and Excluded where the incident file names any."""
    names = {market.amm: market.name for market in run.incident.markets}
    left_out = run.left_out.with_columns(pl.col("market").replace(names))
    found = [sheet("Left out", "Seen in the window and not paid", "left-out.csv", left_out, LEFT_OUT, run, words=("market",))]
    if run.due.outcomes:
        found.append(sheet("Rule", "What each step of the rule does to each trader", "rule-steps.csv", run.rule_steps, RULE_STEPS, run))
    if run.adjusted.height:
        found.append(sheet("Adjusted", "Entitlements that rulings corrected, in order", "adjusted.csv", run.adjusted, ADJUSTED, run))
    if run.redirected.height:
        found.append(sheet("Redirected", "Who is paid for another account", "redirected.csv", run.redirected, REDIRECTED, run))
    if run.exclusions.height:
        file = f"inputs/{run.incident.name}.toml"
        found.append(
            sheet(
                "Excluded",
                "Accounts that the incident file excludes, and what each exclusion keeps back",
                file,
                run.exclusions,
                EXCLUSIONS,
                run,
            )
        )
    found.append(sheet("Findings", "What a voter should check about the input", "findings.csv", run.findings, FINDINGS, run))
    return found


def sheet(name: str, heading: str, file: str, frame: pl.DataFrame, table: Table, run: Run, words: Sequence[str] = ()) -> Sheet:
    """A published table, or its first rows where it has more than a sheet holds. `words` are columns whose addresses became names."""
    unit, shown = units(run.incident), frame.head(shown_rows(frame.height))
    columns = []
    for one in table.columns:
        header = f"{one.name.replace('_', ' ')} ({unit.of(one.unit)})".replace(" ()", "")
        kind = "text" if one.name in words else one.kind
        cells = cells_of(replace(one, kind=kind), shown[one.name], file, run.incident.chain.id)
        columns.append(column(header, WIDE.get(one.name, WIDTHS.get(kind, 14)), cells))
    key = tuple(k for k, one in enumerate(table.columns) if one.name in table.key)
    linked = any(one.kind == "hash" for one in table.columns)
    return Sheet(name, f"{heading}: {held(frame.height, file, linked)}", columns, key=key, filtered=True)


def cells_of(about: TableColumn, values: pl.Series, file: str, chain: int) -> Cells:
    """A column of a published table as cells; a hash of a transaction in short, as a link to its page."""
    if about.kind == "address":
        return addresses(values)
    if about.kind == "flag":
        return flags(values)
    if about.kind == "hash":
        links = pages(chain, TRANSACTION, values)
        return Cells(chosen(links != "", "link", "text"), texts=values.str.head(12) + "…", links=links)
    if about.kind == "time":
        return Cells("text", texts=values.dt.strftime(CSV_TIME))
    if about.kind == "amount":
        form = "percent" if about.name == "covered" else "money" if about.unit in ("QUOTE", "PAID", "token") else "number"
        return Cells(form, floats(values))
    if about.kind == "integer":
        return Cells("whole", values)
    return texts(values, "digits" if about.kind == "digits" else "wrapped", file)
