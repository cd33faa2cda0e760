"""Every row of the published tables in a folder, against the rule that their authors stated: `make precedents PUBLISHED=FOLDER`.

The tables are not part of the project. A row that departs from its rule is listed, and known here with the reason; any other is a failure.
"""

import csv
import sys
from pathlib import Path

from perpcomp import pipeline
from perpcomp.incident import incident_file
from perpcomp.input import Input

HERE = Path(__file__).parent / "published"

# incident file -> the table's columns of published base units by token
COLUMNS = {
    "compound": {"COMP": "comp_units_published"},
    "origin": {"OUSD": "ousd_compensation", "OGN": "ogn_compensation"},
    "eminence": {"DAI": "dai_pro_rata"},
    "buyback": {"USDC": "floor_of_budget_usdc_units"},
}
# Rows that depart from the rule that their table states, by (incident file, token): how many, and what is said of them.
DEPARTING = {("origin", "OGN"): (1, "one claim below the 1,000 that are paid whole in OUSD was published with OGN on top")}


def main(folder: Path) -> int:
    """Print one line a table and token; the number of differences that nobody knows of."""
    surprises = 0
    for name, columns in COLUMNS.items():
        incident = incident_file.load(str(HERE / f"{name}.toml"))
        assert incident.published_table is not None
        file = folder / incident.published_table.file
        run = pipeline.compute(incident, Input(file, None))
        with file.open(newline="", encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        for token, column in columns.items():
            paid = dict(run.payouts.filter(token=token).select("trader", "amount_base_units").iter_rows())
            wrong = [row for row in rows if paid[row[incident.published_table.account].lower()] != row[column]]
            departing, why = DEPARTING.get((name, token), (0, ""))
            print(f"{name} {token}: {len(rows) - len(wrong)} of {len(rows)} rows to the unit" + (f"; {why}" if why else ""))
            for row in wrong:
                print(
                    f"  {row[incident.published_table.account]}: published {row[column]}, by the rule {paid[row[incident.published_table.account].lower()]}"
                )
            surprises += abs(len(wrong) - departing)
        missed = [problem for problem in run.problems if problem.level != "note"]
        print("\n".join(f"  {problem}" for problem in missed), end="\n" if missed else "")
        surprises += len(missed)
    return surprises


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1])) else 0)
