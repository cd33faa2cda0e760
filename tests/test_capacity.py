"""Is there enough: the fund's balance against a plain loop over the raw logs, and the comparison against whole numbers."""

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_utils.crypto import keccak

from perpcomp import fixed, pipeline
from perpcomp.decide import capacity
from perpcomp.decide.capacity import Balance, fund_balance
from perpcomp.findings import Finding, InputError
from perpcomp.incident import incident_file
from perpcomp.incident.funds import FUND
from perpcomp.incident.incident import Incident
from perpcomp.input import Input, read_events
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1.events import POSITION_CHANGED, SWAP_INPUT, TRANSFER
from perpcomp.tables.decide import COMPARISON
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import to_csv
from perpcomp.tables.schema import TIME
from tests import build
from tests.test_exports import as_dune, as_etl

LAB = Path(__file__).parent / "lab"
QUERIES = Path(__file__).parent.parent / "queries"
ADDRESS, TOKEN = "0x2c2b9c9a4a25e24b174f26114e8926a9f2128fe4", "0xf12b5dd4ead5f743c6baa640b0216200e89b60da"
CONTRACT = f'[insurance_fund]\naddress = "{ADDRESS}"\ntoken = "{TOKEN}"\ndecimals = 6\nsource = "recording"\n'
RECORDINGS = {
    "february": (QUERIES / "rehearsal.toml", QUERIES / "rehearsal" / "logs.jsonl.gz"),
    "later-contracts": (LAB / "later-contracts.toml", LAB / "later-contracts" / "logs.jsonl.gz"),
    "large": (LAB / "large.toml", LAB / "large" / "logs.jsonl.gz"),
}
Log = dict[str, Any]


def with_fund(name: str, section: str = CONTRACT) -> Incident:
    """A recording's incident with this [insurance_fund]."""
    path, _ = RECORDINGS[name]
    text = path.read_text().replace(CONTRACT, "")
    return incident_file.parse(text.replace("[sources]", f"{section}\n[sources]", 1).encode(), path.stem, path.parent)


def raw(name: str) -> list[Log]:
    with gzip.open(RECORDINGS[name][1], "rt") as file:
        return [json.loads(line) for line in file]


def of_the_fund(log: Log) -> bool:
    ends = ("0x" + topic[26:] for topic in log["topics"][1:3])
    return log["address"] == TOKEN and log["topics"][0] == TRANSFER.topic0 and ADDRESS in ends


def balance_of(source: Path, loaded: Incident) -> tuple[Balance | None, list[Finding]]:
    events = read_events(Input(source, None), loaded)
    return fund_balance(events.lazy, events.lazy_others.get("Transfer"), loaded)


def test_the_topic_is_the_keccak_of_the_signature() -> None:
    assert TRANSFER.topic0 == "0x" + keccak(text="Transfer(address,address,uint256)").hex()


@pytest.mark.parametrize(("name", "transfers"), [("february", 312), ("later-contracts", 74), ("large", 15_578)])
def test_the_balance_is_the_sum_of_the_raw_transfers(name: str, transfers: int) -> None:
    """Base units of 6 decimals, in and out of the fund, by nothing but JSON and whole numbers."""
    loaded = with_fund(name)
    start, end = (int(t.timestamp()) for t in (loaded.eligibility.start, loaded.eligibility.end))
    sums, counted = {start: 0, end: 0}, 0
    for log in filter(of_the_fund, raw(name)):
        counted += 1
        sender, recipient = ("0x" + topic[26:] for topic in log["topics"][1:3])
        for moment in sums:
            if int(log["blockTimestamp"], 16) < moment:
                sums[moment] += int(log["data"], 16) * ((recipient == ADDRESS) - (sender == ADDRESS))
    balance, problems = balance_of(RECORDINGS[name][1], loaded)
    assert problems == []
    assert balance is not None
    assert (balance.begins, balance.ends) == (sums[start] * 10**12, sums[end] * 10**12)
    assert counted == transfers
    assert balance.counted.startswith(f"sum of {transfers} Transfer logs since ")


def test_in_the_rehearsal_the_crash_costs_the_fund_money(rehearsal: Run) -> None:
    """The bad debt paid in the window is more than the fees and margins that it got there."""
    finding = next(p for p in rehearsal.problems if p.where == "rehearsal.toml [insurance_fund]")
    assert finding.level == "note"
    assert finding.what.startswith(
        "The fund held 20,036,904.932804 USDC when the window began and 20,034,301.768494 USDC when it ended (sum of 312 Transfer logs"
    )
    assert finding.what.endswith(
        "margin-upl-funding needs 56,987.450818642970225288 USDC: enough, 19,977,314.317675357029774712 USDC left."
    )


@pytest.mark.parametrize("export", [as_dune, lambda: as_etl(timed=True)], ids=["dune", "ethereum-etl"])
def test_raw_logs_that_others_exported_give_the_same_balance(export: Callable[[], pl.DataFrame], tmp_path: Path) -> None:
    export().write_csv(tmp_path / "export.csv")
    assert balance_of(tmp_path / "export.csv", with_fund("february")) == balance_of(RECORDINGS["february"][1], with_fund("february"))


def test_the_fund_changes_nothing_but_its_own_table() -> None:
    bare, fund = (with_fund("february", section) for section in ("", CONTRACT))
    source = Input(RECORDINGS["february"][1], None)
    without, found = (read_events(source, loaded) for loaded in (bare, fund))
    assert found.table.equals(without.table)
    assert set(found.others) - set(without.others) == {"Transfer"}
    for name, frame in without.others.items():
        assert frame.equals(found.others[name]), name
    assert found.others["Transfer"].height == 312


# Balances that cannot be known


def write(folder: Path, logs: list[Log]) -> Path:
    path = folder / "logs.jsonl"
    path.write_text("".join(json.dumps(log) + "\n" for log in logs))
    return path


def without_any(logs: list[Log]) -> list[Log]:
    return [log for log in logs if not of_the_fund(log)]


def without_the_first(logs: list[Log]) -> list[Log]:
    first = next(log for log in logs if of_the_fund(log))
    return [log for log in logs if log is not first]


def without_one_fee(logs: list[Log]) -> list[Log]:
    fee = [log for log in logs if of_the_fund(log)][100]
    return [log for log in logs if log is not fee]


def negative(logs: list[Log]) -> list[Log]:
    """A payment out of the fund of more than it ever held."""
    last = max((log for log in logs if of_the_fund(log)), key=lambda log: int(log["blockNumber"], 16))
    out = {**last, "topics": [last["topics"][0], *last["topics"][:0:-1]], "data": f"0x{21 * 10**12:064x}", "logIndex": "0xfff"}
    assert out["topics"][1].endswith(ADDRESS[2:])
    return [*logs, out]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_any, "the Transfer logs of its token are not in the input"),
        (negative, "make it -1,000,143.164195 USDC at 2021-02-21T"),
        (without_one_fee, "trades without a Transfer of their fee in the input: 1, the first in tx 0x"),
    ],
)
def test_a_balance_that_the_logs_do_not_tell_is_unknown_and_never_guessed(
    change: Callable[[list[Log]], list[Log]], words: str, tmp_path: Path
) -> None:
    loaded = with_fund("february")
    balance, (problem,) = balance_of(write(tmp_path, change(raw("february"))), loaded)
    assert balance is None
    assert problem.level == "warning"
    assert str(problem).startswith("rehearsal.toml [insurance_fund]: The fund's balance is unknown: ")
    assert words in problem.what
    assert ADDRESS in problem.what_to_do
    assert "write balance = NUMBER with its source" in problem.what_to_do


def test_logs_that_begin_after_the_first_payments_are_noticed_by_a_balance_below_0(tmp_path: Path) -> None:
    """The fund's first money came from its owner, so that no trade shows its absence: only what is paid out of it does."""
    logs = without_the_first(raw("february"))
    low = lowest = 0
    for log in filter(of_the_fund, logs):
        low += int(log["data"], 16) * (1 if log["topics"][2].endswith(ADDRESS[2:]) else -1)
        lowest = min(lowest, low)
    assert lowest < 0
    balance, (problem,) = balance_of(write(tmp_path, logs), with_fund("february"))
    assert balance is None
    assert "so earlier ones are missing" in problem.what


@pytest.mark.parametrize("name", list(RECORDINGS))
def test_logs_that_begin_after_the_first_trades_are_noticed_by_positions_without_an_opening(name: str, tmp_path: Path) -> None:
    """Also where the fund got more since than it paid, so that no balance falls below 0."""
    loaded, logs = with_fund(name), raw(name)
    changes = [n for n, log in enumerate(logs) if log["topics"][0] == POSITION_CHANGED.topic0]
    kept = logs[changes[len(changes) // 3] + 1 :]
    gift = next(log for log in kept if of_the_fund(log) and log["topics"][2].endswith(ADDRESS[2:]))
    gift["data"] = f"0x{10**13:064x}"
    balance, (problem,) = balance_of(write(tmp_path, kept), loaded)
    assert balance is None
    assert "positions older than the input: " in problem.what


def test_an_events_table_has_no_transfers(tmp_path: Path, rehearsal: Run) -> None:
    (tmp_path / "events.csv").write_bytes(to_csv(rehearsal.events.table, EVENTS))
    run = pipeline.compute(with_fund("february"), Input(tmp_path / "events.csv", None))
    assert any("the Transfer logs of its token are not in the input" in problem.what for problem in run.problems)
    assert FUND not in run.capacity["source_of_funds"]
    assert run.payouts.equals(rehearsal.payouts)


def test_transfers_of_other_tokens_and_between_others_do_not_count(tmp_path: Path) -> None:
    logs = raw("february")
    one = next(log for log in logs if of_the_fund(log))
    foreign = [
        {**one, "address": "0x" + "77" * 20, "logIndex": "0xf00"},
        {**one, "topics": [one["topics"][0], one["topics"][1], one["topics"][1]], "logIndex": "0xf01"},
        {**one, "topics": ["0x" + "12" * 32, *one["topics"][1:]], "logIndex": "0xf02"},
        {**one, "address": with_fund("february").chain.clearing_house, "logIndex": "0xf03"},
    ]
    assert balance_of(write(tmp_path, logs + foreign), with_fund("february")) == balance_of(
        RECORDINGS["february"][1], with_fund("february")
    )


def test_a_markets_event_at_the_token_makes_it_no_market(tmp_path: Path) -> None:
    logs = raw("february")
    swap = next(log for log in logs if log["topics"][0] == SWAP_INPUT.topic0)
    source = write(tmp_path, [*logs, {**swap, "address": TOKEN, "logIndex": "0xf00"}])
    found = read_events(Input(source, None), with_fund("february")).others["SwapInput"]
    assert TOKEN not in found["market"]


def test_a_transfer_to_itself_changes_no_balance(tmp_path: Path) -> None:
    logs = raw("february")
    one = next(log for log in logs if of_the_fund(log))
    topic = "0x" + "0" * 24 + ADDRESS[2:]
    itself = {**one, "topics": [one["topics"][0], topic, topic], "logIndex": "0xf00"}
    balance, _ = balance_of(write(tmp_path, [*logs, itself]), with_fund("february"))
    known, _ = balance_of(RECORDINGS["february"][1], with_fund("february"))
    assert balance is not None
    assert known is not None
    assert balance.ends == known.ends


@pytest.mark.parametrize("units", [10**26, 2**127, 2**256 - 1])
def test_an_amount_that_does_not_fit_is_refused_with_its_row(units: int, tmp_path: Path) -> None:
    logs = raw("february")
    row, one = next((n, log) for n, log in enumerate(logs, 1) if of_the_fund(log))
    one["data"] = f"0x{units:064x}"
    with pytest.raises(InputError, match=rf"logs.jsonl row {row} \(tx {one['transactionHash']}"):
        balance_of(write(tmp_path, logs), with_fund("february"))


def made_transfers(*rows: tuple[datetime, int]) -> pl.LazyFrame:
    """Transfers to the fund, or out of it where the amount is below 0: (time, amount in units of 1e-18 USDC), each in a transaction of its own."""
    columns = {
        "block_number": [n for n, _ in enumerate(rows)],
        "log_index": [0 for _ in rows],
        "block_time": [time for time, _ in rows],
        "transaction_hash": [f"0x{n:064x}" for n, _ in enumerate(rows)],
        "sender": [TOKEN if amount > 0 else ADDRESS for _, amount in rows],
        "recipient": [ADDRESS if amount > 0 else TOKEN for _, amount in rows],
        "amount": fixed.from_integers([abs(amount) for _, amount in rows]),
    }
    return pl.LazyFrame(columns, schema_overrides={"block_time": TIME})


def test_a_transfer_at_an_edge_of_the_window_comes_after_the_balance() -> None:
    """The balance when the window begins is that before its first second; when it ends, that before its end."""
    loaded = with_fund("february")
    start, end = loaded.eligibility.start, loaded.eligibility.end
    second = timedelta(seconds=1)
    moved = made_transfers((start - second, 1), (start, 10), (end - second, 100), (end, 1_000))
    balance, problems = fund_balance(EVENTS.empty().lazy(), moved, loaded)
    assert problems == []
    assert balance is not None
    assert (balance.begins, balance.ends) == (1, 111)


@pytest.mark.parametrize(("out", "known"), [(5, True), (6, False)])
def test_a_fund_may_be_empty_but_never_below_0(out: int, known: bool) -> None:
    loaded = with_fund("february")
    moved = made_transfers((loaded.eligibility.start, 5), (loaded.eligibility.start, -out), (loaded.eligibility.start, 3))
    balance, problems = fund_balance(EVENTS.empty().lazy(), moved, loaded)
    assert (balance is not None, not problems) == (known, known)
    assert balance is None or (balance.begins, balance.ends) == (0, 3)


@pytest.mark.parametrize(("fee", "known"), [("0.000001", False), ("0.000000999999999999", True)])
def test_a_fee_of_one_unit_of_the_token_must_reach_the_fund(fee: str, known: bool) -> None:
    """USDC has 6 decimals: a smaller fee moves nothing, so no Transfer has to show it."""
    trade = build.opened(1, build.address(1), build.START, Decimal(1), Decimal(1), Decimal(1)) | {"fee": Decimal(fee)}
    balance, _ = fund_balance(build.table([trade]).lazy(), made_transfers((build.START, 1)), with_fund("february"))
    assert (balance is not None) is known


# What it covers


def given(balance: str) -> str:
    return f'[insurance_fund]\nbalance = {balance}\nsource = "test"\n\n[sources]'


@pytest.mark.parametrize(
    ("balance", "covered", "shortfall", "left"),
    [
        ("0", 0, 900, 0),
        ("300", Decimal("0.333333333333333333"), 600, 0),
        ("899.999999999999999999", Decimal("0.999999999999999999"), Decimal("0.000000000000000001"), 0),
        ("900", 1, 0, 0),
        ("1000.5", 1, 0, Decimal("100.5")),
    ],
)
def test_a_stated_balance_is_set_against_every_formula(
    balance: str, covered: object, shortfall: object, left: object, tmp_path: Path
) -> None:
    run = build.run(tmp_path, build.position(1, build.address(1), 1, 40_000, 900, 39_000), {"[sources]": given(balance)})
    row = run.capacity.row(by_predicate=pl.col("formula") == "margin-only", named=True)
    assert (row["source_of_funds"], row["token"], row["price"], row["unknown"]) == (FUND, "USDC", 1, 0)
    assert (row["total"], row["to_cover"]) == (900, 900)
    assert (row["covered"], row["shortfall"], row["left"]) == (covered, shortfall, left)
    finding = next(p for p in run.problems if p.where == "made-up.toml [insurance_fund]")
    assert finding.level == ("warning" if shortfall else "note")
    assert f"{capacity.in_full(fixed.to_integer(Decimal(balance)))} USDC (as stated; test). margin-only needs 900 USDC: " in finding.what
    assert finding.what.endswith(f"{Decimal(str(shortfall)):f} USDC short." if shortfall else f"enough, {left} USDC left.")


BUDGETS = """
[[budget]]
name = "half in PERP"
token = "PERP"
amount = 100
source = "test"

[[budget]]
name = "dollars"
token = "USDC"
amount = 500
source = "test"

[[budget]]
name = "ether"
token = "ETH"
amount = 3
source = "test"

[sources]"""
DOLLARS = '[[settlement]]\ntoken = "USDC"\ndecimals = 6\nshare = "2/3"\nprice = 1\nprice_policy = "a dollar"\nsource = "test"\n\n[vesting]'


def test_a_budget_covers_what_is_settled_in_its_token(tmp_path: Path) -> None:
    rows = [row for n in range(1, 8) for row in build.position(n, build.address(n), 1, 40_000, f"900.{n:018d}", 39_000)]
    changes = {"[sources]": given("10_000").replace("[sources]", BUDGETS) + "\n", "share = 1\n": 'share = "1/3"\n', "[vesting]": DOLLARS}
    run = build.run(tmp_path, rows, changes)
    chosen = {row["source_of_funds"]: row for row in run.capacity.filter(formula=run.formula.name).iter_rows(named=True)}
    assert set(chosen) == {FUND, "half in PERP", "dollars"}, "nothing says what ether is worth"
    assert chosen[FUND]["to_cover"] == chosen[FUND]["total"] == run.payouts["value"].sum(), "the fund is asked for all of it"
    for name, token in (("half in PERP", "PERP"), ("dollars", "USDC")):
        values = run.payouts.filter(token=token)["value"]
        assert chosen[name]["to_cover"] == sum(values), "to the last unit, also where shares do not divide"
    assert chosen["half in PERP"]["available_value"] == 700
    assert any("The budget of 3 ETH (test) cannot be compared: nothing is paid in ETH." in problem.what for problem in run.problems)


def test_a_budget_in_usdc_is_compared_where_nothing_is_paid_in_usdc(tmp_path: Path) -> None:
    rows = build.position(1, build.address(1), 1, 40_000, 900, 39_000)
    run = build.run(tmp_path, rows, {"[sources]": BUDGETS + "\n"})
    row = run.capacity.row(by_predicate=(pl.col("source_of_funds") == "dollars") & (pl.col("formula") == "margin-only"), named=True)
    assert (row["to_cover"], row["shortfall"]) == (900, 400)
    assert any("Entitlements of 900 USDC exceed the budget of 500 USDC (test) by 400 USDC." in problem.what for problem in run.problems)


def test_a_budget_worth_more_than_an_amount_holds_is_refused(tmp_path: Path) -> None:
    budget = BUDGETS.replace("amount = 100\n", "amount = 20_000_000_000_000_000_000\n") + "\n"
    with pytest.raises(
        InputError, match=r"made-up.toml \[\[budget\]\] half in PERP: The budget is worth 1e20 USDC or more at a price of 7 USDC\."
    ):
        build.run(tmp_path, build.position(1, build.address(1), 1, 40_000, 900, 39_000), {"[sources]": budget})
    exactly = {"[sources]": BUDGETS.replace("amount = 100\n", "amount = 50_000_000_000_000_000_000\n") + "\n", "price = 7\n": "price = 2\n"}
    with pytest.raises(InputError, match=r"The budget is worth 1e20 USDC or more at a price of 2 USDC\."):
        build.run(tmp_path, build.position(1, build.address(1), 1, 40_000, 900, 39_000), exactly)


def test_every_row_is_its_own_arithmetic(rehearsal: Run) -> None:
    totals = {name: rows["amount"] for (name,), rows in rehearsal.comparison.group_by("formula")}
    assert rehearsal.capacity.height == 5 * len(totals)
    for row in rehearsal.capacity.iter_rows(named=True):
        assert row["total"] == row["to_cover"] == sum(totals[row["formula"]])
        exact = Fraction(row["available"]) * Fraction(row["price"])
        assert 0 <= exact - Fraction(row["available_value"]) < Fraction(1, 10**18)
        assert row["left"] - row["shortfall"] == row["available_value"] - row["to_cover"]
        assert row["left"] == 0 or row["shortfall"] == 0
        assert row["covered"] == 1


def test_who_is_not_known_is_counted_and_what_is_owed_to_nobody_covers_nothing() -> None:
    amounts = {"known": ["1", "2"], "partly": ["5", None], "nothing": ["0", "0"], "negative": ["-4", "1"]}
    rows = [
        {
            "trader": build.address(n),
            "formula": name,
            "amount": None if amount is None else Decimal(amount),
            "recovery_ratio": None,
            "rank": None if amount is None else 1,
        }
        for name, pair in amounts.items()
        for n, amount in enumerate(pair)
    ]
    frame = pl.DataFrame(rows, schema=COMPARISON.schema)
    table = capacity.capacity(frame, Balance(2 * fixed.ONE, None, "as stated"), with_fund("february", CONTRACT)).filter(
        source_of_funds=FUND
    )
    found = {
        row["formula"]: (row["total"], row["unknown"], row["covered"], row["shortfall"], row["left"]) for row in table.iter_rows(named=True)
    }
    assert found == {
        "known": (3, 0, Decimal("0.666666666666666666"), 1, 0),
        "partly": (5, 1, Decimal("0.4"), 3, 0),
        "nothing": (0, 0, None, 0, 2),
        "negative": (-3, 0, None, 0, 2),
    }
    met = capacity.capacity(frame, Balance(5 * fixed.ONE, None, "as stated"), with_fund("february", CONTRACT))
    row = met.row(by_predicate=(pl.col("source_of_funds") == FUND) & (pl.col("formula") == "partly"), named=True)
    assert (row["covered"], row["shortfall"], row["left"]) == (None, 0, 0), "the known part is met, and the rest is not known"
    words = capacity.check_fund(table, Balance(2 * fixed.ONE, None, "as stated"), "partly", with_fund("february"))[0].what
    assert words.endswith("partly needs at least 5 USDC: at least 3 USDC short. The entitlement of 1 trader is incomplete.")
