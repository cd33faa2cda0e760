"""The proposal for a vote: its text and choices within Snapshot's limits, what is signed, and the calls of a Governor."""

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from msgspec.structs import replace

import perpcomp
from perpcomp import fixed, pipeline
from perpcomp.findings import Finding, InputError
from perpcomp.incident import incident_file
from perpcomp.input import find_input
from perpcomp.publish.files import files
from perpcomp.publish.proposal import CONTENT, GOVERNOR, PAGE, proposal
from perpcomp.publish.proposal.body import CUT_FIRST, HASHED, NO_PRECEDENT
from perpcomp.publish.proposal.choices import NOTHING, Option, _labels
from perpcomp.publish.proposal.fit import LONGEST, MORE, Listed, fitted
from perpcomp.publish.proposal.limits import Limits, characters, cut
from perpcomp.publish.proposal.text import cell, shown
from perpcomp.publish.proposal.typed_data import FIELDS, Asked
from perpcomp.publish.sentence import in_one_sentence
from perpcomp.run import Run
from tests import build, stated
from tests.build import MARKET, address, position
from tests.commands import call
from tests.planned import AT_ONCE, HALF_USDC, PERP, SAFE, USDC
from tests.test_adjust import computed as ruled
from tests.test_adjust import frozen, line
from tests.test_entitlement import half_known
from tests.test_manifests import FROZEN
from tests.test_payees import made, payee
from tests.variants import computed, variant

PRECEDENTS = sorted((Path(__file__).parent / "precedents").glob("*.toml"))
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
KEY = bytes([7]) * 32
WHO = Account.from_key(KEY).address
AT = 1_614_600_000
OPTIONS = {"--space": "perp.eth", "--from": WHO, "--timestamp": str(AT), "--snapshot": "11950000"}
HOSTILE = [
    "<script>alert(1)</script> &lt;b&gt; <!-- -->",
    "[a](https://evil.example) ![b c](x) <https://evil.example> https://evil.example www.evil.example me@evil.example",
    "[a b](https://evil.example) [a][b] [a]: https://evil.example",
    "# no heading | no cell | **no** _no_ ~~no~~ `no` $x$ \\ ``` x",
    "*no emphasis over words*",
    "- no list",
    "1. no list",
    "> no quote",
    "[x]: https://evil.example",
    "`",
    "0.5 and 100 % stay [as] they are: even (here)!",
]


def content(run: Run, limits: Limits = Limits()) -> tuple[str, dict[str, Any]]:  # noqa: B008 - frozen
    """proposal.md and proposal.json, with nothing in the files whose hashes they state."""
    made = proposal(run, dict.fromkeys(HASHED, b""), limits)
    document: dict[str, Any] = json.loads(made[CONTENT])
    return made[PAGE].decode(), document


def rows(page: str) -> list[list[str]]:
    """The cells of the table of accounts."""
    return [[cell.strip(" `*") for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith(("| `0x", "| **"))]


def units(run: Run) -> dict[str, int]:
    """Token -> the base units of all payouts."""
    return {leg.token: sum(map(int, run.payouts.filter(token=leg.token)["amount_base_units"])) for leg in run.incident.settlement}


# The text


def test_the_rehearsals_proposal_says_what_its_tables_say(rehearsal: Run) -> None:
    published = files(rehearsal)
    page, told = published[PAGE].decode(), json.loads(published[CONTENT])
    assert told["title"] == "Compensation: Rehearsal of the BTC flash crash of 2021-02-20, 22:45 UTC"
    assert page == f"# {told['title']}\n\n{told['body']}"
    assert told["body"].startswith("**DRAFT.** ")
    assert told["characters"] == {"title": 71, "body": characters(told["body"]), PAGE: characters(page)}
    *accounts, total = rows(page)
    paid = rehearsal.payouts.filter(rehearsal.payouts["amount"] > 0).sort("entitlement", descending=True)
    assert [row[0].lower() for row in accounts] == paid["trader"].to_list()
    assert [row[2] for row in accounts] == [f"{amount:,.18f}"[:-16] for amount in paid["amount"]]
    assert total == ["21 accounts", "56,987.45", "8,220.33"]
    assert told["totals"] == {
        "accounts": 21,
        "entitlement": {"unit": "USDC", "amount": "56987.450818642970225288"},
        "paid": {"PERP": {"base_units": "8220331472917692825739", "decimals": 18, "address": PERP}},
    }
    for name in HASHED:
        digest = hashlib.sha256(published[name]).hexdigest()
        assert told["sha256"][name] == digest
        assert f"- `{name}`: sha256 `{digest}`" in page
    for words in (NO_PRECEDENT, "Of 29 accounts, 21 are paid and 8 get 0", "8 accounts acted in the window and are left out", "(10.96 %)"):
        assert words in page
    assert {command[1] for command in re.findall("`(perpcomp ([a-z]+)[^`]*)`", page)} == {"verify", "explain", "payouts", "compare"}


def test_the_choices_are_what_is_compared_with_its_total_and_none(rehearsal: Run) -> None:
    _, told = content(rehearsal)
    assert told["choices"][0] == "margin-upl-funding: 56,987 USDC"
    assert told["choices"][-1] == NOTHING
    assert told["recommended"] == 1
    by_name = {one["name"]: one for one in told["options"]}
    assert set(by_name) == set(rehearsal.comparison["formula"])
    for name, one in by_name.items():
        assert Decimal(one["total"]) == sum(rehearsal.comparison.filter(formula=name)["amount"])
        if one["choice"]:
            assert told["choices"][one["choice"] - 1] == f"{name}: {int(Decimal(one['total'])):,} USDC"
    assert [by_name[name]["choice"] for name in ("equity", "realized-loss", "penalty-only")] == [None] * 3
    ranked = [Decimal(one["total"]) for one in told["options"] if one["choice"] not in (1, None)]
    assert ranked == sorted(ranked, reverse=True)


def test_what_stands_against_a_vote_is_said_first(rehearsal: Run) -> None:
    """A what-if, a stopped payment and a draft; a frozen run begins with the sentence."""
    frozen = replace(
        rehearsal, problems=(Finding("note", "x", "Frozen.", "", code="frozen"),), incident=replace(rehearsal.incident, notice="")
    )
    assert content(frozen)[1]["body"].startswith(in_one_sentence(frozen))
    doubt = Finding("error", "the input", "Something is in doubt.", "", stops=True)
    page, told = content(replace(rehearsal, problems=(doubt,)))
    assert told["title"].startswith("STOPPED, not for a vote. Compensation: ")
    assert told["body"].startswith("**PAYMENT IS STOPPED.** ")
    assert (told["choices"], told["options"], told["stopped"]) == ([NOTHING], [], True)
    assert "- **error** the input: Something is in doubt." in page
    assert "56,987" not in page, "no amount that is in doubt"
    assert told["totals"]["entitlement"]["amount"] == "0"
    what_if = computed("rehearsal", formula="margin-only")
    page, told = content(what_if)
    assert told["title"].startswith("WHAT-IF, not for a vote. Compensation: ")
    assert told["body"].startswith("**WHAT-IF.** This is a what-if (formula margin-only), not the run")
    assert told["choices"][0].startswith("margin-only: ")


def test_the_title_has_the_incident_and_its_date_and_no_more_than_fits(tmp_path: Path) -> None:
    def title(named: str) -> str:
        run = build.run(tmp_path, position(1, address(1), 1, 55_000, 9_000, 50_000), {"A made-up incident": named})
        told: str = content(run)[1]["title"]
        return told

    assert title("A crash") == "Compensation: A crash (2021-02-20)"
    assert title("Compensation for 2021-02-20") == "Compensation for 2021-02-20"
    for fill in ("a", "🦄"):
        long = title(fill * 300)
        assert 255 <= characters(long) <= 256
        assert long.endswith(f"{fill}… (2021-02-20)")
    assert characters(title("a" * 229)) == 256
    assert "…" not in title("a" * 229)
    assert "…" in title("a" * 230)


def test_the_ledger_its_rulings_and_its_freeze_are_told(tmp_path: Path) -> None:
    ruling = line(1, reason="a *double* account")
    page, told = content(ruled(tmp_path, [ruling]))
    assert told["status"] == "DRAFT"
    assert "1 ruling corrected what single traders are owed" in page
    assert f"- {address(1)}: {ruling['kind']} {ruling['amount']} USDC; a `*double*` account ({ruling['ruling']})" in page
    assert "The ledger has 1 line; the last hash is `" in page
    assert "It is not frozen: an objection that is ruled on changes these amounts." in page
    final = ruled(tmp_path, [ruling, frozen(tmp_path, [ruling])])
    page, told = content(final)
    assert (told["status"], told["body"].startswith(shown(in_one_sentence(final)))) == ("FINAL", True)
    assert "Frozen by ledger.csv row 3, by the committee, not signed; objections until 2021-03-08T00:00:00Z." in page


def test_every_key_and_the_order_of_what_is_cut_stand_in_the_page_on_results(tmp_path: Path) -> None:
    page = " ".join((Path(__file__).parent.parent / "outputs" / "README.md").read_text().split())
    made = proposal(governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE), dict.fromkeys(HASHED, b""))
    for name in (CONTENT, GOVERNOR):
        table = page[page.index(f"key of `{name}`") :]
        assert [key for key in json.loads(made[name]) if f"`{key}`" not in table] == []
    assert f"in this order, and says how many and where they are: {', '.join(CUT_FIRST)}." in page


# Choices at their limits


def option(name: str, total: int = 1_234_567, incomplete: int = 0) -> Option:
    return Option(name, total * fixed.ONE + fixed.ONE // 4, 3, incomplete)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("a" * 12, f"{'a' * 12}: 1,234,567.25 USDC"),
        ("a" * 13, f"{'a' * 13}: 1,234,567.25 USDC"),
        ("a" * 14, f"{'a' * 14}: 1,234,567 USDC"),
        ("a" * 16, f"{'a' * 16}: 1,234,567 USDC"),
        ("a" * 17, f"{'a' * 15}…: 1,234,567 USDC"),
        ("🦄" * 8, f"{'🦄' * 8}: 1,234,567 USDC"),
        ("🦄" * 9, f"{'🦄' * 7}…: 1,234,567 USDC"),
    ],
)
def test_a_choice_has_at_most_32_characters(name: str, label: str) -> None:
    assert _labels([option(name)], "USDC", 32) == [label]
    assert characters(label) <= 32
    assert characters(label) >= 29


def test_choices_that_a_cut_would_make_the_same_are_numbered() -> None:
    names = [f"{'a' * 30}{n}" for n in range(3)]
    assert _labels([option(name) for name in names], "USDC", 32) == [f"{n}. {'a' * 12}…: 1,234,567 USDC" for n in (1, 2, 3)]
    long = [option(f"{'a' * 40}{n}", 7) for n in range(3)]
    assert _labels(long, "A-UNIT-OF-MANY-LETTERS", 32) == [f"{n}. {'a' * 28}…" for n in (1, 2, 3)]
    assert _labels([option("short", 7)], "A-UNIT-OF-MANY-LETTERS", 32) == ["short: 7 A-UNIT-OF-MANY-LETTERS"]


def test_an_incomplete_total_is_at_least_and_small_ones_are_not_zero() -> None:
    assert _labels([option("a", 5, incomplete=1)], "USDC", 32) == ["a: ≥5.25 USDC"]
    assert _labels([Option("a", 5, 1, 0)], "USDC", 32) == ["a: 0.000000000000000005 USDC"]
    assert _labels([Option("a" * 20, 5, 1, 0)], "USDC", 32) == ["a" * 20]


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=40), min_size=1, max_size=9, unique=True
    )
)
def test_choices_are_never_too_long_empty_or_the_same(names: list[str]) -> None:
    labels = _labels([option(name, 10**n) for n, name in enumerate(names)], "USDC", 32)
    assert len(set(labels)) == len(names)
    assert all(0 < characters(label) <= 32 for label in labels)


def rule(name: str, factor: str = "1") -> str:
    return f'[[rule]]\nname = "{name}"\nbase = "margin-only"\nsource = "recording"\n[[rule.step]]\nkind = "scale"\nfactor = {factor}\n\n'


@pytest.mark.parametrize("number", [9, 10])
def test_nine_rules_fit_beside_no_compensation_and_what_does_not_is_named(number: int, tmp_path: Path) -> None:
    wanted = "".join(rule(f"rule-{n}", f"0.{n + 10}") for n in range(number))
    incident = variant("rehearsal", wanted, {'name = "margin-upl-funding"': 'name = "rule-3"'})
    run = pipeline.compute(incident, find_input(incident, None), compared=[f"rule-{n}" for n in range(number)])
    page, told = content(run)
    assert len(told["choices"]) == 10
    assert [one["name"] for one in told["options"]][:4] == ["rule-3", "rule-0", "rule-1", "rule-2"]
    assert [one["name"] for one in told["options"] if one["choice"] is None] == ["rule-9"][: number - 9]
    assert ("- rule-9: 8,964.69 USDC to 29 accounts (beyond the number of choices)" in page) == (number == 10)
    assert f"10. **{NOTHING}**." in page


def test_rules_that_give_every_account_the_same_are_one_choice(tmp_path: Path) -> None:
    """Else they would share the votes of those who want it. What gives nobody anything is no compensation."""
    added = rule("twice", "2") + rule("same", "1") + rule("nothing", "0")
    run = computed("rehearsal", added, {'name = "margin-upl-funding"': 'name = "same"'})
    page, told = content(run)
    numbers = {one["name"]: one["choice"] for one in told["options"]}
    assert (numbers["same"], numbers["margin-only"], numbers["twice"]) == (1, 1, 2)
    assert numbers["nothing"] == len(told["choices"])
    assert "; the same as margin-only.\n" in page
    assert f"**{NOTHING}**; nothing would pay nobody either." in page
    nobody = computed("rehearsal", added, {'name = "margin-upl-funding"': 'name = "nothing"'})
    assert content(nobody)[1]["recommended"] == 10


# The limit of the body


def test_a_body_of_10000_characters_is_whole_and_one_more_cuts_a_list() -> None:
    lines = [f"- {n:03}" for n in range(100)]
    listed = Listed("findings", lines, lambda n: [f"- {100 - n} more"] if n < 100 else [])
    room = 10_000 - len("\n".join(lines)) - 1
    for text in ("a" * room, "🦄" * (room // 2) + "a" * (room % 2)):
        whole, left_out = fitted([text, listed], 10_000, CUT_FIRST)
        assert (characters(whole), left_out) == (10_000, {})
        less, left_out = fitted([text + "a", listed], 10_000, CUT_FIRST)
        assert left_out == {"findings": 2}, "the line that says so takes the place of a second one"
        assert less.endswith("- 097\n- 2 more")
        assert characters(less) <= 10_000


def test_lists_are_cut_one_after_the_other_in_the_stated_order() -> None:
    def listed(name: str) -> Listed:
        return Listed(name, [name * 3] * 50, lambda n: [f"{50 - n} of {name}"] if n < 50 else [])

    text = [listed(name) for name in reversed(CUT_FIRST)]
    size = characters(fitted(text, 10**6, CUT_FIRST)[0])
    for most in range(size - 1, 700, -211):
        less, left_out = fitted(text, most, CUT_FIRST)
        assert characters(less) <= most
        met = [name for name in CUT_FIRST if name in left_out]
        assert met == list(CUT_FIRST[: len(met)])
        assert all(left_out[name] == 50 for name in met[:-1])
        assert f"{left_out[met[-1]]} of {met[-1]}" in less


def test_a_text_without_lists_is_cut_last_and_says_so() -> None:
    lines = ["a" * 400] * 10
    cut_lines, left_out = fitted(lines, 3_500, CUT_FIRST)
    assert left_out == {"lines": 10}
    assert {len(line) for line in cut_lines.split("\n")} == {LONGEST}
    ended, left_out = fitted(["b" * 200] * 30, 1_000, CUT_FIRST)
    assert ended.endswith(MORE)
    assert left_out == {"lines": 30 - ended.count("b" * 200)}
    assert 800 < characters(ended) <= 1_000


@given(st.text(max_size=50), st.integers(2, 20))
def test_a_cut_text_has_no_half_character(text: str, most: int) -> None:
    less = cut(text, most)
    assert characters(less) <= most
    assert less == text or (less.endswith("…") and text.startswith(less[:-1]))
    less.encode()


def test_5000_traders_fit_by_a_counted_list_and_the_hash_of_all(tmp_path: Path) -> None:
    events = [row for n in range(1, 5_001) for row in position(n, address(n), 1, 55_000, 1_000 + n, 50_000)]
    run = build.run(tmp_path, [{**row, "block_number": n} for n, row in enumerate(sorted(events, key=lambda row: row["block_number"]), 1)])
    page, told = content(run)
    *accounts, others, total = [line.split(" | ") for line in page.splitlines() if re.match(r"\| (`0x|[0-9,]+ other|\*\*)", line)]
    assert told["left_out_of_body"] == {"accounts": 5_000 - len(accounts)}
    assert 20 < len(accounts) < 200
    assert others[0] == f"| {5_000 - len(accounts):,} other accounts"
    assert 9_900 < characters(page) <= 10_000
    assert characters(page) + len(" | ".join(accounts[0])) > 10_000, "not one more fits"
    sums = [int(Decimal(row[1].replace(",", "")) * 100) for row in (*accounts, others)]
    assert sum(sums) == int(Decimal(total[1].replace(",", "")) * 100) == sum(range(1_001, 6_001)) * 100
    assert f"All accounts with every digit: `3-payouts.csv`, sha256 `{hashlib.sha256(b'').hexdigest()}`." in page


@pytest.mark.parametrize("path", PRECEDENTS, ids=lambda path: path.stem)
def test_every_precedent_has_a_proposal(path: Path) -> None:
    """Runs that start from published tables, with rules, pots and two tokens."""
    incident = incident_file.load(str(path))
    run = pipeline.compute(incident, find_input(incident, None))
    page, told = content(run)
    assert {token: int(one["base_units"]) for token, one in told["totals"]["paid"].items()} == units(run)
    assert told["choices"][-1] == NOTHING
    assert len(set(told["choices"])) == len(told["choices"]) <= 10
    assert all(0 < characters(choice) <= 32 for choice in told["choices"])
    assert characters(page) <= 10_000
    assert ".." not in page
    assert in_one_sentence(run).split(" (")[0] in page
    total = rows(page)[-1] if told["totals"]["accounts"] else ["0 accounts", "", *([""] * len(run.incident.settlement))]
    assert len(total) == 2 + len(run.incident.settlement)
    assert total[0].startswith(f"{told['totals']['accounts']:,} account")


def test_nobody_paid_and_incomplete_sums_are_said(tmp_path: Path) -> None:
    page, told = content(made(tmp_path, {address(1): 5_000}, payee(address(1), MARKET)))
    assert "\nNobody is paid.\n" in page
    assert "UNPAYABLE: 5,000 USDC of 1 address." in page
    assert MARKET not in page.lower().split("## findings")[0]
    assert told["totals"]["accounts"] == 0
    page, told = content(half_known(tmp_path))
    assert "at least " in page
    assert told["choices"][0].partition(": ")[2].startswith("≥")


# Foreign text


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_is_shown_as_it_is_and_is_nothing_else(text: str) -> None:
    """Wherever CommonMark is read; tests/chain asks Snapshot's own reader."""
    for place in ("{}", "# {}", "> {}", "- {}", "**x.** {}", "x {}: y"):
        tokens = MARKDOWN.parse(place.format(shown(text)))
        (inline,) = (token for token in tokens if token.type == "inline")
        children = [child for child in inline.children or [] if child.type not in ("strong_open", "strong_close")]
        assert {child.type for child in children} <= {"text", "code_inline"}
        assert text in "".join(child.content for child in children)
        assert [t.type for t in tokens].count("bullet_list_open") == (place == "- {}")
        assert [t.type for t in tokens].count("heading_open") == (place == "# {}")
    (row,) = [token for token in MARKDOWN.parse(f"| a | b |\n|---|---|\n| {cell(text)} | x |") if token.type == "tbody_open"]
    assert row
    assert not re.search(r"[a-z]://|www\.", re.sub("(`+).*?\\1", "", shown(text))), "no link that a site makes of bare text"


def test_hostile_words_of_an_incident_stay_words(tmp_path: Path) -> None:
    hostile = "<img src=x> [x](https://evil.example) | `x`"
    changes = {
        "A made-up incident": hostile,
        "the treasury": hostile,
        'test = "a test"': f'test = {{ text = "{hostile}", url = "{hostile}" }}',
    }
    page, told = content(build.run(tmp_path, position(1, address(1), 1, 55_000, 9_000, 50_000), changes))
    kinds = {child.type for token in MARKDOWN.parse(page) for child in token.children or []}
    assert kinds == {"text", "code_inline", "strong_open", "strong_close", "softbreak"} - {"softbreak"}
    assert page.count(shown(hostile)) >= 3
    assert told["title"] == f"Compensation: {hostile} (2021-02-20)", "a title is no Markdown"


# What is signed


def printed(folder: Path, *more: str, **options: str) -> Any:
    words = [word for pair in {**OPTIONS, **{f"--{name}": value for name, value in options.items()}}.items() for word in pair]
    return call("proposal", "o", *words, *more, cwd=folder)


@pytest.fixture(scope="module")
def place(published_rehearsal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `o` is the published rehearsal."""
    where = tmp_path_factory.mktemp("proposal")
    (where / "o").symlink_to(published_rehearsal)
    return where


def test_the_typed_data_is_snapshots_and_anybody_recovers_the_signer(place: Path, published_rehearsal: Path) -> None:
    done = printed(place)
    assert done.returncode == 0
    data, told = json.loads(done.stdout), json.loads((published_rehearsal / CONTENT).read_bytes())
    types = {"Proposal": data["types"]["Proposal"]}
    digest = hashlib.sha256(json.dumps(types, separators=(",", ":")).encode()).hexdigest()
    assert digest == "e037b37311c75c995f732b57cd456bdc685e5eac29668698be34388cafb14097", "as JSON.stringify writes it"
    message = data["message"]
    assert list(message) == [name for name, _ in FIELDS]
    assert {name: message[name] for name in ("title", "body", "choices")} == {name: told[name] for name in ("title", "body", "choices")}
    assert (message["from"], message["space"], message["timestamp"], message["snapshot"]) == (WHO, "perp.eth", AT, 11_950_000)
    assert (message["start"], message["end"], message["type"]) == (AT, AT + 3 * 86_400, "single-choice")
    assert (message["plugins"], message["labels"], message["discussion"], message["privacy"]) == ("{}", [], "", "")
    signable = encode_typed_data(full_message=data)
    assert Account.recover_message(signable, signature=Account.sign_message(signable, KEY).signature) == WHO
    assert "warning: o: The run is a DRAFT" in done.stderr
    assert "from 2021-03-01T12:00:00Z (1614600000) to 2021-03-04T12:00:00Z (1614859200)" in done.stderr
    assert "there is no governor.json: add [claims] with formats" in done.stderr


def test_times_and_type_are_as_stated(place: Path) -> None:
    done = printed(
        place, "--quiet", timestamp="2021-03-01T12:00:00Z", start="2021-03-02T00:00:00+01:00", end="1614900000", type="ranked-choice"
    )
    message = json.loads(done.stdout)["message"]
    assert (message["timestamp"], message["start"], message["end"], message["type"]) == (AT, 1_614_639_600, 1_614_900_000, "ranked-choice")
    assert done.stderr.startswith("warning: o: The run is a DRAFT")


REFUSED = [
    ({"space": "Perp.eth"}, "--space: 'Perp.eth' is not in the normal form of ENS names. Write perp.eth."),
    ({"space": "perp"}, "--space: 'perp' is no name of a space: it has no dot."),
    ({"space": "s:perp.eth"}, "--space: 's:perp.eth' has the s: of the address of its page. Write perp.eth."),
    ({"space": "a b.eth"}, "--space: 'a b.eth' is no ENS name: Invalid character"),
    ({"space": "p\u0435rp.eth"}, "--space: 'p\u0435rp.eth' is no ENS name: "),
    ({"from": "0x12"}, "--from: It is \"0x12\", not an address."),
    ({"from": f"0x{WHO[2:].swapcase()}"}, "which has a wrong checksum"),
    ({"from": "0x" + "0" * 40}, "--from: It is the zero address, which signs nothing."),
    ({"timestamp": "1614600000000"}, "--timestamp: It is 1614600000000, and Snapshot takes times from 1000000000 to 2000000000."),
    ({"timestamp": "999999999"}, "--timestamp: It is 999999999, and"),
    ({"timestamp": "noon"}, "--timestamp: 'noon' is neither unix seconds nor a time."),
    ({"timestamp": "2021-03-01T12:00:00"}, "--timestamp: 2021-03-01T12:00:00 has no zone."),
    ({"timestamp": "2021-03-01T12:00:00.5Z"}, "--timestamp: 2021-03-01T12:00:00.5Z lies within a second."),
    ({"timestamp": "2000000000"}, "--end: It is 2000259200, and"),
    ({"start": "1614599999"}, "--start: The vote would start at 2021-03-01T11:59:59Z (1614599999), before the proposal is signed"),
    ({"end": "1614600000"}, "--end: The vote would end at 2021-03-01T12:00:00Z (1614600000), and it starts at"),
    ({"start": "1614700000", "end": "1614650000"}, "--end: The vote would end at"),
    ({"snapshot": "0"}, "--snapshot: 0 is no block."),
    ({"snapshot": str(2**53)}, "--snapshot: 9007199254740992 is no block."),
    ({"type": "basic"}, "--type: 'basic' is no voting type for choices of their own."),
    ({"type": "approvl"}, "--type: 'approvl' is no voting type for choices of their own. Did you mean 'approval'?"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_snapshot_would_refuse_is_refused_with_the_option(options: Mapping[str, str], said: str, place: Path) -> None:
    done = printed(place, **options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_the_edges_of_times_and_blocks_are_taken() -> None:
    Asked("perp.eth", WHO, 1_000_000_000, 1)
    assert Asked("perp.eth", WHO, 1_999_740_800, 2**53 - 1).ends == 2_000_000_000
    assert Asked("perp.eth", WHO, AT, 1, end=AT + 1).ends == AT + 1


def published(run: Run, folder: Path) -> Path:
    perpcomp.publish_run(run, folder / "o")
    return folder


def test_a_run_that_is_not_ready_is_refused(rehearsal: Run, tmp_path: Path) -> None:
    for name, run, said in (
        (
            "what-if",
            computed("rehearsal", formula="margin-only"),
            "The run is a what-if (formula margin-only): it recommends what the incident",
        ),
        ("stopped", replace(rehearsal, problems=(Finding("error", "x", "In doubt.", "", stops=True),)), "payment is stopped. x: In doubt."),
        ("half", half_known(tmp_path), "it is not complete, or not certain. 3-payouts.csv: "),
    ):
        done = printed(published(run, tmp_path / name))
        assert (done.returncode, done.stdout) == (2, ""), name
        assert said in done.stderr


def test_an_amount_that_nobody_can_be_paid_does_not_stop_a_vote(tmp_path: Path) -> None:
    run = made(tmp_path, {address(1): 5_000, address(2): 7_000}, payee(address(1), MARKET))
    assert {one.code for one in run.problems if one.level == "error"} == {"unpayable"}
    done = printed(published(run, tmp_path))
    assert done.returncode == 0
    assert "UNPAYABLE: 5,000 USDC of 1 address." in json.loads(done.stdout)["message"]["body"]


def test_a_changed_or_older_run_is_refused(rehearsal: Run, tmp_path: Path) -> None:
    file = published(rehearsal, tmp_path) / "o" / CONTENT
    file.write_text(file.read_text().replace("No compensation", "Full compensation"))
    done = printed(tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "proposal.json: The file has the sha256 " in done.stderr
    told = json.loads(file.read_text())
    for changes, said in (
        ({"choices": ["a" * 33]}, "the choice 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is too long"),
        ({"body": "a" * 10_001}, "its body or its choices are beyond its limits"),
        ({"format": "x"}, "its format is 'x', not perpcomp-proposal-v1"),
        ({"choices": "x"}, "Expected `array`"),
    ):
        file.write_text(json.dumps({**told, **changes}))
        stated.restate(tmp_path / "o", inputs=True)
        done = printed(tmp_path)
        assert done.returncode == 4
        assert said in done.stderr
    file.unlink()
    done = printed(tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "proposal.json: The file is missing." in done.stderr
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "o").symlink_to(FROZEN)
    done = printed(tmp_path / "old")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "perpcomp 0.1.0 made the run, and wrote no proposal. Make the run again: `perpcomp run o/inputs/rehearsal.toml --out FOLDER`."
        in done.stderr
    )


# The calls of a Governor


def governed(
    folder: Path,
    governor: str,
    pays: str,
    token: str,
    changes: Mapping[str, str],
    formats: str = '"cumulative"',
    count: int = 5,
    more: str = "",
) -> Run:
    """A run of so many traders, whose payouts a vote on chain executes."""
    claims = (
        f'[claims]\nformats = [{formats}]\nchain = 1\npayer = "{SAFE}"\nsource = "test"\n{more}\n'
        f'[claims.contracts]\ncumulative = "0x{"c0" * 20}"\nuniswap = "0x{"c1" * 20}"\n\n'
        f'[claims.governor]\naddress = "{governor}"\npays = "{pays}"\n\n[sources]'
    )
    events = [row for n in range(1, count + 1) for row in position(n, address(n), 1, 55_000, 1_000 + n, 50_000)]
    return build.run(folder, events, {"[sources]": claims, "decimals = 18\n": f'decimals = 18\naddress = "{token}"\n', **changes})


TOKEN, GOVERNS = "0x" + "d7" * 20, "0x" + "60" * 20


def calls_of(run: Run) -> dict[str, Any]:
    made = proposal(run, dict.fromkeys(HASHED, b""))
    document: dict[str, Any] = json.loads(made[GOVERNOR])
    assert document["description_hash"] == "0x" + keccak(made[PAGE]).hex()
    return document


def transfers(asked: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(token, to, base units) of each call, decoded."""
    found = []
    for target, value, data in zip(asked["targets"], asked["values"], asked["calldatas"], strict=True):
        assert (data[:10], value) == ("0xa9059cbb", "0"), "transfer(address,uint256)"
        to, amount = decode(["address", "uint256"], bytes.fromhex(data[10:]))
        found.append((target.lower(), to, amount))
    return found


def test_each_account_is_sent_its_payout_by_a_call(tmp_path: Path) -> None:
    run = governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE)
    asked = calls_of(run)
    assert transfers(asked) == [(TOKEN, who, int(units)) for who, units in run.payouts.select("trader", "amount_base_units").iter_rows()]
    assert [(one["to"].lower(), int(one["amount_base_units"])) for one in asked["calls"]] == [(to, n) for _, to, n in transfers(asked)]
    assert asked["totals"]["PERP"]["base_units"] == str(units(run)["PERP"])
    assert (asked["chain"], asked["governor"].lower(), asked["not_before"]) == (1, GOVERNS, 1_614_556_800)
    arguments = (
        asked["targets"],
        [0] * 5,
        [bytes.fromhex(one[2:]) for one in asked["calldatas"]],
        bytes.fromhex(asked["description_hash"][2:]),
    )
    assert asked["proposal_id"] == str(int.from_bytes(keccak(encode(["address[]", "uint256[]", "bytes[]", "bytes32"], arguments))))
    page, _ = content(run)
    assert "executes 5 calls, which send each account its payout: 716.42 PERP in all." in page
    assert "A vote there is for or against choice 1, and decides on no other." in page
    assert "must not be executed before 2021-03-01T00:00:00Z" in page


def test_two_tokens_are_sent_to_the_unit(tmp_path: Path) -> None:
    run = governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE | HALF_USDC)
    sums: dict[str, int] = {}
    for token, _, amount in transfers(calls_of(run)):
        sums[token] = sums.get(token, 0) + amount
    assert sums == {TOKEN: units(run)["PERP"], USDC: units(run)["USDC"]}


@pytest.mark.parametrize(("pays", "to"), [("payer", SAFE), ("cumulative", "0x" + "c0" * 20)])
def test_the_payer_or_a_claim_contract_is_sent_everything_of_every_date(pays: str, to: str, tmp_path: Path) -> None:
    run = governed(tmp_path, GOVERNS, pays, TOKEN, {})
    assert run.claims["tranche"].n_unique() == 4
    asked = calls_of(run)
    assert transfers(asked) == [(TOKEN, to, units(run)["PERP"])]
    assert asked["not_before"] is None
    page, _ = content(run)
    assert ("claims/cumulative/transactions.json` must be left out" in page) == (pays == "cumulative")


def test_the_roots_of_the_claim_trees_stand_in_the_text(tmp_path: Path) -> None:
    made = files(governed(tmp_path, GOVERNS, "cumulative", TOKEN, {}))
    roots: dict[str, str] = json.loads(made[CONTENT])["roots"]
    assert roots == {
        f"claims/cumulative/tranche-{n}.json": json.loads(made[f"claims/cumulative/tranche-{n}.json"])["tree"][0] for n in range(4)
    }
    for file, root in roots.items():
        assert f"- `{file}`: root `{root}`, sha256 `{hashlib.sha256(made[file]).hexdigest()}`" in made[PAGE].decode()


def test_an_address_that_nobody_may_pay_is_in_no_call(tmp_path: Path) -> None:
    run = governed(tmp_path, GOVERNS, "payees", TOKEN, {**AT_ONCE, "[allocation]": payee(address(2), MARKET) + "[allocation]"})
    assert run.payees.filter(~run.payees["payable"])["payee"].to_list() == [MARKET]
    asked = calls_of(run)
    assert {to for _, to, _ in transfers(asked)} == {address(n) for n in (1, 3, 4, 5)}
    assert MARKET[2:] not in json.dumps(asked).lower()
    assert sum(amount for *_, amount in transfers(asked)) == units(run)["PERP"]


def test_no_calls_are_written_of_a_what_if_and_where_nobody_is_paid(tmp_path: Path) -> None:
    run = governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE)
    what_if = pipeline.compute(run.incident, run.input, "split-50-50")
    assert GOVERNOR not in proposal(what_if, dict.fromkeys(HASHED, b""))
    nobody = governed(
        tmp_path,
        GOVERNS,
        "payees",
        TOKEN,
        {**AT_ONCE, "reference_price = 50_000": "reference_price = 1_000", 'name = "margin-only"': 'name = "margin-upl-funding"'},
    )
    done = printed(published(nobody, tmp_path))
    assert "there is no governor.json: the run pays nobody." in done.stderr


@pytest.mark.parametrize(
    ("pays", "changes", "said"),
    [
        ("payees", {}, "these unlock at 4 dates. Set pays = \"payer\""),
        ("uniswap", {}, "uniswap has a contract of its own for each date and token: here 4 dates and 1 token."),
    ],
)  # fmt: skip
def test_what_one_vote_cannot_pay_is_refused(pays: str, changes: Mapping[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        calls_of(governed(tmp_path, GOVERNS, pays, TOKEN, changes, '"cumulative", "uniswap"'))


def test_one_transaction_holds_100_transfers(tmp_path: Path) -> None:
    assert len(transfers(calls_of(governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE, count=100)))) == 100
    with pytest.raises(InputError, match="101 transfers are too many for it; 100 fit"):
        calls_of(governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE, count=101))


def test_a_governor_that_is_paid_by_its_own_vote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a payee of its own vote"):
        calls_of(governed(tmp_path, address(3), "payees", TOKEN, AT_ONCE))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ('pays = "payer"', "payer is missing, and [claims.governor] pays it."),
        ('pays = "multi-token"', "names no multi-token, and [claims.governor] funds it."),
        ('pays = "multi-token"', "formats has no multi-token, and [claims.governor] funds its contract."),
        ('pays = "everybody"', "pays is \"everybody\""),
        ("", "pays is missing"),
    ],
)  # fmt: skip
def test_a_governor_that_is_half_stated_is_refused(claims: str, said: str, tmp_path: Path) -> None:
    table = (
        f'[claims]\nformats = ["cumulative"]\nchain = 1\nsource = "test"\n[claims.governor]\naddress = "{GOVERNS}"\n{claims}\n\n[sources]'
    )
    with pytest.raises(InputError) as refused:
        build.made_up(tmp_path, {"[sources]": table})
    assert any(said in problem.what for problem in refused.value.problems)


def test_a_payer_that_is_the_governor_would_pay_itself(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would pay itself"):
        governed(tmp_path, SAFE, "payer", TOKEN, {})


def test_what_is_missing_for_calls_is_said(tmp_path: Path) -> None:
    run = build.run(tmp_path, position(1, address(1), 1, 55_000, 9_000, 50_000))
    done = printed(published(run, tmp_path))
    assert not (tmp_path / "o" / GOVERNOR).exists()
    assert (
        "there is no governor.json: add the address of PERP to [[settlement]], [claims] with formats, chain and a source,"
        " [claims.governor] with address and pays to the incident file, and run again."
    ) in done.stderr


# Verify


def test_verify_finds_a_changed_proposal_and_knows_that_versions_word_it_otherwise(tmp_path: Path) -> None:
    folder = published(governed(tmp_path, GOVERNS, "payees", TOKEN, AT_ONCE), tmp_path) / "o"
    assert perpcomp.verify(folder).same
    manifest = folder / "manifest.json"

    def altered(name: str, old: str, new: str) -> set[str]:
        before = {path: path.read_bytes() for path in (folder / name, manifest)}
        (folder / name).write_text((folder / name).read_text().replace(old, new, 1))
        stated.restate(folder, inputs=True)
        found = {one.where for one in perpcomp.verify(folder).differences}
        for path, data in before.items():
            path.write_bytes(data)
        return found

    assert altered(PAGE, "no precedent", "a precedent") >= {PAGE}
    stated.change(folder, lambda s: s["tool"].update(version="0.2.1"))
    assert altered(PAGE, "no precedent", "a precedent") == set()
    assert altered(PAGE, "5 accounts", "6 accounts") == {PAGE}
    assert altered(CONTENT, "no precedent", "a precedent") == set()
    assert altered(CONTENT, '"recommended": 1', '"recommended": 2') == {f"{CONTENT} recommended"}
    assert altered(GOVERNOR, '"description_hash": "0x', '"description_hash": "0x1') == set()
    assert altered(GOVERNOR, '"chain": 1', '"chain": 2') == {f"{GOVERNOR} chain"}
    assert altered(GOVERNOR, "{", "") == {GOVERNOR}
