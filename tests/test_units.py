"""Units: the incident's quote asset names amounts wherever a user reads them, and its price converts them where something else is paid."""

import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from msgspec.structs import replace

import perpcomp
from perpcomp.cli.app import app
from perpcomp.eligibility.decide import decide
from perpcomp.explain.explain import explain
from perpcomp.findings import InputError
from perpcomp.fixed import AMOUNT, to_integer
from perpcomp.incident import incident_file
from perpcomp.publish.charts import charts
from perpcomp.publish.summary import summary
from perpcomp.systems.units import Units, units
from tests import build, stated
from tests.commands import call
from tests.test_synthetix_v2_recorded import incident
from tests.variants import computed, variant

IN_USDC = (
    ('token = "sUSD"\ndecimals = 18', 'token = "USDC"\ndecimals = 6'),
    ("[sources]", '[quote]\nprice = 0.70\npriced_in = "USDC"\nsource = "recording"\n\n[sources]'),
)
LITERAL = re.compile(r"(?i:usdc)|\b(QUOTE|PAID)\b")  # also a placeholder that nobody replaced
MARKET, NOBODY = "0x75c35c980c0d37ef46df04d31a140b65503c0eed", "0x" + "7a" * 20
# What makes a run say all that it can: an account excluded, others who received something already, one who cannot be paid.
SAID = """
[quote]
asset = "DAI"
price = 0.9
priced_in = "EUR"
source = "recording"

[[eligibility.exclude]]
address = "{0}"
reason = "a test"
evidence = "a test"

[[received]]
address = "{1}"
amount = 1
source = "recording"

[[received]]
address = "{2}"
amount = 1_000_000
source = "recording"

[[received]]
address = "{4}"
amount = 1
source = "recording"

[[payee]]
account = "{3}"
to = "{5}"
reason = "a test"
source = "recording"

[[adjustment]]
trader = "{2}"
kind = "add"
amount = 5
reason = "a test"
evidence = "a test"
author = "a test"
ruling = "a test"
date = 2021-03-01T00:00:00Z
source = "recording"
"""


def commands(group: Any, before: str = "") -> Iterator[str]:
    """Every command that takes an incident and needs no more than that, or who is meant, as it is typed."""
    for name, command in group.commands.items():
        typed = f"{before} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, typed)
        elif any(one.name == "query" for one in command.params) and {one.name for one in command.params if one.required} <= {
            "query",
            "who",
        }:
            yield typed


@cache
def walked() -> tuple[str, ...]:
    call("--help", cwd=Path())  # registers the commands
    return tuple(commands(typer.main.get_command(app)))


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, what a reader sees of it) of every file of a folder but its inputs, which are the user's own."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or "/inputs/" in name:
            continue
        if path.suffix == ".parquet":
            yield name, pl.read_parquet(path).write_csv()
        elif path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                yield from ((f"{name} {part}", book.read(part).decode()) for part in book.namelist())
        else:
            yield name, path.read_text()


def printed(query: Path, trader: str, *guards: str) -> Iterator[tuple[str, str]]:
    """(command, all that it prints) of every command that takes an incident, on a terminal; and every file that these write."""
    before, after = {"explain": (trader,)}, {"guards verdicts": guards}  # what a command is asked beside the query
    for command in walked():
        done = call(
            *command.split(),
            *before.get(command, ()),
            str(query),
            *after.get(command, ()),
            cwd=query.parent,
            terminal=True,
            COLUMNS="400",
            TERM="xterm",
            NO_COLOR="1",
        )
        yield command, done.stdout + done.stderr
    yield from texts(query.parent / "outputs")


def test_no_command_and_no_file_of_a_run_in_susd_says_usdc(tmp_path: Path) -> None:
    query = Path(incident("june", tmp_path))
    trader = perpcomp.compute(str(query)).liquidations.filter("eligible").item(0, "trader")
    seen = dict(printed(query, trader, "--sweep"))
    assert [name for name, text in seen.items() if LITERAL.search(text)] == []
    for name in (
        "run",
        "events",
        "liquidations",
        "payouts",
        "compare",
        "explain",
        "guards verdicts",
        "incident/vote.xlsx xl/worksheets/sheet1.xml",
    ):
        assert "sUSD" in seen[name], name
    assert "no pool to replay" in seen["prices"] or "cannot be replayed" in seen["prices"]
    assert '"entitlement_1e18_susd"' in seen["incident/manifest.json"]


def test_no_command_and_no_file_of_a_run_in_dai_says_usdc(tmp_path: Path) -> None:
    """The rehearsal as a deployment whose quote asset is DAI, paid by prices in EUR."""
    traders = sorted(set(computed("rehearsal").liquidations.filter("eligible").get_column("trader")))
    told = variant("rehearsal", SAID.format(*traders[:4], NOBODY, MARKET)).raw.decode().replace("USDC", "DAI")
    query = tmp_path / "rehearsal.toml"
    query.write_text(told)
    (tmp_path / "rehearsal").mkdir()
    logs = incident_file.find("rehearsal").parent / "rehearsal" / "logs.jsonl.gz"
    (tmp_path / "rehearsal" / logs.name).write_bytes(logs.read_bytes())
    seen = dict(printed(query, traders[4], "--replay", "--sweep"))
    run = perpcomp.compute(str(query))
    seen |= {f"explain {who}": "\n".join(explain(run, who)) for who in traders[:5]}
    seen |= {f"{chart.name}.svg": f"{chart.svg} {chart.header} {chart.rows}" for chart in charts(run)}
    assert [name for name, text in seen.items() if LITERAL.search(text)] == []
    for name in (
        *walked(),
        "rehearsal/findings.csv",
        "rehearsal/vote.xlsx xl/worksheets/sheet1.xml",
        "price-path.svg",
        "formulas-compared.svg",
        "sensitivity.svg",
    ):
        assert "DAI" in seen[name], name
    assert "EUR" in seen["payout-distribution.svg"]
    assert re.search(r"^ *\(DAI\) +\^", seen["prices"], re.MULTILINE), "the axis of the chart"
    for code, words in {
        "unpayable": "EUR and is not paid: it is the market",
        "already-received": "DAI already, which is taken off",
        "received-unused": "stated to have received 1 DAI.",
        "received-more": "DAI more than it is owed",
        "fund-covers": "EUR left.",
        "adjusted": "adds 5 DAI to entitlements",
    }.items():
        assert any(problem.code == code and words in problem.what for problem in run.problems), code
    lines = {line.label: line.value for line in summary(run)}
    assert "EUR of 1 address" in lines["UNPAYABLE"]
    assert lines["Excluded by name"].endswith(" DAI")


def test_a_run_whose_total_an_older_version_called_usdc_still_verifies(tmp_path: Path) -> None:
    query = incident("upgrade", tmp_path)
    perpcomp.publish_run(perpcomp.compute(query), tmp_path / "out")
    change = partial(stated.change, tmp_path / "out")
    change(lambda s: s["totals"].update(entitlement_1e18_usdc=s["totals"].pop("entitlement_1e18_susd")))
    assert not perpcomp.verify(tmp_path / "out").same, "this version says sUSD"
    change(lambda s: s["tool"].update(version="0.1.0"))
    assert perpcomp.verify(tmp_path / "out").same
    change(lambda s: s["totals"].update(entitlement_1e18_usdc=s["totals"]["entitlement_1e18_usdc"] + "0"))
    assert "manifest.json totals entitlement_1e18_usdc" in {one.where for one in perpcomp.verify(tmp_path / "out").differences}


IN_DAI = '[quote]\nasset = "DAI"\nsource = "test"\n\n[sources]'


def test_rare_findings_and_refusals_name_the_quote_asset(tmp_path: Path) -> None:
    rows = build.position(1, build.address(1), 1, 30_000, 10_000, 42_000)
    run = build.run(tmp_path, rows, {"[sources]": IN_DAI, "reference_price = 50_000": "reference_price = 20_000.000000000000000001"})
    (ratio,) = [p.what for p in run.problems if p.code == "recovery-ratio-too-large" and "margin-only" in p.what]
    assert ratio.endswith("lost 0.000000000000000001 DAI at the reference price, and the formula gives 10,000 DAI.")
    valued = replace(run.incident, valuation=replace(run.incident.valuation, at=5))
    unjudged = run.liquidations.with_columns(margin_removed=pl.lit(3).cast(AMOUNT))
    assert "took out 3.000000000000000000 DAI between" in decide(unjudged, valued, {})[1][0].what
    with pytest.raises(InputError, match=r"At 0\.0+1 DAI one trader would be paid .* Correct the price: it is DAI for one token\."):
        build.run(tmp_path, rows, {"[sources]": IN_DAI, "price = 7\n": "price = 0.000000000000000001\n"})


def test_the_fund_counts_in_the_quote_asset_and_covers_at_its_price(tmp_path: Path) -> None:
    """A fund of 100 sUSD is worth 70 USDC, not 100."""
    fund = ("[sources]", '[insurance_fund]\nbalance = 100\nsource = "recording"\n\n[sources]')
    run = perpcomp.compute(incident("upgrade", tmp_path, *IN_USDC, fund))
    need = sum(map(to_integer, run.payouts["entitlement"])) * 7 // 10
    for row in run.capacity.filter(source_of_funds="insurance fund", formula=run.formula.name).iter_rows(named=True):
        assert (row["token"], row["available"], row["price"], row["available_value"]) == ("sUSD", 100, Decimal("0.7"), 70)
        assert abs(to_integer(row["shortfall"]) - (need - 70 * 10**18)) <= run.payouts.height
    (said,) = [problem.what for problem in run.problems if problem.code == "fund-short"]
    assert said.startswith("The fund held 100 sUSD, worth 70 USDC (as stated; recording). margin-only needs ")
    assert said.endswith(" USDC short.")


def test_a_price_of_the_quote_asset_converts_every_entitlement_with_one_rounding(tmp_path: Path) -> None:
    run = perpcomp.compute(incident("upgrade", tmp_path, *IN_USDC))
    assert run.payouts.height == 10
    for row in run.payouts.iter_rows(named=True):
        exact = row["entitlement"] * Decimal("0.70")
        assert row["amount_base_units"] == str(int(exact * 10**6))
        assert row["value"] - row["amount"] == row["rounded_off"] >= 0
        assert 0 <= exact - row["value"] < Decimal("1e-18")
    lines = {line.label: line.value for line in summary(run)}
    assert lines["Sum of entitlements"] == "334,172.760584863962338111 sUSD"
    assert (lines["Price of sUSD"], lines["Price of USDC"]) == ("0.70 USDC", "1 USDC")
    assert lines["To be paid in USDC"].startswith("233,920.93")
    assert lines["Reference price sETHPERP"] == "1795 sUSD"


def test_without_a_price_everything_is_in_the_quote_asset(tmp_path: Path) -> None:
    loaded = incident_file.load(incident("june", tmp_path))
    assert (units(loaded).quote, units(loaded).paid, units(loaded).of("QUOTE per base")) == ("sUSD", "sUSD", "sUSD per base")
    named = variant("rehearsal", '[quote]\nasset = "DAI"\nsource = "recording"\n')
    assert (units(named), named.quote_price) == (Units("DAI", "DAI"), 1)


@pytest.mark.parametrize(("unit", "shown"), [("PAID per token", "USDC per token"), ("QUOTE", "USDC"), ("base", "base")])
def test_perpetual_v1_counts_in_usdc(unit: str, shown: str) -> None:
    assert units(incident_file.load("rehearsal")).of(unit) == shown


def test_a_name_that_holds_a_placeholder_is_not_replaced_again() -> None:
    assert Units("PREPAID", "QUOTE").of("QUOTE for PAID") == "PREPAID for QUOTE"


@pytest.mark.parametrize(
    ("quote", "said"),
    [
        ("", "[quote] price is missing."),
        ("price = 0.7", "[quote] priced_in is missing."),
        ('asset = "DAI"\nprice = 0.7', "[quote] priced_in is missing."),
        ('asset = "DAI"\npriced_in = "EUR"', "[quote] price is missing."),
        ('asset = "DAI"\nprice = 0.7\npriced_in = "DAI"', '[quote] priced_in is "DAI", the quote asset itself, at a price of 0.7.'),
        ('price = 0.7\npriced_in = "USDC"', '[quote] priced_in is "USDC", the quote asset itself, at a price of 0.7.'),
    ],
)
def test_a_quote_that_states_half_a_price_or_its_own_is_refused(quote: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        variant("rehearsal", f'[quote]\n{quote}\nsource = "recording"\n')
    assert said in [problem.what for problem in refused.value.problems]
