"""One step of an explanation: the rule in names, the values of these names, the result, and where it comes from."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl
from msgspec import Struct, field
from msgspec.structs import asdict

from perpcomp.arithmetic import filled
from perpcomp.incident.incident import Incident

Row = Mapping[str, Any]
HEADING = 0  # the depth of the first step about an account
FEW = 1_000  # rows: up to so many are looked at one by one, in less time than a query of Polars takes


class Step(Struct, frozen=True):
    """One step. Evaluating `expression` with `values` gives `result`.

    An expression reads as Python over exact fractions: trunc(x) cuts towards zero at the 18th place, floor(x) to a whole number. Each
    value is an exact decimal, a fraction such as 1/2, or a quoted text. A step without an expression repeats what a log or the incident
    file says. `source` is where a number or a rule comes from; `transaction` and `log` are where on the chain.
    """

    step: str
    result: str = ""
    expression: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    source: str = ""
    transaction: str = ""
    log: int | None = None
    account: str = ""
    depth: int = 2  # how far it is indented

    def fields(self) -> dict[str, Any]:
        """The step for JSON; null where a field does not apply."""
        shown = {**asdict(self), "values": dict(self.values)}
        del shown["depth"]
        order = ("account", "step", "expression", "values", "result", "unit", "source", "transaction", "log")
        return {name: None if shown[name] == "" else shown[name] for name in order}

    def lines(self) -> Iterator[str]:
        """The step for people: `step = expression`, `= with the values`, `= result`; the second only where it says more than the third."""
        note = f"    [{self.source}]" if self.source else ""
        result = " ".join(filter(None, (self.result, self.unit)))
        if not self.expression:
            place = "" if self.log is None else f"tx {self.transaction} log {self.log}"
            said = ", ".join(filter(None, (result, *(f"{name} {value}" for name, value in self.values.items()), place)))
            yield f"{self.account if self.depth == HEADING else ' ' * self.depth + self.step}: {said}{note}"
            return
        pad = " " * (self.depth + len(self.step))
        numbers = filled(self.expression, self.values)
        yield f"{' ' * self.depth}{self.step} = {self.expression}{note}"
        if numbers.strip("()") not in (self.result, self.expression):
            yield f"{pad} = {numbers}"
        yield f"{pad} = {result}"


def in_lines(steps: Iterable[Step]) -> Iterator[str]:
    """The steps for people, with an empty line before each heading but the first."""
    for number, step in enumerate(steps):
        if number and step.depth == HEADING:
            yield ""
        yield from step.lines()


def rows_of(table: pl.DataFrame, **values: str | int) -> list[Row]:
    """The rows of a table that have these values."""
    if table.height > FEW:
        return list(table.filter(**values).iter_rows(named=True))
    wanted, cells = tuple(values.values()), zip(*(table.get_column(name).to_list() for name in values), strict=True)
    return [table.row(n, named=True) for n, found in enumerate(cells) if found == wanted]


def earlier_than(row: Row) -> pl.Expr:
    """Earlier than a row's log."""
    number, place = pl.lit(row["block_number"]), pl.lit(row["log_index"])
    return (pl.col("block_number") < number) | ((pl.col("block_number") == number) & (pl.col("log_index") < place))


def market_source(incident: Incident, market: str) -> tuple[str, ...]:
    """The source keys of the market at that address."""
    return next(m.source for m in incident.markets if m.amm == market)


def source_texts(incident: Incident, keys: tuple[str, ...]) -> str:
    """The texts behind source keys, in one line."""
    return "; ".join(f"{key}: {incident.sources[key].text}" for key in keys)
