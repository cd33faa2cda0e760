"""Ten rules for 100,000 traders side by side, from claims to fairness; and the exact sensitivity of 5,000 traders to a price.

The sweep adds up 5,000 positions, each at least 0, at 10,000 prices. Its peers add up every position at every price, and get fewer prices.
"""

import time
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import polars as pl

from perpcomp.decide import elections, fairness, preferences
from perpcomp.decide.field import Field, Option
from perpcomp.decide.sensitivity.pieces import added, at_least, line
from perpcomp.decide.sensitivity.rules import of_rule
from perpcomp.decide.sensitivity.table import described
from perpcomp.fixed import ONE
from perpcomp.incident.rule_steps import Step
from perpcomp.incident.rules import Rule
from perpcomp.rules.apply import Known, apply
from perpcomp.rules.population import Population
from tests.bench.measure import Line, rates

TRADERS, COMPARED_SECONDS = 100_000, 5
HOLDERS, SENSITIVITY_SECONDS = 5_000, 1
PRICES, PEERS_PRICES, SWEEP_SECONDS = 10_000, 100, 0.1
POT = Decimal(500_000_000)
RULES = [
    Rule("whole", ("claim",)),
    Rule("half", ("claim",), steps=(Step("scale", factor=Fraction(1, 2)),)),
    Rule("pro-rata", ("claim",), steps=(Step("pro-rata-budget", pot=POT),)),
    Rule("small-first", ("claim",), steps=(Step("small-first", pot=POT, share=Fraction(99, 100)),)),
    Rule("up-to-threshold", ("claim",), steps=(Step("small-first", pot=POT, threshold=Decimal(20_000)),)),
    Rule("equal", ("claim",), steps=(Step("equal-per-address", pot=POT),)),
    Rule("capped", ("claim",), steps=(Step("cap-per-trader", cap=Decimal(15_000), excess="kept"),)),
    Rule("tiers", ("claim",), steps=(Step("tiers", threshold=Decimal(1_000), share=Fraction(1, 3)),)),
    Rule("deposit", ("margin",)),
    Rule("larger", ("pro-rata", "deposit"), "max", steps=(Step("pro-rata-budget", pot=POT),)),
]


def lines() -> Iterator[Line]:
    claims = [(n * 7_919 % 1_000_003) * ONE // 50 + n for n in range(TRADERS)]
    columns = {"claim": claims, "margin": [(n * 104_729 % 1_000_003) * ONE // 70 for n in range(TRADERS)]}
    accounts = [f"0x{n:040x}" for n in range(TRADERS)]
    start = time.process_time()
    _compared(Population(accounts, columns.__getitem__, columns.__getitem__), claims)
    seconds = time.process_time() - start
    what = f"{len(RULES)} rules for {TRADERS:,} traders: applied, preferences, elections, fairness"
    yield Line(what, f"{seconds:.2f} CPU-s", target=f"< {COMPARED_SECONDS} CPU-s", met=seconds < COMPARED_SECONDS)

    yield _sensitivity()
    yield from _sweep()


def _sensitivity() -> Line:
    rows = [at_least(line(n * 7_919 % 100_003 - 90_000_000 - n, (n * 31 % 997 + 1) * (-1) ** (n % 3 == 0)), 0) for n in range(HOLDERS)]
    accounts = [f"0x{n:040x}" for n in range(HOLDERS)]
    rule = Rule("r", ("claim",), steps=(Step("cap-per-trader", cap=Decimal(20_000), excess="kept"),))
    start = time.process_time()
    shape = of_rule(rule, {}, lambda _: rows, Population(accounts, lambda _: (), lambda _: ()))
    found = [*described(shape, accounts, Fraction(100_000), {"pot": Fraction(ONE)})]
    seconds = time.process_time() - start
    what = f"sensitivity of {HOLDERS:,} traders under a cap: {len(found):,} segments, break-evens and changes of order"
    return Line(what, f"{seconds:.2f} CPU-s", target=f"< {SENSITIVITY_SECONDS} CPU-s", met=seconds < SENSITIVITY_SECONDS)


def _sweep() -> Iterator[Line]:
    equities = [((n * 7_919 % 100_003 - 90_000_000 - n) * ONE, (n * 31 % 997 + 1) * (-1) ** (n % 3 == 0) * ONE) for n in range(HOLDERS)]
    prices = [1_000 + 37 * n for n in range(PRICES)]
    functions = [at_least(line(*equity), 0) for equity in equities]
    frame = pl.DataFrame(equities, schema={"fixed": pl.Int128, "size": pl.Int128}, orient="row")
    equity = pl.col("fixed") + pl.col("size") * pl.col("price")

    def ours() -> list[int]:
        total = added(functions)
        return [int(total.value(price)) for price in prices]

    def integers() -> list[int]:
        return [sum(max(a + s * price, 0) for a, s in equities) for price in prices[:PEERS_PRICES]]

    def columns() -> list[int]:
        at = pl.DataFrame({"price": prices[:PEERS_PRICES]}, schema={"price": pl.Int128}).join(frame, how="cross")
        # Polars' sum of Int128 wraps in silence. Here it does not: 5,000 equities of less than 1e8 quote assets stay below 2**127.
        return at.group_by("price", maintain_order=True).agg(pl.max_horizontal(equity, pl.lit(0, pl.Int128)).sum()).to_series(1).to_list()

    assert ours()[:PEERS_PRICES] == integers() == columns(), "the sums differ"
    rate = rates({"ours": (PRICES, ours), "integers": (PEERS_PRICES, integers), "columns": (PEERS_PRICES, columns)})
    seconds = PRICES / rate["ours"].steady
    for name, words in (("columns", "Polars, exact"), ("integers", "Python integers")):
        peer = PRICES / rate[name].steady
        what = f"total of {HOLDERS:,} positions at {PRICES:,} prices, exact at every kink"
        target = f"< {SWEEP_SECONDS} CPU-s"
        yield Line(what, f"{seconds:.3f} CPU-s", f"{peer:.1f} ({words})", f"{peer / seconds:.0f} x", target, seconds < SWEEP_SECONDS)


def _compared(population: Population, lost: list[int]) -> None:
    known, by_name = Known(), {rule.name: rule for rule in RULES}
    outcomes = [apply(rule, population, by_name, known) for rule in RULES]
    field = Field(population.traders, [Option(one.rule.name, one.amounts, [True] * TRADERS) for one in outcomes], lost)
    pairs = preferences.matrix(field)
    assert preferences.condorcet(pairs, field.names()).winner == "whole"
    preferences.table(pairs)
    elections.table(elections.elections(field))
    fairness.table(fairness.fairness(field))
