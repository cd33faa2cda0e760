"""Every file that a run publishes, as bytes made from checked tables. folder.py writes them, and verify compares them."""

import re

from perpcomp import progress
from perpcomp.decide.compare import wide
from perpcomp.findings import refusal
from perpcomp.publish.carried import carried
from perpcomp.publish.proposal import proposal
from perpcomp.publish.readme import readme
from perpcomp.publish.workbook import workbook
from perpcomp.run import Run
from perpcomp.tables.decide import (
    CAPACITY,
    COMPARISON,
    DIFFERENCES,
    ELECTIONS,
    FAIRNESS,
    FINDINGS,
    IN_KIND,
    PREFERENCES,
    RESTORE_ORDERS,
    SENSITIVITY,
)
from perpcomp.tables.events import EVENTS, FLAGS
from perpcomp.tables.files import to_csv, to_parquet
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import ADJUSTED, CLAIMS, PAYEES, PAYOUTS, REDIRECTED, RULE_STEPS
from perpcomp.tables.schema import LOG_KEY, Table, rising

SMALL = 5_000  # up to this many events are published as CSV as well as Parquet

INPUT_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,119}"

FINDINGS_FILE = "findings.csv"
WORKBOOK_FILE = "vote.xlsx"
README_FILE, REPORT_FILE = "README.md", "report.html"
EVENTS_FILE, EVENTS_TEXT, EVENTS_FOLDER = "1-events.parquet", "1-events.csv", "events/"
REDIRECTED_FILE, ADJUSTED_FILE, FLAGS_FILE = "redirected.csv", "adjusted.csv", "flags.csv"

# file name -> (attribute of Run, its table); each is published as canonical CSV
CSV_FILES: dict[str, tuple[str, Table]] = {
    "2-liquidations.csv": ("liquidations", LIQUIDATIONS),
    "3-payouts.csv": ("payouts", PAYOUTS),
    "4-claims.csv": ("claims", CLAIMS),
    "payee.csv": ("payees", PAYEES),
    "comparison.csv": ("comparison", COMPARISON),
    "differences.csv": ("differences", DIFFERENCES),
    "preferences.csv": ("preferences", PREFERENCES),
    "elections.csv": ("elections", ELECTIONS),
    "fairness.csv": ("fairness", FAIRNESS),
    "sensitivity.csv": ("sensitivity", SENSITIVITY),
    "capacity.csv": ("capacity", CAPACITY),
    "restore-in-kind.csv": ("in_kind", IN_KIND),
    "restore-orders.csv": ("restore_orders", RESTORE_ORDERS),
    "left-out.csv": ("left_out", LEFT_OUT),
    FINDINGS_FILE: ("findings", FINDINGS),
}


def files(run: Run) -> dict[str, bytes]:
    """Relative name -> bytes of everything that a run publishes, with its inputs and their proof, and without the manifest."""
    events = run.events
    published = {f"inputs/{run.incident.name}.toml": run.incident.raw}
    index = run.incident.index_file if run.incident.judges_by_guards else None
    for path in (*run.input.files, run.input.range, run.input.blocks, run.input.prices, run.input.codes, index, *run.incident.lists):
        if path is not None:
            if not re.fullmatch(INPUT_NAME, path.name, re.ASCII):
                what = "An input's file name in a published run has only letters, digits, dots, hyphens and underscores, at most 120."
                raise refusal(f"'{path.name}'", what, "Rename the file.")
            data = path.read_bytes()
            if published.setdefault(f"inputs/{path.name}", data) != data:
                what = f"Two inputs of this run are called {path.name}, and a published run holds all inputs in one folder."
                raise refusal(path.name, what, "Rename one of them.")
    proof = run.input.evidence
    published |= {f"inputs/{path.relative_to(run.input.file.parent).as_posix()}": path.read_bytes() for path in proof} | carried()
    progress.now("Making the files of the run")
    if run.incident.published_table is None:
        published[EVENTS_FILE] = to_parquet(events.table)  # which is in order
    if run.incident.published_table is None and events.table.height <= SMALL:
        published[EVENTS_TEXT] = to_csv(events.table, EVENTS)
    for name, frame in events.others.items():
        published[f"{EVENTS_FOLDER}{name}.parquet"] = to_parquet(frame if rising(frame, LOG_KEY) else frame.sort(LOG_KEY))
    for name, (attribute, table) in CSV_FILES.items():
        published[name] = run.text(attribute, table)
    if run.flags is not None:
        published[FLAGS_FILE] = to_csv(run.flags, FLAGS)
    if run.incident.payees:
        published[REDIRECTED_FILE] = to_csv(run.redirected, REDIRECTED)
    if run.due.outcomes:
        published["rule-steps.csv"] = to_csv(run.rule_steps, RULE_STEPS)
    if run.incident.adjustments:
        published[ADJUSTED_FILE] = to_csv(run.adjusted, ADJUSTED)
    published["comparison-wide.csv"] = wide(run.comparison).write_csv().encode()
    if run.incident.claim_files is not None:
        from perpcomp.claims.files import claim_files  # with a module for each format, which most runs do without

        published |= claim_files(run.incident, run.incident.claim_files, run.payouts, run.claims)
    published |= proposal(run, published)
    progress.now(f"Making {WORKBOOK_FILE}")
    published[WORKBOOK_FILE] = workbook(run)
    published[README_FILE] = readme(run)
    from perpcomp.publish.report import report  # what draws it takes 0.15 s to import, and most who read a run's names draw nothing

    progress.now(f"Making {REPORT_FILE}")
    published[REPORT_FILE] = report(run)
    return published
