"""What became of claims: every layout of an event, what waits since when, what must not be, and what is left for whom."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from perpcomp.claims.claimed import INTO_A_STREAM, LAYOUTS, TAKEN_BACK, Claimed, from_file, topic_of
from perpcomp.claims.dialect import Leaf
from perpcomp.claims.follow import Followed, follow
from perpcomp.claims.redistribute import largest_remainder
from perpcomp.findings import InputError
from perpcomp.vesting.vest import vest
from tests import build
from tests.commands import call
from tests.planned import HALF_USDC, PERP, USDC, WITH_FILES, lab

pytestmark = pytest.mark.money

ROOT = Path(__file__).parent.parent
CONTRACT, ALICE, OTHER = "0x" + "c0" * 20, "0x" + "0a" * 20, "0x" + "0b" * 20
START = datetime(2021, 3, 1, tzinfo=UTC)


def log(
    signature: str, indexed: tuple[str, ...], values: dict[str, Any], n: int = 0, time: datetime = START, **changes: Any
) -> dict[str, Any]:
    """A log as a node writes it, made from the signature in Solidity's words."""
    inner = signature.partition("(")[2].removesuffix(")")
    types = {one.split(" ")[1]: one.split(" ")[0] for one in inner.split(",")}
    plain = [name for name in types if name not in indexed]
    topic = keccak(text=f"{signature.partition('(')[0]}({','.join(types.values())})").hex()
    return {
        "address": CONTRACT,
        "topics": [f"0x{topic}", *(f"0x{encode([types[name]], [values[name]]).hex()}" for name in indexed)],
        "data": f"0x{encode([types[name] for name in plain], [values[name] for name in plain]).hex()}",
        "blockNumber": hex(100 + n),
        "blockHash": f"0x{n + 1:064x}",
        "transactionHash": f"0x{n + 1:064x}",
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "blockTimestamp": hex(int(time.timestamp())),
        **changes,
    }


def written(tmp_path: Path, *logs: dict[str, Any]) -> Path:
    path = tmp_path / "logs.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in logs))
    return path


VALUES = {
    "account": ALICE,
    "amount": 2**127 + 5,
    "index": 7,
    "token": OTHER,
    "week": 3,
    "stream": 9,
    "to": OTHER,
    "signed": True,
    "campaign": b"\1" * 16,
    "rest": 11,
}


@pytest.mark.parametrize(
    ("signature", "indexed"), [(one, indexed) for one, layouts in LAYOUTS.items() for indexed in layouts.values()], ids=str
)
def test_every_layout_gives_who_claimed_what(signature: str, indexed: tuple[str, ...], tmp_path: Path) -> None:
    (found,) = from_file(written(tmp_path, log(signature, indexed, VALUES)), [CONTRACT])
    named = [name for name in ("account", "amount", "index", "token") if f" {name}" in signature]
    assert {name: getattr(found, name) for name in named} == {name: VALUES[name] for name in named}
    assert (found.contract, found.time, found.block) == (CONTRACT, START, 100)
    assert found.vests_later == ("Vesting" in signature or "stream" in signature or signature.startswith("TokensClaimed"))


def test_the_topics_are_those_of_deployed_contracts() -> None:
    """Perp's and Uniswap's, as explorers and generated bindings print them."""
    assert topic_of("Claimed(address account,uint256 amount)") == "0xd8138f8a3f377c5259ca548e70e4c2de94f129f5a11036a15b69513cba2b426a"
    assert topic_of("Claimed(uint256 index,address account,uint256 amount)").startswith(
        "0x4ec90e965519d92681267467f775ada5bd214aa92c0dc93d90a5e880ce9ed026"
    )
    assert len({topic_of(one) for one in LAYOUTS}) == len(LAYOUTS)
    assert set(INTO_A_STREAM) < set(LAYOUTS)


def test_a_claim_of_hedgeys_that_is_told_twice_counts_once(tmp_path: Path) -> None:
    plain = log("Claimed(address account,uint256 amount)", ("account", "amount"), VALUES)
    own = log(
        "TokensClaimed(bytes16 campaign,address account,uint256 amount,uint256 rest)", ("campaign", "account"), VALUES, logIndex="0x1"
    )
    assert [one.event.partition("(")[0] for one in from_file(written(tmp_path, plain, own), [CONTRACT])] == ["TokensClaimed"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "0x"}, "which no known contract emits"),
        ({"topics": [topic_of("Claimed(uint256 index,address account,uint256 amount)"), "0x" + "00" * 32]}, "with 2 topics"),
        ({"removed": True}, "removed"),
    ],
)
def test_a_log_that_cannot_be_read_is_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    one = log("Claimed(address account,uint256 amount)", (), VALUES, **change)
    with pytest.raises(InputError, match=said):
        from_file(written(tmp_path, one), [CONTRACT])


def test_a_log_listed_twice_is_no_second_claim(tmp_path: Path) -> None:
    one = log("Claimed(address account,uint256 amount)", (), VALUES)
    with pytest.raises(InputError, match="is listed twice"):
        from_file(written(tmp_path, one, one), [CONTRACT])
    (found,) = from_file(written(tmp_path, one, {**one, "address": OTHER, "logIndex": "0x1"}), [CONTRACT])
    assert found.contract == CONTRACT  # another contract's claims are not the run's


# Against a plan: half at 1 March 2021, the rest at 1 April, 1 May and 1 June


def claim(account: str, amount: int | None, time: datetime, **changes: Any) -> Claimed:
    fields = {"event": "Claimed(address account,uint256 amount)", "contract": CONTRACT, "block": 1, "transaction": "0x1"}
    return Claimed(**{**fields, "time": time, "account": account, "token": None, "amount": amount, "index": None, **changes})


def followed(
    tmp_path: Path, events: list[Claimed], at: datetime, leaves: dict[int, Leaf] | None = None, paying: str | None = "PERP"
) -> Followed:
    changes = {**WITH_FILES, **(HALF_USDC if paying != "PERP" else {})}
    incident = build.made_up(tmp_path, changes)
    rows = [(ALICE, "PERP", 1001), (OTHER, "PERP", 2000), *([(ALICE, "USDC", 3000)] if paying != "PERP" else [])]
    payouts = pl.DataFrame(
        {"trader": [a for a, _, _ in rows], "token": [t for _, t, _ in rows], "amount_base_units": [str(n) for *_, n in rows]}
    )
    return follow(incident, payouts, vest(payouts, incident), events, {CONTRACT: paying}, leaves or {}, at)


def cells(found: Followed, *names: str) -> list[tuple[Any, ...]]:
    return [
        tuple(int(cell.scaleb(18)) if hasattr(cell, "scaleb") else cell for cell in row) for row in found.table.select(*names).iter_rows()
    ]


def test_what_waits_since_when(tmp_path: Path) -> None:
    april, may = datetime(2021, 4, 1, tzinfo=UTC), datetime(2021, 5, 1, tzinfo=UTC)
    events = [claim(ALICE, 500, START), claim(OTHER, 1333, may, token=None), claim(OTHER, 333, may)]
    found = followed(tmp_path, events, april)
    assert cells(found, "claimed", "claimable", "unclaimed_since", "last_claim") == [(500, 167, april, START), (0, 1333, START, None)]
    found = followed(tmp_path, events, datetime(2021, 7, 1, tzinfo=UTC))
    assert cells(found, "claimed", "claimable", "unclaimed_since", "unclaimed") == [
        (500, 501, april, 501),
        (1666, 334, datetime(2021, 6, 1, tzinfo=UTC), 334),
    ]
    assert (found.findings, found.unclaimed) == ([], {"PERP": 835})
    shared = found.redistributed.select("trader", "share", "amount_base_units").rows()
    assert shared == [(ALICE, "500/2166", "193"), (OTHER, "1666/2166", "642")]  # 835 * 500 / 2166 = 192.75


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([claim("0x" + "0d" * 20, 5, START)], "claimed-by-stranger"),
        ([claim(ALICE, 1002, datetime(2021, 7, 1, tzinfo=UTC))], "claimed-too-much"),
        ([claim(ALICE, 500, START), claim(ALICE, 502, datetime(2021, 7, 1, tzinfo=UTC))], "claimed-too-much"),
        ([claim(ALICE, 501, START)], "claimed-early"),
    ],
)
def test_a_claim_that_must_not_be_is_an_error(events: list[Claimed], code: str, tmp_path: Path) -> None:
    found = followed(tmp_path, events, datetime(2021, 8, 1, tzinfo=UTC))
    assert [(one.level, one.code) for one in found.findings] == [("error", code)]


def test_a_claim_into_a_stream_may_be_the_whole_payout(tmp_path: Path) -> None:
    event = next(one for one in LAYOUTS if one.startswith("ClaimLLWithVesting"))
    assert followed(tmp_path, [claim(ALICE, 1001, START, event=event)], START).findings == []


def test_an_event_without_an_amount_takes_it_from_the_leaf(tmp_path: Path) -> None:
    leaves = {4: Leaf(4, ALICE, ((PERP, 500), (USDC, 1500)))}
    event = claim(ALICE, None, START, event="ClaimedAndAgreed(uint256 index,address account)", index=4)
    assert cells(followed(tmp_path, [event], START, leaves, None), "token", "claimed") == [
        ("PERP", 500),
        ("USDC", 1500 * 10**12),
        ("PERP", 0),
    ]
    for wrong in ({}, {4: leaves[4]._replace(account=OTHER)}):
        with pytest.raises(InputError, match="no tree of the run has that leaf"):
            followed(tmp_path, [event], START, wrong, None)
    taken = followed(tmp_path, [claim("", None, START, event=TAKEN_BACK, index=4)], START, leaves, None)
    assert f"took back claim 4, of {ALICE}" in str(taken.findings[0])


def test_a_contract_whose_token_nobody_states_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"--contract {CONTRACT}=USDC"):
        followed(tmp_path, [claim(ALICE, 5, START)], START, None, None)
    found = followed(tmp_path, [claim(ALICE, 5, START, token=USDC), claim(ALICE, 5, START, token="0x" + "99" * 20)], START, None, None)
    assert cells(found, "token", "claimed") == [("PERP", 0), ("USDC", 5 * 10**12), ("PERP", 0)]
    assert [one.level for one in found.findings] == ["note"]  # a distributor may serve others, too


# What is left


@pytest.mark.parametrize("case", lab("splits")["largest_remainder"], ids=lambda case: case["name"])
def test_the_recorded_splits(case: dict[str, Any]) -> None:
    weights = {account: int(weight) for account, weight, _, _ in case["rows"]}
    assert largest_remainder(int(case["total"]), weights) == {account: int(part) for account, _, part, _ in case["rows"]}


@given(st.integers(0, 10**27), st.dictionaries(st.text(min_size=1), st.integers(0, 10**27), min_size=1))
def test_what_is_left_is_given_to_the_last_unit_or_stays(total: int, weights: dict[str, int]) -> None:
    parts = largest_remainder(total, weights)
    assert sum(parts.values()) == (total if any(weights.values()) else 0)
    whole = sum(weights.values()) or 1
    assert all(abs(part * whole - total * weights[one]) < whole for one, part in parts.items())


# As a user

RUN = str(ROOT / "outputs" / "rehearsal")
SIGNATURE = "Claimed(address account,uint256 amount)"


def test_a_published_run_is_followed_from_a_file_of_logs(tmp_path: Path) -> None:
    rows = [
        row
        for row in csv.DictReader((ROOT / "outputs/rehearsal/4-claims.csv").open())
        if row["tranche"] == "0" and row["amount_base_units"] != "0"
    ]
    logs = [log(SIGNATURE, (), {"account": row["trader"], "amount": int(row["amount_base_units"])}, n) for n, row in enumerate(rows[1:])]
    written(tmp_path, *logs)
    words = (RUN, "--logs", "logs.jsonl", "--contract", CONTRACT, "--at", "2021-03-15T00:00:00Z")
    done = call("claims", "follow", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    waiting = [row for row in found if row["claimable"] != "0.000000000000000000"]
    assert [(row["trader"], row["unclaimed_since"], row["last_claim"]) for row in waiting] == [
        (rows[0]["trader"], "2021-03-01T00:00:00Z", None)
    ]
    assert waiting[0]["claimable"] == rows[0]["amount"]
    assert f"0 of {len(rows)} accounts claimed everything; unclaimed:" in done.stderr
    done = call("claims", "follow", *words, "--redistribute", "--csv", cwd=tmp_path)
    shared = [*csv.DictReader(done.stdout.splitlines())]
    total = sum(int(row["amount_base_units"]) for row in csv.DictReader((ROOT / "outputs/rehearsal/3-payouts.csv").open()))
    assert sum(int(row["amount_base_units"]) for row in shared) == total - sum(int(row["amount_base_units"]) for row in rows[1:])
    assert "Claims are still open" in done.stderr
    shown = call("claims", "follow", *words, cwd=tmp_path)
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_logs_without_a_claim_of_the_contracts_are_named(tmp_path: Path) -> None:
    """Else a wrong address would read as nobody having claimed."""
    written(tmp_path, log(SIGNATURE, (), VALUES, address=OTHER))
    done = call("claims", "follow", RUN, "--logs", "logs.jsonl", "--contract", CONTRACT, cwd=tmp_path)
    assert (done.returncode, f"The logs hold no claim from {CONTRACT}" in done.stderr) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--logs", "nowhere.jsonl", "--contract", CONTRACT), "nowhere.jsonl"),
        (("--logs", "logs.jsonl"), "No claim contract is named"),
        (("--logs", "logs.jsonl", "--contract", f"{CONTRACT}=PREP"), "Did you mean 'PERP'"),
        (("--logs", "logs.jsonl", "--contract", CONTRACT, "--at", "5"), "is a block"),
        (("--rpc", "http://127.0.0.1:1", "--contract", CONTRACT), "--from-block"),
        (("--contract", CONTRACT), "Nothing says who claimed"),
    ],
)
def test_half_a_question_is_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    written(tmp_path, log(SIGNATURE, (), VALUES))
    done = call("claims", "follow", RUN, *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
