"""report.html: read again, its arithmetic gives what the CSV files pay; its markup is inert, complete and the same everywhere."""

import base64
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import is_checksum_address
from msgspec.structs import replace

import perpcomp
from perpcomp import pipeline
from perpcomp.explain.explain import explain
from perpcomp.findings import Finding
from perpcomp.incident import incident_file
from perpcomp.input import find_input
from perpcomp.number_text import in_full
from perpcomp.publish.charts import charts
from perpcomp.publish.report import accounts, parts, report
from perpcomp.publish.report.accounts import FEW, NAME
from perpcomp.publish.report.figures import MOST_FIGURES
from perpcomp.publish.report.parts import FIRST, MOST_ROWS
from perpcomp.publish.sentence import in_one_sentence
from perpcomp.run import Run
from perpcomp.tables.files import row_hash
from perpcomp.tables.payouts import PAYOUTS
from perpcomp.totals import entitled, total_of
from tests import build, stated
from tests.build import address, position
from tests.page import Element, Row, read, tables
from tests.test_explain import value_of
from tests.test_synthetix_v2_recorded import incident as perps_v2
from tests.variants import computed

pytestmark = pytest.mark.money

PRECEDENTS = Path(__file__).parent / "precedents"
TWO_TOKENS = """
[[settlement]]
token = "PERP"
decimals = 18
share = "1/3"
price = 6.93250035067212
price_policy = "close"
source = "F3"

[[settlement]]
token = "USDC"
decimals = 6
share = "2/3"
price = 1
price_policy = "fixed"
source = "F3"
"""
LEG = """[[settlement]]
token = "PERP"
decimals = 18
address = "0xbc396689893d065f41bc2c6ecbee5e0085233447"
share = 1
price = 6.93250035067212
price_policy = "close of 2021-02-21 UTC, fixed for all tranches"
source = ["F3", "price"]
"""
POT = """
[[rule]]
name = "a-pot"
base = "margin-upl-funding"
source = "F2"

[[rule.step]]
kind = "cap-per-trader"
cap = 15_000
excess = "kept"

[[rule.step]]
kind = "pro-rata-budget"
pot = 45_000
"""
BY_POT = {'name = "margin-upl-funding"\nsource = ["F34", "F35"]': 'name = "a-pot"\nsource = "F2"'}
RULINGS = """
[quote]
price = 0.9
priced_in = "EUR"
source = "recording"

[[received]]
address = "{0}"
amount = 1_000.25
source = "recording"

[[received]]
address = "{1}"
amount = 1_000_000
source = "recording"

[[adjustment]]
trader = "{0}"
kind = "scale"
factor = "1/3"
reason = "a reason"
evidence = "a post"
author = "somebody"
ruling = "vote 1"
date = 2021-03-01T00:00:00Z
source = "recording"

[[adjustment]]
trader = "{2}"
kind = "set"
amount = 77
reason = "a reason"
evidence = "a post"
author = "somebody"
ruling = "vote 2"
date = 2021-03-01T00:00:00Z
source = "recording"

[[payee]]
account = "{3}"
to = "{4}"
share = "1/3"
reason = "its owner"
source = "recording"

[[payee]]
account = "{3}"
to = "{5}"
share = "2/3"
reason = "its other owner"
source = "recording"
"""
NEW = "0x" + "0c" * 20


def corrected(rehearsal: Run, tables: str = "", changes: Mapping[str, str] | None = None) -> Run:
    """The rehearsal with what some received already, rulings, and payees of whom one is a trader and one is nobody."""
    who = rehearsal.payouts.sort("entitlement", descending=True).get_column("trader").to_list()
    return computed("rehearsal", RULINGS.format(*who[:5], NEW) + tables, changes)


def claims(name: str) -> Run:
    loaded = incident_file.load(str(PRECEDENTS / f"{name}.toml"))
    return pipeline.compute(loaded, find_input(loaded, None))


@pytest.fixture(scope="module")
def runs(rehearsal: Run, later: Run, large: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of every kind that a page must tell apart."""
    doubt = Finding("error", "the input", "Something is in doubt.", "", stops=True)
    folder = tmp_path_factory.mktemp("runs")
    nobody = build.run(folder, position(1, build.MARKET, 1, 55_000, 9_000, 50_000), {})
    return {
        "rehearsal": rehearsal,
        "partial liquidations": later,
        "large": large,
        "restored": pipeline.compute(rehearsal.incident, rehearsal.input, "restore-position"),
        "two tokens": computed("rehearsal", "", {LEG: TWO_TOKENS}),
        "corrected": corrected(rehearsal),
        "a pot": computed("rehearsal", POT, BY_POT),
        "a pot, corrected": corrected(rehearsal, POT, BY_POT),
        "two tokens of rules, from claims": claims("origin-two-tokens"),
        "rules on rules, from claims": claims("s14b-best-of-all"),
        "nothing, from claims": claims("s14d-nothing"),
        "nobody is paid": nobody,
        "stopped": pipeline.compute(rehearsal.incident, rehearsal.input) and stopped(rehearsal, doubt),
        "another protocol": perpcomp.compute(perps_v2("june", folder)),
    }


def stopped(run: Run, doubt: Finding) -> Run:
    """The run as it is while a finding stops payment."""
    from perpcomp import payouts
    from perpcomp.vesting.vest import vest

    paid = payouts.pay(run.due, {}, run.liquidations, stopped=True)
    return replace(run, problems=(*run.problems, doubt), payouts=paid, claims=vest(paid, run.incident))


@pytest.fixture(scope="module")
def pages(runs: dict[str, Run]) -> dict[str, Element]:
    return {name: read(report(run)) for name, run in runs.items()}


KINDS = (
    *("rehearsal", "partial liquidations", "large", "restored", "two tokens", "corrected", "a pot", "a pot, corrected"),
    *("two tokens of rules, from claims", "rules on rules, from claims", "nothing, from claims", "nobody is paid", "stopped"),
    "another protocol",
)


def number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def term(text: str) -> Any:
    """A cell as a value of arithmetic: a number, a flag or a text."""
    return number(text) if re.fullmatch(r"-?[0-9,]+(\.[0-9]+)?", text) else {"yes": True, "no": False}.get(text, text)


@dataclass(frozen=True)
class Table:
    """The table of accounts as it stands on a page: the names of its columns without units, and the arithmetic stated for some of them."""

    names: list[str]
    rows: list[Row]
    total: Row
    stated: dict[str, str]

    @classmethod
    def of(cls, page: Element) -> "Table":
        header, *rows, total = tables(page)[NAME]
        names = [cell if cell.startswith("paid (") else re.sub(r" \([^()]*\)$", "", cell) for cell in header.cells]
        box = next(one for one in page.all("div") if one.attributes.get("aria-label") == "The formulas of the columns")
        stated = dict(line.split(" = ", 1) for line in box.text().strip().splitlines())
        return cls(names, rows, total, {re.sub(r"^paid in (.*)", r"paid (\1)", name): text for name, text in stated.items()})

    def accounts(self) -> Iterator[tuple[Row, list[Row]]]:
        """Each account's row, and the lines below it."""
        starts = [n for n, row in enumerate(self.rows) if row.id]
        for start, end in zip(starts, [*starts[1:], len(self.rows)], strict=True):
            yield self.rows[start], self.rows[start + 1 : end]

    def cell(self, row: Row, name: str) -> str:
        return row.cells[self.names.index(name)]

    def evaluated(self, row: Row, name: str) -> Fraction | None:
        """What the arithmetic of a column gives for a row; None where the row does not state every term of it, or one is not known."""
        text = re.sub(r"value in (\w+)", r"value_in_\1", self.stated[name])
        values = {re.sub(r"value in (\w+)", r"value_in_\1", column): cell for column, cell in zip(self.names, row.cells, strict=True)}
        read = {word: values[word] for word in re.findall(r"[a-z]\w*", re.sub("'[^']*'", "", text)) if word in values}
        if not all(read.values()) or "unknown" in read.values():
            return None
        return Fraction(value_of(text, {word: term(cell) for word, cell in read.items()}))

    def adds_up(self, row: Row, lines: list[Row]) -> bool:
        """Whether the lines below an account state its entitlement in parts, and these are its sum."""
        parts = [number(cell) for line in lines if (cell := self.cell(line, "entitlement")) not in ("", "unknown")]
        return not parts or sum(parts) == number(self.cell(row, "entitlement"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_arithmetic_of_every_account_gives_what_the_files_pay(kind: str, runs: dict[str, Run], pages: dict[str, Element]) -> None:
    run, table = runs[kind], Table.of(pages[kind])
    paid = {(row["trader"], row["token"]): row for row in run.payouts.iter_rows(named=True)}
    computed_cells = 0
    for account, lines in table.accounts():
        assert account.cells[0].lower() == account.id
        assert is_checksum_address(account.cells[0])
        for row in (account, *lines):
            for name in table.stated.keys() & {*table.names} - {f"paid ({leg.token})" for leg in run.incident.settlement}:
                value = table.evaluated(row, name)
                assert value is None or value == number(table.cell(row, name)), (row.cells, name)
                computed_cells += value is not None
        assert table.adds_up(account, lines), account.id
        for leg in run.incident.settlement:
            line, name = paid.get((account.id, leg.token)), f"paid ({leg.token})"
            note = table.cell(account, "note").removesuffix("steps").strip() if "note" in table.names else ""
            if line is None:
                assert (note, table.cell(account, name), table.cell(account, "entitlement")) == ("paid to others", "", "0")
                continue
            assert number(table.cell(account, "entitlement")) == Fraction(line["entitlement"])
            assert number(table.cell(account, name)) == Fraction(line["amount"])
            if line["reason"]:
                assert line["reason"].split(": ")[0] in note.split("; ")
                continue
            more = re.search(rf"([+-]1) base unit of {leg.token}", note)
            value = table.evaluated(account, name)
            assert value is not None
            assert value + Fraction(int(more[1]) if more else 0, 10**leg.decimals) == Fraction(line["amount"]), account.id
    assert computed_cells >= run.liquidations.filter("eligible").height
    everybody = [account.id for account, _ in table.accounts()]
    assert {*everybody} == {*run.payouts["trader"], *run.liquidations.filter("eligible")["trader"], *run.due.owed}
    assert number(table.cell(table.total, "entitlement")) == Fraction(entitled(run.payouts), 10**18)
    for leg in run.incident.settlement:
        assert table.cell(table.total, f"paid ({leg.token})") == in_full(total_of(run.payouts, "amount", leg.token))


@pytest.mark.parametrize("kind", ["a pot", "a pot, corrected", "two tokens of rules, from claims", "rules on rules, from claims"])
def test_a_rule_is_followed_step_by_step(kind: str, runs: dict[str, Run], pages: dict[str, Element]) -> None:
    """Each step's column is the amount after it; what the last one gives is the entitlement before corrections."""
    run, table = runs[kind], Table.of(pages[kind])
    steps = {(row["trader"], row["step"]): row["after"] for row in run.rule_steps.filter(rule=run.formula.name).iter_rows(named=True)}
    columns = [n for n, name in enumerate(table.names) if name == "base" or name.startswith("after step ")]
    assert len(columns) == 1 + max(step for _, step in steps)
    for account, lines in table.accounts():
        if (account.id, 0) not in steps:  # somebody who is only paid for others
            assert not any(account.cells[column] for column in columns)
            continue
        for step, column in enumerate(columns):
            assert number(account.cells[column]) == Fraction(steps[account.id, step])
        by_rule = [line for line in lines if f"by {run.formula.name}" in line.cells]
        given = table.cell(by_rule[0], "entitlement") if by_rule else table.cell(account, "entitlement")
        assert account.cells[columns[-1]] == given


# The page as markup.

FORBIDDEN = {
    "script",
    "iframe",
    "object",
    "embed",
    "img",
    "link",
    "base",
    "form",
    "input",
    "use",
    "foreignobject",
    "image",
    "audio",
    "video",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_runs_nothing_loads_nothing_and_every_reference_resolves(
    kind: str, runs: dict[str, Run], pages: dict[str, Element]
) -> None:
    page, data = pages[kind], report(runs[kind])
    elements = list(page.all())
    assert not {one.tag for one in elements} & FORBIDDEN
    ids = [one.attributes["id"] for one in elements if "id" in one.attributes]
    assert len(ids) == len({*ids})
    for one in elements:
        for name, value in one.attributes.items():
            assert name != "style"
            assert not name.startswith("on")
            assert name == "xmlns" or "http:" not in (value or "")
            if name in ("aria-labelledby", "aria-describedby"):
                assert {*str(value).split()} <= {*ids}
        if one.tag == "a":
            target = str(one.attributes["href"])
            if target.startswith("#"):
                assert target[1:] in ids
            else:
                assert target.startswith("https://")
                assert one.attributes["rel"] == "noreferrer"
        if one.tag == "svg":
            assert one.attributes["role"] == "img"
            assert one.attributes["aria-labelledby"]
    (style,) = page.all("style")
    digest = base64.b64encode(hashlib.sha256(style.text().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert [one.attributes["content"] for one in page.all("meta") if "http-equiv" in one.attributes] == [policy]
    assert not re.search(r"url\(|@import|expression", style.text())
    assert data.startswith(b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy"')
    assert b"\r" not in data


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_can_be_read_out_and_used_by_keys(kind: str, pages: dict[str, Element]) -> None:
    page = pages[kind]
    assert [len(list(page.all(tag))) for tag in ("h1", "main", "header", "nav")] == [1, 1, 1, 1]
    levels = [int(one.tag[1]) for one in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    boxes = [one for one in page.all() if one.attributes.get("role") == "region"]
    assert all(one.attributes["tabindex"] == "0" and one.attributes["aria-label"] for one in boxes)
    names = [one.attributes["aria-label"] for one in boxes]
    assert len(names) == len({*names}), "landmarks with one name cannot be told apart"
    inside = {id(one) for box in boxes for one in box.all("table", "pre", "svg")}
    assert inside == {id(one) for one in page.all("table", "pre", "svg")}, "what may be wider than the page scrolls in a box"
    for table in page.all("table"):
        heads = [cell for row in table.all("thead") for cell in row.all("th")]
        assert heads
        assert all(cell.attributes["scope"] == "col" and cell.text().strip() for cell in heads)
        for row in (row for part in table.all("tbody", "tfoot") for row in part.all("tr")):
            (first, *cells) = row.all("th", "td")
            assert first.attributes.get("scope") == "row" or (kind == "large" and "id" in row.attributes) or not first.text()
            assert {cell.tag for cell in cells} == {"td"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_chart_stands_on_the_page_with_its_sentence_and_its_figures(
    kind: str, runs: dict[str, Run], pages: dict[str, Element]
) -> None:
    data, found = report(runs[kind]).decode(), tables(pages[kind])
    captions = [one.text() for one in pages[kind].all("figcaption")]
    for chart in charts(runs[kind]):
        assert chart.svg in data, chart.name
        assert chart.sentence in captions
        if len(chart.rows) <= MOST_FIGURES:
            assert [row.cells for row in found[f"Figures of the chart: {chart.title}"]] == [chart.header, *chart.rows]
    assert len(captions) == len(charts(runs[kind]))


# What it says.


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_begins_with_what_is_voted(kind: str, runs: dict[str, Run], pages: dict[str, Element]) -> None:
    run, (header,) = runs[kind], pages[kind].all("header")
    said = [one.text() for one in header.all("p", "h1")]
    assert said[0] == "DRAFT The run is not frozen, and may still change before the vote."
    assert said[1] == run.incident.title
    assert in_one_sentence(run) in said
    assert (kind == "restored") == ("This is a what-if (formula restore-position), not the run that the incident file states." in said)
    assert (kind == "stopped") == any(text.startswith("Payment is stopped: ") for text in said)
    assert said[-1].startswith(f"Run id: payouts {row_hash(run.payouts, PAYOUTS)[:16]}, incident file {run.incident.sha256[:16]}")


def test_a_frozen_run_is_final(rehearsal: Run) -> None:
    frozen = replace(rehearsal, problems=(*rehearsal.problems, Finding("note", "the ledger", "Frozen.", "", code="frozen")))
    (header,) = read(report(frozen)).all("header")
    assert next(header.all("p")).text() == "FINAL The run is frozen."


@pytest.mark.parametrize("kind", KINDS)
def test_everybody_of_the_window_has_one_row_with_the_reason(kind: str, runs: dict[str, Run], pages: dict[str, Element]) -> None:
    run, found = runs[kind], tables(pages[kind])
    rows = {row.id: row for table in found.values() for row in table if row.id}
    for trader, code, reason in run.left_out.select("trader", "reason_code", "reason").iter_rows():
        listed = [row.cells for row in found["Accounts left out"] if row.cells[0].lower() == trader]
        assert [row[2:] for row in listed] == [[code, reason]]
        assert trader in rows
    assert {*run.payouts["trader"], *run.left_out["trader"]} <= rows.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_steps_are_those_of_explain_where_there_are_few_accounts(
    kind: str, runs: dict[str, Run], pages: dict[str, Element]
) -> None:
    run, page = runs[kind], pages[kind]
    shown = {str(one.attributes["id"]): one for details in page.all("details") for one in details.all("div") if "id" in one.attributes}
    everybody = {account.id for account, _ in Table.of(page).accounts()}
    assert shown.keys() == ({f"why-{who}" for who in everybody} if len(everybody) <= FEW else set())
    for anchor, one in shown.items():
        assert next(one.all("pre")).text().splitlines()[1:] == explain(run, anchor.removeprefix("why-"))
    if len(everybody) > FEW:
        assert f"This page holds them for up to {FEW} accounts." in page.text()


def test_sources_are_quoted_and_linked_by_https_only(tmp_path: Path) -> None:
    sources = 'test = { text = "a test", url = "https://example.org/a?b=1&c=2" }\nother = { text = "other", url = "javascript:alert(1)" }'
    page = read(report(build.run(tmp_path, position(1, address(1), 1, 55_000, 9_000, 50_000), {'test = "a test"': sources})))
    targets = [one.attributes["href"] for one in page.all("a") if one.text() == "https://example.org/a?b=1&c=2"]
    assert targets == ["https://example.org/a?b=1&c=2"]
    assert "javascript:alert(1)" in page.text()
    quotes = [one.text() for one in page.all("p") if one.attributes.get("class") == "quote"]
    assert quotes[0].startswith('"Reward the affected traders according to the margin they paid')


HOSTILE = (
    '<script>alert(1)</script><img src=x onerror=alert(2)>" onload="alert(3)" style="color:red {{ 7*7 }} </style> &amp; javascript:alert(4)'
)


def hostile(folder: Path) -> Run:
    """A run with the same words in every text that an incident file takes, and in findings, where marks and controls can come too."""
    quoted = HOSTILE.replace('"', '\\"')
    tables = RULINGS.replace('"recording"', '"test"').replace("a reason", quoted).replace("a post", quoted).replace("somebody", quoted)
    tables = tables.replace("vote 1", quoted).replace("its owner", quoted).format(*(address(n) for n in (1, 2, 3, 4, 5)), NEW)
    excluded = f'[[eligibility.exclude]]\naddress = "{address(6)}"\nreason = "{quoted}"\nevidence = "{quoted}"\n'
    money = f'[[budget]]\nname = "{quoted}"\ntoken = "PERP"\namount = 5\nsource = "test"\n'
    changes = {
        'title = "A made-up incident"': f'title = "{quoted}"\nnotice = "{quoted}"',
        '"BTCUSDC"': f'"{quoted}"',
        '"the treasury"': f'"{quoted}"',
        '"fixed"': f'"{quoted}"',
        '"a test"': f'"{quoted}"',
        "[sources]": f"{tables}\n{excluded}\n{money}\n[sources]",
    }
    rows = [row for n in range(1, 7) for row in position(n, address(n), n, 55_000, 9_000, 50_000)]
    run = build.run(folder, rows, changes)
    found = Finding("error", HOSTILE, f"\u202e{HOSTILE}\u2066\x1b[2J\x00\ufeff", f"\x9b\u2028{HOSTILE}")
    return replace(run, problems=(*run.problems, found))


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    run = hostile(tmp_path)
    page = read(report(run))
    assert not {one.tag for one in page.all()} & FORBIDDEN
    assert not [name for one in page.all() for name in one.attributes if name == "style" or name.startswith("on")]
    text = page.text()
    assert text.count(HOSTILE) > 25
    assert "49" not in re.sub(r"[0-9a-fx]{40,}", "", next(page.all("h1")).text())
    assert "\N{REPLACEMENT CHARACTER}" + HOSTILE + "\N{REPLACEMENT CHARACTER}" * 2 + "[2J" + "\N{REPLACEMENT CHARACTER}" * 2 in text
    assert all(c.isprintable() or c == "\n" for c in text)


# How much it holds.


def test_a_thousand_accounts_are_whole_and_light(tmp_path: Path) -> None:
    data = report(build.many(tmp_path, 1_000))
    table = Table.of(read(data))
    assert len(list(table.accounts())) == 1_000
    assert all(table.evaluated(row, "entitlement") == number(table.cell(row, "entitlement")) for row in table.rows)
    assert len(data) < 300_000


def test_a_very_long_table_shows_the_largest_and_names_the_file_of_all(rehearsal: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (accounts, parts):
        monkeypatch.setattr(module, "MOST_ROWS", 6)
        monkeypatch.setattr(module, "FIRST", 3)
    page = read(report(rehearsal))
    table = Table.of(page)
    ranked = rehearsal.payouts.sort("entitlement", "trader", descending=[True, False])["trader"].to_list()
    assert [account.id for account, _ in table.accounts()] == ranked[:3]
    assert number(table.cell(table.total, "entitlement")) == Fraction(entitled(rehearsal.payouts), 10**18)
    text = page.text()
    assert "The table shows the 3 largest of 29 accounts; the last row is the total of all. All are in 3-payouts.csv." in text
    assert "The first 3 of 8 rows: all are in left-out.csv." in text
    assert (MOST_ROWS, FIRST) == (5_000, 500)


def test_another_versions_page_is_compared_by_the_numbers_of_its_accounts(published_rehearsal: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(published_rehearsal, tmp_path / "run"))
    assert "report.html" in stated.read(folder)["files"]
    stated.change(folder, lambda s: s["tool"].update(version="0.2.1"))
    page = folder / "report.html"
    whole = page.read_text()
    page.write_text(whole.replace("Who is paid", "Whom the DAO pays"))
    stated.restate(folder, inputs=True)
    verdict = perpcomp.verify(folder)
    assert verdict.same
    assert "report.html: words differ. Compared: the numbers of each account's row." in verdict.notes
    page.write_text(whole.replace("23,079.19<small>1036626098234154", "23,079.19<small>1036626098234155"))
    stated.restate(folder, inputs=True)
    (found,) = perpcomp.verify(folder).differences
    assert found.where == "report.html #0x69e1cb5cfca8a311586e3406ed0301c06fb839a2"
    assert found.published == "23079.191036626098234155"
