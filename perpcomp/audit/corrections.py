"""Which version of perpcomp changed amounts, so that an older run whose amounts differ here is explained, not only failed."""

from perpcomp.audit.compare import Difference
from perpcomp.number_text import counted

# Version -> what its section **Changes payouts** of CHANGELOG.md corrects, in a sentence. A test holds that none is left out.
CHANGES_PAYOUTS = {
    "0.2.0": "it decides eras row by row, pays nobody at an address that nobody may pay, and stops where a log or the code that ran is unknown",
}
TABLES = ("2-liquidations.csv", "3-payouts.csv", "4-claims.csv", "payee.csv", "comparison.csv", "capacity.csv", "restore-in-kind.csv")


def since(made_by: str, here: str) -> dict[str, str]:
    """The versions after the one that made a run, up to this one, that changed payouts."""
    try:
        return {version: what for version, what in CHANGES_PAYOUTS.items() if _parts(made_by) < _parts(version) <= _parts(here)}
    except ValueError:  # a version that was never released: nothing is known of it
        return {}


def explained(differences: list[Difference], made_by: str, here: str) -> list[str]:
    """A note for each version that may have changed the amounts that differ: how many rows, of which tables, and what it corrects."""
    rows: dict[str, set[str]] = {}
    for difference in differences:
        table, _, place = difference.where.partition(" row ")
        if table in TABLES and place:
            rows.setdefault(table, set()).add(place.split()[0])
    if not rows:
        return []
    listed = ", ".join(f"{table} ({counted(len(places), 'row')}: {_first(places)})" for table, places in rows.items())
    return [
        f"perpcomp {made_by} made the run, and {version} changes payouts (CHANGELOG.md, Changes payouts): {what}. It may be why these differ: {listed}."
        for version, what in since(made_by, here).items()
    ]


def _first(places: set[str], most: int = 10) -> str:
    shown = sorted(places, key=int)
    return ", ".join(shown[:most]) + (", …" if len(shown) > most else "")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
