"""Sheets of published tables: what is left out, excluded, found, and who receives it. Nothing in them is computed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from perpcomp.eip55 import checksummed
from perpcomp.publish.workbook.plan import Cell, Column, Sheet
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_rows, shown_text
from perpcomp.systems.units import units
from perpcomp.tables.decide import EXCLUSIONS, FINDINGS
from perpcomp.tables.liquidations import LEFT_OUT
from perpcomp.tables.payouts import ADJUSTED, REDIRECTED, RULE_STEPS
from perpcomp.tables.schema import CSV_TIME, Table
from perpcomp.tables.schema import Column as TableColumn

WIDTHS = {"address": 44, "hash": 24, "time": 20, "digits": 27, "flag": 8, "integer": 9, "amount": 16}
WIDE = {"reason": 90, "what": 90, "what_to_do": 70, "where": 40, "evidence": 50}


def sheets(run: Run) -> list[Sheet]:
    """Left out and Findings always; Rule where one pays, Adjusted, Redirected and Excluded where the incident file names any."""
    names = {market.amm: market.name for market in run.incident.markets}
    left_out = run.left_out.with_columns(pl.col("market").replace(names))
    found = [sheet("Left out", "Seen in the window and not paid", "left-out.csv", left_out, LEFT_OUT, run, texts=("market",))]
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


def sheet(name: str, heading: str, file: str, frame: pl.DataFrame, table: Table, run: Run, texts: Sequence[str] = ()) -> Sheet:
    """A published table, or its first rows where it has more than a sheet holds. `texts` are columns whose addresses became names."""
    unit, shown = units(run.incident), shown_rows(frame.height)
    columns = [TableColumn(c.name, "text", c.unit, c.meaning, c.optional) if c.name in texts else c for c in table.columns]
    heads = [
        Column(f"{c.name.replace('_', ' ')} ({unit.of(c.unit)})".replace(" ()", ""), WIDE.get(c.name, WIDTHS.get(c.kind, 14)))
        for c in columns
    ]
    rows = [[cell_of(column, row[column.name], file) for column in columns] for row in frame.head(shown).iter_rows(named=True)]
    held = f"{frame.height:,}" if shown == frame.height else f"{shown:,} of {frame.height:,}; all are in {file}"
    key = tuple(k for k, column in enumerate(columns) if column.name in table.key)
    return Sheet(name, f"{heading}: {held}", heads, rows, key, True)


def cell_of(column: TableColumn, value: Any, file: str) -> Cell:
    """A value of a published table as a cell."""
    if value is None:
        return Cell("", "text")
    if column.kind == "address":
        return Cell(checksummed(value), "address")
    if column.kind == "flag":
        return Cell("yes" if value else "no", "text")
    if column.kind == "time":
        return Cell(value.strftime(CSV_TIME), "text")
    if isinstance(value, Decimal):
        return Cell(
            float(value), "percent" if column.name == "covered" else "money" if column.unit in ("QUOTE", "PAID", "token") else "number"
        )
    if isinstance(value, int):
        return Cell(value, "whole")
    return Cell(shown_text(value, file), "digits" if column.kind == "digits" else "wrapped")
