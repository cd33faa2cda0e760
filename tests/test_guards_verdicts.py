"""Verdicts on historical liquidations: the ratios against the contracts' views, the limits, the index prices, and the sweep."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import perpcomp
from perpcomp import fixed, formula, pipeline
from perpcomp.curve import Reserves, Reverts
from perpcomp.findings import InputError
from perpcomp.fixed import ONE, from_integer, to_integer
from perpcomp.guards.judge import judge
from perpcomp.guards.limits import Limit, by_fees, fee_ratio
from perpcomp.guards.ratios import premium, price_impact, ratio_at_index
from perpcomp.guards.sweep import grid, sweep
from perpcomp.guards.verdicts import MEANING, Verdicts
from perpcomp.incident import guards as incident_guards
from perpcomp.incident import incident_file
from perpcomp.incident.incident import Incident
from perpcomp.input import find_input
from perpcomp.run import Run
from perpcomp.tables.guards import VERDICTS
from perpcomp.tables.schema import check
from tests import variants
from tests.conftest import truth

CHAINS = {"rehearsal": "february", "later": "later-contracts", "large": "large"}
SOURCE = 'source = "recording"\n'


def with_guards(run: Run, text: str, folder: Path | None = None) -> Incident:
    """The run's incident with this text added to its file."""
    return incident_file.parse(run.incident.raw + b"\n" + text.encode(), run.incident.name, folder or run.incident.folder)


def screened(run: Run, text: str = "", folder: Path | None = None) -> Verdicts:
    asked = with_guards(run, text, folder) if text else run.incident
    return judge(run.liquidations, run.events.table, run.events.others, asked)


def problems(make: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        make()
    return str(caught.value)


@pytest.fixture(params=list(CHAINS))
def chain(request: pytest.FixtureRequest) -> tuple[Run, dict[str, Any]]:
    return request.getfixturevalue(request.param), truth(CHAINS[request.param])


# The ratios, from nothing but the contracts' views


def test_every_ratio_is_that_of_the_contracts_views(chain: tuple[Run, dict[str, Any]]) -> None:
    """Where the liquidation is its block's first swap in the market, the view at the block before is what it met."""
    run, recorded = chain
    rows = {(r["transaction_hash"], r["trader"]): r for r in screened(run).table.iter_rows(named=True)}
    swaps = run.events.table.sort("block_number", "log_index").filter(pl.struct("block_number", "market").is_first_distinct())
    first = set(swaps.select("transaction_hash", "trader").iter_rows())
    compared = 0
    for one in recorded["liquidations"]:
        view, row = one.get("block_before"), rows[one["tx"], one["trader"]]
        priced = [f for f in recorded["funding"] if f["amm"] == one["amm"] and f["block"] < one["block"]]
        if not view or (one["tx"], one["trader"]) not in first or not priced:
            continue
        compared += 1
        q, b, index = int(view["quoteReserve"]), int(view["baseReserve"]), int(priced[-1]["underlyingPrice"])
        closed = to_integer(row["closed_size"])
        spot, index_price = Fraction(q, b), Fraction(index, ONE)
        after = Fraction(q * b, (b + closed) ** 2)
        assert to_integer(row["price_impact"]) == int(abs(after - spot) / index_price * ONE)
        assert to_integer(row["premium"]) == int(abs(spot - index_price) / index_price * ONE)
        assert to_integer(row["spot_before"]) == int(view["spotPrice"])
        assert (to_integer(row["index_price"]), row["index_age_seconds"]) == (index, one["timestamp"] - priced[-1]["timestamp"])
        size, notional = int(view["size"]), int(view["openNotional"])
        owed = Fraction((int(view["latestCPF"]) - int(view["lastCPF"])) * size, ONE)
        profit = size * index_price - notional if size > 0 else notional + size * index_price
        ratio = (int(view["margin"]) + profit - owed) / notional
        assert closed == size - int(one["after"]["size"])
        if one["after"]["size"] == "0":  # the whole position: the view valued this close
            assert to_integer(row["notional"]) == int(view["spotNotional"])
            assert to_integer(row["remaining_margin"]) == max(0, int(view["margin"]) + int(view["spotUpl"]) - int(owed))
        assert (row["max_liquidation_delta"], row["max_pd"]) == (Decimal("0.002"), Decimal("0.004"))  # a fee of 0.1 % a trade
        assert abs(Fraction(row["margin_ratio_at_index"]) - ratio) * ONE * min(1, Fraction(notional, ONE)) < 5  # three truncations
        assert row["flaggable"] == (row["margin_ratio_at_index"] < Decimal("0.0625"))
    assert compared == {"rehearsal": 29, "later-contracts": 11, "large": 12}[run.incident.name]


@pytest.mark.parametrize(("name", "number"), [("rehearsal", 36), ("later", 17), ("large", 1179)])
def test_every_liquidation_has_a_verdict_and_a_reason(name: str, number: int, request: pytest.FixtureRequest) -> None:
    found = screened(request.getfixturevalue(name))
    frame = check(found.table, VERDICTS)
    assert frame.height == number
    assert found.findings == ()
    assert not frame["verdict"].is_in(["UNKNOWN"]).any()
    assert [MEANING[v] for v in frame["verdict"]] == frame["reason"].to_list()
    judged = frame.filter(pl.col("index_price").is_not_null())
    assert (judged["max_liquidation_delta"] - judged["price_impact"]).equals(judged["slack_delta"], check_names=False)
    assert (judged["max_pd"] - judged["premium"]).equals(judged["slack_pd"], check_names=False)


def test_the_recorded_verdicts(rehearsal: Run, later: Run, large: Run) -> None:
    """By both readings. LINK of the rehearsal had no funding payment before its liquidation, so it has no index."""
    counted = {
        run.incident.name: sorted(screened(run).table.group_by("verdict_of_limits", "verdict").len().iter_rows())
        for run in (rehearsal, later, large)
    }
    assert counted == {
        "rehearsal": [
            ("FLAG_ONLY_BOTH", "NOT_FLAGGABLE_AT_INDEX", 4),
            ("FLAG_ONLY_PD", "FLAG_ONLY_PD", 2),
            ("FLAG_ONLY_PD", "NOT_FLAGGABLE_AT_INDEX", 29),
            ("NO_INDEX", "NO_INDEX", 1),
        ],
        "later-contracts": [("FLAG_ONLY_PD", "NOT_FLAGGABLE_AT_INDEX", 17)],
        "large": [
            ("FLAG_ONLY_PD", "FLAG_ONLY_PD", 78),
            ("FLAG_ONLY_PD", "NOT_FLAGGABLE_AT_INDEX", 1045),
            ("LIQUIDATED", "LIQUIDATED", 56),
        ],
    }


def test_each_liquidation_of_a_block_starts_from_the_pool_of_the_one_before(large: Run) -> None:
    """Spot prices follow each other inside a block; a pool of the block before would be the same for all of them."""
    frame = screened(large).table.join(
        large.liquidations.select("block_number", "log_index", "spot_price"), on=["block_number", "log_index"]
    )
    again = frame.filter(pl.col("block_number").is_duplicated())
    assert again["block_number"].n_unique() == 178
    tables = large.events.table.select("block_number", "log_index", "market", "spot_price").sort("block_number", "log_index")
    before = tables.with_columns(pl.col("spot_price").shift(1).over("market").alias("left")).select("block_number", "log_index", "left")
    joined = again.join(before, on=["block_number", "log_index"])
    assert joined["left"].equals(joined["spot_before"], check_names=False)


# The comparison


def test_equality_blocks() -> None:
    """B = 990, s = 10, spot = index: the impact is exactly 0.0199."""
    pool = Reserves.of(990 * 50 * ONE, 990 * ONE)
    assert price_impact(pool, 10 * ONE, 50 * ONE) == 199 * ONE // 10_000
    exact = Limit(199 * ONE // 10_000, None, "")
    assert exact.blocks(199 * ONE // 10_000, 0) == (True, False)
    assert replace(exact, delta=exact.delta + 1 if exact.delta else 0).blocks(199 * ONE // 10_000, 0) == (False, False)
    assert premium(pool, 40 * ONE) == ONE // 4
    assert Limit(None, ONE // 4, "").blocks(0, ONE // 4) == (False, True)


AMOUNTS = st.integers(10**15, 10**26)


@pytest.mark.property
@given(AMOUNTS, AMOUNTS, st.integers(-(10**25), 10**25), st.integers(10**15, 10**24), st.integers(0, 2 * ONE))
def test_a_rounded_ratio_compares_as_the_exact_one(quote: int, base: int, size: int, index: int, limit: int) -> None:
    pool = Reserves.of(quote, base)
    if base + size <= 0:
        with pytest.raises(Reverts):
            price_impact(pool, size, index)
        return
    exact = abs(Fraction(quote * base, (base + size) ** 2) - Fraction(quote, base)) / Fraction(index, ONE)
    assert (price_impact(pool, size, index) < limit) == (exact < Fraction(limit, ONE))
    away = abs(Fraction(quote, base) - Fraction(index, ONE)) / Fraction(index, ONE)
    assert (premium(pool, index) < limit) == (away < Fraction(limit, ONE))


@pytest.mark.property
@given(AMOUNTS, st.integers(1, 10**24))
def test_the_same_size_moves_more_for_a_short(base: int, size: int) -> None:
    pool = Reserves.of(base * 50, base)
    if size < base:
        assert price_impact(pool, -size, 50 * ONE) >= price_impact(pool, size, 50 * ONE)


LIMITS = st.integers(0, 3 * 10**17)


@pytest.fixture(scope="module")
def ratios_of_the_rehearsal(rehearsal: Run) -> list[tuple[int, int]]:
    """Price impact and premium of each liquidation that has them."""
    frame = screened(rehearsal).table.drop_nulls("price_impact")
    return [(to_integer(impact), to_integer(above)) for impact, above in frame.select("price_impact", "premium").iter_rows()]


@pytest.mark.property
@given(LIMITS, LIMITS, LIMITS, LIMITS)
def test_raising_a_limit_never_blocks_more(
    ratios_of_the_rehearsal: list[tuple[int, int]], delta: int, pd: int, more_delta: int, more_pd: int
) -> None:
    low, high = Limit(delta, pd, ""), Limit(delta + more_delta, pd + more_pd, "")
    assert ratios_of_the_rehearsal
    for ratios in ratios_of_the_rehearsal:
        before, after = low.blocks(*ratios), high.blocks(*ratios)
        assert before is not None
        assert after is not None
        assert all(was or not now for was, now in zip(before, after, strict=True))


def test_a_limit_of_0_blocks_everything_and_says_so(rehearsal: Run) -> None:
    found = screened(
        rehearsal, f"[guards]\nflag_rule = 'v1'\n{SOURCE}[[guards.limits]]\nmax_liquidation_delta = 0\nmax_pd = 'none'\n{SOURCE}"
    )
    assert set(found.table["verdict"]) == {"FLAG_ONLY_DELTA", "NO_INDEX"}
    assert found.table["max_pd"].null_count() == 36
    assert "a limit of 0 blocks every liquidation but a forced one" in found.table["parameters_source"][0]


def test_without_limits_everything_passes_and_needs_no_index(rehearsal: Run) -> None:
    limits = f"[[guards.limits]]\nmax_liquidation_delta = 'none'\nmax_pd = 'none'\n{SOURCE}"
    assert set(screened(rehearsal, f"[guards]\nflag_rule = 'v1'\n{SOURCE}{limits}").table["verdict"]) == {"LIQUIDATED"}
    by_index = screened(rehearsal, f"[guards]\n{SOURCE}{limits}").table
    assert dict(by_index.group_by("verdict").len().iter_rows()) == {"LIQUIDATED": 2, "NOT_FLAGGABLE_AT_INDEX": 33, "NO_INDEX": 1}


def test_a_market_can_have_limits_of_its_own(rehearsal: Run) -> None:
    text = f"[guards]\n{SOURCE}[[guards.limits]]\nmarket = 'BTCUSDC'\nmax_liquidation_delta = 0.000_601\nmax_pd = 0.001_202\n{SOURCE}"
    found = screened(rehearsal, text)
    by_name = dict(found.table.select("market_name", "max_liquidation_delta").unique().iter_rows())
    assert by_name == {"BTCUSDC": Decimal("0.000601"), "LINKUSDC": Decimal("0.002")}
    assert "[[guards.limits]] of rehearsal.toml: recording" in found.table.filter(market_name="BTCUSDC")["parameters_source"][0]


# Limits from fees


def test_limits_follow_from_the_fees_in_the_logs(rehearsal: Run) -> None:
    """0.1 % a trade: 0.2 % a round trip, and twice that."""
    market = rehearsal.incident.markets[0]
    assert fee_ratio(market.amm, market.name, rehearsal.events.table) == ONE // 1000
    limit = by_fees(market.name, ONE // 1000)
    assert (limit.delta, limit.pd) == (2 * ONE // 1000, 4 * ONE // 1000)
    assert "fees of BTCUSDC in the logs, 0.001 a trade" in screened(rehearsal).table.filter(market_name="BTCUSDC")["parameters_source"][0]


def test_fees_of_more_than_one_ratio_are_named(rehearsal: Run) -> None:
    market = rehearsal.incident.markets[0]
    charged = pl.when(pl.int_range(pl.len()) == 50).then(pl.col("fee") * 2).otherwise("fee").cast(fixed.AMOUNT)
    said = problems(lambda: fee_ratio(market.amm, "BTCUSDC", rehearsal.events.table.with_columns(fee=charged)))
    assert "market BTCUSDC: Its trades pay fees of more than one ratio: the largest trade pays 0.001, but tx 0x" in said
    assert "[[guards.limits]]" in said


def test_a_market_without_fees_needs_stated_limits(rehearsal: Run) -> None:
    market = rehearsal.incident.markets[0]
    free = rehearsal.events.table.with_columns(fee=fixed.amount(0))
    assert "No trade in the logs pays a fee" in problems(lambda: fee_ratio(market.amm, "BTCUSDC", free))


# The incident file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[guards]\n", "[guards] source is missing"),
        (f"[guards]\n{SOURCE}flag_rule = 'oracle'\n", 'flag_rule is "oracle"'),
        (f"[guards]\n{SOURCE}limit = 1\n", "[guards] limit is unknown. Did you mean 'limits'?"),
        (f"[guards]\n{SOURCE}[[guards.limits]]\nmax_pd = 0.1\n{SOURCE}", "[[guards.limits]] 1 max_liquidation_delta is missing"),
        (
            f"[guards]\n{SOURCE}[[guards.limits]]\nmax_pd = -0.1\nmax_liquidation_delta = 'all'\n{SOURCE}",
            "max_pd is -0.1. It must be 0 or more",
        ),
        (
            f"[guards]\n{SOURCE}[[guards.limits]]\nmarket = 'BTCUSD'\nmax_pd = 1\nmax_liquidation_delta = 1\n{SOURCE}",
            "[[guards.limits]] market is \"BTCUSD\", which is not a market of this incident. Did you mean 'BTCUSDC'?",
        ),
        (
            f"[guards]\n{SOURCE}" + 2 * f"[[guards.limits]]\nmarket = 'BTCUSDC'\nmax_pd = 1\nmax_liquidation_delta = 1\n{SOURCE}",
            '[[guards.limits]] market "BTCUSDC" is listed twice',
        ),
        (f"[guards]\n{SOURCE}endorsed = ['0x1']\n", 'endorsed is "0x1", not an address'),
        (f"[guards]\n{SOURCE}endorsed = 7\n", "endorsed is 7, not a list"),
    ],
    ids=["source", "flag rule", "key", "limit missing", "limit negative", "market", "twice", "address", "list"],
)
def test_a_mistake_in_the_file_is_named(rehearsal: Run, text: str, said: str) -> None:
    assert said in problems(lambda: with_guards(rehearsal, text))


# Index prices


INDEX = f"[guards]\n{SOURCE}[guards.index]\nfile = 'btc.csv'\ninterval = {{}}\n{SOURCE}"


def prices(run: Run, folder: Path, price: str = "55000.5") -> list[str]:
    """A file with a price at each BTC liquidation, a second before."""
    times = run.liquidations.filter(market_name="BTCUSDC")["block_time"].unique().sort()
    lines = ["market_name,time,price", *(f"BTCUSDC,{t - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ},{price}" for t in times)]
    (folder / "btc.csv").write_text("\n".join(lines) + "\n")
    return lines


def test_a_file_of_prices_is_the_index(rehearsal: Run, tmp_path: Path) -> None:
    prices(rehearsal, tmp_path)
    found = screened(rehearsal, INDEX.format(60), tmp_path)
    btc = found.table.filter(market_name="BTCUSDC")
    assert set(btc["index_price"]) == {Decimal("55000.5")}
    assert btc["index_age_seconds"].max() == 1
    assert found.indices[btc["market"][0]].source == "btc.csv (recording)"


def test_a_gap_in_a_file_of_prices_is_named(rehearsal: Run, tmp_path: Path) -> None:
    lines = prices(rehearsal, tmp_path)
    (tmp_path / "btc.csv").write_text("\n".join([*lines[:5], *lines[8:]]) + "\n")
    said = problems(lambda: screened(rehearsal, INDEX.format(60), tmp_path))
    assert said.startswith("btc.csv: A price at 2021-02-20T22:5")
    assert "has no price since 2021-02-20T22:5" in said
    assert "for more than 60 seconds" in said
    (tmp_path / "btc.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    assert "but the file begins later" in problems(lambda: screened(rehearsal, INDEX.format(60), tmp_path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "btc.csv: There is no such file. [guards.index] of rehearsal.toml names it"),
        (
            "market_name,time,price\nBTCUSDC,2021-01-01T00:00:00Z,0\n",
            "The price of BTCUSDC at 2021-01-01T00:00:00Z is 0.000000000000000000. A price must be above 0.",
        ),
        ("market_name,time,price\nBTCUSDC,2021-01-01,55000\n", 'btc.csv row 2: time is "2021-01-01"'),
        ("market_name,time,price\nBTCUSDC,2021-01-01T00:00:00Z,5.5e4\n", 'price is "5.5e4"'),
        ("market_name,time,price\nBTC,2021-01-01T00:00:00Z,1\n", "\"BTC\" is not a market of this incident. Did you mean 'BTCUSDC'?"),
        ("market_name,time,close\nBTCUSDC,2021-01-01T00:00:00Z,1\n", "Rename close to price."),
    ],
    ids=["no file", "zero", "time", "exponent", "market", "column"],
)
def test_a_bad_file_of_prices_is_named(rehearsal: Run, tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "btc.csv").write_text(content)
    assert said in problems(lambda: screened(rehearsal, INDEX.format(60), tmp_path))


def test_a_price_is_known_from_its_log_on(rehearsal: Run) -> None:
    """A funding payment right behind a liquidation, in its own block, is not yet known to it."""
    row = rehearsal.liquidations.row(10, named=True)
    late = rehearsal.events.others["FundingRateUpdated"].head(1)
    late = late.with_columns(
        block_number=pl.lit(row["block_number"], pl.Int64),
        log_index=pl.lit(row["log_index"] + 1, pl.Int64),
        block_time=pl.lit(row["block_time"]).cast(late.schema["block_time"]),
        underlying_price=fixed.amount(1),
        market=pl.lit(row["market"]),
    )
    tables = {**rehearsal.events.others, "FundingRateUpdated": pl.concat([rehearsal.events.others["FundingRateUpdated"], late])}
    then = judge(rehearsal.liquidations, rehearsal.events.table, tables, rehearsal.incident).table
    assert then.row(10) == screened(rehearsal).table.row(10)
    early = {**tables, "FundingRateUpdated": tables["FundingRateUpdated"].with_columns(
        log_index=pl.when(pl.col("underlying_price") == 1).then(row["log_index"] - 1).otherwise("log_index")
    )}  # fmt: skip
    now = judge(rehearsal.liquidations, rehearsal.events.table, early, rehearsal.incident).table.row(10, named=True)
    assert (now["index_price"], now["index_age_seconds"]) == (1, 0)


# Missing logs


def test_a_missing_snapshot_makes_the_verdict_unknown_with_a_warning(rehearsal: Run) -> None:
    row = rehearsal.liquidations.row(10, named=True)
    own = (pl.col("transaction_hash") == row["transaction_hash"]) & (pl.col("market") == row["market"])
    tables = {**rehearsal.events.others, "ReserveSnapshotted": rehearsal.events.others["ReserveSnapshotted"].filter(~own)}
    found = judge(rehearsal.liquidations, rehearsal.events.table, tables, rehearsal.incident)
    spoiled = found.table.filter(pl.col("verdict_of_limits") == "UNKNOWN")
    assert (row["block_number"], row["log_index"]) in set(spoiled.select("block_number", "log_index").iter_rows())
    assert spoiled["price_impact"].null_count() == spoiled.height
    places = [f"tx {tx} log {log}" for tx, log in spoiled.select("transaction_hash", "log_index").iter_rows()]
    assert set(spoiled["verdict"]) == {"NOT_FLAGGABLE_AT_INDEX"}, "the index alone gives the verdict"
    assert [(f.level, f.where, f.code) for f in found.findings] == [("warning", place, "no-verdict-of-limits") for place in places]
    assert all("The verdict is NOT_FLAGGABLE_AT_INDEX, but verdict_of_limits is UNKNOWN" in f.what for f in found.findings)
    asked = with_guards(rehearsal, f'[guards]\nflag_rule = "v1"\n{SOURCE}')
    by_limits = judge(rehearsal.liquidations, rehearsal.events.table, tables, asked)
    assert [(f.level, f.where, f.code) for f in by_limits.findings] == [("warning", place, "no-guard-verdict") for place in places]
    assert all("No verdict: the pool before it (ReserveSnapshotted, LiquidityChanged)" in f.what for f in by_limits.findings)


def test_without_the_markets_logs_nothing_is_guessed(rehearsal: Run) -> None:
    found = judge(rehearsal.liquidations, rehearsal.events.table, {}, rehearsal.incident)
    assert set(found.table["verdict"]) == {"NO_INDEX"}
    assert found.table["spot_before"].null_count() == 36


# The sweep


def test_the_sweep_gives_the_verdicts_at_each_pair_of_limits(large: Run) -> None:
    verdicts = screened(large).table
    deltas, pds = [Decimal(0), Decimal("0.0001"), Decimal("0.002")], [Decimal("0.004"), Decimal("0.02"), Decimal("0.5")]
    swept = sweep(verdicts, deltas, pds)
    for delta in deltas:
        for pd in pds:
            text = f"[[guards.limits]]\nmax_liquidation_delta = {delta}\nmax_pd = {pd}\n{SOURCE}"
            found = screened(large, f"[guards]\n{SOURCE}{text}").table
            for rule, column in (("index", "verdict"), ("v1", "verdict_of_limits")):
                cell = swept.filter(flag_rule=rule, max_liquidation_delta=delta, max_pd=pd)
                expected = found.group_by(pl.col(column).alias("verdict")).agg(
                    pl.len().cast(pl.Int64).alias("liquidations"), pl.col("notional", "remaining_margin").sum()
                )
                assert cell.select(expected.columns).sort("verdict").equals(expected.sort("verdict"))


def test_the_cells_of_each_pair_sum_up_to_all_liquidations(large: Run) -> None:
    found = screened(large)
    deltas, pds = [from_integer(n * 10**14) for n in range(20)], [from_integer(n * 10**15) for n in range(20)]
    cells = sweep(found.table, deltas, pds).group_by("flag_rule", "max_liquidation_delta", "max_pd").agg(
        pl.col("liquidations", "notional", "remaining_margin").sum()
    )  # fmt: skip
    assert cells.height == 800
    assert cells.select("liquidations", "notional", "remaining_margin").unique().rows() == [
        (1179, found.table["notional"].sum(), found.table["remaining_margin"].sum())
    ]


def test_the_grid_holds_the_incidents_own_limits(rehearsal: Run) -> None:
    deltas, pds = grid(screened(rehearsal))
    assert (Decimal("0.002") in deltas, Decimal("0.004") in pds, len(deltas), len(pds)) == (True, True, 10, 10)
    assert sorted(deltas) == deltas
    assert deltas[0] == pds[0] == 0


def test_ratio_at_index_of_a_long_and_a_short() -> None:
    """A long of 2 at 100 with a margin of 20 and 1 of funding owed, at 95: (20 - 10 - 1) / 200; a short: (20 + 10 - 1) / 200."""
    assert ratio_at_index(2 * ONE, 20 * ONE, 200 * ONE, ONE, 95 * ONE) == 45 * ONE // 1000
    assert ratio_at_index(-2 * ONE, 20 * ONE, 200 * ONE, ONE, 95 * ONE) == 145 * ONE // 1000


# What a run makes of the verdicts


def run_with(text: str, changes: dict[str, str] | None = None, folder: Path | None = None) -> Run:
    asked = variants.variant("rehearsal", text, changes, folder)
    return pipeline.compute(asked, find_input(asked, LOGS))


LOGS = incident_file.shelf() / "rehearsal" / "logs.jsonl.gz"
BY_GUARDS = {
    'surviving_life = "closed-share"\n': 'surviving_life = "closed-share"\nguard_verdicts = ["FLAG_ONLY_DELTA", "FLAG_ONLY_BOTH"]\n'
}


def test_the_incident_file_knows_every_verdict() -> None:
    assert set(incident_guards.VERDICTS) == set(MEANING)


def test_only_liquidations_with_the_chosen_verdicts_are_compensated(rehearsal: Run) -> None:
    done = run_with(f"[guards]\nflag_rule = 'v1'\n{SOURCE}", BY_GUARDS)
    paid = done.liquidations.filter("eligible")
    assert set(paid["guard_verdict"]) == {"FLAG_ONLY_BOTH"}
    before = rehearsal.liquidations.filter("eligible").select("transaction_hash")
    assert paid.height == 3
    assert paid.join(before, on="transaction_hash", how="semi").height == 3
    out = done.liquidations.filter(reason_code="guard-verdict")
    assert out.height + paid.height == before.height
    assert out["reason"][0] == "the guards' verdict on it is FLAG_ONLY_PD; compensated are FLAG_ONLY_DELTA, FLAG_ONLY_BOTH"
    verdicts = screened(rehearsal, f"[guards]\nflag_rule = 'v1'\n{SOURCE}").table
    assert done.liquidations["guard_verdict"].to_list() == verdicts["verdict"].to_list()
    for name in ("price_impact", "slack_delta", "premium", "slack_pd"):
        assert done.liquidations[name].to_list() == verdicts[name].to_list()


def test_without_guards_a_run_has_null_verdicts(rehearsal: Run) -> None:
    for name in ("guard_verdict", "price_impact", "slack_delta", "premium", "slack_pd"):
        assert rehearsal.liquidations[name].null_count() == 36


def test_an_unknown_verdict_is_named() -> None:
    changes = {'surviving_life = "closed-share"\n': 'surviving_life = "closed-share"\nguard_verdicts = ["FLAG_ONLY"]\n'}
    assert 'guard_verdicts is "FLAG_ONLY". Did you mean' in problems(lambda: variants.variant("rehearsal", "", changes))


def test_a_formula_can_ask_for_the_ratios() -> None:
    """The margin of those whose close moved the price by more than 0.5 %, as a rule of somebody else's."""

    @formula.formula(name="moved", source="test")
    def moved(terms: formula.Terms) -> pl.Expr:
        return pl.when(terms.price_impact > fixed.amount("0.005")).then(terms.margin).otherwise(fixed.amount(0))

    done = run_with(f"[guards]\n{SOURCE}")
    assert formula.reads(moved) == ["price_impact", "margin"]
    paid = formula.entitlements(moved, done.liquidations.filter("eligible"))
    assert (paid > 0).sum() == 1


def test_a_run_by_an_index_file_carries_the_file_and_is_verified(rehearsal: Run, tmp_path: Path) -> None:
    query = tmp_path / "query"
    (query / "data").mkdir(parents=True)
    prices(rehearsal, query)
    (query / "btc.csv").rename(query / "data" / "btc.csv")
    (query / "data" / "logs.jsonl.gz").write_bytes(LOGS.read_bytes())
    text = variants.variant("rehearsal", INDEX.format(60).replace("btc.csv", "data/btc.csv"), BY_GUARDS).raw
    (query / "ours.toml").write_bytes(text.replace(b"rehearsal/logs", b"data/logs"))
    done = perpcomp.compute(str(query / "ours.toml"))
    assert set(done.liquidations.filter(market_name="BTCUSDC")["guard_verdict"]) >= {"NOT_FLAGGABLE_AT_INDEX"}
    published = perpcomp.publish_run(done, tmp_path / "out")
    assert published["inputs/btc.csv"] == (query / "data" / "btc.csv").read_bytes()
    assert perpcomp.verify(tmp_path / "out").same
    changed = (tmp_path / "out/inputs/btc.csv").read_text().replace("55000.5", "55000.6", 1)
    (tmp_path / "out/inputs/btc.csv").write_text(changed)
    assert [d.where for d in perpcomp.verify(tmp_path / "out").differences] == ["inputs/btc.csv"]
