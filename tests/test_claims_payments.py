"""Files of payments: what the apps and contracts accept, recorded; their rules; and that a run writes all of them or none."""

import json
import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

import perpcomp
from perpcomp.claims import clear_signing, sheet
from perpcomp.claims.claim_file import read_claim_file
from perpcomp.claims.files import FORMATS, of_format
from perpcomp.claims.made import calldata, in_tokens, types_of
from perpcomp.claims.payments import disperse, hedgey, multisend, sablier, safe_transactions, trees
from perpcomp.claims.plan import Plan
from perpcomp.claims.steps import APPROVE, TRANSFER
from perpcomp.claims.tokens import pinned
from perpcomp.claims.trees.dialects import DIALECTS
from perpcomp.claims.verify import check_claims
from perpcomp.eip55 import checksummed
from perpcomp.findings import InputError
from perpcomp.incident.claims import PAYMENTS, TREES
from perpcomp.publish.files import files
from tests import build
from tests.build import address, position
from tests.planned import AT_ONCE, CLAIMS, CONTRACT, HALF_USDC, LINE, OTHER, PERP, SAFE, WITH_FILES, five, lab, many, planned

pytestmark = pytest.mark.money


def test_every_format_of_the_incident_file_is_written() -> None:
    assert tuple(FORMATS) == TREES + PAYMENTS
    assert set(TREES) == set(DIALECTS)


@given(st.integers(0, 10**27), st.integers(1, 18))
def test_an_amount_in_tokens_has_every_digit(units: int, decimals: int) -> None:
    text = in_tokens(units, decimals)
    assert Decimal(text).scaleb(decimals) == units
    assert re.fullmatch(rf"[0-9]+(\.[0-9]{{1,{decimals}}})?", text)


# What apps and contracts accept, recorded


def test_multisend_is_the_recorded_packing_and_call(tmp_path: Path) -> None:
    recorded = lab("multisend")
    made = planned(tmp_path, five(), AT_ONCE)
    in_their_order = [next(row for row in made.rows if row.account == one) for one, _, _ in five()]
    packed = multisend.packed(made.tokens[0], in_their_order)
    assert "0x" + packed.hex() == recorded["packed"]
    assert calldata(multisend.SIGNATURE, (packed,)) in recorded.values()


@pytest.mark.parametrize("name", ["safe_tx_builder_method", "safe_tx_builder_data"])
def test_checksums_of_the_transaction_builder(name: str) -> None:
    batch = lab(name)
    assert safe_transactions.checksum(batch) == batch["meta"]["checksum"]
    test = lab("safe_checksum_upstream_test")
    assert safe_transactions.checksum(test["file"]) == test["value_with_key_absent"]


def test_a_batch_is_the_recorded_one_with_our_names(tmp_path: Path) -> None:
    recorded = lab("safe_tx_builder_method")
    made = planned(tmp_path, five(), AT_ONCE)
    found = json.loads(of_format(made, "safe-transactions")["perp-tranche-0-part-1.json"])
    assert found["transactions"] == sorted(recorded["transactions"], key=lambda one: one["contractInputsValues"]["to"].lower())
    assert {key: found[key] for key in ("version", "chainId", "createdAt")} == {
        key: recorded[key] for key in ("version", "chainId", "createdAt")
    }
    assert found["meta"]["createdFromSafeAddress"] == recorded["meta"]["createdFromSafeAddress"]
    assert found["meta"]["txBuilderVersion"] == "2.0.1"
    assert safe_transactions.checksum(found) == found["meta"]["checksum"]


def test_a_campaigns_tranches_are_those_of_the_contract() -> None:
    recorded = lab("contract_formulas")["sablier_v2_merkle_lt"]
    shares = [int(one) for one in recorded["unlock_percentages_1e18"]]
    for row in recorded["rows"]:
        assert sablier.tranches_of(int(row["amount"]), shares) == [int(one) for one in row["tranches"]]


def test_a_locked_claim_of_hedgey_ends_when_the_contract_says() -> None:
    recorded = lab("contract_formulas")["hedgey_token_lockup"]
    assert len(recorded) > 4
    for row in recorded:
        assert hedgey.ends_after(int(row["amount"]), row["periods"]) * row["period_s"] == row["actual_length_s"]


# Each format's rules


def test_a_safe_csv_holds_500_rows_and_no_newline_at_its_end(tmp_path: Path) -> None:
    made = planned(tmp_path, many(1001), AT_ONCE)
    files = {name: data.decode() for name, data in of_format(made, "safe-csv").items() if name.endswith(".csv")}
    assert [len(text.split("\n")) for text in files.values()] == [501, 501, 2]
    assert [*files] == [f"perp-tranche-0-part-{n}.csv" for n in (1, 2, 3)]
    rows = [line.split(",") for text in files.values() for line in text.split("\n")[1:]]
    assert [(kind, token, int(Decimal(amount) * 10**18)) for kind, token, _, amount in rows] == [
        ("erc20", checksummed(PERP), row.amount) for row in made.rows
    ]
    assert [receiver for _, _, receiver, _ in rows] == [checksummed(row.account) for row in made.rows]


@pytest.mark.parametrize("name", ["safe-transactions", "multisend", "disperse"])
def test_batches_hold_100_payments_and_their_totals_run(name: str, tmp_path: Path) -> None:
    made = planned(tmp_path, many(250), AT_ONCE)
    page = of_format(made, name)[sheet.PAGE].decode()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| perp-")]
    assert [int(row[3]) for row in table] == [100, 100, 50]
    running = Decimal(0)
    for row in table:
        running += Decimal(row[4])
        assert Decimal(row[5]) == running
    assert running * 10**18 == sum(row.amount for row in made.rows)


def test_disperse_reads_every_row_of_our_text_and_its_call_pays_the_same(tmp_path: Path) -> None:
    made = planned(tmp_path, five(), AT_ONCE)
    files = of_format(made, "disperse")
    read = disperse.LINE.findall(files["perp-tranche-0-part-1.txt"].decode())
    assert [(who.lower(), int(Decimal(amount) * 10**18)) for who, amount in read] == [(row.account, row.amount) for row in made.rows]
    allow, pay = [step for step in json.loads(files[sheet.STEPS]) if step["data"]]
    assert (allow["to"], pay["to"]) == (checksummed(PERP), checksummed(CONTRACT))
    assert decode(["address", "uint256"], bytes.fromhex(allow["data"][10:])) == (CONTRACT, sum(row.amount for row in made.rows))
    token, accounts, amounts = decode(["address", "address[]", "uint256[]"], bytes.fromhex(pay["data"][10:]))
    assert (token, [*zip(accounts, amounts, strict=True)]) == (PERP, [(row.account, row.amount) for row in made.rows])


def steps_of(made: Plan, name: str, function: str) -> list[Any]:
    """The arguments of each step of a format that calls a function."""
    listed = json.loads(of_format(made, name)[sheet.STEPS])
    data = [step["data"] for step in listed if step["function"] == function]
    return [decode(types_of(function), bytes.fromhex(one[10:])) for one in data]


def test_each_tranche_is_approved_and_seeded_with_its_own_root_and_total(tmp_path: Path) -> None:
    made = planned(tmp_path, five())
    files = of_format(made, "perp-redeem")
    seeds, approvals = steps_of(made, "perp-redeem", trees.SEED), steps_of(made, "perp-redeem", APPROVE)
    assert len(seeds) == len(made.tranches) == 4
    assert sum(total for *_, total in seeds) == sum(row.amount for row in made.rows)
    for tranche, (week, root, total), (spender, allowed) in zip(made.tranches, seeds, approvals, strict=True):
        document = json.loads(files[f"perp-tranche-{tranche.number}.json"])
        assert (week, "0x" + root.hex(), total) == (tranche.number + 1, document["merkleRoot"], int(document["tokenTotal"]))
        assert (spender, allowed) == (CONTRACT, total)


def test_a_root_that_was_used_before_is_refused_where_it_would_pay_twice(tmp_path: Path) -> None:
    """6 of everything: three tranches of 1 each, the same list three times."""
    made = planned(tmp_path, [(address(1), "PERP", 6), (address(2), "PERP", 12)])
    with pytest.raises(InputError, match=r"perp-tranche-2.json has the root of perp-tranche-1.json"):
        of_format(made, "perp-redeem")
    roots = [root for root, _ in steps_of(made, "cumulative", trees.SET_ROOT)]
    assert len(set(roots)) == 4


def test_a_cumulative_root_holds_all_that_has_unlocked_over_every_token(tmp_path: Path) -> None:
    payouts = [(who, "PERP", n) for who, _, n in five()] + [(five()[0][0], "USDC", 1_500_001)]
    made = planned(tmp_path, sorted(payouts), HALF_USDC)
    files = of_format(made, "cumulative")
    last = json.loads(files["tranche-3.json"])["values"]
    assert sorted((a.lower(), t.lower(), int(n)) for a, t, n in (one["value"] for one in last)) == sorted(
        (r.account, r.token, r.amount) for r in made.rows
    )
    sent = steps_of(made, "cumulative", TRANSFER)
    assert {to for to, _ in sent} == {CONTRACT}
    assert sum(amount for _, amount in sent) == sum(row.amount for row in made.rows)


def test_a_multi_token_claim_pays_both_tokens_and_no_index_is_used_twice(tmp_path: Path) -> None:
    payouts = [(who, token, 10**6 + n) for n, (who, _, _) in enumerate(five()) for token in ("PERP", "USDC")]
    made = planned(tmp_path, payouts, HALF_USDC)
    files = of_format(made, "multi-token")
    found = [json.loads(files[f"tranche-{n}.json"])["claims"] for n in range(4)]
    assert [len(claims) for claims in found] == [5, 10, 15, 20]
    assert [claim["index"] for claim in found[-1]] == [*range(20)]
    for before, after in pairwise(found):  # what was claimed stays claimed
        kept = [(c["index"], c["account"], c["tokenAmounts"]) for c in after[: len(before)]]
        assert kept == [(c["index"], c["account"], c["tokenAmounts"]) for c in before]
    paid = [(c["account"].lower(), t.lower(), int(n)) for c in found[-1] for t, n in c["tokenAmounts"]]
    sums: dict[tuple[str, str], int] = {}
    for who, token, amount in paid:
        sums[who, token] = sums.get((who, token), 0) + amount
    assert sums == {(row.account, row.token): row.amount for row in made.rows}


@pytest.mark.parametrize("name", [name for name in TREES if name != "sablier"])
def test_every_tree_that_is_written_passes_the_check(name: str, tmp_path: Path) -> None:
    made = planned(tmp_path, five())
    for file, data in of_format(made, name).items():
        if "tranche" in file:
            (tmp_path / file).write_bytes(data)
            assert check_claims(read_claim_file(tmp_path / file), file).passed


def parameters(made: Plan) -> Any:
    return json.loads(of_format(made, "sablier")["perp-parameters.json"])


def test_a_line_is_an_exact_campaign_of_sablier(tmp_path: Path) -> None:
    made = planned(tmp_path, five(), LINE)
    found = parameters(made)
    assert (found["campaign"], found["startUnlockPercentage"]) == ("MerkleLL", str(5 * 10**17))
    assert (found["vestingStartTime"], found["totalDuration"]) == (1614556800, 90 * 86_400)
    assert found["aggregateAmount"] == str(sum(row.amount for row in made.rows))


def test_tranches_are_a_campaign_that_starts_a_second_before(tmp_path: Path) -> None:
    found = parameters(planned(tmp_path, five()))
    steps = found["tranchesWithPercentages"]
    assert (found["campaign"], found["vestingStartTime"]) == ("MerkleLT", 1614556799)
    assert sum(int(one["unlockPercentage"]) for one in steps) == 10**18
    assert [one["duration"] for one in steps] == [1, 31 * 86_400, 30 * 86_400, 31 * 86_400]
    worst = 0
    for _, _, amount in five():
        theirs = sablier.tranches_of(amount, [int(one["unlockPercentage"]) for one in steps])
        rest = amount - amount // 2
        ours = [amount // 2, *(rest * k // 3 - rest * (k - 1) // 3 for k in (1, 2, 3))]
        worst = max(worst, *(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
    assert found["largest difference of one tranche from 4-claims.csv (base units)"] == worst > 0


def test_streams_are_numbered_lists_of_280(tmp_path: Path) -> None:
    made = planned(tmp_path, many(281), LINE)
    files = {name: data.decode().splitlines() for name, data in of_format(made, "sablier-streams").items() if name.endswith(".csv")}
    assert [len(lines) for lines in files.values()] == [281, 2]
    head, line, *_ = files["perp-part-1.csv"]
    assert head == "address,amount,startAt,endAt,unlockAmount"
    who, amount, start, end, upfront = line.split(",")
    assert (who, start, end) == (checksummed(address(1)), "2021-03-01 00:00", "2021-05-30 00:00")
    assert int(Decimal(upfront) * 10**18) == int(Decimal(amount) * 10**18) // 2


def test_hedgeys_two_lists_add_up_and_an_early_end_is_said(tmp_path: Path) -> None:
    made = planned(tmp_path, [(address(1), "PERP", 10**18), (address(2), "PERP", 182)], LINE)
    files = of_format(made, "hedgey")
    amounts = [
        Decimal(line.split(",")[1]) for name in ("perp-upfront.csv", "perp-rest.csv") for line in files[name].decode().splitlines()[1:]
    ]
    assert sum(amounts) * 10**18 == sum(row.amount for row in made.rows)
    assert json.loads(files["perp-rest-parameters.json"])["periods"] == 90
    assert "unlocked after 46 of 90 days" in files[sheet.PAGE].decode()  # 91 units at 2 a day


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("sablier-streams", {}, r'\[vesting\] is another schedule.*formats = \["sablier"\]'),
        ("sablier-streams", {**LINE, "2021-03-01T00:00:00Z": "2021-03-01T00:00:30Z"}, "holds whole minutes"),
        ("sablier", {**LINE, "upfront = 0.5": 'upfront = "1/3"'}, "upfront = 1/3 is no whole number of 1e-18"),
        (
            "sablier",
            {**LINE, 'binding = "line"\n': 'binding = "line"\ncliff = 5\ncliff_reading = "accrues"\n'},
            'cliff_reading = "accrues": the line runs on before the cliff',
        ),
        ("hedgey", {**LINE, "length = 90": "length = 7776001", '"fixed-days"': '"seconds"'}, "no whole number of days"),
    ],
)
def test_a_schedule_that_a_format_cannot_hold_is_refused(name: str, changes: dict[str, str], said: str, tmp_path: Path) -> None:
    altered: dict[str, str] = {}
    for old, new in changes.items():  # later changes act on what earlier ones wrote
        key = next((k for k, v in altered.items() if old in v), None)
        if key is None:
            altered[old] = new
        else:
            altered[key] = altered[key].replace(old, new)
    with pytest.raises(InputError, match=said):
        of_format(planned(tmp_path, five(), altered), name)


def test_two_tokens_have_files_of_their_own_in_their_own_units(tmp_path: Path) -> None:
    made = planned(tmp_path, [(address(1), "PERP", 10**18), (address(1), "USDC", 1_234_567)], {**HALF_USDC, **AT_ONCE})
    files = of_format(made, "safe-csv")
    assert files["usdc-tranche-0-part-1.csv"].decode().endswith(f"{checksummed(address(1))},1.234567")
    with pytest.raises(InputError, match="is one contract, which pays one token"):
        of_format(made, "perp-redeem")


# What is refused before anything is written


@pytest.mark.parametrize(
    ("amounts", "changes", "said"),
    [
        (five(), {"decimals = 18\n": "decimals = 18\n"}, r"\[\[settlement\]\] PERP has no address"),
        (
            [(address(1), "OTHER", 5)],
            {**OTHER, "decimals = 18\n": f'decimals = 6\naddress = "{PERP}"\n'},
            "OTHER says 6 decimals, and PERP on chain 1 has 18.*1e12",
        ),
        (five(), {"[sources]": CLAIMS.replace("chain = 1\n", "chain = 100\n")}, r"is PERP on chain 1, and \[claims\] pays on chain 100"),
        ([(SAFE, "PERP", 5)], {}, "is a payee and the payer of"),
        ([(CONTRACT, "PERP", 5)], {}, "is a payee and the contract of"),
        (five(), {"[vesting]\n": "[vesting]\nlock_weeks = 26\n"}, r"lock_weeks pays claims into a lock only"),
        ([(PERP, "PERP", 5)], {}, "the token's own contract"),
        ([("0x" + "00" * 20, "PERP", 5)], {}, "pays the zero address"),
    ],
)
def test_what_nobody_could_pay_is_refused(amounts: list[tuple[str, str, int]], changes: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        planned(tmp_path, amounts, changes)


def test_an_amount_above_what_a_contract_holds_is_refused(tmp_path: Path) -> None:
    made = planned(tmp_path, [(address(1), "PERP", 5), (address(2), "PERP", 6)], AT_ONCE)
    large = [row._replace(amount=2**128) for row in made.rows]
    with pytest.raises(InputError, match="which no uint128 holds"):
        of_format(Plan(**{**asdict(made), "rows": large}), "sablier")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ('formats = ["cumulativ"]\nchain = 1\nsource = "test"\n', "formats is .*cumulative"),
        ('formats = ["cumulative"]\nsource = "test"\n', "chain is missing"),
        ('formats = ["hedgey", "hedgey"]\nchain = 1\nsource = "test"\n', "lists hedgey twice"),
        ('chain = 1\nsource = "test"\n', "chain is given, but no formats are"),
        ('formats = ["hedgey"]\nchain = 1\nthen = "x"\nsource = "test"\n', "then is given without an end"),
        ('formats = ["hedgey"]\nchain = 1\nuntil = 2022-06-01T00:00:00Z\nsource = "test"\n', "then is missing"),
        ('source = "test"\n', "until is missing"),
        ('formats = ["hedgey"]\nchain = 1\nsource = "test"\n[claims.contracts]\ndispers = "0x"\n', "dispers is unknown"),
    ],
)
def test_a_table_of_claims_that_says_half_is_refused(claims: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        build.made_up(tmp_path, {"[sources]": f"[claims]\n{claims}\n[sources]"})


def test_the_end_of_claims_is_the_last_step_of_a_claim_contract(tmp_path: Path) -> None:
    end = {"[sources]": CLAIMS.replace("payer = ", 'until = 2022-06-01T00:00:00Z\nthen = "back to the treasury"\npayer = ')}
    files = of_format(planned(tmp_path, five(), end), "perp-redeem")
    last = json.loads(files[sheet.STEPS])[-1]
    assert last["when"] == "from 2022-06-01T00:00:00Z (unix 1654041600) on"
    assert "back to the treasury" in last["what"]
    assert parameters(planned(tmp_path, five(), end))["expiration"] == 1654041600


# Clear signing


def test_every_parameter_of_a_call_is_shown_by_its_name(tmp_path: Path) -> None:
    """A descriptor whose path names no parameter is ignored by wallets, which then show hex."""
    made = planned(tmp_path, five())
    shown = 0
    for name in FORMATS:
        if name == "sablier-streams":
            continue
        for file, data in of_format(made, name).items():
            if not file.startswith("calldata-"):
                continue
            document = json.loads(data)
            (deployment,) = document["context"]["contract"]["deployments"]
            assert deployment["chainId"] == 1
            for signature, form in document["display"]["formats"].items():
                inner = signature.partition("(")[2].removesuffix(")").split(",")
                names = {one.split(" ")[1] + (".[]" if "[]" in one else "") for one in inner}
                assert {one["path"] for one in form["fields"]} == names, signature
                shown += 1
    assert shown > 8
    assert {*clear_signing.CLAIMS} <= {*asdict(made.files.contracts)}


def test_a_call_begins_with_the_hash_of_its_signature() -> None:
    assert calldata(TRANSFER, (CONTRACT, 5))[:10] == "0xa9059cbb"
    assert calldata(trees.SEED, (1, bytes(32), 5))[:10] == "0x" + keccak(text="seedAllocations(uint256,bytes32,uint256)")[:4].hex()


# Runs


def rows() -> list[dict[str, Any]]:
    return [row for n in (1, 2, 3) for row in position(n, address(n), 1, 50_000, 5_000 + n, 45_500)]


# Three payouts of round amounts have tranches of equal lists, whose one root perp-redeem refuses; streams need a line.
WRITTEN = [name for name in FORMATS if name not in ("perp-redeem", "sablier-streams")]
ALL_BUT_TWO = {"[sources]": CLAIMS.replace(json.dumps([*FORMATS]), json.dumps(WRITTEN)), "decimals = 18\n": WITH_FILES["decimals = 18\n"]}


def test_a_run_writes_every_format_and_verify_makes_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = build.run(tmp_path / "in", rows(), ALL_BUT_TWO)
    published = perpcomp.publish_run(done, tmp_path / "out")
    assert {name.split("/")[1] for name in published if name.startswith("claims/")} == {*WRITTEN}
    for name in WRITTEN:
        assert done.incident.sha256 in (tmp_path / "out" / "claims" / name / "README.md").read_text()
    assert perpcomp.verify(tmp_path / "out").differences == ()
    again = build.run(tmp_path / "in", rows(), {"decimals = 18\n": WITH_FILES["decimals = 18\n"]})
    perpcomp.publish_run(again, tmp_path / "out", force=True)
    assert not [*(tmp_path / "out").rglob("claims/*/*")], "files of the older run stay behind"


def test_a_format_that_is_refused_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = build.run(tmp_path / "in", rows(), WITH_FILES)
    with pytest.raises(InputError, match="has the root of"):
        perpcomp.publish_run(done, tmp_path / "out")
    assert not (tmp_path / "out").exists() or not [*(tmp_path / "out").iterdir()]


def test_a_run_that_pays_nobody_says_so_instead_of_files(tmp_path: Path) -> None:
    """A lost log stops payment, and the findings must still be published."""
    (tmp_path / "in").mkdir()
    done = build.run(tmp_path / "in", position(1, address(1), 1, 60_000, 500, 45_500), WITH_FILES, "margin-upl-funding")
    assert [int(units) for units in done.payouts.get_column("amount_base_units")] == [0]
    published = perpcomp.publish_run(done, tmp_path / "out")
    assert [name for name in published if name.startswith("claims/")] == ["claims/README.md"]
    assert b"No payout is above 0" in published["claims/README.md"]


def test_without_formats_a_run_writes_no_claims(rehearsal: Any) -> None:
    assert rehearsal.incident.claim_files is None
    assert not [name for name in files(rehearsal) if name.startswith("claims/")]


def test_pinned_tokens_have_a_source_and_one_entry_each() -> None:
    listed = [(one.chain, one.address) for one in pinned()]
    assert len(set(listed)) == len(listed)
    assert all(one.source for one in pinned())
    assert (1, PERP) in listed
