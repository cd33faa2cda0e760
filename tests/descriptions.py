"""Writes what is made of descriptions: the JSON Schema of the incident file, its key reference, every table's columns, the glossary."""

from pathlib import Path

from perpcomp import glossary
from perpcomp.incident import json_schema
from perpcomp.incident import reference as keys
from perpcomp.publish.files import CSV_FILES, FLAGS_FILE, REDIRECTED_FILE
from perpcomp.tables import reference as tables
from perpcomp.tables.events import EVENTS, FLAGS
from perpcomp.tables.guards import COUNTERFACTUAL, DROPPED, PATHS, SWEEP, VERDICTS
from perpcomp.tables.liquidations import POSITIONS, PRICES
from perpcomp.tables.payouts import REDIRECTED
from perpcomp.tables.schema import Table

ROOT = Path(__file__).parent.parent
SCHEMA, INCIDENTS, RESULTS = ROOT / "queries" / "incident.schema.json", ROOT / "queries" / "README.md", ROOT / "outputs" / "README.md"

# file -> what it is for; a run writes it, or the command that is named
PURPOSES = {
    "1-events.csv": "Every trade and liquidation of the input. `1-events.parquet` holds the same rows.",
    "2-liquidations.csv": "Every liquidation in the input, with the position just before it and what it was worth.",
    "3-payouts.csv": "What is paid.",
    "4-claims.csv": "When it unlocks.",
    "payee.csv": "Who receives the tokens, and what cannot be paid.",
    REDIRECTED_FILE: "For whom somebody else is paid. Written where the incident file names payees.",
    "comparison.csv": "What each formula gives each trader. `comparison-wide.csv` has one column a formula.",
    "differences.csv": "What each other formula gives a trader more or less than the one that pays.",
    "preferences.csv": "Who gets more under which formula, by pairs, and the money that moves.",
    "elections.csv": "What each voting type of Snapshot would elect if every trader voted for the own payout.",
    "fairness.csv": "How fair each formula is: recovery, Gini, shares of the largest, envy and monotonicity.",
    "sensitivity.csv": "What the total and each trader do at other reference prices, exactly.",
    "capacity.csv": "Whether the money at hand is enough for each formula.",
    "restore-in-kind.csv": "What would be opened again if positions were restored.",
    "restore-orders.csv": "What restoring all positions costs, by the order in which they are opened.",
    "left-out.csv": "Every trader with an event in the window who is not paid, with one reason.",
    "findings.csv": "Everything about the input that a voter should check.",
    FLAGS_FILE: "Perps V2: who flagged each liquidated position, and the state of the market then.",
    "guards/verdicts.csv": "`perpcomp guards`: whether guards would have let each liquidation pass.",
    "guards/replay.csv": "`perpcomp guards --replay`: how history ends under each set of rules.",
    "guards/paths.csv": "`perpcomp guards --replay`: the price of each market, block by block, with and without guards.",
    "guards/dropped.csv": "`perpcomp guards --replay`: what traders did that could not happen any more.",
    "guards/sweep.csv": "`perpcomp guards --sweep`: verdicts and money over a grid of limits.",
    "perpcomp positions": "Every open position at a block or time.",
    "perpcomp prices": "The price of a market through the window and the hour before.",
}
OTHERS = {
    "1-events.csv": EVENTS,
    REDIRECTED_FILE: REDIRECTED,
    FLAGS_FILE: FLAGS,
    "guards/verdicts.csv": VERDICTS,
    "guards/replay.csv": COUNTERFACTUAL,
    "guards/paths.csv": PATHS,
    "guards/dropped.csv": DROPPED,
    "guards/sweep.csv": SWEEP,
    "perpcomp positions": POSITIONS,
    "perpcomp prices": PRICES,
}


def described() -> dict[str, tuple[Table, str]]:
    """Name -> (table, purpose) of every table that is published or printed."""
    of_run = {name: table for name, (_, table) in CSV_FILES.items()}
    return {name: ({**of_run, **OTHERS}[name], purpose) for name, purpose in PURPOSES.items()}


def made() -> dict[Path, str]:
    """File -> what it must hold."""
    incidents, results = INCIDENTS.read_text(), RESULTS.read_text()
    results = _with(results, "tables", tables.reference(described()))
    return {
        SCHEMA: json_schema.text(),
        INCIDENTS: _with(incidents, "keys", keys.reference()),
        RESULTS: _with(results, "glossary", glossary.in_markdown()),
    }


def _with(text: str, name: str, content: str) -> str:
    """The text with what stands between the two marks of that name exchanged."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    return f"{text[: text.index(start)]}{start}\n{content}\n\n{text[text.index(end) :]}"


if __name__ == "__main__":
    for path, content in made().items():
        path.write_text(content)
