"""Which code ran in a block of Perpetual Protocol V1, by the liquidations, the Upgraded logs and [[chain.code]]."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

import perpcomp
from perpcomp import pipeline
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.fixed import to_integer
from perpcomp.incident import incident_file
from perpcomp.incident.chain import Code
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.code import at_block, denominators
from tests import build
from tests.test_perpetual_v1 import both_eras, run_with
from tests.variants import CODE as STATED
from tests.variants import NO_CODE, computed

OPEN, POSITION = "open-notional", "position-notional"


def by_block(eras: dict[int, int], upgrades: Sequence[int] = (), code: tuple[tuple[int, int, str], ...] = (), assume: bool = True) -> str:
    """What the code divides by in the blocks 0 to 9: o (open notional), p (position notional) or ? for each."""
    found = pl.DataFrame({"block_number": list(eras), "era": list(eras.values())}, schema={"block_number": pl.Int64, "era": pl.Int64})
    found = found.with_columns(log_index=pl.lit(5), era_rule=pl.lit("identity"))
    tables = {
        "Upgraded": pl.DataFrame({"block_number": upgrades, "log_index": [1] * len(upgrades)}, schema_overrides={"block_number": pl.Int64})
    }
    divided = denominators(found, tables, [Code(*one, ("test",)) for one in code], assume=assume)
    return "".join({True: "p", False: "o", None: "?"}[at_block(divided, block)] for block in range(10))


@pytest.mark.parametrize(
    ("eras", "upgrades", "code", "expected"),
    [
        ({}, (), (), "oooooooooo"),
        ({2: 1, 4: 1}, (), (), "oooooooooo"),
        ({2: 1, 4: 1}, (3,), (), "oooooooooo"),  # the Upgraded log between two of era 1
        ({2: 1}, (3,), ((5, 1, OPEN),), "oooooooooo"),  # what divides so at block 5 did before
        ({2: 1}, (5,), (), "ooooo?????"),  # no liquidation shows the code since
        ({4: 2}, (), (), "pppppppppp"),
        ({4: 2}, (3,), (), "???ppppppp"),
        ({2: 1, 7: 2}, (), (), "ooo????ppp"),
        ({2: 1, 7: 2}, (5,), (), "oooooppppp"),
        ({2: 1, 7: 2}, (4, 6), (), "oooo??pppp"),
        ({2: 1, 7: 2}, (7,), (), "ooooooo" + "ppp"),
        ({2: 1, 7: 2}, (1, 8), (), "ooo????ppp"),  # not by the logs of the ClearingHouse that are here
        ({2: 1, 7: 2}, (), ((5, 2, POSITION),), "ooo??ppppp"),
        ({2: 1, 7: 2}, (), ((0, 1, OPEN), (4, 1, POSITION), (6, 2, POSITION)), "oooopppppp"),
        ({4: 1}, (), ((3, 1, POSITION),), "oooppppppp"),  # April 2021: era 1 over the position's notional
        ({4: 1}, (), ((3, 2, POSITION),), "ooo??ppppp"),  # contradicted up to the liquidation in block 4
        ({4: 2}, (), ((3, 1, OPEN),), "oooo??????"),  # contradicted from the liquidation in block 4 on
    ],
)
def test_what_the_code_divides_by(
    eras: dict[int, int], upgrades: tuple[int, ...], code: tuple[tuple[int, int, str], ...], expected: str
) -> None:
    assert by_block(eras, upgrades, code) == expected


@pytest.mark.parametrize(
    ("eras", "upgrades", "code", "expected"),
    [
        ({2: 1, 4: 1}, (), (), "??????????"),
        ({2: 1, 4: 1}, (3,), (), "??????????"),
        ({4: 2}, (), (), "????pppppp"),
        ({4: 2}, (3,), (), "???ppppppp"),
        ({2: 1, 7: 2}, (5,), (), "?????ppppp"),
        ({2: 1}, (), ((5, 1, OPEN),), "oooooooooo"),
        ({2: 1}, (), ((5, 1, POSITION),), "?????ppppp"),
    ],
)
def test_what_of_it_is_not_assumed(
    eras: dict[int, int], upgrades: tuple[int, ...], code: tuple[tuple[int, int, str], ...], expected: str
) -> None:
    assert by_block(eras, upgrades, code, assume=False) == expected


CODE = '\n[[chain.code]]\nfrom_block = {}\nmeaning = {}\ndenominator = "{}"\nsource = "recording"\n'


def test_between_two_eras_ratios_are_null_with_a_reason_unless_the_code_is_stated(tmp_path: Path) -> None:
    """The last liquidation of february and the first of the later contracts: without Upgraded logs the change lies anywhere between."""
    rows, text = both_eras()
    upgraded = "0xbc7cd75a20ee27fd9adebab32041f755214dbc6bffa90cc0225b39da2e5c2d3b"
    rows = [row for row in rows if row["topics"][0] != upgraded]
    (tmp_path / "both.toml").write_text(text)
    stated = text.replace("\n[[market]]", CODE.format(13_000_000, 1, OPEN) + "\n[[market]]", 1)
    (tmp_path / "stated.toml").write_text(stated)
    frames = {}
    for name in ("both", "stated"):
        done = run_with(tmp_path, rows, str(tmp_path / f"{name}.toml"))
        last = done.liquidations.filter(era=1)["block_number"].max()
        block = done.events.table.filter(pl.col("block_number") > last)["block_number"][0]
        assert block < 16_000_000
        frames[name] = pipeline.replayed(done.events, done.input, done.incident, done.liquidations).positions(block)
    unknown, known = (frames[name].filter(pl.col("size") != 0) for name in ("both", "stated"))
    assert unknown["margin_ratio"].is_null().all()
    assert unknown["liquidation_price"].is_null().all()
    assert unknown["unknown"].str.contains("neither the logs nor [[chain.code]] say which code ran", literal=True).all()
    assert known["margin_ratio"].is_not_null().all()
    assert unknown["unrealized_pnl_curve"].equals(known["unrealized_pnl_curve"])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (CODE.format(5, 2, OPEN), '[[chain.code]] 1 denominator is "open-notional" beside meaning = 2'),
        (CODE.format(5, 1, OPEN) + CODE.format(5, 2, POSITION), "[[chain.code]] 2 from_block is 5, not above the 5"),
        (CODE.format(5, 2, POSITION) + CODE.format(6, 1, OPEN), "[[chain.code]] 2 meaning is 1 after 2"),
        (CODE.format(5, 3, OPEN), "[[chain.code]] 1 meaning is 3"),
        (CODE.format(5, "true", OPEN), "[[chain.code]] 1 meaning is true"),
        (CODE.format(5, 1, "margin"), '[[chain.code]] 1 denominator is "margin"'),
        (CODE.format(5, 1, OPEN).replace("from_block = 5\n", ""), "[[chain.code]] 1 from_block is missing"),
    ],
)
def test_code_that_could_not_have_run_is_refused(code: str, said: str) -> None:
    text = (incident_file.shelf() / "rehearsal.toml").read_text().replace(STATED, "").replace("\n[[market]]", code + "\n[[market]]", 1)
    with pytest.raises(InputError) as refused:
        incident_file.parse(text.encode(), "rehearsal", incident_file.shelf())
    assert any(said in problem.what for problem in refused.value.problems)


def test_positions_say_which_code_they_assume(tmp_path: Path) -> None:
    """Without a statement the values are those of the code assumed, with one warning; with it, there is none."""
    (tmp_path / "silent.toml").write_text((incident_file.shelf() / "rehearsal.toml").read_text().replace(STATED, ""))
    logs = incident_file.shelf() / "rehearsal" / "logs.jsonl.gz"
    silent, said = perpcomp.positions(str(tmp_path / "silent.toml"), input=logs)
    stated, nothing = perpcomp.positions("rehearsal")
    assert silent.equals(stated)
    assert [one.code for one in nothing] == []
    assert [(one.code, one.level) for one in said] == [("code-assumed", "warning")]
    assert "assumed to be over the open notional" in said[0].what


def test_a_liquidation_price_that_the_code_decides_pays_nothing_and_says_so() -> None:
    """A limit between the prices by the two codes: one trader is left out by a name, the others as under either code."""

    def run(code: str, limit: Decimal) -> Run:
        changes = NO_CODE | {"surviving_life =": f"liquidation_price_below = {limit}\nsurviving_life ="}
        return computed("rehearsal", code, changes)

    by_code = [run(CODE.format(13_500_000, 1, one), Decimal(50_000)).liquidations for one in (OPEN, POSITION)]
    price = "liquidation_price_before_crash"
    both = by_code[0].select("trader", price).hstack([by_code[1][price].alias("other")])
    doubted = both.filter(by_code[0]["eligible"] | by_code[1]["eligible"], pl.col(price) != pl.col("other")).sort(price).row(0)
    limit = (Decimal(doubted[1]) + Decimal(doubted[2])) / 2
    done = run("", limit.quantize(Decimal(1) / 100))
    row = done.liquidations.filter(trader=doubted[0]).row(0, named=True)
    assert (row["eligible"], row[price]) == (False, None)
    findings = {one.code: one for one in done.problems}
    assert findings["code-assumed"].level == "warning"
    assert findings["code-decides"].level == "error"
    assert "liquidation_price_below decides otherwise of" in findings["code-decides"].what
    sure = [run(CODE.format(13_500_000, 1, one), limit.quantize(Decimal(1) / 100)).liquidations for one in (OPEN, POSITION)]
    assert done.liquidations["eligible"].to_list() == (sure[0]["eligible"] & sure[1]["eligible"]).to_list()
    assert (sure[0]["eligible"] != sure[1]["eligible"]).any()


def test_a_row_without_an_era_is_not_paid_and_the_others_are(tmp_path: Path) -> None:
    """Nothing decides the second row: a fee that no ratio explains, a small loss. It is not 0 by a guess, and the finding has both margins."""
    one, opened = Decimal(1), Decimal(50_000)
    rows = [
        build.liquidated(2, build.address(1), build.START + timedelta(minutes=1), one, opened, Decimal(20_000), Decimal(31_000)),
        build.liquidated(4, build.address(2), build.START + timedelta(minutes=2), one, opened, Decimal(5_000), Decimal(48_000)),
    ]
    done = build.run(
        tmp_path, rows, {"liquidation_fee_ratio = 0.0125\n": "", 'opened_in_window = "exclude"': 'opened_in_window = "include"'}
    )
    assert done.liquidations.select("era", "era_rule", "margin").rows() == [(1, "numbers", Decimal(20_000)), (None, "unknown", None)]
    assert [(p.level, p.code, p.stops) for p in done.problems if p.level == "error"] == [
        ("error", "era-unknown", False),
        ("error", "unpaid-liquidation", False),
    ]
    paid = {row["trader"]: (to_integer(row["entitlement"]), row["reason"]) for row in done.payouts.iter_rows(named=True)}
    assert paid[build.address(1)] == (20_000 * 10**18, None)
    assert paid[build.address(2)][0] == 0
    assert paid[build.address(2)][1].startswith("unknown")
    assert any("margin is unknown" in line for line in explain(done, build.address(2)))
