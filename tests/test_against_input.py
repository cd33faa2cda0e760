"""The incident file against its input: names that meet nothing, statements that the logs contradict, and a window in blocks."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from perpcomp.explain.explain import explain
from perpcomp.findings import Finding, InputError
from perpcomp.publish.summary import summary
from perpcomp.run import Run
from perpcomp.window import dated
from tests import build
from tests.build import address, position

pytestmark = pytest.mark.money

VICTIMS = ["0x3bd1e2dc6ba196d8d9faf43c5580cd343287cf06", address(2), address(3)]
ROWS = [row for n, trader in enumerate(VICTIMS, 1) for row in position(n, trader, 1, 55_000, 10_000 * n, 50_000, minutes=n)]
CODES = {
    *("exclusion-of-nobody", "market-without-log", "unaffected-market-without-log", "contract-without-log", "name-not-met"),
    *("price-far-from-spot", "vesting-before-window-end", "window-start-estimated"),
}
BLOCKS = "from = 2021-02-20T22:45:00Z\nto = 2021-02-20T23:45:00Z"


def ran(folder: Path, changes: dict[str, str] | None = None) -> Run:
    return build.run(folder, ROWS, changes)


def found(done: Run) -> list[Finding]:
    return [problem for problem in done.problems if problem.code in CODES]


def excluding(trader: str) -> dict[str, str]:
    table = f'\n[[eligibility.exclude]]\naddress = "{trader}"\nreason = "moved the price"\nevidence = "post-mortem"\n'
    return {"\n[formula]\n": f"{table}\n[formula]\n"}


def with_market(name: str, amm: str, more: str = "") -> dict[str, str]:
    return {"\n[eligibility]\n": f'\n[[market]]\nname = "{name}"\namm = "{amm}"\n{more}source = "test"\n\n[eligibility]\n'}


def lines(done: Run) -> dict[str, str]:
    return {line.label: line.value for line in summary(done)}


def test_a_file_whose_names_are_all_met_has_no_such_finding(tmp_path: Path) -> None:
    assert not found(ran(tmp_path))
    assert ran(tmp_path).exclusions.is_empty()


def test_an_exclusion_says_what_it_keeps_back(tmp_path: Path) -> None:
    done = ran(tmp_path, excluding(VICTIMS[0]))
    assert not found(done)
    assert done.exclusions.rows() == [(VICTIMS[0], "moved the price", "post-mortem", 2, 1, Decimal(10_000))]
    assert lines(done)["Excluded by name"] == "1 account named, 1 of them liquidated in the window; they keep back 10,000 USDC"
    assert VICTIMS[0] not in done.payouts.get_column("trader")


def test_an_exclusion_with_one_wrong_digit_names_the_nearest_account(tmp_path: Path) -> None:
    mistyped = VICTIMS[0][:-1] + "0"
    done = ran(tmp_path, excluding(mistyped))
    (said,) = found(done)
    assert (said.level, said.code) == ("warning", "exclusion-of-nobody")
    assert said.what == f"{mistyped} excludes nobody in this input: no event has this trader."
    assert said.what_to_do.startswith(f"Did you mean {VICTIMS[0]}, the nearest address in this input?")
    assert lines(done)["Exclusion"] == said.what
    assert VICTIMS[0] in done.payouts.get_column("trader")


def test_an_excluded_account_that_was_not_liquidated_excludes_nobody(tmp_path: Path) -> None:
    trader = "0x" + "77" * 20
    (said,) = found(build.run(tmp_path, [*ROWS, position(8, trader, 1, 55_000, 9_000, 50_000)[0]], excluding(trader)))
    assert said.what == f"{trader} excludes nobody: it has 1 log in this input, but no liquidation of an affected market in the window."


def test_an_affected_market_without_a_log_is_an_error(tmp_path: Path) -> None:
    amm = build.MARKET[:-1] + "c"
    (said,) = found(ran(tmp_path, with_market("ETHUSDC", amm, "affected = true\nreference_price = 2_000\n")))
    assert (said.level, said.code) == ("error", "market-without-log")
    assert said.what == f"The input has no log of the affected market ETHUSDC, {amm}: nobody in it can be found or paid."
    (said,) = found(ran(tmp_path, with_market("ETHUSDC", amm)))
    assert (said.level, said.code) == ("note", "unaffected-market-without-log")


@pytest.mark.parametrize("price", ["50_000", "16_700", "164_000"])
def test_a_price_within_three_times_the_spot_prices_is_not_doubted(price: str, tmp_path: Path) -> None:
    assert not found(ran(tmp_path, {"reference_price = 50_000": f"reference_price = {price}"}))


@pytest.mark.parametrize(
    ("price", "shown"), [("16_600", "16,600"), ("166_000", "166,000"), ("500_000", "500,000"), ("5_000", "5,000"), ("50", "50")]
)
def test_a_price_far_from_the_spot_prices_is_a_warning_with_the_numbers(price: str, shown: str, tmp_path: Path) -> None:
    (said,) = found(ran(tmp_path, {"reference_price = 50_000": f"reference_price = {price}"}))
    assert (said.level, said.code) == ("warning", "price-far-from-spot")
    assert said.what == f"The price {shown} is far from the spot prices of BTCUSDC in the logs, 50,000 to 55,000."


def test_a_price_below_which_the_crash_began_is_checked_too(tmp_path: Path) -> None:
    more = {"reference_price = 50_000": "reference_price = 50_000\ncrash_below = 545_000"}
    (said,) = found(ran(tmp_path, more))
    assert said.where == "made-up.toml [[market]] BTCUSDC crash_below"


def test_a_vesting_before_the_window_ends_is_a_warning(tmp_path: Path) -> None:
    start = "start = 2021-03-01T00:00:00Z"
    (said,) = found(ran(tmp_path, {start: "start = 2021-02-20T23:44:59Z"}))
    assert said.what == "The vesting starts at 2021-02-20T23:44:59Z, before the window ends at 2021-02-20T23:45:00Z."
    assert not found(ran(tmp_path, {start: "start = 2021-02-20T23:45:00Z"}))


# Victim n was liquidated in block 10,000 + n, n minutes after the start.
@pytest.mark.parametrize(
    ("first", "last", "paid"),
    [(10_000, 10_004, [0, 1, 2]), (10_001, 10_003, [0, 1, 2]), (10_002, 10_003, [1, 2]), (10_001, 10_002, [0, 1]), (10_002, 10_002, [1])],
)
def test_both_ends_of_a_window_in_blocks_are_inside(first: int, last: int, paid: list[int], tmp_path: Path) -> None:
    done = ran(tmp_path, {BLOCKS: f"from_block = {first}\nto_block = {last}"})
    assert done.payouts.get_column("trader").to_list() == sorted(VICTIMS[n] for n in paid)
    assert lines(done)["Window"].startswith(f"blocks {first} to {last}, both included (their logs are from ")
    reasons = dict(done.liquidations.select("block_number", "reason").iter_rows())
    outside = [block for block in (10_001, 10_002, 10_003) if not first <= block <= last]
    for block in outside:
        assert reasons[block] == f"liquidated in block {block}, outside the window of blocks {first} to {last}, both included"


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ("from_block = 10_001", "to_block is missing."),
        ("to_block = 10_001", "from_block is missing."),
        ("from_block = 10_002\nto_block = 10_001", "has an empty window: blocks 10002 to 10001."),
        (f"{BLOCKS}\nfrom_block = 1\nto_block = 2", "from is given beside from_block and to_block. State the window in one way"),
        ('from_block = 1\nto_block = 2\ntime_zone = "UTC"', "time_zone is given beside from_block and to_block."),
        ("from = 2021-02-20T22:45:00Z\nto_block = 2", "from is given beside to_block."),
        ("", "from is missing."),
        (
            "from = 10_001\nto = 10_002",
            "from is 10001, not a time. Write 2021-02-20T22:45:00Z, without quotes. A window in blocks has the keys",
        ),
    ],
)
def test_a_window_is_stated_in_one_way(window: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        build.made_up(tmp_path, {BLOCKS: window})
    assert said in str(caught.value)


def test_a_window_in_blocks_that_the_input_does_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No log of the input is in blocks 20000 to 20001: its logs are in blocks 1 to 10003\."):
        ran(tmp_path, {BLOCKS: "from_block = 20_000\nto_block = 20_001"})


def test_a_window_whose_edge_lies_within_one_second_is_refused(tmp_path: Path) -> None:
    rows = [*ROWS, *position(4, address(4), 1, 55_000, 9_000, 50_000, minutes=3)]
    with pytest.raises(InputError, match="The blocks on both sides of to_block have logs of one time"):
        build.run(tmp_path, rows, {BLOCKS: "from_block = 10_001\nto_block = 10_003"})


@pytest.mark.parametrize(("before", "after", "key"), [(5, 7, "from_block"), (4, 6, "to_block"), (4, 7, None)])
def test_the_blocks_beside_the_edges_of_a_window_decide_whatever_lies_beyond(
    before: int, after: int, key: str | None, tmp_path: Path
) -> None:
    """Blocks 11 and 12 are second 5 and 6."""
    incident = build.made_up(tmp_path, {BLOCKS: "from_block = 11\nto_block = 12"})
    seconds = {9: 0, 10: before, 11: 5, 12: 6, 13: after, 14: 60}
    times = [build.START + timedelta(seconds=n) for n in seconds.values()]
    logs = pl.LazyFrame({"block_number": [*seconds], "block_time": times})
    if key is None:
        rules = dated(incident, [logs]).eligibility
        assert (rules.start, rules.end) == (times[2], times[3] + timedelta(seconds=1))
        return
    with pytest.raises(InputError, match=f"The blocks on both sides of {key} have logs of one time"):
        dated(incident, [logs])


@pytest.mark.parametrize("written", ["gno:{}", "xdai:{}", "eip155:100:{}", " {}", "{} "])
def test_explain_takes_an_address_as_wallets_copy_it(written: str, tmp_path: Path) -> None:
    done = ran(tmp_path)
    plain = explain(done, VICTIMS[0])
    assert explain(done, written.format(VICTIMS[0])) == plain
    assert explain(done, VICTIMS[0][2:]) == explain(done, "0X" + VICTIMS[0][2:]) == plain
    with pytest.raises(InputError, match="an address on chain 1, but the incident is on chain 100"):
        explain(done, f"eth:{VICTIMS[0]}")


def test_guards_that_name_nobody_here_are_warnings(tmp_path: Path) -> None:
    nobody = "0x" + "99" * 20
    guards = f'\n[guards]\nendorsed = ["{nobody}", "{build.KEEPER}"]\nbackstop_providers = ["{nobody}"]\nsource = "test"\n\n[formula]\n'
    changes = {
        "\n[formula]\n": guards,
        'source = "test"\n\n[guards]': 'guard_verdicts = ["UNKNOWN", "FLAG_ONLY_PD"]\nsource = "test"\n\n[guards]',
    }
    done = ran(tmp_path, changes)
    unmet = [problem for problem in found(done) if problem.code == "name-not-met"]
    assert [problem.where for problem in unmet if nobody in problem.what] == [
        "made-up.toml [guards] endorsed",
        "made-up.toml [guards] backstop_providers",
    ]
    assert any(problem.what.endswith("in the window has the verdict FLAG_ONLY_PD.") for problem in unmet)
