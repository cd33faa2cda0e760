"""README.md of a run's folder: its numbers are the tables', its commands work, and a foreign text in it stays text."""

import re
import shlex
from decimal import Decimal
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

import perpcomp
from perpcomp.findings import Finding
from perpcomp.publish.markdown import escaped
from perpcomp.publish.readme import readme
from perpcomp.publish.sentence import in_one_sentence
from perpcomp.run import Run
from tests import build, stated
from tests.build import address, position
from tests.commands import call
from tests.test_entitlement import half_known
from tests.test_payees import made, payee

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tables(text: str) -> list[list[list[str]]]:
    """Every table as a reader of Markdown sees it: rows of cells of text."""
    found: list[list[list[str]]] = []
    for token in MARKDOWN.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append("".join(child.content for child in token.children or []))
    return found


def test_the_rehearsals_page_says_what_its_tables_say(rehearsal: Run) -> None:
    text = readme(rehearsal).decode()
    funds, payouts = tables(text)
    paid = sum(rehearsal.payouts["amount"])
    budgets = {budget.name: budget.amount for budget in rehearsal.incident.budgets}
    for name, _, needs, share in funds[1:]:
        if name in budgets:
            assert needs == f"{paid:,.18f}"[:-16] + " PERP"
            assert Decimal(share.removesuffix(" %")) == int(paid / budgets[name] * 10_000) / Decimal(100)
    assert {row[0] for row in funds[1:]} == {*budgets, "insurance fund"}
    ranked = rehearsal.payouts.sort("entitlement", descending=True)
    assert [row[0].lower() for row in payouts[1:11]] == ranked["trader"].head(10).to_list()
    assert [row[2] for row in payouts[1:11]] == [f"{amount:,.18f}"[:-16] for amount in ranked["amount"].head(10)]
    assert payouts[-1] == ["29 accounts", "56,987.45", "8,220.33"]
    assert "Of 29 accounts, 21 are paid and 8 get 0:\n\n- 8 accounts (under-water): nothing of the position is left" in text
    assert "5 accounts (not-liquidated)" in text
    assert "first log in block 13500009" in text
    assert "0 errors, 0 warnings, 9 notes. All are in `findings.csv`." in text


def test_one_sentence_says_who_gets_what_for_what_by_which_rule_and_when(rehearsal: Run) -> None:
    assert in_one_sentence(rehearsal) == (
        "Pay 8,220.33 PERP to 21 accounts for positions that were liquidated in BTCUSDC in the window"
        " (2021-02-20T22:45:00Z to 2021-02-21T00:45:01Z), for entitlements of 56,987.45 USDC by the formula margin-upl-funding"
        " (give back what the margin ratio counts as the trader's, at the price and moment of [valuation]: by default one price for all),"
        " and unlock 50 % at 2021-03-01 00:00 UTC, the rest in 3 equal tranches over 3 calendar months; the tranche dates bind."
    )


def test_nobody_is_said_to_be_paid_while_payment_is_stopped_or_nothing_is_owed(rehearsal: Run, tmp_path: Path) -> None:
    nothing = made(tmp_path, {address(1): 5_000}, payee(address(1), build.MARKET))
    assert in_one_sentence(nothing).startswith("Pay nothing for positions that were liquidated in BTCUSDC")
    assert "- UNPAYABLE: 5,000 USDC of 1 address." in readme(nothing).decode()
    assert "- **error** " in readme(nothing).decode()
    doubt = Finding("error", "the input", "Something is in doubt.", "", stops=True)
    stopped = readme(replace(rehearsal, problems=(doubt,))).decode()
    assert "**What is proposed.** Pay nothing yet for positions" in stopped
    assert "- **error** the input: Something is in doubt.\n" in stopped


def test_an_incomplete_sum_is_at_least(tmp_path: Path) -> None:
    funds, _ = tables(readme(half_known(tmp_path)).decode())
    assert all(row[2].startswith("at least ") and row[3].startswith("at least ") for row in funds[1:])


HOSTILE = [
    "<script>alert(1)</script> &lt;b&gt; <!-- -->",
    "[a](https://evil.example) ![b](x) <https://evil.example> https://evil.example www.evil.example me@evil.example",
    "# no heading | no cell | **no** _no_ ~~no~~ `no` $x$ \\",
    "- no list",
    "1. no list",
    "1) no list",
    "--- no rule",
    "=== no heading",
    "> no quote",
    "0.5 and 100 % stay",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_escaped_text_is_shown_as_it_is_and_is_nothing_else(text: str) -> None:
    for place in ("{}", "# {}", "> {}", "- {}", "**x.** {}"):
        tokens = MARKDOWN.parse(place.format(escaped(text)))
        (inline,) = (token for token in tokens if token.type == "inline")
        children = [child for child in inline.children or [] if child.type not in ("strong_open", "strong_close")]
        assert {child.type for child in children} == {"text"}
        assert "".join(child.content for child in children).removeprefix("x. ") == text
        assert [t.type for t in tokens].count("bullet_list_open") == (place == "- {}")
        assert [t.type for t in tokens].count("heading_open") == (place == "# {}")
    (row,) = tables(f"| a | b |\n|---|---|\n| {escaped(text)} | x |")[0][1:]
    assert row == [text, "x"]
    assert not re.search(r"(?<!\\)[<>@]|[a-z]://|www\.", escaped(text)), "no link that a site makes of bare text"


def test_a_text_cannot_leave_its_line_or_turn_it_round() -> None:
    assert escaped("a\n\n# b\r\nc\u202ed\x1b[1m\u2028e") == "a \\# b c\N{REPLACEMENT CHARACTER}d\N{REPLACEMENT CHARACTER}\\[1m e"


def test_hostile_words_of_an_incident_stay_words_on_the_page(tmp_path: Path) -> None:
    hostile = "<img src=x> [x](https://evil.example) | `x`"
    changes = {"A made-up incident": hostile, "the treasury": hostile}
    text = readme(build.run(tmp_path, position(1, address(1), 1, 55_000, 9_000, 50_000), changes)).decode()
    kinds = {child.type for token in MARKDOWN.parse(text) for child in token.children or []}
    assert kinds == {"text", "code_inline", "strong_open", "strong_close"}
    assert text.count(escaped(hostile)) == 2


def test_the_commands_of_the_page_work_in_its_folder(tmp_path: Path) -> None:
    assert call("run", "--out", "o", "--quiet", cwd=tmp_path).returncode == 0
    block = re.search(r"```sh\n(.*?)```", (tmp_path / "o" / "README.md").read_text(), re.DOTALL)
    assert block
    commands = block[1].splitlines()
    assert len(commands) == 4
    for command in commands:
        done = call(*shlex.split(command)[1:], cwd=tmp_path / "o")
        assert done.returncode == 0, done.stderr
        assert done.stdout or "PASS" in done.stderr


def test_the_page_is_part_of_the_manifest_and_of_verify(rehearsal: Run, tmp_path: Path) -> None:
    perpcomp.publish_run(rehearsal, tmp_path / "o")
    page = tmp_path / "o" / "README.md"
    assert "README.md" in stated.read(tmp_path / "o")["files"]
    page.write_text(page.read_text().replace("8,220.33", "9,220.33"))
    for _ in range(2):
        assert perpcomp.verify(tmp_path / "o").differences[0].where == "README.md"
        stated.restate(tmp_path / "o")
    # Another version may use other words, and no other numbers.
    stated.change(tmp_path / "o", lambda s: s["tool"].update(version="0.2.1"))
    verdict = perpcomp.verify(tmp_path / "o")
    assert {(one.where, one.published) for one in verdict.differences} == {("README.md", "9220.33")}
    page.write_text(page.read_text().replace("9,220.33", "8,220.33").replace("Which one pays is for the vote to say.", "You decide."))
    stated.restate(tmp_path / "o")
    verdict = perpcomp.verify(tmp_path / "o")
    assert verdict.same
    assert "README.md: words differ. Compared: its numbers." in verdict.notes
