"""The incident file: each case changes one thing in the rehearsal's file and reads what is said about it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from msgspec.inspect import is_struct_type as is_struct
from msgspec.structs import fields

from perpcomp import installed
from perpcomp.findings import InputError
from perpcomp.incident import incident_file, toml
from perpcomp.incident.description import REQUIRED, UNSET, Key, Table
from perpcomp.incident.incident import Incident
from perpcomp.incident.tables import described, tables
from perpcomp.input import find_input
from tests.variants import CODE

QUERIES = Path(__file__).parent.parent / "queries"

TEXT = (QUERIES / "rehearsal.toml").read_text(encoding="utf-8")

HOUSE = "0xfb88de099e13c3ed21f80a7a1e49f8caecf10df6"
BTC_AMM = "0x75c35c980c0d37ef46df04d31a140b65503c0eed"
FUND, USDC = "0x2c2b9c9a4a25e24b174f26114e8926a9f2128fe4", "0xf12b5dd4ead5f743c6baa640b0216200e89b60da"
CONTRACT = f'address = "{FUND}"\ntoken = "{USDC}"\ndecimals = 6\n'
FROM, TO = "from = 2021-02-21T06:45:00+08:00", "to = 2021-02-21T08:45:01+08:00"
PRICE = "price = 6.93250035067212"
EXCLUSION = f"""
[[eligibility.exclude]]
address = "{HOUSE}"
reason = "it is the protocol's own"
evidence = "the chain"
"""


def changed(*replacements: tuple[str, str]) -> bytes:
    """The rehearsal's text with each first `old` replaced by its `new`."""
    text = TEXT
    for old, new in replacements:
        assert old in text, f"the rehearsal's file no longer holds {old!r}"
        text = text.replace(old, new, 1)
    return text.encode()


def accepted(*replacements: tuple[str, str]) -> Incident:
    return incident_file.parse(changed(*replacements), "rehearsal", QUERIES)


def refused(*replacements: tuple[str, str]) -> str:
    """What is said about the changed file, without lines; the exit code is 2 and every problem names the file and says what to do."""
    with pytest.raises(InputError) as caught:
        accepted(*replacements)
    assert caught.value.exit_code == 2
    for problem in caught.value.problems:
        assert problem.where.startswith("rehearsal.toml"), problem
        assert problem.what, problem
        assert problem.what_to_do, problem
    return re.sub(r"(?m)^(rehearsal\.toml) line [0-9]+:", r"\1:", str(caught.value))


def says(message: str, *parts: str) -> None:
    for part in parts:
        assert part in message


def test_the_rehearsal_itself_is_accepted() -> None:
    loaded = accepted()
    assert loaded.chain.clearing_house == HOUSE
    assert loaded.settlement[0].price == Decimal("6.93250035067212")
    assert loaded.eligibility.start == datetime(2021, 2, 20, 22, 45, tzinfo=UTC)
    assert [m.name for m in loaded.affected] == ["BTCUSDC"]


@pytest.mark.parametrize("query", sorted(QUERIES.glob("*.toml")), ids=lambda p: p.stem)
def test_every_built_in_query_loads_by_name_and_by_path(query: Path) -> None:
    assert incident_file.load(query.stem).sha256 == incident_file.load(str(query)).sha256


# Unknown and missing keys


@pytest.mark.parametrize(
    ("old", "new", "place", "meant"),
    [
        ("title = ", "titel = ", "titel", "title"),
        ("[chain]", "[chains]", "[chains]", "chain"),
        ("[input]\n", '[input]\nblock = "b.jsonl"\n', "[input] block", "blocks"),
        ("[chain]\n", "[chain]\nfirst_blok = 1\n", "[chain] first_blok", "first_block"),
        ("[[market]]\n", "[[market]]\naffekted = true\n", "[[market]] 1 affekted", "affected"),
        ("[eligibility]\n", '[eligibility]\nrebound_short = "include"\n', "[eligibility] rebound_short", "rebound_shorts"),
        ("[formula]\n", '[formula]\nnames = "x"\n', "[formula] names", "name"),
        ("[allocation]\n", '[allocation]\nrounded_of_to = "x"\n', "[allocation] rounded_of_to", "rounded_off_to"),
        ("[[settlement]]\n", "[[settlement]]\ndecimal = 18\n", "[[settlement]] 1 decimal", "decimals"),
        ("[vesting]\n", "[vesting]\ntranche = 3\n", "[vesting] tranche", "tranches"),
        ("[restore]\n", "[restore]\nspreads = 3\n", "[restore] spreads", "spread"),
        ("[[budget]]\n", "[[budget]]\namounts = 3\n", "[[budget]] 1 amounts", "amount"),
        ("[insurance_fund]\n", "[insurance_fund]\nbalanse = 3\n", "[insurance_fund] balanse", "balance"),
        ("[[expect]]\n", "[[expect]]\nvalues = 3\n", "[[expect]] 1 values", "value"),
        ("[sources]\n", '[sources]\nF99 = { text = "a", link = "b" }\n', "[sources.F99] link", "text, url"),
        ("[formula]\n", EXCLUSION.replace("reason", "reasons") + "[formula]\n", "[[eligibility.exclude]] 1 reasons", "reason"),
    ],
)
def test_an_unknown_key_is_refused_with_the_known_ones(old: str, new: str, place: str, meant: str) -> None:
    says(refused((old, new)), f"rehearsal.toml: {place} is unknown.", meant)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('price = "markt"\nsource = "F2"', "[valuation] price is \"markt\". Did you mean 'mark'?"),
        ('price = "markt"\nsource = "F2"', "Or a number without quotes, or a .csv file of prices."),
        ('price = "../prices.csv"\nsource = "F2"', "which leaves the folder of the incident file"),
        ('price = 0\nsource = "F2"', "[valuation] price is 0. It must be above 0."),
        ('price = -1\nsource = "F2"', "[valuation] price is -1."),
        ('price = "curve"', "[valuation] source is missing."),
        (
            'price = "curve"\nsource = "F2"',
            "[[market]] 1 reference_price is given although [valuation] states a price. Keep one of the two.",
        ),
        (
            'price = 50_000\nsource = "F2"',
            "[[market]] 1 reference_price is given although [valuation] states a price. Keep one of the two.",
        ),
        ('at = "crash"\nsource = "F2"', 'at is "crash". Write "liquidation", a block as 13_500_195, or a time'),
        ('at = -5\nsource = "F2"', "at is -5. Write a whole number above 0."),
        ('at = 2021-02-20T22:45:00\nsource = "F2"', "without a zone"),
        ('when = 5\nsource = "F2"', "[valuation] when is unknown."),
    ],
)
def test_a_wrong_valuation_is_refused(table: str, said: str) -> None:
    assert said in refused(("[formula]\n", f"[valuation]\n{table}\n\n[formula]\n"))


def test_one_price_for_two_affected_markets_is_refused() -> None:
    both = ("affected = true\nreference_price = 50_000\ncrash_below = 54_500", "affected = true")
    eth = ('name = "ETHUSDC"\n', 'name = "ETHUSDC"\naffected = true\n')
    table = ("[formula]\n", '[valuation]\nprice = 50_000\nsource = "F2"\n\n[formula]\n')
    says(refused(both, eth, table), "[valuation] price is one number for 2 affected markets.", "its own reference_price")


def test_one_number_becomes_the_affected_markets_reference_price() -> None:
    read = accepted(("reference_price = 50_000\n", ""), ("[formula]\n", '[valuation]\nprice = 51_000\nsource = "F2"\n\n[formula]\n'))
    assert [m.reference_price for m in read.markets] == [51_000, None, None]
    assert read.markets[0].source == ("F35", "recording", "F2")
    assert read.valuation.by_event_alone


def test_an_unknown_key_names_the_nearest_one() -> None:
    says(refused(("[chain]\n", "[chain]\nfirst_blok = 1\n")), "Did you mean 'first_block'?", "clearing_house")


@pytest.mark.parametrize(
    ("old", "place"),
    [
        ('title = "Rehearsal of the BTC flash crash of 2021-02-20, 22:45 UTC"\n', "title"),
        ("id = 100\n", "[chain] id"),
        (f'amm = "{BTC_AMM}"\n', "[[market]] 1 amm"),
        ("reference_price = 50_000\n", "[[market]] 1 reference_price"),
        (FROM + "\n", "[eligibility] from"),
        ('rebound_shorts = "exclude"\n', "[eligibility] rebound_shorts"),
        ('name = "margin-upl-funding"\n', "[formula] name"),
        ('rounded_off_to = "DAO treasury"\n', "[allocation] rounded_off_to"),
        (PRICE + "\n", "[[settlement]] 1 price"),
        ("share = 1\n", "[[settlement]] 1 share"),
        ("upfront = 0.5\n", "[vesting] upfront"),
        ("amount = 45_000\n", "[[budget]] 1 amount"),
        (f'address = "{FUND}"\n', "[insurance_fund] address"),
        (f'token = "{USDC}"\n', "[insurance_fund] token"),
        ("decimals = 6\n", "[insurance_fund] decimals"),
        ("value = 31\n", "[[expect]] 1 value"),
    ],
)
def test_a_policy_has_no_default(old: str, place: str) -> None:
    says(refused((old, "")), f"rehearsal.toml: {place} is missing. Add it to ")


def test_a_missing_table_is_named_once() -> None:
    """Its keys are not listed as missing beside it."""
    message = refused(('[formula]\nname = "margin-upl-funding"\nsource = ["F34", "F35"]\n', ""))
    assert message == (
        "rehearsal.toml: [formula] is missing. Every incident needs it: it names the formula or rule that pays. Add [formula] with the keys name, source."
    )


def test_a_table_written_as_a_list_is_named_once() -> None:
    assert refused(("[chain]", "[[chain]]")) == "rehearsal.toml: chain is not a table. Write [chain]."


def test_an_optional_table_written_as_an_empty_list_is_named() -> None:
    assert refused(("[input]", "restore = []\n[input]"), (TEXT[TEXT.index("[restore]") : TEXT.index("[allocation]")], "")) == (
        "rehearsal.toml: restore is not a table. Write [restore]."
    )


def test_a_list_written_as_a_table_says_how_to_write_it() -> None:
    budget = '[[budget]]\nname = "on-chain analysis"\ntoken = "PERP"\namount = 45_000\nsource = "F2"\n'
    rest = TEXT[TEXT.index(budget) + len(budget) : TEXT.index("[[expect]]")]
    says(refused((rest, ""), ("[[budget]]", "[budget]")), "budget is not a list of tables. Write [[budget]].")
    says(refused(("[formula]\n", 'exclude = "nobody"\n[formula]\n')), "[eligibility] exclude is not a list", "[[eligibility.exclude]]")


# The insurance fund


def test_an_insurance_fund_is_a_contract_or_a_number_or_absent() -> None:
    contract, number = accepted(), accepted((CONTRACT, "balance = 0\n"))
    assert contract.fund_in_logs is contract.insurance_fund is not None
    assert (contract.insurance_fund.address, contract.insurance_fund.token, contract.insurance_fund.decimals) == (FUND, USDC, 6)
    assert number.insurance_fund is not None
    assert (number.insurance_fund.balance, number.fund_in_logs) == (0, None)
    assert accepted((f'[insurance_fund]\n{CONTRACT}source = "recording"\n', "")).insurance_fund is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (CONTRACT, "balance = -1\n", "[insurance_fund] balance is -1. It must be 0 or more."),
        (CONTRACT, "balance = 1e6\n", "[insurance_fund] balance is 1e6, not a plain decimal."),
        (CONTRACT, "balance = true\n", "[insurance_fund] balance is true, not a plain decimal."),
        (CONTRACT, "balance = 0.0000000000000000001\n", "[insurance_fund] balance is 0.0000000000000000001. Write a number below 1e20"),
        (CONTRACT, CONTRACT + "balance = 5\n", "[insurance_fund] balance is given beside address, token or decimals"),
        (CONTRACT, "", "[insurance_fund] address is missing."),
        (f'{CONTRACT}source = "recording"\n', CONTRACT, "[insurance_fund] source is missing."),
        (USDC, FUND, f'[insurance_fund] address or token "{FUND}" is listed twice.'),
        (USDC, BTC_AMM, f'[insurance_fund] address or token "{BTC_AMM}" is listed twice.'),
        (f'"{FUND}"', f'"{HOUSE}"', f'[insurance_fund] address or token "{HOUSE}" is listed twice.'),
        ("decimals = 6", "decimals = 19", "[insurance_fund] decimals is 19. A token here has 1 to 18 decimals"),
        (f'"{USDC}"', '"USDC"', '[insurance_fund] token is "USDC", not an address.'),
        ("[insurance_fund]", "[[insurance_fund]]", "insurance_fund is not a table. Write [insurance_fund]."),
        ('name = "first rough figure"', 'name = "insurance fund"', '[[budget]] name "insurance fund" is listed twice.'),
        ('name = "first rough figure"', 'name = "on-chain analysis"', '[[budget]] name "on-chain analysis" is listed twice.'),
    ],
)
def test_an_insurance_fund_that_contradicts_itself_or_is_incomplete_is_refused(old: str, new: str, words: str) -> None:
    says(refused((old, new)), words)


# Sources


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('liquidation_fee_ratio = 0.0125\nsource = "recording"\n', "liquidation_fee_ratio = 0.0125\n", "[chain]"),
        ('source = ["F35", "recording"]\n', "", "[[market]] 1"),
        ('source = ["post", "recording"]\n', "", "[eligibility]"),
        ('source = ["F34", "F35"]\n', "", "[formula]"),
        ('source = "F18"\n', "", "[allocation]"),
        ('source = ["F3", "price"]\n', "", "[[settlement]] 1"),
        ('source = ["F4", "recording"]\n', "", "[vesting]"),
        ('source = ["F11", "recording"]\n', "", "[restore]"),
        ('source = "F2"\n', "", "[[budget]] 1"),
        ('value = 31\nsource = "recording"\n', "value = 31\n", "[[expect]] 1"),
    ],
)
def test_a_policy_table_without_a_source_is_refused(old: str, new: str, place: str) -> None:
    says(refused((old, new)), f"rehearsal.toml: {place} source is missing. Add it to ", "Allowed: a key of [sources]", "voter")


def test_a_source_must_be_a_key_of_sources() -> None:
    says(refused(('source = "F18"', 'source = "F81"')), '[allocation] source names "F81", which is not in [sources].', "F18")
    says(refused(('source = ["F3", "price"]', 'source = ["F3", "prize"]')), '"prize"', "Did you mean 'price'?")


@pytest.mark.parametrize("value", ["[]", "18", "true", '["F18", 3]'])
def test_a_source_is_a_key_or_a_list_of_keys(value: str) -> None:
    says(refused(('source = "F18"', f"source = {value}")), "[allocation] source", "Name a key of [sources]")


# Times


def test_a_local_time_with_its_zone_is_the_same_instant() -> None:
    """06:45 in Taipei is 22:45 UTC, written as an offset, as a zone or in UTC."""
    local = accepted((FROM, 'time_zone = "Asia/Taipei"\nfrom = 2021-02-21T06:45:00'), (TO, "to = 2021-02-21T08:45:01"))
    in_utc = accepted((FROM, "from = 2021-02-20T22:45:00Z"), (TO, "to = 2021-02-21T00:45:01Z"))
    by_offset = accepted()
    assert by_offset.eligibility.start == local.eligibility.start == in_utc.eligibility.start
    assert by_offset.eligibility.end == local.eligibility.end == in_utc.eligibility.end
    assert local.eligibility.as_written == "2021-02-21 06:45:00 to 2021-02-21 08:45:01 (Asia/Taipei)"


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("2021-02-21T06:45:00", ("2021-02-21T06:45:00 without a zone", "Add Z or an offset")),
        ("2021-02-21T06:45:00.5+08:00", ("2021-02-21T06:45:00.500000+08:00", "Whole seconds only")),
        ("2021-02-21T06:45:00.000001Z", ("Whole seconds only",)),
        ("2021-02-21", ("is 2021-02-21, not a time", "without quotes")),
        ("06:45:00", ("is 06:45:00, not a time",)),
        ('"2021-02-21T06:45:00Z"', ('is "2021-02-21T06:45:00Z", not a time', "without quotes")),
        ("1613861100", ("is 1613861100, not a time",)),
        ("0001-01-01T00:00:00+08:00", ("0001-01-01T00:00:00+08:00", "correct the year")),
        ("9999-12-31T23:59:59-08:00", ("9999-12-31T23:59:59-08:00", "correct the year")),
    ],
)
def test_a_window_without_exact_times_is_refused(value: str, parts: Sequence[str]) -> None:
    says(refused((FROM, f"from = {value}")), "[eligibility] from is ", *parts)


@pytest.mark.parametrize("local", ["2020-11-01T01:30:00", "2020-03-08T02:30:00"], ids=["twice", "never"])
def test_a_local_time_that_the_clocks_repeat_or_skip_is_refused(local: str) -> None:
    message = refused((FROM, f'time_zone = "America/New_York"\nfrom = {local}'))
    says(message, f"[eligibility] from is {local}, which happens twice or not at all in America/New_York.", "UTC")


@pytest.mark.parametrize(
    ("zone", "means"),
    [
        *(("Etc/GMT+8", "-08:00 at every date"), ("Etc/GMT-8", "+08:00 at every date"), ("Etc/GMT", "+00:00 at every date")),
        *(("EST", "-05:00 at every date"), ("MST", "-07:00 at every date"), ("HST", "-10:00 at every date")),
        *(("GMT", "+00:00 at every date"), ("GMT+0", "+00:00"), ("GMT0", "+00:00"), ("EST5EDT", "-05:00 in winter and -04:00 in summer")),
        *(("CET", "+01:00 in winter and +02:00 in summer"), ("PST8PDT", "-08:00 in winter"), ("UCT", "+00:00 at every date")),
    ],
)
def test_a_zone_that_is_easily_read_otherwise_is_refused(zone: str, means: str) -> None:
    message = refused((FROM, f'time_zone = "{zone}"\n{FROM}'))
    says(message, f'[eligibility] time_zone is "{zone}", which means {means}', "+08:00", "Asia/Taipei")


@pytest.mark.parametrize(
    "zone", ["UTC", "Etc/UTC", "Asia/Taipei", "America/New_York", "America/Argentina/Buenos_Aires", "US/Eastern", "Japan"]
)
def test_a_place_is_a_time_zone(zone: str) -> None:
    assert accepted((FROM, f'time_zone = "{zone}"\n{FROM}')).eligibility.time_zone == zone


@pytest.mark.parametrize("zone", ['"Asia/Taipe"', '"../etc/passwd"', '"CST6"', "8"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    says(refused((FROM, f"time_zone = {zone}\n{FROM}")), f"[eligibility] time_zone is {zone}, which is not a time zone.", "Asia/Taipei")


def test_the_start_of_the_vesting_needs_a_zone_too() -> None:
    says(refused(("start = 2021-03-01T00:00:00Z", "start = 2021-03-01T00:00:00")), "[vesting] start", "without a zone")


@pytest.mark.parametrize("end", ["2021-02-21T06:45:00+08:00", "2021-02-20T22:00:00Z"], ids=["just then", "before"])
def test_an_empty_window_is_refused(end: str) -> None:
    says(refused((TO, f"to = {end}")), "[eligibility] has an empty window: 2021-02-21 06:45:00+08:00 to ", "to is not")


# Numbers


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "is 0. It must be above 0."),
        ("0.0", "is 0.0. It must be above 0."),
        ("-1.5", "is -1.5. It must be above 0."),
        ("-1", "is -1. It must be above 0."),
        ("nan", "is nan, not a plain decimal."),
        ("+nan", "is +nan, not a plain decimal."),
        ("inf", "is inf, not a plain decimal."),
        ("-inf", "is -inf, not a plain decimal."),
        ("1e5", "is 1e5, not a plain decimal."),
        ("1.5E-3", "is 1.5E-3, not a plain decimal."),
        ("1e20", "is 1e20, not a plain decimal."),
        ('"6.9"', 'is "6.9", not a plain decimal.'),
        ("true", "is true, not a plain decimal."),
        ("[1]", "is [1], not a plain decimal."),
        ("2021-02-21", "is 2021-02-21, not a plain decimal."),
        ("1.0000000000000000001", "is 1.0000000000000000001. Write a number below 1e20 with at most 18 decimals."),
        ("0.0000000000000000005", "is 0.0000000000000000005. Write a number below 1e20"),
        ("100000000000000000000", "is 100000000000000000000. Write a number below 1e20"),
        ("100000000000000000000.0", "is 100000000000000000000.0. Write a number below 1e20"),
        ("0x" + "f" * 5000, "is a number of thousands of digits."),
    ],
)
def test_a_price_that_is_not_an_exact_amount_is_refused(value: str, said: str) -> None:
    says(refused((PRICE, f"price = {value}")), "rehearsal.toml: [[settlement]] 1 price " + said)


@pytest.mark.parametrize(
    "value", ["1", "1.000000000000000001", "99999999999999999999.999999999999999999", "50_000.5", "1.0000000000000000000"]
)
def test_a_price_of_at_most_18_decimals_is_kept_exactly(value: str) -> None:
    assert accepted((PRICE, f"price = {value}")).settlement[0].price == Decimal(value.replace("_", ""))


@pytest.mark.parametrize("value", ["0", "-3", "3.0", "true", '"3"', "nan", "1000000000000000"])
def test_a_count_is_a_whole_number_above_0(value: str) -> None:
    says(refused(("length = 3", f"length = {value}")), "[vesting] length is ", value.strip('"'), "whole number above 0")


@pytest.mark.parametrize("value", ["0", "19", "true", '"18"', "6.0"])
def test_a_token_has_1_to_18_decimals(value: str) -> None:
    says(refused(("decimals = 18", f"decimals = {value}")), "[[settlement]] 1 decimals is ", "1 to 18 decimals")


@pytest.mark.parametrize("value", ["1", '"true"', "0.0"])
def test_affected_is_true_or_false(value: str) -> None:
    says(refused(("affected = true", f"affected = {value}")), f"[[market]] 1 affected is {value}", "Write true or false.")


@pytest.mark.parametrize(
    "value", ['"3/2"', '"1/0"', '"1/3 "', '"-1/3"', '"１/3"', '"1/٣"', "1.5", "-0.5", '"0.5"', "nan", "true", "1e-1", "[1, 3]"]
)
def test_a_value_that_is_not_a_share_is_refused(value: str) -> None:
    says(refused(("upfront = 0.5", f"upfront = {value}")), "[vesting] upfront is ", value, "share")


@pytest.mark.parametrize(("value", "share"), [("0", (0, 1)), ("1", (1, 1)), ("0.25", (1, 4)), ('"1/3"', (1, 3)), ('"2/6"', (1, 3))])
def test_a_share_is_exact(value: str, share: tuple[int, int]) -> None:
    assert accepted(("upfront = 0.5", f"upfront = {value}")).vesting.upfront == Fraction(*share)


def leg(token: str, share: str) -> str:
    return f'[[settlement]]\ntoken = "{token}"\ndecimals = 6\nshare = {share}\nprice = 1\nprice_policy = "fixed"\nsource = "F3"\n\n'


def test_three_legs_of_a_third_each_add_up() -> None:
    loaded = accepted(("share = 1\n", 'share = "1/3"\n'), ("[vesting]", leg("USDC", '"1/3"') + leg("USDT", '"1/3"') + "[vesting]"))
    assert [Fraction(1, 3)] * 3 == [one.share for one in loaded.settlement]


@pytest.mark.parametrize("share", ["0.9", '"1/3"', "0", "0.999999999999999999"])
def test_shares_that_do_not_add_up_are_refused(share: str) -> None:
    says(refused(("share = 1\n", f"share = {share}\n")), "[[settlement]] shares do not add up to 1.", "share = 0.5 in both")


@pytest.mark.parametrize(
    ("token", "right", "wrong"),
    [("USDC", 6, 18), ("usdc", 6, 8), ("USDT", 6, 18), ("DAI", 18, 6), ("PERP", 18, 6), ("SNX", 18, 8), ("sUSD", 18, 6)],
)
def test_decimals_that_a_well_known_token_does_not_have_are_refused(token: str, right: int, wrong: int) -> None:
    def stated(decimals: int) -> tuple[tuple[str, str], ...]:
        old = 'token = "PERP"\ndecimals = 18\naddress = "0xbc396689893d065f41bc2c6ecbee5e0085233447"\n'
        return ((old, f'token = "{token}"\ndecimals = {decimals}\n'),)

    assert accepted(*stated(right)).settlement[0].decimals == right
    said = f"[[settlement]] 1 decimals is {wrong}, but {token} has {right} decimals: every amount would be wrong by a factor of 10**{abs(wrong - right)}."
    says(refused(*stated(wrong)), said, f"Write decimals = {right}")


def test_one_contract_with_two_decimals_is_refused() -> None:
    paid = (
        'token = "PERP"\ndecimals = 18\naddress = "0xbc396689893d065f41bc2c6ecbee5e0085233447"\n',
        f'token = "XYZ"\ndecimals = 8\naddress = "{USDC}"\n',
    )
    said = f"[insurance_fund] decimals is 6, but [[settlement]] 1 states 8 decimals for the same contract {USDC}."
    says(refused(paid), said, "the same number in both")
    assert accepted((paid[0], paid[1].replace("8", "6", 1))).settlement[0].decimals == 6


# Addresses


def test_a_right_checksum_is_accepted_and_lower_cased() -> None:
    assert accepted((HOUSE, "0xFB88dE099e13c3ED21F80a7a1E49f8CAEcF10df6")).chain.clearing_house == HOUSE


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("0xfB88dE099e13c3ED21F80a7a1E49f8CAEcF10df6", ("has a wrong checksum", "lower case")),
        ("0xFB88DE099E13C3ED21F80A7A1E49F8CAECF10DF6", ("has a wrong checksum", "lower case")),
        ("0xfb8\u0430de099e13c3ed21f80a7a1e49f8caecf10df6", ("U+0430", "only looks like a hex digit")),
        ("0xfb8\uff11de099e13c3ed21f80a7a1e49f8caecf10df6", ("U+FF11", "only looks like a hex digit")),
        (HOUSE[:-1], ("not an address", "Write 0x and 40 hex digits")),
        (HOUSE[2:-1], (HOUSE[2:-1], "not an address", "Write 0x and 40 hex digits")),
        (HOUSE + "0", ("not an address",)),
        ("0x0x" + HOUSE[2:], ("not an address",)),
        (HOUSE[:20] + " " + HOUSE[20:], ("not an address",)),
        ("0xfB88dE099e13c3ED21F80a7a1E49f8CAEcF10df6"[2:], ("has a wrong checksum", "lower case")),
        ("eth:" + HOUSE, ("an address on chain 1, but the incident is on chain 100", "chain 100")),
        ("eip155:10:" + HOUSE, ("an address on chain 10, but the incident is on chain 100", "chain 100")),
        ("gnosis:" + HOUSE, ('whose prefix "gnosis:" is not a chain that is known', "gno")),
        ("eip155:" + HOUSE, ("is not a chain that is known", "eip155:NUMBER")),
        ("gno:" + HOUSE[:-1], ("not an address",)),
        (HOUSE + "\\n", ("not an address",)),
        (HOUSE[:-1] + "g", ("not an address",)),
        ("", ("not an address",)),
    ],
)
def test_a_value_that_is_not_an_address_is_refused(value: str, parts: Sequence[str]) -> None:
    says(refused((HOUSE, value)), "rehearsal.toml: [chain] clearing_house", *parts)


@pytest.mark.parametrize(
    "value",
    [
        f"gno:{HOUSE}",
        f"xdai:{HOUSE}",
        f"GNO:{HOUSE}",
        f"eip155:100:{HOUSE}",
        HOUSE[2:],
        f"0X{HOUSE[2:]}",
        f" {HOUSE}",
        f"{HOUSE} ",
        "gno:0xFB88dE099e13c3ED21F80a7a1E49f8CAEcF10df6",
        " FB88dE099e13c3ED21F80a7a1E49f8CAEcF10df6",
    ],
)
def test_an_address_may_be_written_as_wallets_copy_it(value: str) -> None:
    assert accepted((HOUSE, value)).chain.clearing_house == HOUSE
    assert accepted(("[formula]\n", EXCLUSION.replace(HOUSE, value) + "[formula]\n")).eligibility.exclusions[0].address == HOUSE
    endorsed = f'[guards]\nendorsed = ["{value}"]\nsource = "F2"\n\n[formula]\n'
    assert accepted(("[formula]\n", endorsed)).guards.endorsed == (HOUSE,)


@pytest.mark.parametrize("prefix", ["eth:", "gno:", "eip155:1:"])
def test_a_token_that_is_paid_may_be_on_another_chain(prefix: str) -> None:
    token = "0xbc396689893d065f41bc2c6ecbee5e0085233447"
    assert accepted((token, prefix + token)).settlement[0].address == token


def test_an_address_without_quotes_is_refused() -> None:
    says(refused((f'"{HOUSE}"', HOUSE)), f"[chain] clearing_house is {int(HOUSE, 16)}, not an address.", "in quotes")


# Texts


@pytest.mark.parametrize(
    ("piece", "named"),
    [
        ("\\u0000", "U+0000"),
        ("\\u001b[2J", "U+001B"),
        ("\\t", "U+0009"),
        ("\\u0085", "U+0085"),
        ("\u202e", "U+202E"),
        ("\u2066", "U+2066"),
        ("\u200b", "U+200B"),
        ("\u200f", "U+200F"),
        ("\u2028", "U+2028"),
        ("\ufeff", "U+FEFF"),
        ("\ufffe", "U+FFFE"),
    ],
)
def test_a_character_that_cannot_be_seen_is_named(piece: str, named: str) -> None:
    says(refused(('title = "', f'title = "A{piece}')), f"title holds the character {named}.", "Remove it")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "＝", "＋", "－", "＠"])
def test_a_text_that_a_spreadsheet_would_read_as_a_formula_is_refused(start: str) -> None:
    says(refused(('title = "', f'title = "{start}')), f"title starts with '{start.strip()}'", "begin with a word")


@pytest.mark.parametrize("value", ['""', '"  "', "5", "true", "2021-01-01"])
def test_a_text_is_a_text_in_quotes(value: str) -> None:
    says(
        refused(('title = "Rehearsal of the BTC flash crash of 2021-02-20, 22:45 UTC"', f"title = {value}")), value, "not a text", "quotes"
    )


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('system = "perpetual-v1"', 'system = "perpetual"', ("system is", '"perpetual"', "Did you mean 'perpetual-v1'?")),
        ('"calendar-months"', '"calendar-month"', ("[vesting] calendar", "Did you mean 'calendar-months'?", "fixed-days")),
        ('rebound_shorts = "exclude"', 'rebound_shorts = "excluded"', ("[eligibility] rebound_shorts", "'exclude'")),
        ('rebound_shorts = "exclude"', "rebound_shorts = false", ("[eligibility] rebound_shorts is false.", "exclude, include")),
        ('binding = "tranches"', 'binding = "lines"', ("[vesting] binding", "'line'")),
        ('what = "liquidations"', 'what = "liquidation"', ("[[expect]] 1 what", "'liquidations'")),
    ],
)
def test_a_wrong_word_is_refused_with_the_allowed_ones(old: str, new: str, parts: Sequence[str]) -> None:
    says(refused((old, new)), *parts)


# What no single key shows


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "ETHUSDC"', 'name = "BTCUSDC"', '[[market]] name "BTCUSDC" is listed twice.'),
        ("0x38cf23c52bb4b13f051aec09580a2de845a7fa35", BTC_AMM, f'[[market]] amm "{BTC_AMM}" is listed twice.'),
        ("share = 1\n", "share = 0.5\n", '[[settlement]] token "PERP" is listed twice.'),
        ("[formula]\n", EXCLUSION * 2 + "[formula]\n", f'[[eligibility.exclude]] address "{HOUSE}" is listed twice.'),
    ],
)
def test_a_name_that_is_listed_twice_is_refused(old: str, new: str, said: str) -> None:
    second = (("[vesting]", leg("PERP", "0.5") + "[vesting]"),) if "token" in said else ()
    says(refused((old, new), *second), said, "Keep one.")


def test_an_address_listed_twice_in_different_case_is_refused() -> None:
    in_mixed_case = EXCLUSION.replace(HOUSE, "0xFB88dE099e13c3ED21F80a7a1E49f8CAEcF10df6")
    says(refused(("[formula]\n", EXCLUSION + in_mixed_case + "[formula]\n")), HOUSE, "is listed twice")


@pytest.mark.parametrize("new", ["affected = false", ""])
def test_an_incident_without_an_affected_market_is_refused(new: str) -> None:
    says(refused(("affected = true", new)), "[[market]] names no affected market.", "Set affected = true")


def test_a_calendar_of_blocks_needs_its_block_and_its_seconds() -> None:
    message = refused(('calendar = "calendar-months"', 'calendar = "blocks"'))
    says(message, "[vesting] start_block is missing.", "[vesting] block_seconds is missing.")
    blocks = accepted(('calendar = "calendar-months"', 'calendar = "blocks"\nstart_block = 14_000_000\nblock_seconds = 5.2'))
    assert (14_000_000, Decimal("5.2")) == (blocks.vesting.start_block, blocks.vesting.block_seconds)


def test_a_start_block_without_a_calendar_of_blocks_is_refused() -> None:
    says(refused(("length = 3", "length = 3\nstart_block = 5")), "[vesting] start_block belongs to a calendar of blocks.", "Remove it")


def test_more_than_a_thousand_tranches_are_refused() -> None:
    says(refused(("tranches = 3", "tranches = 1001")), "[vesting] tranches is 1001.", "at most 1000", "line")


@pytest.mark.parametrize(
    ("what", "key"), [("eligible", "trader"), ("amount", "token")]
)  # a figure of one trader or of one token says of which
def test_an_expectation_names_its_trader_or_token(what: str, key: str) -> None:
    says(refused(('what = "liquidations"', f'what = "{what}"')), f"[[expect]] 1 {key} is missing.")


def test_several_problems_come_at_once() -> None:
    message = refused(("title = ", "titel = "), (PRICE, "price = 1e5"), ('source = "F18"', 'source = "F81"'), (HOUSE, "0x12"))
    said = message.splitlines()
    assert len(said) == 5
    for piece in ("title is missing", "titel is unknown", "price is 1e5", '"F81"', '"0x12", not an address'):
        assert any(piece in line for line in said), piece


# The file itself


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("../x.jsonl", "leaves the folder"),
        ("rehearsal/../../x.jsonl", "leaves the folder"),
        ("/etc/x.jsonl", "leaves the folder"),
        ("..", "leaves the folder"),
        ("a\\\\b.jsonl", "not a plain file name"),
        ("C:/x.jsonl", "not a plain file name"),
        ("a\\u0000.jsonl", "not a plain file name"),
        ("my logs.jsonl", "not a plain file name"),
        ("lоgs.jsonl", "not a plain file name"),
        ("a" * 121, "not a plain file name"),
        ("", "not a plain file name"),
    ],
)
@pytest.mark.parametrize("key", ["file", "blocks"])
def test_an_input_outside_the_folder_is_refused(key: str, value: str, said: str) -> None:
    message = refused(('file = "rehearsal/logs.jsonl.gz"', f'{key} = "{value}"'))
    says(message, f"rehearsal.toml: [input] {key} is ", said)


@pytest.mark.parametrize("key", ["file", "blocks"])
def test_an_input_that_is_a_link_to_outside_is_refused(tmp_path: Path, key: str) -> None:
    outside, folder = tmp_path / "outside.jsonl", tmp_path / "folder"
    outside.write_text("")
    folder.mkdir()
    (folder / "logs.jsonl").write_text("")
    (folder / "link.jsonl").symlink_to(outside)
    lines = 'file = "link.jsonl"' if key == "file" else 'file = "logs.jsonl"\nblocks = "link.jsonl"'
    loaded = incident_file.parse(changed(('file = "rehearsal/logs.jsonl.gz"', lines)), "rehearsal", folder)
    with pytest.raises(
        InputError, match=r"link\.jsonl: .*The file is a link to outside the incident file's folder\. Put the file itself there\."
    ):
        find_input(loaded, None)


def test_an_input_in_a_linked_folder_is_refused(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "logs.jsonl").write_text("")
    (folder / "below").symlink_to(outside)
    loaded = incident_file.parse(changed(("rehearsal/logs.jsonl.gz", "below/logs.jsonl")), "rehearsal", folder)
    with pytest.raises(InputError, match="a link to outside the incident file's folder"):
        find_input(loaded, None)


def test_a_missing_input_is_named_with_its_folder(tmp_path: Path) -> None:
    loaded = incident_file.parse(changed(("rehearsal/logs.jsonl.gz", "below/logs.jsonl")), "rehearsal", tmp_path)
    with pytest.raises(InputError, match=r"logs\.jsonl: The file does not exist\. Looked in below\."):
        find_input(loaded, None)


def test_an_unsupported_input_is_refused(tmp_path: Path) -> None:
    loaded = incident_file.parse(changed(("rehearsal/logs.jsonl.gz", "logs.docx")), "rehearsal", tmp_path)
    with pytest.raises(InputError, match=r"logs\.docx: .*docx.* Supported: \.jsonl"):
        find_input(loaded, None)


def test_an_incident_without_an_input_needs_a_network() -> None:
    loaded = accepted(('[input]\nfile = "rehearsal/logs.jsonl.gz"\n', ""))
    with pytest.raises(InputError, match="--input FILE") as caught:
        find_input(loaded, None)
    assert caught.value.exit_code == 3


def test_a_file_over_one_mebibyte_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "big.toml"
    file.write_text("# " + "x" * 2**20)
    with pytest.raises(InputError, match=r"big\.toml: The file is 1048578 bytes long; an incident file has at most 1048576\."):
        incident_file.load(str(file))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'title = "\xff"\n', "The file is not UTF-8 (byte 9). Save it as UTF-8 text."),
        (TEXT.encode("utf-16"), "The file is not UTF-8 (byte 0)."),
        (b"x = " + b"[" * 100_000 + b"]" * 100_000, "nests too deeply"),
        (b"x = " + b'{"a" = ' * 50_000 + b"1" + b"}" * 50_000, "nests too deeply"),
        (b"x = " + b"1" * 200_000, "thousands of digits"),
        (b"title = \n", "The file is not valid TOML: Invalid value (at line 1, column 9). Correct the line named."),
        (b'title = "a"\ntitle = "b"\n', "The file is not valid TOML: Cannot overwrite a value (at line 2, "),
        (b'title = "\\ud800"\n', "The file is not valid TOML: "),
    ],
    ids=["bad byte", "utf-16", "nested arrays", "nested tables", "long integer", "no value", "key twice", "surrogate"],
)
def test_a_file_that_is_not_toml_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        incident_file.parse(raw, "rehearsal", QUERIES)
    assert str(caught.value).startswith("rehearsal.toml: ")
    assert said in str(caught.value)


def test_a_number_too_long_to_print_is_refused_by_its_key() -> None:
    """Python refuses to print them; that must not become a stack trace."""
    long = "0x" + "f" * 5000
    places = [(FROM, "from = "), ("id = 100", "id = "), ("upfront = 0.5", "upfront = "), ('system = "perpetual-v1"', "system = ")]
    for old, new in places:
        says(refused((old, new + long)), f"{new.split()[0]} is a number of thousands of digits.")


@pytest.mark.parametrize("name", ["Rehearsal", "a.b", "a_b", "-a", "", "..", "a" * 81, "a b", "ä", "a\n"])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="only lower-case letters, digits and hyphens"):
        incident_file.parse(changed(), name, QUERIES)


def test_the_nearest_built_in_name_is_offered() -> None:
    with pytest.raises(InputError, match=r"'rehersal' is neither an incident file nor a built-in query\. Did you mean 'rehearsal'\?"):
        incident_file.load("rehersal")


@pytest.mark.parametrize("path", ["nowhere/incident.toml", "rehearsal.toml", "nowhere/rehearsal", "."])
def test_a_path_that_does_not_exist_lists_the_built_in_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="rehearsal") as caught:
        incident_file.load(path)
    assert caught.value.exit_code == 2


# Keys that belong together


def test_a_table_that_may_be_absent_is_not_ignored_where_its_name_is_misspelt() -> None:
    table = 'price = "curve"\nsource = "F2"\n\n[formula]\n'
    says(refused(("[formula]\n", f"[valuatoin]\n{table}")), "rehearsal.toml: [valuatoin] is unknown. Did you mean 'valuation'?")
    says(refused(("[formula]\n", f"[[budgte]]\n{table}")), "rehearsal.toml: [[budgte]] is unknown. Did you mean 'budget'?")
    for name in ("input", "restore", "budget", "insurance_fund", "expect", "guards"):
        for opening, closing in (("[", "]"), ("[[", "]]")):
            wrong = f"{opening}{name[:-2]}{name[-1]}{name[-2]}{closing}"
            says(refused(("[formula]\n", f"{wrong}\n{table}")), f"rehearsal.toml: {wrong} is unknown. Did you mean '{name}'?")
    index = '[guards.indx]\nfile = "a.csv"\n\n[formula]\n'
    says(refused(("[formula]\n", f'[guards]\nsource = "F2"\n\n{index}')), "[guards.indx] is unknown. Did you mean 'index'?")
    says(refused(("[formula]\n", f'[guards]\nsource = "F2"\n\n{index.replace("[guards.indx]", "[[guards.limit]]")}')), "'limits'")
    says(
        refused(("[formula]\n", EXCLUSION.replace("exclude", "exclud") + "[formula]\n")), "[[eligibility.exclud]] is unknown.", "'exclude'"
    )


@pytest.mark.parametrize(
    ("old", "words"),
    [
        ('rebound_shorts = "exclude"\n', 'rebound_shorts = "exclude". Allowed: "include" or "exclude".'),
        ('calendar = "calendar-months"\n', 'Allowed: "calendar-months" or "fixed-days" or "seconds" or "blocks".'),
        ("length = 3\n", "length = 3. Allowed: a whole number above 0."),
        ('system = "perpetual-v1"\n', 'Allowed: "perpetual-v1" or "synthetix_v2".'),
        ("reference_price = 50_000\n", "It is required where affected = true and [valuation] states no other price."),
        ("value = 31\n", 'It is required where what = "traders" or what = "positions" or what = "liquidations"'),
    ],
)
def test_a_missing_key_is_named_with_what_is_allowed(old: str, words: str) -> None:
    says(refused((old, "")), "is missing. Add it to ", words)


def test_the_word_reference_is_a_price_for_any_number_of_markets() -> None:
    eth = ('name = "ETHUSDC"\n', 'name = "ETHUSDC"\naffected = true\nreference_price = 2_000\n')
    read = accepted(eth, ("[formula]\n", '[valuation]\nprice = "reference"\nsource = "F2"\n\n[formula]\n'))
    assert [market.reference_price for market in read.affected] == [50_000, 2_000]


def test_two_pools_of_one_market_are_refused() -> None:
    pool = '[[restore.pool]]\nmarket = "BTCUSDC"\nquote_reserve = 1\nbase_reserve = {}\n'
    two = (pool * 2).format(1, 2) + "[allocation]\n"
    says(refused(("[allocation]\n", two)), '[restore] lists the pool of "BTCUSDC" twice.', "Keep one.")


def test_problems_across_tables_come_with_those_of_other_tables() -> None:
    message = refused(("title = ", "titel = "), ("share = 1\n", "share = 0.9\n"), ("affected = true\n", ""))
    says(message, "title is missing", "[[settlement]] shares do not add up to 1.", "[[market]] names no affected market.")


def test_a_source_is_not_looked_up_where_no_table_of_sources_is() -> None:
    text = TEXT[: TEXT.index("[sources]")]
    with pytest.raises(InputError) as caught:
        incident_file.parse(text.encode(), "rehearsal", QUERIES)
    assert [problem.what for problem in caught.value.problems] == ["[sources] is missing."]


# The system: its names and what it offers come from installed packages


class Vaults:
    """A protocol without replay and without a token, whose contract is called otherwise."""

    key, contract_key, several_contracts, replay, transfer_event = "vaults", "vault", False, None, None


VAULTS = Vaults()


@pytest.fixture
def with_vaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a package had installed that protocol beside ours."""
    made = EntryPoint("vaults", f"{__name__}:VAULTS", installed.SYSTEMS)
    found = [*entry_points(group=installed.SYSTEMS), made]
    monkeypatch.setattr(installed, "entry_points", lambda: EntryPoints(found))


OF_VAULTS = ('system = "perpetual-v1"', 'system = "vaults"'), ("clearing_house = ", "vault = "), (CODE, "")
NO_RESTORE = (TEXT[TEXT.index("[restore]") : TEXT.index("[allocation]")], "")
NO_CONTRACT = (CONTRACT, "balance = 5\n")


@pytest.mark.usefixtures("with_vaults")
def test_an_installed_system_names_the_contract_of_the_chain() -> None:
    read = accepted(*OF_VAULTS, NO_RESTORE, NO_CONTRACT)
    assert (read.system, read.chain.clearing_house) == ("vaults", HOUSE)
    message = refused(OF_VAULTS[0], NO_RESTORE, NO_CONTRACT)
    says(message, "[chain] vault is missing.", "[chain] clearing_house is unknown.")
    says(refused(('system = "perpetual-v1"', 'system = "vault"')), "Did you mean 'vaults'? Known: perpetual-v1, synthetix_v2, vaults.")
    assert "clearing_house" not in refused(('system = "perpetual-v1"', 'system = "vault"'))


@pytest.mark.usefixtures("with_vaults")
def test_a_system_without_replay_refuses_what_needs_one() -> None:
    says(refused(*OF_VAULTS, NO_CONTRACT), 'system is "vaults", which has no pool and no replay, but the file has [restore].')
    by_mark = ("[formula]\n", '[valuation]\nprice = "mark"\nsource = "F2"\n\n[formula]\n'), ("reference_price = 50_000\n", "")
    before = ("[eligibility]\n", "[eligibility]\nminimum_leverage_before_crash = 2\n")
    message = refused(*OF_VAULTS, NO_RESTORE, NO_CONTRACT, *by_mark, before)
    says(message, "but the file has [valuation] at or price and rules of [eligibility] on the state before the crash.")
    says(refused(*OF_VAULTS, NO_RESTORE), 'system is "vaults", whose logs give no balance of a fund', "State its balance instead")


# The description of the keys


def of_system(name: str) -> Mapping[str, Key | Table]:
    system = installed.load(installed.SYSTEMS, name)
    return tables(tuple(installed.names(installed.SYSTEMS)), system.contract_key, system.several_contracts)


def used_keys(table: Mapping[str, Any], header: str = "") -> Iterator[tuple[str, str]]:
    """(header, key) of everything in a document; the names in [sources] are the writer's own."""
    for name, value in table.items():
        path = f"{header.strip('[]')}.{name}" if header else name
        if isinstance(value, dict):
            yield from used_keys(value, "[sources.*]" if header == "[sources]" else f"[{path}]")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for entry in value:
                yield from used_keys(entry, f"[[{path}]]")
        else:
            yield header, "*" if header == "[sources]" else name


INCIDENTS = sorted([*QUERIES.glob("*.toml"), *(QUERIES.parent / "tests" / "lab").glob("*.toml")])


@pytest.mark.parametrize("path", INCIDENTS, ids=lambda path: path.stem)
def test_every_key_that_a_file_uses_is_described(path: Path) -> None:
    document = toml.parse(path.read_bytes(), path.name)
    known = {(header, key.name) for header, key in described(of_system(document["system"]))}
    used = {*used_keys(document)}
    assert len(used) > 30
    assert used <= known


@pytest.mark.parametrize("system", installed.names(installed.SYSTEMS))
def test_every_key_is_described_in_full_and_its_example_is_accepted(system: str) -> None:
    known = [*described(of_system(system))]
    assert len(known) == len({(header, key.name) for header, key in known})
    for header, key in known:
        assert key.name, header
        assert re.fullmatch(r"[A-Z\"].*[.)]", key.meaning), key
        assert key.kind.name, key
        assert key.kind.allowed, key
        value = toml.parse(f"x = {key.example}".encode(), "example")["x"]
        read = key.kind.read(value)
        assert read is not None or key.kind.name == "limit", key
        if key.kind.choices:
            assert all(f'"{word}"' in key.kind.allowed for word in key.kind.choices), key


# Fields of the tables that no single key gives.
DERIVED = {
    "Adjustment place",
    "Claims files",  # the halves of a table
    "Claims period",
    "Eligibility as_written",
    "Valuation one_price",
}


def test_every_field_of_a_table_is_described_or_derived() -> None:
    found = set()

    def visit(keys: Mapping[str, Key | Table]) -> None:
        for key in keys.values():
            if isinstance(key, Table):
                if is_struct(key.of):
                    found.update(f"{key.of.__name__} {field.name}" for field in fields(key.of) if field.name not in key.keys)
                visit(key.keys)

    visit(of_system("perpetual-v1"))
    assert found == DERIVED


def test_an_example_has_the_type_of_its_field() -> None:
    def visit(keys: Mapping[str, Key | Table], of: Any) -> Iterator[tuple[str, Key, Any]]:
        types = get_type_hints(of) if is_struct(of) else {}
        for field, key in keys.items():
            if isinstance(key, Table):
                yield from visit(key.keys, key.of)
            elif field in types:
                yield f"{of} {field}", key, types[field]

    seen = 0
    for place, key, written in visit(of_system("perpetual-v1"), None):
        allowed = get_args(written) if isinstance(written, UnionType) else (written,)
        value = key.kind.read(toml.parse(f"x = {key.example}".encode(), "example")["x"])
        default = [] if key.default in (UNSET, REQUIRED) else [key.default]
        for one in (value, *default):
            assert isinstance(one, tuple(get_origin(part) or part for part in allowed)), place
        seen += 1
    assert seen > 80


def test_an_incident_has_a_field_for_everything_that_is_read() -> None:
    flat = {"input", "formula", "allocation"}
    rest = {"name", "blocks", "published_table", "account_kinds", "formula_source", "rounding", "rounding_to", "allocation_source", "raw"}
    rest |= {"folder", "book", "claim_files"}
    assert {*of_system("perpetual-v1")} - flat == {field.name for field in fields(Incident)} - flat - rest


def test_a_default_that_a_file_states_changes_nothing() -> None:
    """What the description calls the default is what an absent key means."""
    guards = '[guards]\nflag_rule = "index"\nkeeper = "historical"\nsource = "F2"\n\n[formula]\n'
    assert accepted(("[formula]\n", guards)).guards == accepted(("[formula]\n", '[guards]\nsource = "F2"\n\n[formula]\n')).guards
    assert accepted(('surviving_life = "closed-share"\n', "")).eligibility == accepted().eligibility
    assert accepted(('binding = "tranches"\n', "")).vesting == accepted().vesting


@pytest.mark.parametrize("path", [QUERIES / "parameters" / "synthetix-perps-v2.toml"], ids=lambda path: path.stem)
def test_every_key_of_the_parameters_is_described(path: Path) -> None:
    from perpcomp.guards.rules.parameters import KEYS

    used = {*used_keys(toml.parse(path.read_bytes(), path.name))}
    assert used <= {(header, key.name) for header, key in described(KEYS)}


SETTINGS = [f'"0x{byte * 20}"' for byte in ("0c", "0d")]
PERPS_V2 = (QUERIES.parent / "tests" / "lab" / "perps-v2" / "june" / "incident.toml").read_text()


def with_settings(value: str) -> bytes:
    return re.sub(r"(?m)^settings = .*$", f"settings = {value}", PERPS_V2).encode()


def test_a_protocol_that_replaced_its_contract_lists_all_of_them() -> None:
    for value, count in ((SETTINGS[0], 1), (f"[{SETTINGS[0]}]", 1), (f"[{', '.join(SETTINGS)}]", 2)):
        loaded = incident_file.parse(with_settings(value), "june", Path())
        assert loaded.chain.contracts == tuple(one.strip('"') for one in SETTINGS[:count])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[]", "settings is an empty list."),
        (f"[{SETTINGS[0]}, {SETTINGS[0]}]", f"settings lists {SETTINGS[0].strip(chr(34))} twice."),
        (f'[{SETTINGS[0]}, "0x1"]', 'settings is "0x1", not an address.'),
    ],
)
def test_a_wrong_list_of_contracts_is_refused(value: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        incident_file.parse(with_settings(value), "june", Path())


def test_a_protocol_with_one_contract_refuses_a_list() -> None:
    says(refused((f'"{HOUSE}"', f'["{HOUSE}"]')), "[chain] clearing_house", "not an address")


def test_a_byte_order_mark_changes_nothing() -> None:
    plain, marked = (incident_file.parse(raw, "rehearsal", QUERIES) for raw in (TEXT.encode(), b"\xef\xbb\xbf" + TEXT.encode()))
    assert plain.chain == marked.chain
    assert plain.eligibility == marked.eligibility


def test_a_market_is_no_contract_of_the_chain() -> None:
    says(refused((f'amm = "{BTC_AMM}"', f'amm = "{HOUSE}"')), f'[[market]] amm "{HOUSE}" of BTCUSDC is the contract of [chain] too.')
