"""Who is in, who is not, and that everybody seen in the window has one answer."""

import gzip
import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import fields, replace

from perpcomp import fixed, pipeline
from perpcomp.decoded import Events
from perpcomp.eligibility.decide import decide
from perpcomp.eligibility.left_out import left_out
from perpcomp.eligibility.rule import Facts, Rule
from perpcomp.eligibility.rules import RULES
from perpcomp.findings import InputError
from perpcomp.fixed import div_integers, from_integer
from perpcomp.incident import incident_file
from perpcomp.incident.eligibility import Eligibility, Exclusion
from perpcomp.incident.incident import Incident
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1 import events as v1
from perpcomp.systems.perpetual_v1.index_drawdown import index_drawdowns
from tests import build, variants
from tests.build import KEEPER, START, address, liquidated, opened, position
from tests.conftest import truth

pytestmark = pytest.mark.money

DAY = timedelta(days=1)


def codes(done: Run) -> dict[str, str]:
    return dict(done.liquidations.select("trader", "reason_code").iter_rows())


def rehearsal_with(changes: dict[str, str]) -> Run:
    return variants.computed("rehearsal", changes=changes)


def test_everybody_with_an_event_in_the_window_is_paid_or_left_out_once(rehearsal: Run) -> None:
    """Read from the raw logs themselves: every trader topic of every event of the ClearingHouse in the window."""
    rules = rehearsal.incident.eligibility
    seen = set()
    with gzip.open(incident_file.shelf() / "rehearsal" / "logs.jsonl.gz", "rt") as logs:
        for log in map(json.loads, logs):
            if not rules.start.timestamp() <= int(log["blockTimestamp"], 16) < rules.end.timestamp():
                continue
            topic = log["topics"][0]
            place = {v1.POSITION_CHANGED.topic0: 1, v1.MARGIN_CHANGED.topic0: 1, v1.POSITION_LIQUIDATED.topic0: 1}
            place |= {v1.POSITION_ADJUSTED.topic0: 2, v1.POSITION_SETTLED.topic0: 2}
            if topic in place and log["address"] == rehearsal.incident.chain.clearing_house:
                seen.add("0x" + log["topics"][place[topic]][26:])
    paid, left = set(rehearsal.payouts["trader"]), rehearsal.left_out["trader"].to_list()
    assert paid | set(left) == seen
    assert not paid & set(left)
    assert len(left) == len(set(left)) == 8
    assert rehearsal.left_out["reason"].str.len_chars().min() > 20  # type: ignore[operator]


def test_the_reasons_of_the_rehearsal(rehearsal: Run) -> None:
    """short_bottom, link4 and vol_close_bad by name; the second life of `twice` by a row of its own."""
    left = dict(rehearsal.left_out.select("reason_code", "trader").group_by("reason_code").len().iter_rows())
    assert left == {"short-in-rebound": 1, "other-market": 1, "closed-under-water": 1, "not-liquidated": 5}
    twice = rehearsal.liquidations.filter(pl.col("reason_code") == "second-life").row(0, named=True)
    assert twice["life"] == 2
    lives = rehearsal.liquidations.filter(trader=twice["trader"])
    assert lives["eligible"].to_list() == [True, False]


def test_the_second_life_counts_where_the_query_says_so() -> None:
    done = rehearsal_with({'second_life = "exclude"': 'second_life = "include"'})
    assert done.liquidations["eligible"].sum() == 30
    assert done.payouts.height == 29, "one trader, two lives, one row"
    assert done.payouts["liquidations"].max() == 2


def test_rebound_shorts_and_other_policies_follow_the_query() -> None:
    included = rehearsal_with(
        {'rebound_shorts = "exclude"': 'rebound_shorts = "include"', 'opened_in_window = "exclude"': 'opened_in_window = "include"'}
    )
    assert included.liquidations.filter("eligible", pl.col("side") == "short").height == 1
    opened_only = rehearsal_with({'rebound_shorts = "exclude"': 'rebound_shorts = "include"'})
    assert "opened-in-window" in set(opened_only.liquidations["reason_code"])
    no_self = rehearsal_with({'self_liquidation = "include"': 'self_liquidation = "exclude"'})
    assert no_self.liquidations.filter(pl.col("reason_code") == "self-liquidation").height == 1
    crash = rehearsal_with({"crash_below = 54_500": "crash_below = 45_000"})
    out = crash.liquidations.filter(pl.col("reason_code") == "not-by-crash")
    assert out.height > 0
    assert out["spot_price"].min() >= 45_000  # type: ignore[operator]


def test_leverage_is_that_of_the_opening_trade() -> None:
    done = rehearsal_with({'surviving_life = "closed-share"': 'surviving_life = "closed-share"\nmaximum_leverage = 5'})
    high = done.liquidations.filter(pl.col("reason_code") == "leverage-too-high")
    assert high.height > 0
    assert high["leverage_at_open"].min() > 5  # type: ignore[operator]
    assert done.liquidations.filter("eligible")["leverage_at_open"].max() <= 5  # type: ignore[operator]
    low = rehearsal_with({'surviving_life = "closed-share"': 'surviving_life = "closed-share"\nminimum_leverage = 5'})
    assert low.liquidations.filter("eligible")["leverage_at_open"].min() >= 5  # type: ignore[operator]
    assert "leverage-too-low" in set(low.liquidations["reason_code"])


def test_a_leverage_that_cannot_be_known_is_not_guessed(tmp_path: Path) -> None:
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)[1:]  # the opening is not in the input
    rows += position(2, address(2), 1, 30_000, 10_000, 42_000)
    done = build.run(tmp_path, rows, {'self_liquidation = "include"': 'self_liquidation = "include"\nmaximum_leverage = 5'})
    assert codes(done) == {address(1): "leverage-unknown", address(2): "eligible"}


# Each limit at the limit

WEI = Decimal("0.000000000000000001")


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One long of 1 that passes every rule."""
    return build.run(tmp_path_factory.mktemp("single"), position(1, address(1), 1, 30_000, 10_000, 42_000))


def unjudged(run: Run) -> pl.DataFrame:
    """The liquidations as they were before anybody decided on them."""
    return run.liquidations.drop("compensated_size", "eligible", "reason_code", "reason")


def judge(run: Run, rules: dict[str, Any], columns: dict[str, Any], drawdowns: dict[str, int] | None = None) -> str:
    """The reason code of the single liquidation with these columns exchanged, by these rules."""
    rows, schema = unjudged(run), run.liquidations.schema
    rows = rows.with_columns(pl.lit(value).cast(schema[name]).alias(name) for name, value in columns.items())
    asked = replace(run.incident, eligibility=replace(run.incident.eligibility, **rules))
    table, _ = decide(rows, asked, drawdowns or {})
    code: str = table["reason_code"].item()
    return code


@pytest.mark.parametrize(
    ("rule", "column", "beyond", "code"),
    [
        ("minimum_leverage", "leverage_at_open", -WEI, "leverage-too-low"),
        ("maximum_leverage", "leverage_at_open", WEI, "leverage-too-high"),
        ("minimum_leverage_before_crash", "leverage_before_crash", -WEI, "leverage-before-crash-too-low"),
        ("maximum_leverage_before_crash", "leverage_before_crash", WEI, "leverage-before-crash-too-high"),
    ],
)
def test_a_limit_of_leverage_still_passes_and_one_unit_beyond_does_not(
    single: Run, rule: str, column: str, beyond: Decimal, code: str
) -> None:
    limit = Decimal("5.5")
    for value, expected in ((limit, "eligible"), (limit + beyond, code), (limit - beyond, "eligible")):
        for size in (Decimal(1), Decimal(-1)):
            assert judge(single, {rule: limit}, {column: value, "size_before_crash": size}) == expected


def test_a_price_below_which_counts_is_itself_not_below(single: Run) -> None:
    """The crash price and the liquidation price: at the price named nobody is compensated, one unit below everybody is."""
    limit = Decimal(50_000)
    for price, too_high, not_by_crash in ((limit, "liquidation-price-too-high", "not-by-crash"), (limit - WEI, "eligible", "eligible")):
        columns = {"liquidation_price_before_crash": price, "size_before_crash": Decimal(1)}
        assert judge(single, {"liquidation_price_below": limit}, columns) == too_high
        market = replace(single.incident.markets[0], crash_below=limit)
        crashed = replace(single, incident=replace(single.incident, markets=(market,)))
        assert judge(crashed, {}, {"spot_price": price}) == not_by_crash


def test_a_crash_price_leaves_shorts_alone(single: Run) -> None:
    """Prices above the crash are what liquidates a short; whether it counts is the rule on shorts."""
    market = replace(single.incident.markets[0], crash_below=Decimal(50_000))
    crashed = replace(single, incident=replace(single.incident, markets=(market,)))
    assert judge(crashed, {}, {"spot_price": Decimal(60_000), "side": "short"}) == "eligible"


def test_a_drawdown_at_its_limit_is_on_the_paying_side(single: Run) -> None:
    limit, units = Decimal("0.1"), 10**17
    for rule, fall, code in (
        ("minimum_index_drawdown", units, "eligible"),
        ("minimum_index_drawdown", units - 1, "market-not-in-stress"),
        ("maximum_index_drawdown", units, "eligible"),
        ("maximum_index_drawdown", units + 1, "market-in-stress"),
    ):
        assert judge(single, {rule: limit}, {}, {build.MARKET: fall}) == code


def test_a_position_opened_as_the_window_begins_was_opened_in_it(single: Run) -> None:
    for opened_at, code in ((START, "opened-in-window"), (START - timedelta(microseconds=1), "eligible")):
        assert judge(single, {}, {"opened_at": opened_at}) == code


def test_only_a_liquidation_in_the_window_makes_the_next_position_a_second_life(single: Run) -> None:
    """After one that was liquidated before the crash, an opening inside the window is a first one."""
    first = unjudged(single)
    for earlier, code in ((START - timedelta(hours=2), "opened-in-window"), (START, "second-life")):
        rows = pl.concat(
            [
                first.with_columns(block_time=pl.lit(earlier).cast(first.schema["block_time"])),
                first.with_columns(
                    life=pl.lit(2, pl.Int64),
                    log_index=pl.col("log_index") + 1,
                    opened_at=pl.lit(START + timedelta(minutes=1)).cast(first.schema["opened_at"]),
                ),
            ]
        )
        table, _ = decide(rows, single.incident, {})
        assert table["reason_code"][1] == code


def test_a_second_life_is_one_of_the_same_market(single: Run) -> None:
    """The first position of the other market was closed long ago."""
    other = f"0x{'ee' * 20}"
    incident = replace(single.incident, markets=(*single.incident.markets, replace(single.incident.markets[0], amm=other)))
    opened_at = pl.lit(START + timedelta(minutes=1)).cast(single.liquidations.schema["opened_at"])
    second = unjudged(single).with_columns(
        market=pl.lit(other), life=pl.lit(2, pl.Int64), opened_at=opened_at, log_index=pl.col("log_index") + 1
    )
    table, _ = decide(pl.concat([unjudged(single), second]), incident, {})
    assert table["reason_code"].to_list() == ["eligible", "opened-in-window"]


def test_what_was_closed_outside_the_window_is_not_compensated_in_it(single: Run) -> None:
    """Of 10 held, 4 were liquidated before the window and 1 of the other 6 inside it."""
    sizes = (("10", "6", START - timedelta(minutes=1)), ("6", "5", START))
    rows = [
        unjudged(single).with_columns(
            pl.lit(Decimal(size)).cast(fixed.AMOUNT).alias("size"),
            pl.lit(Decimal(after)).cast(fixed.AMOUNT).alias("size_after"),
            pl.lit(time).cast(single.liquidations.schema["block_time"]).alias("block_time"),
            pl.col("log_index") + n,
        )
        for n, (size, after, time) in enumerate(sizes)
    ]
    table, _ = decide(pl.concat(rows), single.incident, {})
    assert table.select("reason_code", "compensated_size").rows() == [("outside-window", None), ("eligible", Decimal(1))]


@pytest.mark.parametrize(
    ("sizes", "compensated"),
    [
        ([("10", "6"), ("16", "8")], "10"),  # 12 were closed, but 10 of them had the margin that is compensated
        ([("10", "6"), ("6", "5")], "5"),
        ([("-10", "-6"), ("-6", "-5")], "5"),
        ([("10", "6"), ("6", "0")], "10"),
        ([("10", "6"), ("3", "0")], "10"),  # its trader sold 3; the life ended, so all of it counts
    ],
)
def test_a_life_is_compensated_for_what_was_closed_and_never_for_more_than_it_held(
    single: Run, sizes: list[tuple[str, str]], compensated: str
) -> None:
    lives = [unjudged(single).with_columns(
        pl.lit(Decimal(size)).cast(fixed.AMOUNT).alias("size"),
        pl.lit(Decimal(after)).cast(fixed.AMOUNT).alias("size_after"),
        pl.col("log_index") + n,
    ) for n, (size, after) in enumerate(sizes)]  # fmt: skip
    table, _ = decide(pl.concat(lives), single.incident, {})
    assert table["reason_code"].to_list() == ["eligible", "same-life"]
    assert table["compensated_size"].to_list() == [Decimal(compensated), None]


# The list of rules

ALL_ASKED = {
    **dict.fromkeys(("rebound_shorts", "opened_in_window", "second_life", "self_liquidation"), "exclude"),
    "minimum_leverage": Decimal("1.5"),
    "maximum_leverage": Decimal(20),
    "minimum_leverage_before_crash": Decimal(2),
    "maximum_leverage_before_crash": Decimal("9.25"),
    "liquidation_price_below": Decimal(50_000),
    "minimum_index_drawdown": Decimal("0.1"),
    "maximum_index_drawdown": Decimal("0.5"),
    "guard_verdicts": ("late", "unknown"),
    "exclusions": (Exclusion(address(1), "own bot", "post 12"),),
}
SENTENCES = [
    ("excluded", "excluded: own bot (evidence: post 12)"),
    ("other-market", "liquidated in BTCUSDC, which the incident does not name as affected"),
    ("outside-window", "liquidated at 2021-02-20T22:50:00Z, outside the window 2021-02-20T22:45:00Z to 2021-02-20T23:45:00Z"),
    ("short-in-rebound", "a short: a falling price does not liquidate it, the rebound did"),
    ("not-by-crash", "liquidated while the spot price stood at 42000.000000000000000000, not below the crash price"),
    ("second-life", "opened at 2021-02-20T22:45:00Z, inside the window, after an earlier position was liquidated there"),
    ("opened-in-window", "opened at 2021-02-20T22:45:00Z, inside the window"),
    ("self-liquidation", "the trader liquidated their own position"),
    ("leverage-unknown", "its opening is not in the logs, or its leverage is 1e20 or more, so it cannot be tested"),
    ("leverage-too-low", "opened with a leverage of 25.99, below 1.5"),
    ("leverage-too-high", "opened with a leverage of 25.99, above 20"),
    ("not-open-before-crash", "this position was not open before the crash"),
    (
        "leverage-before-crash-unknown",
        "what it stood at before the crash is not in the logs, or was under water already, or is 1e20 or more",
    ),
    ("leverage-before-crash-too-low", "stood at a leverage of 1.23 before the crash, below 2"),
    ("leverage-before-crash-too-high", "stood at a leverage of 1.23 before the crash, above 9.25"),
    ("liquidation-price-unknown", "its liquidation price before the crash is not in the logs, or it had none"),
    ("liquidation-price-too-high", "its liquidation price before the crash was 51234.56, not below 50000"),
    ("index-unknown", "how far the index of BTCUSDC fell is not in the logs"),
    ("market-not-in-stress", "the index of BTCUSDC fell by 12.35 % over the window, less than 0.1"),
    ("market-in-stress", "the index of BTCUSDC fell by 12.35 % over the window, more than 0.5"),
    ("guard-verdict", "the guards' verdict on it is never; compensated are late, unknown"),
]


def test_each_rule_keeps_its_place_and_its_published_sentence(single: Run) -> None:
    """Codes and sentences are cells of 2-liquidations.csv and left-out.csv."""
    assert [rule.code for rule in RULES] == [code for code, _ in SENTENCES]
    incident = replace(single.incident, eligibility=replace(single.incident.eligibility, **ALL_ASKED))
    facts = Facts(incident, {build.MARKET: 123_456_789 * 10**9})
    amounts = {"leverage_at_open": "25.999", "leverage_before_crash": "1.239", "liquidation_price_before_crash": "51234.5678"}
    rows = unjudged(single).with_columns(
        *(pl.lit(Decimal(value)).cast(fixed.AMOUNT).alias(name) for name, value in amounts.items()),
        pl.lit(START).cast(single.liquidations.schema["opened_at"]).alias("opened_at"),
        pl.lit("never").alias("guard_verdict"),
    )
    for rule, (_, sentence) in zip(RULES, SENTENCES, strict=True):
        assert rows.select(rule.reason(facts).alias("reason")).item() == sentence


def test_each_key_of_eligibility_belongs_to_a_rule(single: Run) -> None:
    """And a rule is asked only where one of its keys is set."""
    keys = {key for rule in RULES for key in rule.keys}
    own = {field.name for field in fields(Eligibility)}
    assert {key for key in keys if "." not in key} == own - {
        "as_written",
        "time_zone",
        "surviving_life",
        "source",
        "exclude_file",
        "exclude_sha256",
    }
    assert {key for key in keys if "." in key} == {"market.affected", "market.crash_below"}
    nothing = dict.fromkeys(("rebound_shorts", "opened_in_window", "second_life", "self_liquidation"), "include")
    plain = replace(single.incident, eligibility=replace(single.incident.eligibility, **nothing))
    assert [rule.code for rule in RULES if rule.is_asked(plain)] == ["other-market", "outside-window"]
    every = replace(
        plain, eligibility=replace(plain.eligibility, **ALL_ASKED), markets=(replace(plain.markets[0], crash_below=Decimal(1)),)
    )
    assert all(rule.is_asked(every) for rule in RULES)
    for key in (*ALL_ASKED, "crash_below"):
        value = {"crash_below": Decimal(1), **ALL_ASKED}[key]
        if key == "crash_below":
            one = replace(plain, markets=(replace(plain.markets[0], crash_below=value),))
        else:
            one = replace(plain, eligibility=replace(plain.eligibility, **{key: value}))
        asked = {rule.code for rule in RULES if rule.is_asked(one)} - {"other-market", "outside-window"}
        assert asked == {rule.code for rule in RULES if key in [name.rpartition(".")[2] for name in rule.keys]}


def test_a_rule_is_added_by_one_entry(single: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any rule behind it in the list is not asked, because the first that applies names the reason."""
    tiny = Rule(
        "too-small",
        ("minimum_leverage",),
        applies=lambda facts: pl.col("size").abs() <= facts.limit("minimum_leverage"),
        reason=lambda facts: pl.format(f"a position of {{}}, not above {facts.eligibility.minimum_leverage}", "side"),
    )
    asked = replace(single.incident, eligibility=replace(single.incident.eligibility, minimum_leverage=Decimal(99)))
    monkeypatch.setattr("perpcomp.eligibility.decide.RULES", (tiny, *RULES))
    table, _ = decide(unjudged(single), asked, {})
    assert table.select("eligible", "reason_code", "reason").row(0) == (False, "too-small", "a position of long, not above 99")
    monkeypatch.setattr("perpcomp.eligibility.decide.RULES", (*RULES, tiny))
    table, _ = decide(unjudged(single), asked, {})
    assert table["reason_code"].item() == "leverage-too-low"


@pytest.mark.parametrize(("second_life", "code"), [("include", "eligible"), ("exclude", "second-life")])
def test_a_position_opened_again_is_asked_only_by_the_rule_on_second_lives(single: Run, second_life: str, code: str) -> None:
    """opened_in_window = "exclude" takes out first positions: after a liquidation in the window, second_life alone decides."""
    first = unjudged(single)
    again = first.with_columns(
        life=pl.lit(2, pl.Int64),
        log_index=pl.col("log_index") + 1,
        opened_at=pl.lit(START + timedelta(minutes=6)).cast(first.schema["opened_at"]),
    )
    rules = replace(single.incident.eligibility, opened_in_window="exclude", second_life=second_life)
    table, _ = decide(pl.concat([first, again]), replace(single.incident, eligibility=rules), {})
    assert table["reason_code"].to_list() == ["eligible", code]


@pytest.mark.parametrize(("bad_debt", "code"), [(WEI, "closed-under-water"), (Decimal(0), "not-liquidated")])
def test_one_unit_of_bad_debt_is_under_water_and_none_is_not(tmp_path: Path, bad_debt: Decimal, code: str) -> None:
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)
    rows.append(opened(2, address(2), START - DAY, Decimal(1), Decimal(50_000), Decimal(5_000)))
    close = {"exchanged_position_size": Decimal(-1), "position_notional": Decimal(44_000), "spot_price": Decimal(44_000)}
    rows.append(build.event(102, address(2), START + timedelta(minutes=1), kind="close", bad_debt=bad_debt, **close))
    left = build.run(tmp_path, rows).left_out
    assert left.select("trader", "reason_code").rows() == [(address(2), code)]
    assert left["reason"].item().endswith("1 close")


# Findings on eligible rows


def findings_of(run: Run, rows: pl.DataFrame, **rules: Any) -> list[tuple[str, str, str]]:
    incident = replace(run.incident, eligibility=replace(run.incident.eligibility, **rules))
    return [(f.level, f.code, f.where) for f in decide(rows, incident, {})[1]]


def test_what_a_voter_should_look_at_has_a_code(single: Run) -> None:
    rows = unjudged(single)
    where = f"tx {rows['transaction_hash'].item()} log {rows['log_index'].item()}"
    assert findings_of(single, rows) == []
    assert findings_of(single, rows.with_columns(liquidator="trader")) == [("note", "self-liquidation", where)]
    kept = rows.with_columns(pl.lit(Decimal("0.25")).cast(fixed.AMOUNT).alias("size_after"))
    assert findings_of(single, kept) == [("note", "part-survived", where)]
    assert findings_of(single, kept, surviving_life="whole") == []
    next_one = kept.with_columns(log_index=pl.col("log_index") + 1)
    continued = next_one.with_columns(size="size_after")
    assert [code for _, code, _ in findings_of(single, pl.concat([kept, continued]))] == ["part-survived"]
    traded = ("warning", "traded-between-liquidations", f"{where[:-1]}8")
    assert where.endswith("log 7")
    assert findings_of(single, pl.concat([kept, next_one]), surviving_life="whole") == [traded]


def test_what_was_withdrawn_after_the_reference_is_a_warning_with_what_is_known(single: Run) -> None:
    valued = replace(single.incident, valuation=replace(single.incident.valuation, at=5))
    for columns, words in (
        ({"margin_removed": "3", "size_reduced": "0.5"}, "took out 3.000000000000000000 USDC and closed 0.500000000000000000 between"),
        ({"margin_removed": None, "size_reduced": "0.5"}, "closed 0.500000000000000000 between"),
        ({"margin_removed": "3", "size_reduced": None}, "took out 3.000000000000000000 USDC between"),
    ):
        rows = unjudged(single).with_columns(
            pl.lit(None if value is None else Decimal(value)).cast(fixed.AMOUNT).alias(name) for name, value in columns.items()
        )
        (finding,) = decide(rows, valued, {})[1]
        assert (finding.level, finding.code) == ("warning", "trader-withdrew-after-reference")
        assert finding.what == f"{address(1)} {words} the moment of [valuation] and the liquidation."
        assert decide(rows, single.incident, {})[1] == []


# What the position was before the crash


def eligible_by(rule: str, tables: str = "") -> Run:
    return variants.computed("rehearsal", tables, {"surviving_life =": f"{rule}\nsurviving_life ="})


def test_only_those_whose_liquidation_price_lay_below() -> None:
    """The thread's question: "all positions that had liquidation price under 50k"."""
    done = eligible_by("liquidation_price_below = 50_000")
    price = done.liquidations["liquidation_price_before_crash"]
    block = done.replayed.block_at(done.incident.eligibility.start - timedelta(seconds=1)) if done.replayed else 0
    stood = pipeline.replayed(done.events, done.input, done.incident, done.liquidations).positions(
        block=block, time=done.incident.eligibility.start
    )
    limits = {(m, t): p for m, t, p in stood.select("market", "trader", "liquidation_price").iter_rows()}
    seen = set()
    for row, found in zip(done.liquidations.iter_rows(named=True), price, strict=True):
        seen.add(row["reason_code"])
        if row["size_before_crash"]:
            assert found == limits[row["market"], row["trader"]]
        if row["eligible"]:
            assert found < 50_000
        if row["reason_code"] == "liquidation-price-too-high":
            assert found >= 50_000
            assert row["reason"].startswith(f"its liquidation price before the crash was {f'{found:f}'[:8]}")
    assert {"eligible", "liquidation-price-too-high"} <= seen
    assert 0 < done.liquidations.filter("eligible").height < 29


def test_only_those_who_stood_at_a_leverage_before_the_crash() -> None:
    low = eligible_by("maximum_leverage_before_crash = 5")
    high = eligible_by("minimum_leverage_before_crash = 5")
    for done, code, wrong in ((low, "leverage-before-crash-too-high", 5), (high, "leverage-before-crash-too-low", 0)):
        rows = done.liquidations
        out = rows.filter(reason_code=code)["leverage_before_crash"]
        assert out.len() > 0
        assert out.min() > wrong  # type: ignore[operator]
    assert low.liquidations.filter("eligible")["leverage_before_crash"].max() <= 5  # type: ignore[operator]
    assert high.liquidations.filter("eligible")["leverage_before_crash"].min() >= 5  # type: ignore[operator]
    assert low.liquidations.filter("eligible").height + high.liquidations.filter("eligible").height == 29


def test_the_leverage_before_the_crash_is_notional_over_equity_by_the_views() -> None:
    done = eligible_by("maximum_leverage_before_crash = 1_000")
    views = {(one["tx"], one["trader"]): one["reference"] for one in truth("february")["liquidations"] if one.get("reference")}
    compared = 0
    for row in done.liquidations.filter("eligible").iter_rows(named=True):
        view = views[row["transaction_hash"], row["trader"]]
        owed = int(view["margin"]) - int(view["viewerMarginWithFunding"])  # none of them owed more than the margin
        equity = int(view["margin"]) + int(view["spotUpl"]) - owed
        if view["viewerMarginWithFunding"] != "0":
            assert row["leverage_before_crash"] == from_integer(div_integers(int(view["spotNotional"]), equity))
            compared += 1
    assert compared > 20


def test_a_position_that_was_not_open_before_the_crash_falls_to_such_a_rule() -> None:
    changes = {"surviving_life =": "liquidation_price_below = 90_000\nsurviving_life ="}
    for rule in ("opened_in_window", "second_life", "rebound_shorts"):
        changes[f'{rule} = "exclude"'] = f'{rule} = "include"'
    done = variants.computed("rehearsal", changes=changes)
    fallen = done.liquidations.filter(reason_code="not-open-before-crash")
    assert fallen.height > 0
    assert set(fallen["size_before_crash"]) == {Decimal(0)}


# How far the index fell


def test_market_stress_by_the_drawdown_of_the_index() -> None:
    """The market fell from 56,000 to 37,000, its index from 55,900 to 55,000: a crash of the platform, not of the asset."""

    def stressed_by(rule: str) -> Run:
        longer = {"to = 2021-02-21T08:45:01+08:00": "to = 2021-02-21T09:45:01+08:00"}  # until after the fall of the index
        return variants.computed("rehearsal", changes=longer | {"surviving_life =": f"{rule}\nsurviving_life ="})

    platform = stressed_by("maximum_index_drawdown = 0.1")
    assert platform.liquidations.filter("eligible").height == 29
    asset = stressed_by("minimum_index_drawdown = 0.1").liquidations.filter(reason_code="market-not-in-stress")
    assert asset.height == 29
    assert set(asset["reason"]) == {"the index of BTCUSDC fell by 1.61 % over the window, less than 0.1"}
    known = index_drawdowns(platform.events.lazy_others, platform.incident)
    assert known["0x75c35c980c0d37ef46df04d31a140b65503c0eed"] == (55_900 - 55_000) * 10**18 // 55_900
    edge = from_integer(known["0x75c35c980c0d37ef46df04d31a140b65503c0eed"])
    assert stressed_by(f"maximum_index_drawdown = {edge}").liquidations.filter("eligible").height == 29
    below = edge - Decimal("0.000000000000000001")
    assert stressed_by(f"maximum_index_drawdown = {below}").liquidations.filter(reason_code="market-in-stress").height == 29


def fall_of(made: Incident, *prices: tuple[datetime, int]) -> int | None:
    """The drawdown of the made-up market by these index prices, stated in this order; their logs come in the reverse one."""
    made = replace(made, eligibility=replace(made.eligibility, maximum_index_drawdown=Decimal(1)))
    stated = pl.DataFrame(
        {
            "market": [build.MARKET] * len(prices),
            "block_number": range(len(prices)),
            "log_index": [0] * len(prices),
            "block_time": [time for time, _ in prices],
            "underlying_price": [Decimal(price) for _, price in prices],
        },
        schema_overrides={"underlying_price": fixed.AMOUNT},
    )
    return index_drawdowns({"FundingRateUpdated": stated.reverse().lazy()}, made).get(build.MARKET)


def test_a_drawdown_counts_from_the_last_index_price_before_the_window(tmp_path: Path) -> None:
    made = build.made_up(tmp_path)
    before, end = START - timedelta(seconds=1), START + timedelta(hours=1)
    last = end - timedelta(seconds=1)
    # 200 was over before the last price, 10 is stated as the window has ended, and what rose again has fallen all the same.
    assert fall_of(made, (START - DAY, 200), (before, 100), (START, 80), (last, 90), (end, 10)) == 2 * 10**17
    # From the highest so far, not from the first nor from a later one.
    assert fall_of(made, (before, 100), (START, 120), (last, 90), (last, 150)) == 25 * 10**16
    # A window's first price counts at its first second.
    assert fall_of(made, (START, 100), (last, 50)) == 5 * 10**17
    assert fall_of(made, (before, 100), (last, 100)) == 0


def test_one_index_price_alone_tells_no_drawdown(tmp_path: Path) -> None:
    made = build.made_up(tmp_path)
    assert fall_of(made, (START, 100)) is None
    assert fall_of(made, (START - DAY, 200), (START - timedelta(hours=1), 100)) is None
    assert fall_of(made, (START, 100), (START + timedelta(hours=1), 50)) is None


def test_an_index_that_is_not_in_the_logs_is_not_guessed(tmp_path: Path) -> None:
    changes = {'self_liquidation = "include"': 'self_liquidation = "include"\nmaximum_index_drawdown = 0.5'}
    done = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), changes)
    assert codes(done) == {address(1): "index-unknown"}


def test_an_excluded_address_is_named_with_reason_and_evidence(rehearsal: Run) -> None:
    trader = rehearsal.payouts["trader"][1]
    text = f'\n[[eligibility.exclude]]\naddress = "{trader}"\nreason = "own bot"\nevidence = "post 12"\n\n[formula]'
    done = rehearsal_with({"\n[formula]": text})
    row = done.left_out.filter(trader=trader).row(0, named=True)
    assert row["reason_code"] == "excluded"
    assert row["reason"] == "excluded: own bot (evidence: post 12)"
    assert trader not in set(done.payouts["trader"])


def test_the_window_is_half_open(tmp_path: Path) -> None:
    at = {1: START - timedelta(seconds=1), 2: START, 3: START + timedelta(hours=1) - timedelta(seconds=1), 4: START + timedelta(hours=1)}
    rows = []
    for n, moment in at.items():
        rows.append(opened(n, address(n), START - DAY, Decimal(1), Decimal(50_000), Decimal(5_000)))
        rows.append(liquidated(100 + n, address(n), moment, Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(45_500)))
    done = build.run(tmp_path, rows)
    assert codes(done) == {address(1): "outside-window", address(2): "eligible", address(3): "eligible", address(4): "outside-window"}
    assert done.left_out.is_empty(), "the two outside have no event inside"


def test_an_empty_window_names_the_nearest_liquidations(tmp_path: Path) -> None:
    rows = []
    for n, hours in ((1, -30), (2, -2), (3, 5), (4, 40)):
        rows.append(opened(n, address(n), START - 3 * DAY, Decimal(1), Decimal(50_000), Decimal(5_000)))
        rows.append(
            liquidated(100 + n, address(n), START + timedelta(hours=hours), Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(45_500))
        )
    with pytest.raises(InputError) as error:
        build.run(tmp_path, rows)
    assert "No liquidation of BTCUSDC lies from 2021-02-20T22:45:00Z to 2021-02-20T23:45:00Z" in str(error.value)
    assert "nearest before it: 2021-02-20T20:45:00Z, block 102" in str(error.value)
    assert "nearest after it: 2021-02-21T03:45:00Z, block 103" in str(error.value)
    assert str(error.value).count("The nearest") == 2
    assert error.value.exit_code == 2


def test_a_liquidation_as_the_window_ends_is_the_nearest_after_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nearest after it: 2021-02-20T23:45:00Z, block 10001"):
        build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000, minutes=60))


def test_a_flag_counts_in_the_window_and_before_it_until_it_ended_in_a_liquidation(single: Run) -> None:
    """At both edges, to the second; a flag behind the liquidation that ended another one waits again."""
    second, end = timedelta(seconds=1), START + timedelta(hours=1)
    times = {2: START - second, 3: START, 4: end - second, 5: end, 6: START - 2 * second, 7: START - second}
    flags = pl.DataFrame(
        {
            "trader": [address(n) for n in times],
            "market": build.MARKET,
            "transaction_hash": [f"0x{n:064x}" for n in times],
            "block_number": [20 + n for n in times],
            "log_index": 3,
            "block_time": [*times.values()],
        },
        schema_overrides={"log_index": pl.Int64, "block_time": single.liquidations.schema["block_time"]},
    )
    done = [
        single.liquidations.with_columns(
            trader=pl.lit(address(n)),
            block_number=pl.lit(block, pl.Int64),
            log_index=pl.lit(log, pl.Int64),
            eligible=pl.lit(False),
            block_time=pl.lit(START - second).cast(single.liquidations.schema["block_time"]),
        )
        for n, block, log in ((6, 26, 4), (7, 27, 2))
    ]
    events = single.events.lazy.filter(pl.lit(False))
    table = left_out(pl.concat(done), Events(events, {"Flagged": flags.lazy()}).each, single.incident, {}, "Flagged")
    told = "flagged, but not liquidated in the window: 1 flag"
    assert dict(table.select("trader", "reason").rows()) == {
        address(2): f"{told} before the window",
        address(3): told,
        address(4): told,
        address(7): f"{told} before the window",
    }
    assert set(table["reason_code"]) == {"flagged-not-liquidated"}


def test_the_last_event_of_all_parts_of_an_input_is_named_and_one_close_under_water_counts(single: Run) -> None:
    """Of a trader whose positions are in two parts: closed without loss in one, under water in the other, and opened again between."""
    row, minute = single.events.lazy.first(), timedelta(minutes=1)
    parts = [
        [(1, "close", Decimal(0), START), (2, "open", Decimal(0), START + minute)],
        [(0, "close", Decimal(5), START), (3, "close", Decimal(0), START + 2 * minute), (4, "open", Decimal(0), START - minute)],
    ]
    types = single.events.table.schema

    def each(function: Any) -> Any:
        for part in parts:
            rows = [
                row.with_columns(
                    trader=pl.lit(address(9)),
                    transaction_hash=pl.lit(f"0x{n:064x}"),
                    block_number=pl.lit(100 + n, pl.Int64),
                    kind=pl.lit(kind),
                    bad_debt=pl.lit(debt, types["bad_debt"]),
                    block_time=pl.lit(time).cast(types["block_time"]),
                )
                for n, kind, debt, time in part
            ]
            yield function(pl.concat(rows), {})

    (told,) = left_out(single.liquidations, each, single.incident, {}, None).filter(trader=address(9)).iter_rows(named=True)
    assert told["transaction_hash"] == f"0x{3:064x}"
    assert (told["reason_code"], told["reason"].partition("in the window: ")[2]) == ("closed-under-water", "1 open, 3 close")


def test_what_a_trader_did_in_the_window_is_told_in_the_order_of_its_text(single: Run) -> None:
    """In whatever order it was done, and whatever order Polars gives groups."""
    row, time = single.events.lazy.first(), pl.lit(START).cast(single.events.table.schema["block_time"])
    kinds = ("reverse", "open", "reduce", "increase", "close", "open")
    rows = [
        row.with_columns(trader=pl.lit(address(trader)), log_index=pl.lit(10 * trader + n, pl.Int64), kind=pl.lit(kind), block_time=time)
        for trader in range(11, 19)
        for n, kind in enumerate(kinds)
    ]
    table = left_out(single.liquidations, Events(pl.concat(rows), {}).each, single.incident, {}, None)
    told = "not liquidated in the window; in it: 1 close, 1 increase, 1 reduce, 1 reverse, 2 open"
    assert dict(table.select("trader", "reason").rows()) == {address(trader): told for trader in range(11, 19)}


def test_who_was_liquidated_twice_is_left_out_for_the_reason_of_the_first(tmp_path: Path) -> None:
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000) + position(2, address(2), -1, 42_000, 10_000, 51_000)
    late = START + timedelta(minutes=20)
    rows.append(opened(20_000, address(2), late, Decimal(1), Decimal(50_000), Decimal(5_000)))
    rows.append(liquidated(20_001, address(2), late, Decimal(1), Decimal(50_000), Decimal(5_000), Decimal(45_500)))
    run = build.run(tmp_path, rows, {'rebound_shorts = "include"': 'rebound_shorts = "exclude"'})
    assert run.liquidations["reason_code"].to_list() == ["eligible", "short-in-rebound", "second-life"]
    assert run.left_out.select("trader", "reason_code").rows() == [(address(2), "short-in-rebound")]


def test_who_closed_under_water_is_left_out_for_that_also_after_trading_on(tmp_path: Path) -> None:
    one, inside = Decimal(1), START + timedelta(minutes=1)
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)
    for n, bad_debt in ((2, Decimal(5)), (3, Decimal(0))):
        close = {"exchanged_position_size": -one, "position_notional": Decimal(44_000), "spot_price": Decimal(44_000), "bad_debt": bad_debt}
        rows.append(opened(n, address(n), START - DAY, one, Decimal(50_000), Decimal(5_000)))
        rows.append(build.event(100 + n, address(n), inside, kind="close", realized_pnl=Decimal(-6_000), **close))
        rows.append(opened(200 + n, address(n), inside, one, Decimal(50_000), Decimal(5_000)))
    left = dict(build.run(tmp_path, rows).left_out.select("trader", "reason_code").iter_rows())
    assert left == {address(2): "closed-under-water", address(3): "not-liquidated"}


def test_a_market_that_the_query_does_not_name_is_an_error(tmp_path: Path) -> None:
    rows = position(1, address(1), 1, 30_000, 10_000, 42_000)
    rows += [{**row, "market": "0x" + "ee" * 20} for row in position(2, address(2), 1, 30_000, 10_000, 42_000)]
    with pytest.raises(InputError, match=f"does not name the market 0x{'ee' * 20}: 1 liquidation, first in block 10002"):
        build.run(tmp_path, rows)


def test_self_liquidation_is_a_note_where_it_counts(rehearsal: Run) -> None:
    assert [(p.level, p.code) for p in rehearsal.problems if p.code == "self-liquidation"] == [("note", "self-liquidation")]


def test_the_keeper_is_nobody_to_pay(rehearsal: Run) -> None:
    keepers = set(rehearsal.liquidations["liquidator"]) - set(rehearsal.liquidations["trader"])
    assert keepers
    assert not keepers & (set(rehearsal.payouts["trader"]) | set(rehearsal.left_out["trader"]))
    assert KEEPER not in keepers
