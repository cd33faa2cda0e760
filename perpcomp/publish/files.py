"""Every file that a run publishes, as bytes made from checked tables. folder.py writes them, and verify compares them."""

from perpcomp.decide.compare import wide
from perpcomp.findings import refusal
from perpcomp.publish.workbook import workbook
from perpcomp.run import Run
from perpcomp.tables.decide import CAPACITY, COMPARISON, FINDINGS, IN_KIND, RESTORE_ORDERS
from perpcomp.tables.events import EVENTS, FLAGS
from perpcomp.tables.files import to_csv, to_parquet
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import CLAIMS, PAYEES, PAYOUTS, REDIRECTED
from perpcomp.tables.schema import Table

SMALL = 5_000  # up to this many events are published as CSV as well as Parquet

FINDINGS_FILE = "findings.csv"
WORKBOOK_FILE = "vote.xlsx"

# file name -> (attribute of Run, its table); each is published as canonical CSV
CSV_FILES: dict[str, tuple[str, Table]] = {
    "2-liquidations.csv": ("liquidations", LIQUIDATIONS),
    "3-payouts.csv": ("payouts", PAYOUTS),
    "4-claims.csv": ("claims", CLAIMS),
    "payee.csv": ("payees", PAYEES),
    "comparison.csv": ("comparison", COMPARISON),
    "capacity.csv": ("capacity", CAPACITY),
    "restore-in-kind.csv": ("in_kind", IN_KIND),
    "restore-orders.csv": ("restore_orders", RESTORE_ORDERS),
    "left-out.csv": ("left_out", LEFT_OUT),
    FINDINGS_FILE: ("findings", FINDINGS),
}


def files(run: Run) -> dict[str, bytes]:
    """Relative name -> bytes of everything that a run publishes, with its inputs and without the manifest."""
    events = run.events
    published = {f"inputs/{run.incident.name}.toml": run.incident.raw}
    index = run.incident.index_file if run.incident.judges_by_guards else None
    for path in (*run.input.files, run.input.range, run.input.blocks, run.input.prices, run.input.codes, index, *run.incident.lists):
        if path is not None:
            data = path.read_bytes()
            if published.setdefault(f"inputs/{path.name}", data) != data:
                what = f"Two inputs of this run are called {path.name}, and a published run holds all inputs in one folder."
                raise refusal(path.name, what, "Rename one of them.")
    published["1-events.parquet"] = to_parquet(events.table.sort(EVENTS.key))
    if events.table.height <= SMALL:
        published["1-events.csv"] = to_csv(events.table, EVENTS)
    for name, frame in events.others.items():
        published[f"events/{name}.parquet"] = to_parquet(frame.sort("block_number", "log_index"))
    for name, (attribute, table) in CSV_FILES.items():
        published[name] = to_csv(getattr(run, attribute), table)
    if run.flags is not None:
        published["flags.csv"] = to_csv(run.flags, FLAGS)
    if run.incident.payees:
        published["redirected.csv"] = to_csv(run.redirected, REDIRECTED)
    published["comparison-wide.csv"] = wide(run.comparison).write_csv().encode()
    published[WORKBOOK_FILE] = workbook(run)
    return published
