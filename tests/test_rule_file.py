"""Rules in the incident file, end to end: what is paid, explained and published by them, and what is refused with its place."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

import perpcomp
from perpcomp import pipeline
from perpcomp.audit.verify import verify
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.incident import incident_file
from perpcomp.input import find_input
from perpcomp.publish.read_back import open_published
from perpcomp.publish.summary import summary
from perpcomp.run import Run
from tests import build
from tests.build import address, position

pytestmark = pytest.mark.money

PAYS = 'name = "margin-only"\nsource = "test"\n'
POT = """
[[rule]]
name = "pot"
base = "margin-only"
source = "test"

[[rule.step]]
kind = "pro-rata-budget"
pot = "treasury"
"""
TREASURY = """
[[budget]]
name = "treasury"
token = "PERP"
amount = 8_000
source = "test"
"""
AT_ONE = {"price = 7": "price = 1"}


def changes(rules: str, pays: str = "pot", **more: str) -> dict[str, str]:
    return {PAYS: f'name = "{pays}"\nsource = "test"\n{rules}', **more}


def three(folder: Path, rules: str, pays: str = "pot", more: dict[str, str] | None = None) -> Run:
    """Margins of 10,000, 10,000 and 6,612, paid by a rule."""
    rows = [row for n, margin in ((1, 10_000), (2, 10_000), (3, 6_612)) for row in position(n, address(n), 1, 55_000, margin, 48_000)]
    return build.run(folder, rows, {**AT_ONE, **changes(rules, pays), **(more or {})})


def test_a_pot_smaller_than_the_claims_is_met_to_the_unit(tmp_path: Path) -> None:
    """Floors leave 2 units of 8,000 * 10**18: the largest remainders are the first two's, tied, so the lower addresses get them."""
    run = three(tmp_path, POT + TREASURY)
    assert run.payouts["amount_base_units"].to_list() == ["3006162633398466857057", "3006162633398466857057", "1987674733203066285886"]
    assert sum(map(int, run.payouts["amount_base_units"])) == 8_000 * 10**18
    assert run.payouts["rounded_off"].to_list() == [0, 0, 0], "the added units are less than a whole 1e-18 above the exact share"
    lines = {line.label: line.value for line in summary(run)}
    assert lines["Rule pot"] == 'first margin-only, then share the budget "treasury" pro rata.'
    assert lines["Sum of entitlements"] == "8,000 USDC"
    assert lines["Rounding"] == "largest-remainder of base units"


def test_the_same_pot_by_floors_leaves_two_units(tmp_path: Path) -> None:
    run = three(tmp_path, POT + TREASURY, more={"[allocation]\n": '[allocation]\nrounding = "floor"\n'})
    assert [units[-1] for units in run.payouts["amount_base_units"]] == ["6", "6", "6"]
    assert sum(map(int, run.payouts["amount_base_units"])) == 8_000 * 10**18 - 2


def test_a_cap_is_of_the_account_and_not_of_each_liquidation(tmp_path: Path) -> None:
    """Two markets of one account, 1,500 and 1,200, and 900 of another: nobody gets more than 1,000."""
    cap = '[[rule]]\nname = "cap"\nbase = "margin-only"\nsource = "test"\n[[rule.step]]\nkind = "cap-per-trader"\ncap = 1_000\nexcess = "kept"\n'
    rows = [*position(1, address(1), 1, 55_000, 1_500, 48_000), *position(3, address(2), 1, 55_000, 900, 48_000)]
    rows += [row | {"market": f"0x{'dd' * 20}"} for row in position(2, address(1), 1, 55_000, 1_200, 48_000)]
    second = f'[[market]]\nname = "ETHUSDC"\namm = "0x{"dd" * 20}"\naffected = true\nreference_price = 50_000\nsource = "test"\n\n[eligibility]\n'
    run = build.run(tmp_path, rows, {**changes(cap, "cap"), "[eligibility]\n": second})
    assert run.payouts["entitlement"].to_list() == [1_000, 900]
    assert [problem.what for problem in run.problems if problem.code == "rule-left-over"] == [
        "Step 1 (cap each trader at 1,000, the excess kept) leaves 1,700 USDC over, which nobody is paid."
    ]


def test_an_explanation_walks_through_the_steps_in_exact_numbers(tmp_path: Path) -> None:
    text = "\n".join(explain(three(tmp_path, POT + TREASURY), address(1)))
    assert "margin-only = margin_at_reference" in text
    assert "base: 10000 USDC" in text
    assert "step 1: 20000000/6653 USDC, before 10000" in text
    assert "= floor(20000000/6653 * 10**18 / 1)" in text
    assert "= 3006162633398466857057 base units" in text
    assert Decimal(20_000_000 * 10**18 // 6_653) == 3006162633398466857056


def test_a_run_by_a_rule_is_published_with_its_steps_and_verifies(tmp_path: Path) -> None:
    run = three(tmp_path, POT + TREASURY)
    published = perpcomp.publish_run(run, tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO(published["rule-steps.csv"].decode())))
    assert [(row["step"], row["kind"]) for row in rows if row["trader"] == address(3)] == [("0", "base"), ("1", "pro-rata-budget")]
    assert rows[-1]["after_exact"] == "13224000000000000000000000/6653"
    assert verify(tmp_path / "out").same
    assert explain(open_published(tmp_path / "out"), address(1)) == explain(run, address(1))
    assert {"pot", "margin-only"} <= {*run.comparison["formula"]}


def test_a_rule_that_cannot_be_applied_is_left_out_of_the_comparison_by_name(tmp_path: Path) -> None:
    weights = '[[rule]]\nname = "none"\nbase = "margin-only"\nsource = "test"\n[[rule.step]]\nkind = "scale"\nfactor = 0\n'
    weights += '[[rule.step]]\nkind = "pro-rata-budget"\npot = 5\nvalues = "weights"\n'
    run = three(tmp_path, weights, "margin-only")
    said = [problem for problem in run.problems if problem.code == "formula-not-compared"]
    assert ["sum to zero" in problem.what for problem in said] == [True]
    assert "none" not in {*run.comparison["formula"]}
    with pytest.raises(InputError, match="sum to zero"):
        three(tmp_path, weights, "none")


def test_what_was_received_is_taken_off_once(tmp_path: Path) -> None:
    """At the step that says so, or else at the end."""
    got = f'[[received]]\naddress = "{address(1)}"\namount = 4_000\nsource = "test"\n'
    netted = POT.replace("[[rule.step]]", '[[rule.step]]\nkind = "net-of-refund"\n\n[[rule.step]]', 1)
    before = three(tmp_path, netted + TREASURY + got)
    assert before.payouts["amount"].sum() == 8_000
    at_the_end = three(tmp_path, POT + TREASURY + got)
    assert at_the_end.payouts["amount"].to_list()[0] == 0
    assert "received 4,000 USDC" in "".join(problem.what for problem in at_the_end.problems if problem.code == "received-more")


def test_payees_that_a_rule_maps_are_capped_together(tmp_path: Path) -> None:
    owner = address(9)
    payees = "".join(f'[[payee]]\naccount = "{address(n)}"\nto = "{owner}"\nreason = "its owner"\nsource = "test"\n' for n in (1, 2))
    cap = '[[rule.step]]\nkind = "address-remap"\n[[rule.step]]\nkind = "cap-per-trader"\ncap = 12_000\nexcess = "kept"\n'
    rule = f'[[rule]]\nname = "one-owner"\nbase = "margin-only"\nsource = "test"\n{cap}'
    run = three(tmp_path, rule + payees, "one-owner")
    assert dict(run.payouts.select("trader", "amount").iter_rows()) == {address(3): 6_612, owner: 12_000}
    assert run.redirected["trader"].to_list() == [address(1), address(2)]


RULE = '[[rule]]\nname = "{}"\nbase = {}\nsource = "test"\n'


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (RULE.format("a", '"b"') + RULE.format("b", '"a"'), ("[[rule]] 1 base of a is a circle: a -> b -> a.",)),
        (
            RULE.format("a", '"margin-onyl"'),
            ('[[rule]] 1 base names "margin-onyl", which is neither a rule nor a formula.', "Did you mean 'margin-only'?"),
        ),
        (RULE.format("margin-only", '"margin-upl"'), ('name is "margin-only", which is a formula too.',)),
        (
            RULE.format("a", '["margin-only", "margin-upl"]') + 'combine = "max"\n',
            ("level is missing: max of margin-only and margin-upl differs",),
        ),
        (
            RULE.format("a", '["margin-only", "margin-upl"]') + 'combine = "blend"\nlevel = "trader"\nweights = [0, 0]\n',
            ("weights sum to zero, so no base counts.",),
        ),
        (
            RULE.format("a", '"margin-only"') + 'class = "linear"\n[[rule.step]]\nkind = "drop-below"\nminimum = 10\n',
            ('step 1 (drop-below) is with-jumps, but the rule states class = "linear".',),
        ),
        (
            RULE.format("a", '"margin-only"') + 2 * '[[rule.step]]\nkind = "pro-rata-budget"\npot = 10\n',
            ("shares a pot more than once: step 1 (pro-rata-budget) and step 2 (pro-rata-budget).",),
        ),
        (
            RULE.format("a", '"margin-only"') + '[[rule.step]]\nkind = "set-aside"\npot = 10\nset_aside = 11\n',
            ("[[rule.step]] 1 set_aside is 11, more than the pot of 10.",),
        ),
        (
            RULE.format("a", '"margin-only"') + '[[rule.step]]\nkind = "scale"\nshare = 0.5\n',
            ("factor is missing.", "share is no key of scale."),
        ),
        (RULE.format("a", '"margin-only"') + '[[rule.step]]\nkind = "cap-per-tradr"\n', ("Did you mean 'cap-per-trader'?",)),
        (
            RULE.format("a", '"margin-only"') + '[[rule.step]]\nkind = "pro-rata-budget"\npot = "tresury"\n' + TREASURY,
            ('step 1 pot names the budget "tresury", which there is not.', "Did you mean 'treasury'?"),
        ),
        (
            RULE.format("a", '"margin-only"')
            + '[[rule.step]]\nkind = "scale"\nfactor = 2\n[[rule.step]]\nkind = "amm-unwind"\nrounds = 9\n',
            ("step 2 is amm-unwind after 1 other steps",),
        ),
        (RULE.format("a", '"margin-only"') + '[[rule.step]]\nkind = "address-remap"\n', ("has address-remap, but there is no [[payee]].",)),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused_with_its_place(tmp_path: Path, rules: str, said: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        build.made_up(tmp_path, changes(rules, "a"))
    for words in said:
        assert words in str(caught.value)


def test_all_problems_of_rules_come_at_once(tmp_path: Path) -> None:
    rules = RULE.format("a", '"nothing"') + RULE.format("b", '"margin-upll"')
    with pytest.raises(InputError) as caught:
        build.made_up(tmp_path, changes(rules, "c"))
    assert [problem.what.split(" is ")[0].split(" names ")[0] for problem in caught.value.problems] == [
        "[[rule]] 1 base",
        "[[rule]] 2 base",
        "[formula] name",
    ]


def test_a_pot_of_less_than_one_unit_each_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pot shares 2 base units of PERP among 3 payees: not one unit each\."):
        three(tmp_path, POT.replace('"treasury"', "0.000000000000000002"))


def test_a_pot_of_one_unit_each_is_shared(tmp_path: Path) -> None:
    run = three(tmp_path, POT.replace('"treasury"', "0.000000000000000003"))
    assert run.payouts["amount_base_units"].to_list() == ["1", "1", "1"]


CLAIMS = """
title = "A published table"

[input]
claims = "claims.csv"
account = "user"
unit = "DAI"

[[input.column]]
name = "lost"
column = "units"
decimals = 18

[formula]
name = "share"
source = "test"

[[rule]]
name = "share"
base = "lost"
source = "test"

[[rule.step]]
kind = "pro-rata-budget"
pot = 8_000

[allocation]
rounded_off_to = "the treasury"
source = "test"

[[settlement]]
token = "DAI"
decimals = 18
share = 1
price = 1
price_policy = "fixed"
source = "test"

[vesting]
upfront = 1
start = 2021-03-01T00:00:00Z
source = "test"

[sources]
test = "a test"
"""
ROWS = f"user,units\n{address(1)},10000000000000000000000\n{address(2)},6612000000000000000000\n{address(3)},10000000000000000000000\n"


def from_claims(folder: Path, rows: str = ROWS, text: str = CLAIMS) -> Run:
    (folder / "claims.csv").write_text(rows)
    loaded = incident_file.parse(text.encode(), "made-up", folder)
    return pipeline.compute(loaded, find_input(loaded, None))


def test_a_run_from_a_published_table_pays_explains_publishes_and_verifies(tmp_path: Path) -> None:
    run = from_claims(tmp_path)
    assert run.payouts["amount_base_units"].to_list() == ["3006162633398466857057", "1987674733203066285886", "3006162633398466857057"]
    lines = {line.label: line.value for line in summary(run)}
    assert lines["Starts from"] == "3 claims of 3 accounts, as published: who is in and what was lost is not checked against logs"
    assert lines["Sum of entitlements"] == "8,000 DAI"
    assert "step 1: 20000000/6653 DAI, before 10000" in "\n".join(explain(run, address(1)))
    published = perpcomp.publish_run(run, tmp_path / "out")
    assert published["inputs/claims.csv"] == ROWS.encode()
    assert verify(tmp_path / "out").same
    assert explain(open_published(tmp_path / "out"), address(1)) == explain(run, address(1))
    (tmp_path / "out" / "inputs" / "claims.csv").write_text(ROWS.replace("6612", "6613"))
    assert not verify(tmp_path / "out").same


def test_two_rows_of_one_account_are_one_claim(tmp_path: Path) -> None:
    """In any letter case: the cap of a pot, and its remainder, are of the account."""
    rows = ROWS.replace("units\n", f"units\n{to_checksum_address(address(2))},1\n")
    run = from_claims(tmp_path, rows)
    assert run.payouts.height == 3
    assert run.payouts["liquidations"].to_list() == [1, 2, 1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.replace("6612", "6.612"), "claims.csv row 3 units: The cell is '6.612000000000000000000', not a whole number of base units"),
        (ROWS.replace("6612000000000000000000", "6.6e21"), "claims.csv row 3 units: The cell is '6.6e21'"),
        (ROWS.replace(address(2), "0x12"), 'claims.csv row 3 user: The account is "0x12", not an address.'),
        (ROWS.replace("units", "unit"), "The table has no column \"units\", which [input] names. Did you mean 'unit'?"),
        (
            ROWS.replace("6612000000000000000000", ""),
            f"The claim of 1 trader on the pot is not known, and with it nobody's share: {address(2)}.",
        ),
        ("user,units\n", "The table has no rows."),
    ],
)
def test_a_cell_that_cannot_be_read_is_named_with_its_row(tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        from_claims(tmp_path, rows)
    assert said in str(caught.value)


def test_20_cells_that_cannot_be_read_are_named_and_the_others_counted(tmp_path: Path) -> None:
    for bad, rest in ((20, []), (21, ["1 more cell cannot be read."])):
        with pytest.raises(InputError) as caught:
            from_claims(tmp_path, "user,units\n" + "".join(f"{address(n)},one\n" for n in range(1, bad + 1)))
        assert [finding.what for finding in caught.value.problems[20:]] == rest


def test_a_column_of_plain_numbers_keeps_sign_and_18_decimals(tmp_path: Path) -> None:
    """A gain in one market is taken off the loss in another, to the last digit; 1 is not 1e-18."""
    rows = f"user,units\n{address(1)},10.5\n{address(1)},-0.000000000000000001\n{address(2)},-3\n{address(2)},4\n"
    text = CLAIMS.replace('column = "units"\ndecimals = 18', 'column = "units"').replace('base = "lost"', 'base = "lost"\nlevel = "trader"')
    run = from_claims(tmp_path, rows, text)
    assert run.payouts["amount_base_units"].to_list() == ["10499999999999999999", "1000000000000000000"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'title = "A published table"',
            'title = "x"\nsystem = "perpetual-v1"',
            "system says something about logs, but the run starts from claims.",
        ),
        ('base = "lost"', 'base = "lots"', "Did you mean 'lost'?"),
        ('name = "share"\nsource', 'name = "margin-only"\nsource', 'is "margin-only", which is no [[rule]]: claims are paid by a rule.'),
        ('account = "user"\n', "", "[input] account is missing."),
        ('[[input.column]]\nname = "lost"\ncolumn = "units"\ndecimals = 18\n', "", "[input] column is missing."),
        (
            'kind = "pro-rata-budget"\npot = 8_000',
            'kind = "net-bad-debt"',
            'reads the column "bad_debt", which [[input.column]] does not name.',
        ),
    ],
)
def test_an_incident_from_claims_says_what_it_lacks(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CLAIMS
    with pytest.raises(InputError) as caught:
        from_claims(tmp_path, text=CLAIMS.replace(old, new, 1))
    assert said in str(caught.value)


def test_tokens_whose_rules_are_not_the_whole_are_refused(tmp_path: Path) -> None:
    half = '[[rule]]\nname = "half"\nbase = "lost"\nsource = "test"\n[[rule.step]]\nkind = "scale"\nfactor = 0.5\n\n[allocation]'
    text = CLAIMS.replace("[allocation]", half).replace("share = 1\n", 'rule = "half"\n')
    with pytest.raises(InputError, match="5,000 in DAI, but the rule that pays gives it 3,006"):
        from_claims(tmp_path, text=text)


def test_who_is_paid_for_another_is_not_paid_0_for_the_reason_of_the_own_claim(tmp_path: Path) -> None:
    """The third trader's claim is dropped, and the second's, which it is paid, is less than one unit."""
    rule = '[[rule]]\nname = "tiny"\nbase = "margin-only"\nsource = "test"\n[[rule.step]]\nkind = "drop-below"\nminimum = 7_000\n'
    scale = '[[rule.step]]\nkind = "scale"\nfactor = "1/100000000000000000000000"\n'
    payee = f'[[payee]]\naccount = "{address(2)}"\nto = "{address(3)}"\nreason = "its owner"\nsource = "test"\n'
    paid = three(tmp_path, rule + scale + payee, "tiny").payouts
    assert paid["trader"].to_list() == [address(1), address(3)]
    assert [reason.split(":")[0] for reason in paid["reason"]] == ["below-one-base-unit"] * 2


def test_tokens_whose_rules_are_exactly_the_whole_pay_it(tmp_path: Path) -> None:
    half = '[[rule]]\nname = "half"\nbase = "share"\nsource = "test"\n[[rule.step]]\nkind = "scale"\nfactor = 0.5\n\n[allocation]'
    leg = '[[settlement]]\ntoken = "{}"\ndecimals = 18\nrule = "half"\nprice = 1\nprice_policy = "fixed"\nsource = "test"\n\n'
    text = (
        CLAIMS[: CLAIMS.index("[[settlement]]")].replace("[allocation]", half)
        + leg.format("A")
        + leg.format("B")
        + CLAIMS[CLAIMS.index("[vesting]") :]
    )
    paid = from_claims(tmp_path, text=text).payouts
    assert paid["token"].to_list() == ["A", "B"] * 3
    assert paid.filter(token="A")["value"].to_list() == paid.filter(token="B")["value"].to_list()
    assert sum(map(int, paid["amount_base_units"])) == 8_000 * 10**18


def test_who_claims_nothing_needs_no_unit_of_a_pot(tmp_path: Path) -> None:
    rows = ROWS.replace("6612000000000000000000", "0")
    run = from_claims(tmp_path, rows, CLAIMS.replace("pot = 8_000", "pot = 0.000000000000000002"))
    assert run.payouts["amount_base_units"].to_list() == ["1", "0", "1"]


def cash_and_rest(base: str, most: int, decimals: tuple[int, int]) -> str:
    """CLAIMS with two tokens: CASH pays up to so much of a base, and DUES the rest."""
    cash = f'[[rule]]\nname = "cash"\nbase = "{base}"\nsource = "test"\n[[rule.step]]\nkind = "cap-per-trader"\ncap = {most}\nexcess = "kept"\n\n'
    leg = '[[settlement]]\ntoken = "{}"\ndecimals = {}\n{}price = 1\nprice_policy = "fixed"\nsource = "test"\n\n'
    before, after = CLAIMS[: CLAIMS.index("[[settlement]]")], CLAIMS[CLAIMS.index("[vesting]") :]
    legs = leg.format("CASH", decimals[0], 'rule = "cash"\n') + leg.format("DUES", decimals[1], "")
    return before.replace("[allocation]", cash + "[allocation]") + legs + after


def test_a_missing_unit_goes_to_nobody_of_whom_the_last_token_would_take_it_back(tmp_path: Path) -> None:
    """Shares of 1,999.775, 2,000.675 and 3,999.55 in tenths, at most 3,000 each: the missing tenth would bring either of the first two
    above its share, and what the last token pays below 0.
    """
    rows = "".join(f"{address(n)},{tenths}{'0' * 17}\n" for n, tenths in ((1, 100_000), (2, 100_045), (3, 200_000)))
    paid = from_claims(tmp_path, f"user,units\n{rows}", cash_and_rest("share", 3_000, (1, 18))).payouts["amount_base_units"].to_list()
    assert paid == ["19997", "75025309652664075", "20006", "74924071042007774", "30000", "999550050619305328151"]


def test_a_token_pays_0_because_the_others_paid_all_or_because_the_rest_is_too_small(tmp_path: Path) -> None:
    """At most 1,000 of 1,000, of 1,000.05 and of 1,000.2 in the first token, and the rest in tenths."""
    step = '[[rule.step]]\nkind = "pro-rata-budget"\npot = 8_000\n'
    rows = "".join(f"{address(n)},{cents}{'0' * 16}\n" for n, cents in ((1, 100_000), (2, 100_005), (3, 100_020)))
    run = from_claims(tmp_path, f"user,units\n{rows}", cash_and_rest("lost", 1_000, (6, 1)).replace(step, ""))
    dues = run.payouts.filter(token="DUES")
    assert dues["amount_base_units"].to_list() == ["0", "0", "2"]
    assert [reason and reason.split(":")[0] for reason in dues["reason"]] == ["other-tokens", "below-one-base-unit", None]


def test_what_no_token_can_pay_to_an_address_is_not_owed_in_the_last_one(tmp_path: Path) -> None:
    """Of 1,000.2 the first token's 1,000 stay unpaid at a burn address, and so does the rest of 0.2: it is not 1,000.2."""
    burn = f"0x{'0' * 36}dead"
    step = '[[rule.step]]\nkind = "pro-rata-budget"\npot = 8_000\n'
    run = from_claims(tmp_path, f"user,units\n{burn},{100_020}{'0' * 16}\n", cash_and_rest("lost", 1_000, (6, 1)).replace(step, ""))
    assert run.payouts["value"].to_list() == [Decimal(1_000), Decimal("0.2")]
    assert run.payouts["amount_base_units"].to_list() == ["0", "0"]


def test_positions_unwind_on_the_pool_of_restore_as_on_a_stated_one(tmp_path: Path) -> None:
    """From liquidations: the same traders, sizes and pool as in a table of positions."""
    unwind = '[[rule]]\nname = "unwind"\nbase = "margin-only"\nsource = "test"\n[[rule.step]]\nkind = "amm-unwind"\nrounds = 10\n'
    pool = "quote_reserve = 50_000_000\nbase_reserve = 1_000\n"
    restore = f'[restore]\norder = "each-alone"\nspread = 0\nsource = "test"\n[[restore.pool]]\nmarket = "BTCUSDC"\n{pool}'
    stated = unwind + f'[[rule.step.pool]]\nmarket = "BTCUSDC"\n{pool}'
    by_restore, by_itself = three(tmp_path, unwind + restore, "unwind"), three(tmp_path, stated, "unwind")
    assert by_restore.payouts["amount"].to_list() == by_itself.payouts["amount"].to_list()
    assert 0 < by_restore.payouts["amount"][0] < 10_000
