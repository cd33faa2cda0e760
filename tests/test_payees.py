"""Who is paid: payee maps and lists, addresses that nobody may pay, and what stands at a payee's address."""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

import perpcomp
from perpcomp import payees, pipeline
from perpcomp.entitlement import Entitlement
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.fixed import to_integer
from perpcomp.incident.lists import kind_of
from perpcomp.incident.payees import Payee
from perpcomp.ingest.node.rpc import Endpoint
from perpcomp.publish.stated import parse_manifest
from perpcomp.run import Run
from perpcomp.totals import entitled, total_of
from tests import build
from tests.build import MARKET, address, made_up, position
from tests.commands import call

pytestmark = pytest.mark.money

ZERO, OWNER, NEW = "0x" + "00" * 20, "0x" + "0b" * 20, "0x" + "0c" * 20
HOUSE, TOKEN, FUND, FUND_TOKEN = "0x" + "aa" * 20, "0x" + "d7" * 20, "0x" + "f1" * 20, "0x" + "d1" * 20
SAFE_PROXY = "0x608060405273" + "ff" * 20 + "600054167fa619486e" + "00" * 28 + "60003514156050578060005260206000f35b"
NAMED = {
    "[vesting]": f'[insurance_fund]\naddress = "{FUND}"\ntoken = "{FUND_TOKEN}"\ndecimals = 6\nsource = "test"\n\n[vesting]',
    "decimals = 18": f'decimals = 18\naddress = "{TOKEN}"',
}


def low(n: int) -> str:
    return f"0x{n:040x}"


def made(folder: Path, margins: Mapping[str, int], tables: str = "", changes: Mapping[str, str] | None = None) -> Run:
    """A run in which each trader loses a position of that margin."""
    rows = [row for n, (who, margin) in enumerate(margins.items(), 1) for row in position(n, who, 1, 55_000, margin, 48_410)]
    return build.run(folder, rows, {"[sources]": f"{tables}\n[sources]", **(changes or {})})


def payee(account: str, to: str, more: str = "") -> str:
    return f'[[payee]]\naccount = "{account}"\nto = "{to}"\nreason = "its owner"\nsource = "test"\n{more}\n'


def amounts(run: Run) -> dict[str, Decimal]:
    """Payee -> USDC."""
    return dict(run.payees.select("payee", "value").iter_rows())


def balances(run: Run) -> bool:
    """Whether what is owed is what is paid, unpayable and rounded off, to the last 1e-18 USDC."""
    (leg,) = run.incident.settlement
    paid = sum(int(units) * to_integer(leg.price) // 10**leg.decimals for units in run.payees["amount_base_units"])
    return entitled(run.payouts) == paid + total_of(run.payees, "unpayable") + total_of(run.payees, "rounded_off")


def test_no_contract_zero_address_or_precompile_is_paid(tmp_path: Path) -> None:
    never = [ZERO, *(low(n) for n in (*range(1, 0x12), 0xFF, 0x100, 0x101, 0x1010, 0xDEAD)), HOUSE, MARKET, TOKEN, FUND, FUND_TOKEN]
    never += ["0x" + "dead" * 10, "0xdead" + "0" * 36, "0xdead" + "0" * 16 + "42069" * 4, "0x42" + "0" * 37 + "6", "0x" + "ff" * 20]
    run = made(tmp_path, {**dict.fromkeys(never, 10_000), address(1): 5_000, build.KEEPER: 7_000}, changes=NAMED)
    rows = {row["payee"]: row for row in run.payees.iter_rows(named=True)}
    for who in never:
        assert (rows[who]["payable"], rows[who]["amount_base_units"], rows[who]["unpayable"]) == (False, "0", 10_000), who
        assert rows[who]["reason"].startswith("unpayable: ")
    assert run.payouts.filter(~run.payouts["trader"].is_in([address(1), build.KEEPER]))["amount_base_units"].unique().to_list() == ["0"]
    assert run.claims.filter(~run.claims["trader"].is_in([address(1), build.KEEPER]))["amount_base_units"].unique().to_list() == ["0"]
    errors = [one for one in run.problems if one.code == "unpayable"]
    assert {one.what[:42] for one in errors} == {*never}
    assert {(one.level, one.stops) for one in errors} == {("error", False)}
    assert rows[address(1)]["amount"] == Decimal(5_000) / 7 // Decimal("1e-18") * Decimal("1e-18")
    assert balances(run)
    assert total_of(run.payees, "unpayable") == len(never) * 10_000 * 10**18


def test_summary_and_workbook_show_what_is_unpayable(tmp_path: Path) -> None:
    run = made(tmp_path, {ZERO: 10_000, low(4): 500, address(1): 5_000})
    published = perpcomp.publish_run(run, tmp_path / "out")
    (tmp_path / "vote.xlsx").write_bytes(published["vote.xlsx"])
    book = load_workbook(tmp_path / "vote.xlsx")
    assert ("UNPAYABLE", "10,500 USDC of 2 addresses") in [(row[0].value, row[1].value) for row in book["Read me"].iter_rows()]
    reasons = {str(row[0].value).lower(): str(row[-1].value) for row in book["Claims"].iter_rows()}
    assert [who for who, reason in reasons.items() if reason.startswith("unpayable: ")] == [ZERO, low(4)]
    done = call("verify", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_12_zero_bytes_in_a_row_have_no_key_and_a_digit_less_may_have_one() -> None:
    assert payees.why_unpayable(f"0x{'1' * 8}{'0' * 24}{'1' * 8}", {}) == "a precompile or burn address without a key"
    assert payees.why_unpayable(f"0x{'1' * 8}{'0' * 23}{'1' * 9}", {}) is None


def test_a_vote_may_give_an_unpayable_amount_to_a_payee(tmp_path: Path) -> None:
    run = made(tmp_path, {ZERO: 10_000, address(1): 5_000}, payee(ZERO, OWNER))
    assert amounts(run) == {OWNER: 10_000, address(1): 5_000}
    assert not [one for one in run.problems if one.level == "error"]


def test_a_payee_that_nobody_may_pay_is_an_error_that_names_the_map(tmp_path: Path) -> None:
    run = made(tmp_path, {address(1): 5_000}, payee(address(1), MARKET))
    (error,) = [one for one in run.problems if one.code == "unpayable"]
    assert address(1) in error.what_to_do
    assert run.payouts["amount_base_units"].to_list() == ["0"]
    assert balances(run)


MARGINS = {address(1): 20_000, address(2): 8_000, address(3): 5_000, address(4): 12_000}
OWNED = {address(1): OWNER, address(2): OWNER, address(3): OWNER, address(4): NEW}


def test_several_accounts_of_one_owner_are_summed_before_the_one_rounding(tmp_path: Path) -> None:
    run = made(tmp_path, MARGINS, "".join(payee(*pair) for pair in OWNED.items()))
    assert amounts(run) == {OWNER: 33_000, NEW: 12_000}
    assert dict(run.payees.select("payee", "traders").iter_rows()) == {OWNER: 3, NEW: 1}
    assert dict(run.payouts.select("trader", "amount_base_units").iter_rows()) == {
        OWNER: str(33_000 * 10**18 // 7),
        NEW: str(12_000 * 10**18 // 7),
    }
    assert {*run.claims["trader"]} == {OWNER, NEW}
    assert sum(int(units) for units in run.claims.filter(trader=OWNER)["amount_base_units"]) == 33_000 * 10**18 // 7
    assert run.redirected.select("trader", "payee").rows() == list(OWNED.items())
    assert balances(run)
    shown = made(tmp_path, {address(1): 5_000}, payee(address(1), OWNER, 'evidence = "letter 3"\n')).redirected
    assert shown.select("share", "entitlement", "reason", "evidence", "source").rows() == [("1", 5_000, "its owner", "letter 3", "test")]


def test_payees_stand_by_address_whoever_they_are_paid_for() -> None:
    """So that of equal remainders the lower address gets the unit."""
    owed = [payees.Part(address(n), to, Entitlement(n, 0, 1)) for n, to in ((1, NEW), (2, OWNER), (3, NEW))]
    assert [(to, own.known) for to, own in payees.per_payee(owed).items()] == sorted([(NEW, 4), (OWNER, 2)])


def test_what_rulings_changed_is_added_up_for_a_payee_of_several_traders() -> None:
    own = [Entitlement(10, 0, 1, 1, -3), Entitlement(5, 1, 2), Entitlement(7, 0, 1, 0, 2)]
    (both,) = payees.per_payee([payees.Part(str(n), OWNER, one) for n, one in enumerate(own)]).values()
    assert both == Entitlement(22, 1, 4, 1, -1)
    (none,) = payees.per_payee([payees.Part(str(n), OWNER, own[1]) for n in range(2)]).values()
    assert none == Entitlement(10, 2, 4)


def test_the_account_that_traded_is_found_by_explain(tmp_path: Path) -> None:
    run = made(tmp_path, MARGINS, "".join(payee(*pair) for pair in OWNED.items()))
    for account, to in OWNED.items():
        text = "\n".join(explain(run, account))
        assert f"= {MARGINS[account]} USDC" in text
        assert f"{to} is paid for" in text
        assert "its owner [test: a test]" in text
    text = "\n".join(explain(run, OWNER))
    assert "= 20000 + 8000 + 5000" in text
    assert str(33_000 * 10**18 // 7) in text


def listed(folder: Path, key: str, name: str, text: str) -> str:
    """[payees] with a list of that name and its hash."""
    (folder / name).write_text(text)
    return f'[payees]\n{key} = "{name}"\n{key}_sha256 = "{hashlib.sha256(text.encode()).hexdigest()}"\nsource = "test"\n'


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_list_of_payees_is_a_published_input(tmp_path: Path, form: str) -> None:
    rows = "".join(f"{account},{to}\n" for account, to in OWNED.items())
    text = json.dumps(OWNED) if form == "json" else "account,to\n" + rows
    run = made(tmp_path, MARGINS, listed(tmp_path, "map", f"redirections.{form}", text))
    assert amounts(run) == {OWNER: 33_000, NEW: 12_000}
    assert run.redirected["reason"].unique().to_list() == [f"listed in redirections.{form}"]
    published = perpcomp.publish_run(run, tmp_path / "out")
    assert published[f"inputs/redirections.{form}"] == text.encode()
    assert parse_manifest(published["manifest.json"], "")["inputs"]["lists"][0]["file"] == f"redirections.{form}"
    assert "redirected.csv" in published
    done = call("verify", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out" / "inputs" / f"redirections.{form}").write_text(text + "\n")
    assert call("verify", "out", cwd=tmp_path).returncode == 1


def test_a_holder_is_looked_through_to_its_users(tmp_path: Path) -> None:
    users = [address(100 + n) for n in range(3)]
    text = "account,to,share,reason\n" + "".join(f"{address(1)},{user},1/3,share of the pool\n" for user in users)
    run = made(tmp_path, {address(1): 10_000, address(2): 1}, listed(tmp_path, "map", "users.csv", text))
    third = 10_000 * 10**18 // 3
    assert [to_integer(value) for value in run.payees["value"]] == [10**18, third, third, third + 1]
    assert balances(run)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8), st.integers(0, 10**30))
@settings(deadline=None)
def test_shares_of_an_entitlement_add_up_to_it(weights: list[int], known: int) -> None:
    entries = tuple(Payee(OWNER, address(n), Fraction(w, sum(weights)), "a user", "", ("test",)) for n, w in enumerate(weights))

    class OnlyPayees:
        payees = entries

    parts = payees.parts({OWNER: Entitlement(known, 1, 3), NEW: Entitlement(5, 0, 1)}, OnlyPayees())  # type: ignore[arg-type]
    assert sum(part.entitlement.known for part in parts) == known + 5
    assert all(part.entitlement.known >= 0 for part in parts)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (payee(address(1), OWNER, "share = 0.5"), "adds up to 0.5, not 1"),
        (payee(address(1), OWNER, 'share = "1/3"') + payee(address(1), NEW, 'share = "1/3"'), "adds up to 2/3, not 1"),
        (payee(address(1), OWNER) * 2, "is listed twice"),
        (payee(address(1), address(2)) + payee(address(2), OWNER), "whose own entitlement is paid to somebody else"),
        (payee(address(1), "0x12"), "not an address"),
        ('[[payee]]\naccount = "' + OWNER + '"\n', "to is missing"),
        ('[payees]\nmap = "nothing.csv"\nsource = "test"\n', "map_sha256 is missing"),
        (f'[payees]\nmap = "nothing.csv"\nmap_sha256 = "{"0" * 64}"\nsource = "test"\n', "there is no such file"),
        ('[[payee_map]]\naccount = "0x"\n', "[[payee_map]] is unknown"),
    ],
)
def test_a_payee_map_that_cannot_be_right_is_refused(tmp_path: Path, tables: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        made_up(tmp_path, {"[sources]": f"{tables}\n[sources]"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("account,to\n0x12,0x13\n", "list.csv row 2 account is "),
        (f"account,to,amount\n{OWNER},{NEW},5\n", "column 'amount' is unknown"),
        (f"account,to\n{OWNER}\n", "line 2 has 1 cells, the header 2"),
        (f"account,to,share\n{OWNER},{NEW},0.9\n", "adds up to 0.9, not 1"),
        (f"account,to,share\n{OWNER},{NEW},1e0\n", "not a share"),
        ("account,to\n", "has no rows"),
        (f"account,to\n{OWNER},\n", "list.csv row 2 to is missing"),
    ],
)
def test_a_list_that_cannot_be_right_is_refused_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    tables = listed(tmp_path, "map", "list.csv", text)
    with pytest.raises(InputError, match=re.escape(said)):
        made_up(tmp_path, {"[sources]": f"{tables}\n[sources]"})


def test_a_list_that_is_not_the_one_agreed_is_refused_with_both_hashes(tmp_path: Path) -> None:
    tables = listed(tmp_path, "map", "list.csv", f"account,to\n{OWNER},{NEW}\n")
    (tmp_path / "list.csv").write_text(f"account,to\n{OWNER},{ZERO}\n")
    found = hashlib.sha256((tmp_path / "list.csv").read_bytes()).hexdigest()
    with pytest.raises(InputError, match=f"sha256 is {found}, but [0-9a-f]{{64}} is stated"):
        made_up(tmp_path, {"[sources]": f"{tables}\n[sources]"})


def test_an_account_of_the_map_that_is_not_compensated_is_named(tmp_path: Path) -> None:
    run = made(tmp_path, {address(1): 5_000}, payee(address(9), OWNER))
    (warning,) = [one for one in run.problems if one.code == "payee-unused"]
    assert warning.what == f"1 account of the payee map is not compensated in this run: {address(9)}."
    assert amounts(run) == {address(1): 5_000}


def test_20_accounts_of_the_map_are_named_and_the_others_counted(tmp_path: Path) -> None:
    for last, more in ((29, ""), (30, " and 1 more")):
        run = made(tmp_path, {address(1): 5_000}, "".join(payee(address(n), OWNER) for n in range(10, last + 1)))
        (warning,) = [one for one in run.problems if one.code == "payee-unused"]
        listed = ", ".join(address(n) for n in range(10, 30))
        assert warning.what == f"{last - 9} accounts of the payee map are not compensated in this run: {listed}{more}."


def received(who: str, amount: int) -> str:
    return f'[[received]]\naddress = "{who}"\namount = {amount}\nsource = "test"\n'


def test_what_a_trader_received_already_is_taken_off(tmp_path: Path) -> None:
    margins = {address(1): 10_000, address(2): 5_000, address(3): 6_000}
    run = made(tmp_path, margins, received(address(1), 3_000) + received(address(1), 1_000) + received(address(2), 5_000))
    assert amounts(run) == {address(1): 6_000, address(2): 0, address(3): 6_000}
    assert run.payouts["reason"].to_list() == [None, "already-received: 5,000 USDC that are owed were received already", None]
    assert run.comparison.filter(formula="margin-only")["amount"].to_list() == [6_000, 0, 6_000]
    assert "= max(10000 - 4000, 0)" in "\n".join(explain(run, address(1)))
    (note,) = [one for one in run.problems if one.code == "already-received"]
    assert "2 traders received 9,000 USDC already" in note.what
    assert balances(run)


def test_an_amount_received_beyond_the_entitlement_or_by_nobody_here_is_named(tmp_path: Path) -> None:
    run = made(tmp_path, {address(1): 10_000}, received(address(1), 12_000) + received(address(9), 1) + payee(address(1), OWNER))
    assert amounts(run) == {OWNER: 0}
    assert {one.code for one in run.problems} >= {"received-more", "received-unused"}
    assert "2,000 USDC more than it is owed" in next(one.what for one in run.problems if one.code == "received-more")
    exactly = made(tmp_path, {address(1): 10_000}, received(address(1), 10_000))
    assert [one.code for one in exactly.problems if one.code.startswith("received")] == []


def exclusions(folder: Path, text: str, stated: str | None = None) -> dict[str, str]:
    (folder / "excluded.csv").write_text(text)
    digest = stated or hashlib.sha256(text.encode()).hexdigest()
    return {"[formula]": f'exclude_file = "excluded.csv"\nexclude_sha256 = "{digest}"\n\n[formula]'}


def test_exclusions_may_be_a_file_with_its_hash(tmp_path: Path) -> None:
    text = f"address,reason,evidence\n{address(1)},its own bot,a list\n"
    changes = {
        'self_liquidation = "include"\n': 'self_liquidation = "include"\n' + exclusions(tmp_path, text)["[formula]"].split("\n\n")[0] + "\n"
    }
    run = made(tmp_path, {address(1): 5_000, address(2): 6_000}, changes=changes)
    assert amounts(run) == {address(2): 6_000}
    assert "excluded: its own bot (evidence: a list)" in run.liquidations["reason"].to_list()
    published = perpcomp.publish_run(run, tmp_path / "out")
    assert published["inputs/excluded.csv"] == text.encode()
    assert call("verify", "out", cwd=tmp_path).returncode == 0
    (tmp_path / "excluded.csv").write_text(text.replace(address(1), address(2)))
    with pytest.raises(InputError, match=r"exclude_file names excluded.csv, whose sha256 is "):
        made_up(tmp_path, changes)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("0x", "externally-owned"),
        ("0xef0100" + "12" * 20, "delegated-eoa"),
        ("0xef0100" + "12" * 21, "contract"),
        ("0xef0100" + "12" * 19, "contract"),
        (SAFE_PROXY, "safe"),
        ("0x6080", "contract"),
        ("0x" + "a619486e" + "00" * 600, "contract"),
    ],
)
def test_code_says_what_stands_at_an_address(code: str, kind: str) -> None:
    assert kind_of(code) == kind


def test_a_list_of_codes_is_shown_and_excludes_nobody(tmp_path: Path) -> None:
    rows = f"address,code,kind\n{address(1)},0x,\n{address(2)},{SAFE_PROXY},\n{address(3)},0xef0100{'12' * 20},\n{address(4)},,contract\n"
    plain = made(tmp_path, {**MARGINS, address(5): 1})
    run = made(tmp_path, {**MARGINS, address(5): 1}, listed(tmp_path, "code", "code.csv", rows))
    kinds = ["externally-owned", "safe", "delegated-eoa", "contract", "not-checked"]
    assert run.payees["account_kind"].to_list() == kinds
    assert run.payouts.equals(plain.payouts)
    (warning,) = [one for one in run.problems if one.code == "payee-is-contract"]
    assert f"2 payees are contracts on the chain that pays: {address(2)} (safe), {address(4)} (contract)." in warning.what
    assert not [one for one in plain.problems if one.code == "payee-is-contract"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("0x123", "not code"),
        ("0x6080,safe", 'is "safe", but the code is that of "contract"'),
        (",", "says nothing about"),
        (",wallet", "kind"),
    ],
)
def test_a_code_that_says_nothing_is_refused(tmp_path: Path, row: str, said: str) -> None:
    text = "address,code,kind\n" + f"{address(1)},{row if ',' in row else row + ','}\n"
    with pytest.raises(InputError, match=re.escape(said)):
        made(tmp_path, MARGINS, listed(tmp_path, "code", "code.csv", text))


def node(monkeypatch: pytest.MonkeyPatch, codes: Mapping[str, Any]) -> None:
    """A node of chain 10 at block 256 that knows these codes; an RPC error where a code is a dict."""

    def answer(one: Mapping[str, Any]) -> dict[str, Any]:
        fixed = {"eth_chainId": "0xa", "eth_blockNumber": "0x100"}
        result = fixed.get(one["method"]) or codes.get(one["params"][0], "0x")
        assert one["method"] in fixed or one["params"][1] == "0x100"
        return {"jsonrpc": "2.0", "id": one["id"], **(result if isinstance(result, dict) else {"result": result})}

    async def send(self: Endpoint, request: Any) -> tuple[int, bytes, None]:
        replies = [answer(one) for one in request] if isinstance(request, list) else answer(request)
        return 200, msgspec.json.encode(replies), None

    monkeypatch.setattr(Endpoint, "_send", send)


def test_a_node_of_the_chain_that_pays_tells_the_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node(monkeypatch, {address(2): SAFE_PROXY, address(3): "0xef0100" + "12" * 20})
    plain = made(tmp_path, MARGINS)
    run = perpcomp.with_account_kinds(plain, "http://node", tmp_path / "store")
    assert run.payees["account_kind"].to_list() == ["externally-owned", "safe", "delegated-eoa", "externally-owned"]
    assert run.payouts.equals(plain.payouts)
    again = pipeline.compute(run.incident, run.input)
    assert again.payees.equals(run.payees)
    assert again.problems == run.problems
    published = perpcomp.publish_run(run, tmp_path / "out")
    assert "inputs/payee-code-chain-10-block-256.csv" in published
    done = call("verify", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_node_that_refuses_is_named_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node(monkeypatch, {address(2): {"error": {"code": -32601, "message": "the method is not available"}}})
    with pytest.raises(InputError, match=r"--payee-rpc: eth_getCode failed: http://node answers: the method is not available") as refused:
        perpcomp.with_account_kinds(made(tmp_path, MARGINS), "http://node", tmp_path / "store")
    assert refused.value.exit_code == 3


def test_two_inputs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    text = f"account,to\n{address(1)},{OWNER}\n"
    (tmp_path / "lists" / "events.csv").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    run = made(tmp_path, {address(1): 1}, f'[payees]\nmap = "lists/events.csv"\nmap_sha256 = "{digest}"\nsource = "test"\n')
    with pytest.raises(InputError, match=r"Two inputs of this run are called events\.csv"):
        perpcomp.publish_run(run, tmp_path / "out")
