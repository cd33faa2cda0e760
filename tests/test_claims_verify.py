"""Claim files of anybody: what is read, and that every kind of fault is found."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

import perpcomp
from perpcomp.claims import on_chain
from perpcomp.claims.payee_list import Row
from perpcomp.claims.tokens import pinned
from perpcomp.claims.trees.dialects import DIALECTS
from perpcomp.claims.verify import FileCheck
from perpcomp.eip55 import checksummed
from perpcomp.findings import InputError
from perpcomp.ingest.node.rpc import Endpoint, RpcError
from tests.commands import call

pytestmark = pytest.mark.money

LAB = Path(__file__).parent / "lab" / "distribution"
TOKEN = "0x" + "ab" * 20
A, B = "0x" + "0a" * 20, "0x" + "0b" * 20
CONTRACT = "0x" + "ef" * 20


def lab(name: str) -> Any:
    return json.loads((LAB / f"{name}.json").read_text())


def rows(token: str = "") -> list[Row]:
    return [Row(row["account"].lower(), token, int(row["amount"])) for row in lab("accounts")["rows"]]


def document(name: str) -> Any:
    one = DIALECTS[name]
    return json.loads(json.dumps(one.tree(rows(TOKEN if one.tokens else ""), "list").document))


def check(content: Any, tmp_path: Path, root: str | None = None) -> FileCheck:
    file = tmp_path / "claims.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return perpcomp.verify_claims(file, root)


@pytest.mark.parametrize("name", DIALECTS)
def test_our_own_file_of_every_dialect_passes(name: str, tmp_path: Path) -> None:
    checked = check(document(name), tmp_path)
    assert (checked.passed, checked.findings) == (True, [])
    assert (checked.dialect, checked.claims, checked.proofs) == (name, 5, 5)
    assert sum(checked.totals.values()) == int(lab("accounts")["total"])


def hedgeys(_: Any) -> Any:
    return lab("tree_oz_address_uint256")["dump"]


def listed(_: Any) -> Any:
    """A list instead of an object, decimal amounts, another word for each key."""
    claims = lab("tree_perp_merkle_redeem")["claims"]
    entries = [{"user": who.lower(), "amount": claim["amount"], "merkleProofs": claim["proof"]} for who, claim in claims.items()]
    return {"root": lab("tree_perp_merkle_redeem")["root"], "proofs": entries}


def hashed_twice(_: Any) -> Any:
    """A claims object whose leaves are OpenZeppelin's."""
    made = DIALECTS["oz-standard"].tree(rows(), "list")
    claims = {
        checksummed(leaf.account): {"amount": hex(leaf.amount), "proof": ["0x" + node.hex() for node in proof]}
        for leaf, proof in zip(made.leaves, made.nodes.proofs, strict=True)
    }
    return {"merkleRoot": made.root, "claims": claims}


@pytest.mark.parametrize(
    ("make", "dialect", "truth"),
    [
        (lambda _: lab("tree_uniswap_merkle_distributor"), "uniswap", "tree_uniswap_merkle_distributor"),
        (hedgeys, "oz-standard", "tree_oz_address_uint256"),
        (lambda _: lab("tree_sablier_index_address_amount")["dump"], "sablier", "tree_sablier_index_address_amount"),
        (listed, "perp-redeem", "tree_perp_merkle_redeem"),
        (hashed_twice, "oz-standard", "tree_oz_address_uint256"),
    ],
)
def test_files_of_others_pass_and_are_named_by_their_dialect(make: Callable[[Any], Any], dialect: str, truth: str, tmp_path: Path) -> None:
    checked = check(make(None), tmp_path)
    recorded = lab(truth)
    assert checked.passed, checked.findings
    assert (checked.dialect, checked.root) == (dialect, recorded.get("root") or recorded["merkleRoot"])


def test_morphos_answers_are_read_by_their_proofs(tmp_path: Path) -> None:
    """Its server gives an account's claims of several tokens; a list of them, or under "data"."""
    made = DIALECTS["cumulative"].tree(rows(TOKEN), "list")
    entries = [
        {
            "user": checksummed(leaf.account),
            "asset": {"id": f"{TOKEN}-1", "address": checksummed(TOKEN), "chain_id": 1},
            "claimable": str(leaf.amount),
            "proof": ["0x" + node.hex() for node in proof],
            "tx_data": "0x",
        }
        for leaf, proof in zip(made.leaves, made.nodes.proofs, strict=True)
    ]
    for content in ({"timestamp": "1", "data": entries}, entries, {"root": made.root, "data": entries[:2]}):
        checked = check(content, tmp_path, made.root)
        assert checked.passed, checked.findings
        assert (checked.dialect, checked.totals.keys()) == ("cumulative", {TOKEN})
    entries[0]["claimable"] = "1"
    assert "of 1 of 5 claims is wrong" in str(check({"data": entries}, tmp_path, made.root).findings)


def test_a_report_of_balancers_is_compared_by_its_root(tmp_path: Path) -> None:
    """address -> amount, which its scripts hash as tokens of 18 decimals."""
    recorded, listed = lab("tree_perp_merkle_redeem"), {row.account: row.amount for row in rows()}
    in_tokens = {checksummed(who): f"{amount // 10**18}.{amount % 10**18:018d}" for who, amount in listed.items()}
    for report in (in_tokens, {who: str(amount) for who, amount in listed.items()}):
        checked = check(report, tmp_path, recorded["root"])
        assert (checked.passed, checked.dialect, checked.proofs) == (True, "perp-redeem", 0)
        assert [finding.level for finding in check(report, tmp_path).findings] == ["warning"]
    first_one = next(iter(in_tokens))
    assert not check({**in_tokens, first_one: "1.5"}, tmp_path, recorded["root"]).passed
    for wrong in ("1e-7", 1.5, "1.0000000000000000001", "-1.0"):
        with pytest.raises(InputError, match="no amount of a token with 18 decimals"):
            check({**in_tokens, first_one: wrong}, tmp_path)


def test_eulers_list_has_no_proofs_and_is_compared_with_the_published_root(tmp_path: Path) -> None:
    made = DIALECTS["multi-token"].tree(rows(TOKEN), "list")
    pairs = [[leaf.number, leaf.account, [[t, str(n)] for t, n in leaf.parts]] for leaf in made.leaves]
    assert check(pairs, tmp_path, made.root).passed
    assert [finding.level for finding in check(pairs, tmp_path).findings] == ["warning"]
    pairs[0][2][0][1] = "5"
    assert "and the one to meet is" in str(check(pairs, tmp_path, made.root).findings[0])


def altered(name: str, change: Callable[[Any], None]) -> Any:
    made = document(name)
    change(made)
    return made


def first(claims: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(claims.values()))
    return found


def swap_index(made: Any) -> None:
    claims = list(made["claims"].values())
    claims[0]["index"] = 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (altered("uniswap", lambda m: first(m["claims"]).update(amount="0x02")), "The proof or the amount of 1 of 5 claims is wrong"),
        (altered("uniswap", lambda m: first(m["claims"]).update(proof=[])), "of 1 of 5 claims is wrong"),
        (
            altered("uniswap", lambda m: m.update(tokenTotal="0x01")),
            "states a total of 1, and its claims add up to 45135833333333333333335",
        ),
        (altered("uniswap", swap_index), "The index 1 is that of"),
        (altered("perp-redeem", lambda m: m.update(merkleRoot="0x" + "00" * 32)), "of 5 of 5 claims is wrong"),
        (
            altered("oz-standard", lambda m: m["tree"].__setitem__(1, "0x" + "11" * 32)),
            "of 2 of 5 claims is wrong|of 3 of 5 claims is wrong",
        ),
        (altered("oz-standard", lambda m: m["values"][0].update(treeIndex=4)), "claims is wrong"),
        (altered("sablier", lambda m: m["recipients"].pop()), "The number of recipients listed is 4, and the claims have 5"),
        (altered("sablier", lambda m: m["recipients"][0].update(amount="9")), "is 5, and the claims have 4 of them"),
        (altered("sablier", lambda m: m.update(number_of_recipients=6)), "number_of_recipients is 6, and the claims have 5"),
        (altered("sablier", lambda m: m.update(root="0x" + "22" * 32)), "of 5 of 5 claims is wrong"),
        (altered("multi-token", lambda m: m["tokenTotals"].update({checksummed(TOKEN): "7"})), "states a total of 7 of 0xabab"),
    ],
)
def test_every_fault_of_a_file_is_found(content: Any, said: str, tmp_path: Path) -> None:
    checked = check(content, tmp_path)
    assert not checked.passed
    assert any(part in str(finding) for finding in checked.findings for part in said.split("|")), checked.findings


def test_an_account_twice_under_one_root_is_dead_the_second_time(tmp_path: Path) -> None:
    one = DIALECTS["perp-redeem"]
    made = one.tree_of(one.leaves([Row(A, "", 5), Row(A, "", 6), Row(B, "", 7)]))
    entries = [
        {"account": leaf.account, "amount": str(leaf.amount), "proof": ["0x" + node.hex() for node in proof]}
        for leaf, proof in zip(made.leaves, made.nodes.proofs, strict=True)
    ]
    checked = check({"root": made.root, "claims": entries}, tmp_path)
    assert [str(finding) for finding in checked.findings if "listed 2 times" in finding.what and finding.level == "error"]


def test_the_published_root_counts_and_not_the_one_in_the_file(tmp_path: Path) -> None:
    checked = check(document("uniswap"), tmp_path, "0x" + "33" * 32)
    assert not checked.passed
    assert "The file states the root 0x64ec" in str(checked.findings[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"format": "simple-v1", "tree": [], "values": []}, "its leaves are hashes, so no account and no amount can be read"),
        ({"format": "standard-v1", "leafEncoding": ["string"], "tree": [], "values": []}, r"A leaf of the dump holds \(string\)"),
        ({"format": "standard-v1", "leafEncoding": ["address", "uint256"], "tree": [], "values": []}, "lists no claim"),
        (altered("oz-standard", lambda m: m["tree"].pop()), "has 8 nodes for 5 values, and a tree of so many has 9"),
        (altered("oz-standard", lambda m: m["values"][2].update(treeIndex=99)), r"values\[2\]: It has the treeIndex 99"),
        (altered("uniswap", lambda m: first(m["claims"]).update(amount="1.5")), "It has the amount '1.5'"),
        (altered("uniswap", lambda m: first(m["claims"]).pop("proof")), "It has no proof"),
        ('{"merkleRoot": "0x00", "claims": {"a": 1, "a": 2}}', "the key 'a' is listed twice"),
        ({"claims": {"0x12": {"amount": 1, "proof": []}}}, "claims.json 0x12: It is .* not an address"),
        ({"merkleRoot": "0x12", "claims": {}}, "'0x12' is not 0x and 64 hex digits"),
        ("not json", "The file is not JSON"),
        ({"a": 1}, "The file's keys are a"),
        ("5", "The file holds no claims"),
        ("[" * 100_000, "The file is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        check(content, tmp_path)


def test_selectors_are_the_hashes_of_their_views() -> None:
    for views in (on_chain.ROOT_VIEWS, on_chain.WEEK_VIEW, on_chain.TOKEN_VIEWS, on_chain.BALANCE_VIEW, on_chain.DECIMALS_VIEW):
        for name, data in views.items():
            assert data == "0x" + keccak(text=name)[:4].hex(), name


def contract_with(monkeypatch: pytest.MonkeyPatch, answers: dict[str, str], code: str = "0x60") -> None:
    """A node on which a contract answers some calls and reverts on all others."""

    async def call(self: Endpoint, method: str, params: Any) -> bytes:
        await asyncio.sleep(0)
        if method == "eth_call":
            found = answers.get(params[0]["data"])
            if found is None:
                raise RpcError("execution reverted", 3)
            return json.dumps(found).encode()
        return json.dumps({"eth_chainId": "0x64", "eth_getCode": code}[method]).encode()

    monkeypatch.setattr(Endpoint, "call", call)


def on(tmp_path: Path, name: str = "uniswap", **given: Any) -> FileCheck:
    file = tmp_path / "claims.json"
    file.write_text(json.dumps(document(name)))
    return perpcomp.verify_claims(file, rpc="http://node", contract=CONTRACT, **given)


def test_the_contracts_root_and_money_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total, root = int(lab("accounts")["total"]), document("uniswap")["merkleRoot"]
    balance = "0x70a08231" + "0" * 24 + CONTRACT[2:]
    answers = {"0x2eb4a7ab": root, "0xfc0c546a": "0x" + "0" * 24 + TOKEN[2:], balance: f"0x{total:064x}"}
    contract_with(monkeypatch, answers)
    assert [finding.level for finding in on(tmp_path).findings] == ["note"]
    answers[balance] = f"0x{total - 1:064x}"
    assert [finding.level for finding in on(tmp_path).findings] == ["note", "warning"]
    answers["0x2eb4a7ab"] = "0x" + "44" * 32
    assert not on(tmp_path).passed
    assert not on(tmp_path, root=root).passed


def test_decimals_that_contradict_the_pinned_list_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usdc = next(one for one in pinned() if one.chain == 100)
    answers = {
        "0x2eb4a7ab": document("uniswap")["merkleRoot"],
        "0xfc0c546a": "0x" + "0" * 24 + usdc.address[2:],
        "0x313ce567": f"0x{6:064x}",
    }
    contract_with(monkeypatch, answers)
    assert on(tmp_path).passed
    answers["0x313ce567"] = f"0x{18:064x}"
    assert "counts 18 decimals, and the pinned list says 6" in str(on(tmp_path).findings[-1])
    assert not on(tmp_path).passed


def test_a_root_of_a_week_is_asked_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contract_with(monkeypatch, {"0xdd8c9c9d" + f"{7:064x}": document("perp-redeem")["merkleRoot"]})
    assert on(tmp_path, "perp-redeem", week=7).passed
    with pytest.raises(InputError, match=r"answers none of merkleRoot\(\).*--week"):
        on(tmp_path, "perp-redeem")
    contract_with(monkeypatch, {}, code="0x")
    with pytest.raises(InputError, match="No contract stands at"):
        on(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rpc": "http://x"}, "--rpc: .* needs --contract"),
        ({"contract": A}, "--contract: .* needs --rpc"),
        ({"week": 1}, "--week: No contract is asked"),
        ({"root": "0x12"}, "--root: '0x12' is not a root"),
        ({"rpc": "http://x", "contract": "0x1"}, "--contract: It is .*not an address"),
    ],
)
def test_half_a_question_is_refused(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "claims.json"
    file.write_text(json.dumps(document("uniswap")))
    with pytest.raises(InputError, match=said):
        perpcomp.verify_claims(file, **given)


def test_the_commands_say_pass_or_fail_by_words_and_exit_code(tmp_path: Path) -> None:
    listed_rows = tmp_path / "list.csv"
    listed_rows.write_text("address,amount\n" + "".join(f"{row.account},{row.amount}\n" for row in rows()))
    table = call("claims", "tree", str(listed_rows), cwd=tmp_path)
    assert table.returncode == 0
    for truth in ("perp_merkle_redeem", "uniswap_merkle_distributor", "oz_address_uint256", "sablier_index_address_amount"):
        assert (lab(f"tree_{truth}").get("root") or lab(f"tree_{truth}")["merkleRoot"]) in table.stdout
    made = tmp_path / "made.json"
    assert call("claims", "tree", str(listed_rows), "--dialect", "uniswap", "--out", str(made), cwd=tmp_path).returncode == 0
    assert json.loads(made.read_text()) == lab("tree_uniswap_merkle_distributor")
    good = call("claims", "verify", str(made), cwd=tmp_path, terminal=True, COLUMNS="80")
    assert lab("tree_uniswap_merkle_distributor")["merkleRoot"] in good.stdout, "a shortened root cannot be compared"
    assert (good.returncode, "PASS: 5 claims of 5 accounts, 5 proofs." in good.stderr) == (0, True)
    bad = call("claims", "verify", str(made), "--root", "0x" + "55" * 32, "--json", cwd=tmp_path)
    assert (bad.returncode, json.loads(bad.stdout)["passed"]) == (1, False)
    assert call("claims", "tree", str(listed_rows), "--out", str(made), cwd=tmp_path).returncode == 2
