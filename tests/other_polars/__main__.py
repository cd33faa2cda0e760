"""`python -m tests.other_polars MINOR`: every row hash of three runs. Two minor versions of Polars must print the same lines.

requirements.lock beside this file pins the version before the one of pyproject.toml. That one cannot read the integer behind a Decimal
(`reinterpret` between Decimal and Int128 is new in 2.1.0, which is why pyproject.toml asks for it). So it is given here, by slower and
exact operations that both versions have; everything else is computed as ever. Parquet files name their writer: only rows are compared.
"""

import sys
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import polars as pl

import perpcomp
from perpcomp.fixed import AMOUNT
from perpcomp.publish.files import CSV_FILES
from perpcomp.run import Run
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import row_hash
from tests.conftest import LAB

INCIDENTS = ("rehearsal", str(LAB / "later-contracts.toml"), str(LAB / "large.toml"))
UNIT = pl.lit(Decimal("0.000000000000000001"), dtype=AMOUNT)


def to_amounts(units: pl.Series) -> pl.Series:
    """Integers of 1e-18 as amounts."""
    return units.to_frame("n").select(pl.col("n").cast(pl.Decimal(38, 0)) * UNIT).to_series()


def give_reinterpret(known: Callable[..., pl.Expr]) -> None:
    """Let expressions and columns read the integer behind an amount, and back."""

    def of_expression(self: pl.Expr, *given: Any, dtype: Any = None, **named: Any) -> pl.Expr:
        if dtype == pl.Int128:
            return self.to_physical()
        return self.map_batches(to_amounts, return_dtype=AMOUNT) if dtype == AMOUNT else known(self, *given, dtype=dtype, **named)

    def of_column(self: pl.Series, *given: Any, **named: Any) -> pl.Series:
        return self.to_frame("n").select(pl.col("n").reinterpret(*given, **named)).to_series().alias(self.name)

    pl.Expr.reinterpret, pl.Series.reinterpret = of_expression, of_column  # type: ignore[assignment, method-assign]


def hashes(run: Run) -> dict[str, str]:
    """Table -> row hash: of each published one, of the events, and of the text of every other decoded event."""
    tables = {name: row_hash(getattr(run, attribute), table) for name, (attribute, table) in CSV_FILES.items()}
    others = {name: sha256(frame.write_csv().encode()).hexdigest() for name, frame in run.events.others.items()}
    return {**tables, "events": row_hash(run.events.table, EVENTS), **others}


if __name__ == "__main__":
    if not pl.__version__.startswith(f"{sys.argv[1]}."):
        sys.exit(f"This is Polars {pl.__version__}, not {sys.argv[1]}.")
    try:
        pl.Series([1], dtype=pl.Int128).reinterpret(dtype=AMOUNT)
    except pl.exceptions.InvalidOperationError:
        give_reinterpret(pl.Expr.reinterpret)
    for incident in INCIDENTS:
        computed = perpcomp.compute(incident)
        for name, digest in hashes(computed).items():
            print(digest, computed.incident.name, name)
