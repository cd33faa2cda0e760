"""The charts of a run: every mark stands where its figure says, every figure is that of the CSV files, and no foreign text acts."""

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import combinations, pairwise
from math import floor
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
import resvg_py
import svg
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

import perpcomp
from perpcomp.findings import Finding
from perpcomp.fixed import AMOUNT
from perpcomp.publish.charts import NAMES, STYLE, Chart, charts, png_file, svg_file
from perpcomp.publish.charts.distribution import edges_around, paid_by_account
from perpcomp.publish.charts.draw import bar, drawing, inert, label, told, triangles
from perpcomp.publish.charts.sensitivity import totals_of
from perpcomp.publish.charts.style import DARK, LIGHT
from perpcomp.publish.charts.thinned import thinned
from perpcomp.run import Run
from perpcomp.tables.decide import SENSITIVITY
from perpcomp.tables.schema import frame_of
from tests import build
from tests.commands import call
from tests.test_entitlement import half_known
from tests.test_synthetix_v2_recorded import incident
from tests.variants import computed

SVG = "{http://www.w3.org/2000/svg}"
PRECEDENTS = Path(__file__).parent / "precedents"
HOSTILE = """<script>alert("x")</script> & 'a' name that is longer than any chart is wide, and goes on"""
GUARDS = '[guards]\nflag_rule = "v1"\nsource = "recording"\n'
# Two tokens of 18 and 6 decimals, and a line that moves once a week behind a cliff.
TWO_TOKENS = {
    'token = "PERP"\ndecimals = 18\naddress = "0xbc396689893d065f41bc2c6ecbee5e0085233447"\nshare = 1\n': """token = "USDC"
decimals = 6
share = 0.3
price = 1
price_policy = "one dollar"
source = "price"

[[settlement]]
token = "PERP"
decimals = 18
share = 0.7
"""
}
WEEKLY = {
    "length = 3\ntranches = 3\nbinding": "length = 6\ntranches = 6\ngranularity = 604_800\ncliff = 1\ncliff_reading = 'accrues'\nbinding",
    'binding = "tranches"': 'binding = "line"',
}


@pytest.fixture(scope="module")
def all_at_once() -> Run:
    """The rehearsal with two tokens, a line and guards: every chart there is."""
    return computed("rehearsal", GUARDS, TWO_TOKENS | WEEKLY)


@pytest.fixture(scope="module")
def june(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A recorded crash in two markets of the other protocol."""
    return perpcomp.compute(incident("june", tmp_path_factory.mktemp("june")))


@pytest.fixture(scope="module")
def markets(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Eight affected markets of prices from 1e-5 to 1e15, one with a hostile name, as the token has; payouts from 0.001 to 1e6."""
    folder = tmp_path_factory.mktemp("markets")
    stated, rows = "", []
    for k in range(8):
        unit = {2: Decimal("2e-10"), 3: Decimal("2e10")}.get(k, Decimal(1))
        name, address = HOSTILE if k == 0 else "ABCDEFGH"[k], f"0xb{k}" + "b" * 38
        stated += (
            f'[[market]]\nname = """{name}"""\namm = "{address}"\naffected = true\nreference_price = {50_000 * unit:f}\nsource = "test"\n\n'
        )
        for n in range(4):
            margin = Decimal(10) ** (2 * n + k % 3 - 3)
            own = build.position(
                4 * k + n + 1,
                build.address(4 * k + n + 1),
                1 / unit,
                50_000 * unit,
                margin,
                (42_000 - 500 * k + n) * unit,
                minutes=5 + 4 * n,
            )
            rows += [row | {"market": address} for row in own]
    rows.sort(key=lambda row: (row["block_time"], row["block_number"]))
    for n, row in enumerate(rows, 1):
        row |= {"block_number": n, "block_hash": f"0x{n:064x}", "transaction_hash": f"0x{n:064x}"}
    before = build.QUERY[build.QUERY.index("[[market]]") : build.QUERY.index("[eligibility]")]
    return build.run(folder, rows, {before: stated, 'token = "PERP"': f'token = """{HOSTILE}"""'}, "margin-upl")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A window of a month."""
    rows = build.position(1, build.address(1), 1, 50_000, 10_000, 42_000) + build.position(
        2, build.address(2), 1, 50_000, 3, 41_000, minutes=40_000
    )
    rows.sort(key=lambda row: row["block_number"])
    return build.run(tmp_path_factory.mktemp("month"), rows, {"to = 2021-02-20T23:45:00Z": "to = 2021-03-20T23:45:00Z"})


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One of the two liquidations of its trader cannot be valued by every formula."""
    return half_known(tmp_path_factory.mktemp("lacking"))


RUNS = ("rehearsal", "later", "large", "june", "markets", "month", "lacking", "all_at_once")


@pytest.fixture(params=RUNS)
def any_run(request: pytest.FixtureRequest) -> Run:
    run: Run = request.getfixturevalue(request.param)
    return run


def named(run: Run, name: str) -> Chart:
    (found,) = [chart for chart in charts(run) if chart.name == name]
    return found


def elements(chart: Chart, tag: str, kind: str = "") -> list[ElementTree.Element]:
    """Its elements of a tag with a class."""
    found = ElementTree.fromstring(chart.svg).iter(SVG + tag)
    return [one for one in found if not kind or kind in one.get("class", "").split()]


def title(one: ElementTree.Element) -> str:
    return one.findtext(f"{SVG}title") or ""


def number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def on_one_line(points: Sequence[tuple[Fraction, Fraction]]) -> None:
    """Whether places follow values along one straight axis, each rounded to a tenth."""
    (low, start), (high, end) = min(points), max(points)
    assert low < high
    for value, place in points:
        assert abs(start + (end - start) * (value - low) / (high - low) - place) <= Fraction(2, 10), (float(value), float(place))


def left_axis(chart: Chart, least: int = 0, most: int = 10**6) -> list[tuple[Fraction, Fraction]]:
    """The numbers to the left of a plot between two heights, with the places of their lines."""
    words = [
        one for one in elements(chart, "text", "quiet") if one.get("text-anchor") == "end" and re.fullmatch(r"[0-9,.]+", one.text or "")
    ]
    return [(number(one.text or ""), Fraction(one.get("y", "")) - 4) for one in words if least < Fraction(one.get("y", "")) < most]


def corners(path: ElementTree.Element) -> list[tuple[Fraction, Fraction]]:
    """The corners of a path of M, L, H and V."""
    x = y = Fraction(0)
    found = []
    for command, text in re.findall(r"([A-Z]) ([-0-9. ]+)", path.get("d", "")):
        values = [Fraction(part) for part in text.split()]
        x, y = {"M": (values[0], values[-1]), "L": (values[0], values[-1]), "H": (values[0], y), "V": (x, values[0])}[command]
        found.append((x, y))
    return found


def heights(drawn: Sequence[tuple[Fraction, Fraction]], x: Fraction) -> list[Fraction]:
    """The heights at which a path of these corners crosses a place."""
    found = []
    for (x1, y1), (x2, y2) in pairwise(drawn):
        if x1 <= x <= x2:
            found += [y1, y2] if x1 == x2 else [y1 + (y2 - y1) * (x - x1) / (x2 - x1)]
    return found


def middle(mark: ElementTree.Element) -> tuple[Fraction, Fraction]:
    """Where the middle of a triangle stands: half its width from its tip."""
    x, y, half, away = (Fraction(part) for part in re.findall(r"-?[0-9.]+", mark.get("d", ""))[:4])
    return x, y + (abs(half) if away > 0 else -abs(half))


# --- the crash

LIQUIDATED = re.compile(r"(0x[0-9a-f]{40}): (long|short) liquidated at (\S+), block ([0-9,]+); ([0-9.,]+) \S+ after it; (not )?compensated")


@pytest.mark.parametrize("name", ["rehearsal", "later", "june"])
def test_every_liquidation_around_the_window_has_one_mark_at_its_time_and_price(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    window = run.incident.eligibility
    length = window.end - window.start
    rows = run.liquidations.filter(
        pl.col("market").is_in([market.amm for market in run.incident.affected]),
        pl.col("block_time").is_between(window.start - length / 4, window.end + length / 4),
    )
    expected = Counter(
        (
            row["trader"],
            row["side"],
            row["block_time"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            row["block_number"],
            Fraction(row["spot_price"]),
            row["eligible"],
        )
        for row in rows.iter_rows(named=True)
    )
    chart = named(run, "price-path")
    marks = [one for one in elements(chart, "path", "line-rust") if title(one)]
    told = [LIQUIDATED.fullmatch(title(one)) for one in marks]
    assert expected == Counter((t[1], t[2], t[3], int(number(t[4])), number(t[5]), t[6] is None) for t in told if t)
    assert {"fill-rust" in (one.get("class") or "") for one in marks} == set(rows["eligible"])
    lines = [corners(path) for path in elements(chart, "path", "thick")]
    for x, y in map(middle, marks[:: 1 + len(marks) // 50]):
        assert min(abs(height - y) for drawn in lines for height in heights(drawn, x)) <= Fraction(2, 10), "on the line of its market"
    assert f"{rows.height:,} liquidations are shown" in chart.sentence


def test_of_many_liquidations_those_of_one_kind_and_place_have_one_mark(large: Run) -> None:
    """None is lost: the marks of a kind say how many they are, and each liquidation has one within a place."""
    chart = named(large, "price-path")
    counts, places = Counter[tuple[str, bool]](), set[tuple[int, int]]()
    for mark in elements(chart, "path", "line-rust"):
        if told := re.match(r"([0-9,]+) liquidations? \((long|short), (not )?compensated\)", title(mark)):
            counts[told[2], told[3] is None] += int(number(told[1]))
            points = [(Fraction(x), Fraction(y)) for x, y in re.findall(r"M ([0-9.]+) ([0-9.]+)", mark.get("d", ""))]
            places |= {(floor(x), floor(y)) for x, y in points}
    assert counts == Counter(large.liquidations.select("side", "eligible").iter_rows())
    assert 20 < len(places) < large.liquidations.height // 2
    assert len(chart.svg) < 30_000


def test_the_price_is_a_line_in_steps_through_every_event(rehearsal: Run) -> None:
    """The numbers of both axes, the line, the liquidations and the reference price have one scale."""
    chart, window = named(rehearsal, "price-path"), rehearsal.incident.eligibility
    quarter = (window.end - window.start) / 4
    in_view = pl.col("block_time").is_between(window.start - quarter, window.end + quarter)
    shown = rehearsal.events.table.filter(pl.col("market") == rehearsal.incident.affected[0].amm, in_view)
    (path,) = elements(chart, "path", "thick")
    assert re.fullmatch(r"M \S+ \S+( H \S+ V \S+)* H \S+", path.get("d", "")), "a price moves at events only"
    after = corners(path)[2:-1:2]  # where it is after each event; the corners before are where it held until then
    liquidated = [(at, *middle(mark)) for mark in elements(chart, "path", "line-rust") if (at := LIQUIDATED.fullmatch(title(mark)))]
    prices = [*map(Fraction, shown["spot_price"]), *(number(at[5]) for at, _, _ in liquidated)]
    (reference,) = elements(chart, "line", "dashed")
    heights_of = [*zip(prices, [*(y for _, y in after), *(y for _, _, y in liquidated)], strict=True)]
    on_one_line([*heights_of, (Fraction(50_000), Fraction(reference.get("y1", ""))), *left_axis(chart)])
    seconds = [
        *(int(at.timestamp()) for at in shown["block_time"]),
        *(int(datetime.fromisoformat(at[3]).timestamp()) for at, _, _ in liquidated),
    ]
    places = [*zip(map(Fraction, seconds), [*(x for x, _ in after), *(x for _, x, _ in liquidated)], strict=True)]
    clock = {
        one.text: Fraction(one.get("x", "")) for one in elements(chart, "text", "quiet") if re.fullmatch(r"2[23]:[0-9]{2}", one.text or "")
    }
    assert len(clock) > 2
    on_one_line([*places, *((Fraction(int(datetime.fromisoformat(f"2021-02-20T{at}Z").timestamp())), x) for at, x in clock.items())])
    assert "The axis does not start at 0." in chart.svg


def test_the_sentence_says_which_way_the_price_went_farther(rehearsal: Run, tmp_path: Path) -> None:
    assert named(rehearsal, "price-path").sentence == (
        "The price of BTCUSDC falls from 56,000.00 to 36,597.29 USDC (-34.64 %) by 2021-02-20T23:58:09Z; the last one shown is 54,413.95."
        " 31 liquidations are shown, of which 29 are compensated. 5 liquidations are of other times or markets."
    )
    short = build.position(1, build.address(1), -1, 50_000, 10_000, 61_000)
    assert named(build.run(tmp_path, short), "price-path").sentence == (
        "The price of BTCUSDC rises from 50,000.00 to 61,000.00 USDC (+22.00 %) by 2021-02-20T22:50:00Z; the last one shown is 61,000.00."
        " 1 liquidation is shown, compensated."
    )


def test_the_table_of_the_prices_is_that_of_the_files(published_rehearsal: Path, rehearsal: Run) -> None:
    rows = [
        row
        for row in rows_of(published_rehearsal, "2-liquidations.csv")
        if row["market_name"] == "BTCUSDC" and row["block_time"] > "2021-02-20T22:15"
    ]
    listed = [row for row in named(rehearsal, "price-path").rows if row[5]]
    expected = [
        [row["block_time"], row["block_number"], Decimal(row["spot_price"]), row["trader"], row["eligible"] == "true"] for row in rows
    ]
    assert [[row[2], row[3].replace(",", ""), Decimal(row[4].replace(",", "")), row[5], "not" not in row[1]] for row in listed] == [
        row for row in expected if row[0] < "2021-02-21T01:15:02Z"
    ]
    prices = {row[1]: Decimal(row[4].replace(",", "")) for row in named(rehearsal, "price-path").rows}
    events = [row for row in rows_of(published_rehearsal, "1-events.csv") if row["market"] == rehearsal.incident.affected[0].amm]
    around = [Decimal(row["spot_price"]) for row in events if "2021-02-20T22:15:00Z" <= row["block_time"] <= "2021-02-21T01:15:01Z"]
    (before,) = [Decimal(row["spot_price"]) for row in events if row["block_time"] < "2021-02-20T22:15:00Z"][-1:]
    assert (prices["as the chart begins"], prices["last"]) == (before, around[-1])
    assert (prices["lowest"], prices["highest"]) == (min(around), max(before, *around))


POINTS = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), min_size=1, max_size=400).map(
    lambda points: sorted(points, key=lambda p: p[0])
)


@pytest.mark.property
@given(POINTS, st.integers(1, 12))
def test_thinning_keeps_the_first_last_lowest_and_highest_of_each_span(points: list[tuple[int, int]], columns: int) -> None:
    kept = thinned(points, columns)
    length = points[-1][0] - points[0][0] + 1
    if len(points) > 4 * columns:
        assert len(kept) <= 4 * columns
        for n in range(columns):
            inside, own = ([p for p in some if (p[0] - points[0][0]) * columns // length == n] for some in (points, kept))
            if inside:
                prices = [price for _, price in inside]
                assert (own[0], own[-1]) == (inside[0], inside[-1])
                assert {min(prices), max(prices)} <= {price for _, price in own}
    rest = iter(points)
    assert all(any(point == one for one in rest) for point in kept), "in order, and none of its own"


# --- the payouts


def test_the_distribution_counts_every_paid_account_once(published_rehearsal: Path, rehearsal: Run) -> None:
    chart, paid = named(rehearsal, "payout-distribution"), dict[str, Decimal]()
    payouts = rows_of(published_rehearsal, "3-payouts.csv")
    for row in payouts:
        if Decimal(row["amount"]) > 0:
            paid[row["trader"]] = paid.get(row["trader"], Decimal(0)) + Decimal(row["value"])
    zero, *columns = chart.rows
    assert zero == ["0", "0", str(len({row["trader"] for row in payouts}) - len(paid)), "0"]
    edges = [(number(low), number(high)) for low, high, _, _ in columns]
    assert all(high == low for (_, high), (low, _) in pairwise(edges)), "empty columns are kept"
    for (low, high), (_, _, count, money) in zip(edges, columns, strict=True):
        inside = [value for value in paid.values() if low <= Fraction(value) < high]
        assert (int(count), number(money)) == (len(inside), Fraction(sum(inside)))
    bars = [one for one in elements(chart, "rect") if title(one)]
    on_one_line(
        [(number(count), 268 - Fraction(bar.get("height", ""))) for bar, (_, _, count, _) in zip(bars, columns, strict=True)]
        + left_axis(chart)
    )
    largest = sorted(paid.values(), reverse=True)
    assert f"the largest 3 (top 10 %) get {sum(largest[:3]) / sum(largest) * 100:.4f}"[:-2] in chart.sentence


def test_an_amount_on_an_edge_is_in_the_column_that_begins_there(tmp_path: Path) -> None:
    rows = [build.position(n + 1, build.address(n + 1), 1, 50_000, margin, 42_000) for n, margin in enumerate((1_000, 1_999, 2_000))]
    run = build.run(tmp_path, sorted((row for pair in rows for row in pair), key=lambda row: row["block_number"]))
    assert named(run, "payout-distribution").rows == [["1,000", "2,000", "2", "2,999"], ["2,000", "5,000", "1", "2,000"]]


def test_a_base_unit_that_is_worth_nothing_in_a_table_is_in_the_smallest_column() -> None:
    rows = {
        "trader": ["a", "a", "b", "c"],
        "amount": [Decimal(1), Decimal(0), Decimal(2), Decimal(0)],
        "value": [Decimal(0), Decimal(5), Decimal(3), Decimal(9)],
    }
    paid = paid_by_account(pl.DataFrame(rows, schema={"trader": pl.String, "amount": AMOUNT, "value": AMOUNT}))
    assert paid == [1, 3 * 10**18]
    assert edges_around(*paid)[:2] == [1, 10]


@given(st.integers(1, 10**38), st.integers(1, 10**38))
def test_the_columns_reach_from_the_smallest_to_the_largest_amount(one: int, other: int) -> None:
    smallest, largest = sorted((one, other))
    edges = edges_around(smallest, largest)
    assert edges[0] <= smallest < edges[1]
    assert edges[-2] <= largest < edges[-1]
    assert {str(edge).rstrip("0") for edge in edges} <= {"1", "2", "5"}


# --- the comparison


def test_the_comparison_is_that_of_the_files(published_rehearsal: Path, rehearsal: Run) -> None:
    chart = named(rehearsal, "formulas-compared")
    preferred = {(row["option"], row["other"]): row for row in rows_of(published_rehearsal, "preferences.csv")}
    given_by = dict[str, list[Decimal]]()
    for row in rows_of(published_rehearsal, "comparison.csv"):
        given_by.setdefault(row["formula"], []).append(Decimal(row["amount"]))
    assert [number(row[1]) for row in chart.rows] == sorted((Fraction(sum(amounts)) for amounts in given_by.values()), reverse=True)
    for name, total, paid, unknown, *counts in chart.rows:
        assert (number(total), int(paid), unknown) == (Fraction(sum(given_by[name])), sum(one > 0 for one in given_by[name]), "0")
        if name == rehearsal.formula.name:
            assert counts == ["", "", ""]
        else:
            pair = preferred[name, rehearsal.formula.name]
            assert counts == [pair["prefer"], pair["prefer_other"], pair["indifferent"]]
    places = {
        title(one): Fraction(one.get("cx") or one.get("x") or "") + (0 if one.get("cx") else 5)
        for tag in ("circle", "rect")
        for one in elements(chart, tag)
    }
    on_one_line([(number(row[1]), places[f"{row[0]}: {row[1]} USDC in all"]) for row in chart.rows])
    on_one_line(
        [
            (number(row[2]), next(place for words, place in places.items() if words.startswith(f"{row[0]}: {row[2]} trader")))
            for row in chart.rows
        ]
    )
    (square,) = {title(one).split(":")[0] for one in elements(chart, "rect")}
    assert square == rehearsal.formula.name, "the one that pays differs by its shape"


def test_a_total_that_lacks_something_is_at_least_and_one_that_is_stopped_is_not_paid(lacking: Run, rehearsal: Run) -> None:
    chart = named(lacking, "formulas-compared")
    incomplete = [row for row in chart.rows if row[3] != "0"]
    assert incomplete
    shown = [one.text or "" for one in elements(chart, "text", "halo")]
    for name, total, *_ in incomplete:
        assert f"≥ {in_full_to_two(total)}" in shown
        assert f"{name}: at least {total} USDC in all" in chart.svg
    doubt = Finding("error", "the input", "Something is in doubt.", "", stops=True)
    assert "Payment is stopped" in named(replace(rehearsal, problems=(doubt,)), "formulas-compared").sentence
    assert "Payment is stopped" not in named(rehearsal, "formulas-compared").sentence


def in_full_to_two(amount: str) -> str:
    """An amount in full, cut to two places."""
    head, _, places = amount.partition(".")
    return f"{head}.{places:0<2.2}"


def test_two_rules_are_joined_trader_by_trader() -> None:
    run = perpcomp.compute(str(PRECEDENTS / "origin-two-tokens.toml"))
    chart = named(run, "formulas-compared")
    amounts = {(row["trader"], row["formula"]): row["amount"] for row in run.comparison.iter_rows(named=True)}
    total, *listed = chart.rows
    assert {
        (trader, name): number(text) for trader, *texts in listed for name, text in zip(("loss", "in-ousd"), texts, strict=False)
    } == amounts
    assert total[0] == "3 traders in all"
    exact = {row["option"]: row["total"] for row in run.fairness.iter_rows(named=True)}
    assert [number(text) for text in total[1:3]] == [exact["loss"], exact["in-ousd"]], "added up exactly, then cut"
    assert all(number(row[1]) - number(row[2]) == number(row[3]) for row in chart.rows)
    circles, squares = elements(chart, "circle")[1:], elements(chart, "rect")[1:]
    shown = [(number(title(one).split()[1]), Fraction(one.get("cx") or "")) for one in circles]
    on_one_line(shown + [(number(title(one).split()[1]), Fraction(one.get("x") or "") + 5) for one in squares])
    assert "0 of 3 traders" not in chart.sentence
    assert "No trader gets more under another." in chart.sentence


# --- the sensitivity


def test_the_kinks_are_those_of_the_table(published_rehearsal: Path, rehearsal: Run) -> None:
    chart = named(rehearsal, "sensitivity")
    pieces = [row for row in rows_of(published_rehearsal, "sensitivity.csv") if row["kind"] == "segment"]
    kinks = {Fraction(row["price"]): Fraction(row["intercept"]) + Fraction(row["slope"]) * Fraction(row["price"]) for row in pieces[1:]}
    assert len(kinks) == 29
    cut = {int(price * 10**18): int(total * 10**18) for price, total in kinks.items()}
    listed = {int(number(price) * 10**18): int(number(total) * 10**18) for _, what, price, total in chart.rows if what.startswith("kink")}
    assert listed == cut
    told = [(one, re.match(r"price ([0-9,.]+): total ([0-9,.]+) USDC", title(one))) for one in elements(chart, "circle")]
    marks = [(one, number(figures[1]), number(figures[2])) for one, figures in told if figures]
    assert {int(price * 10**18): int(total * 10**18) for _, price, total in marks} == cut
    on_one_line([(total, Fraction(one.get("cy", ""))) for one, _, total in marks] + left_axis(chart))
    (path,) = elements(chart, "path", "thick")
    for one, _, _ in marks:
        assert min(abs(y - Fraction(one.get("cy", ""))) for y in heights(corners(path), Fraction(one.get("cx", "")))) <= Fraction(2, 10)
    breaks = [row for row in rows_of(published_rehearsal, "sensitivity.csv") if row["kind"] == "break-even"]
    assert all(any(row["trader"] in words[1] and row["text"] in words[1] for words in chart.rows) for row in breaks)
    assert f"the total is {rehearsal.due.total / 10**18:,.3f}"[:-1] in chart.sentence


def test_a_total_that_jumps_is_drawn_with_a_gap() -> None:
    """0 up to 10, then the price; at 10 itself still 0."""
    empty: dict[str, object] = dict.fromkeys(column.name for column in SENSITIVITY.columns)
    rows: list[Mapping[str, object]] = [
        {"kind": "class", "price": "12", "text": "linear"},
        {"kind": "segment", "price": "0", "to": "10", "ends": "[)", "intercept": "0", "slope": "0"},
        {"kind": "segment", "price": "10", "ends": "[)", "intercept": "0", "slope": "1"},
        {"kind": "jump", "price": "10", "intercept": "0", "text": "from 0 below the price to 10 above it"},
    ]
    table = frame_of([empty | {"number": n, "option": "a", "market": "M"} | row for n, row in enumerate(rows, 1)], SENSITIVITY)
    (total,) = totals_of(table)
    assert [total.at(Fraction(price)) for price in (0, 9, 10, 11, 12)] == [0, 0, 0, 11, 12]
    assert total.kinks == [10]


# --- the vesting


@pytest.mark.parametrize("name", ["rehearsal", "all_at_once"])
def test_what_is_unlocked_is_the_sum_of_the_claims_at_every_date(name: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    chart = named(run, "vesting")
    claims = run.claims.group_by("token", "unlocks_at").agg(pl.col("cumulative").cast(pl.String)).sort("token", "unlocks_at")
    expected = {(token, f"{at:%Y-%m-%d %H:%M} UTC"): sum(map(Fraction, parts)) for token, at, parts in claims.iter_rows()}
    assert {(token, at): number(amount) for token, at, amount in chart.rows} == expected
    assert len(chart.rows) == len(expected)
    dots, paths = elements(chart, "circle"), elements(chart, "path", "thick")
    assert len(paths) == len(run.incident.settlement)
    tops = [int(Fraction(one.get("y", ""))) for one in elements(chart, "text", "strong")]
    for top, path, leg in zip(tops, paths, run.incident.settlement, strict=True):
        own = [one for one in dots if f" {leg.token} unlocked by " in title(one)]
        assert {title(one).split(f" {leg.token} unlocked by ")[1]: number(title(one).split()[0]) for one in own} == {
            at: amount for (token, at), amount in expected.items() if token == leg.token
        }
        on_one_line([(number(title(one).split()[0]), Fraction(one.get("cy", ""))) for one in own] + left_axis(chart, top, top + 230))
        for one in own:
            assert min(abs(y - Fraction(one.get("cy", ""))) for y in heights(corners(path), Fraction(one.get("cx", "")))) <= Fraction(2, 10)


def test_a_line_that_moves_once_a_week_is_drawn_in_steps(all_at_once: Run, rehearsal: Run) -> None:
    """Between two dates of the table, too: of 184 days the 22 whole weeks behind the cliff, the start, the cliff and the end."""
    path = elements(named(all_at_once, "vesting"), "path", "thick")[0]
    levels = [y for (_, y), (_, next_y) in pairwise(corners(path)) if y == next_y]
    assert len(set(levels)) == 22 + 3
    assert len({y for _, y in corners(elements(named(rehearsal, "vesting"), "path", "thick")[0])}) == 1 + 4


# --- the guards


def test_every_verdict_has_a_bar_of_its_liquidations_and_their_notional(all_at_once: Run) -> None:
    chart, table = named(all_at_once, "guards"), all_at_once.liquidations
    window = all_at_once.incident.eligibility
    affected = {market.amm for market in all_at_once.incident.affected}
    for verdict, _, count, inside, notional, inside_notional in chart.rows[:-2]:
        rows = [row for row in table.iter_rows(named=True) if row["guard_verdict"] == verdict]
        within = [row for row in rows if window.start <= row["block_time"] < window.end and row["market"] in affected]
        assert (int(count), int(inside)) == (len(rows), len(within))
        assert (number(notional), number(inside_notional)) == tuple(
            Fraction(sum(row["position_notional"] for row in some)) for some in (rows, within)
        )
    assert sum(int(row[2]) for row in chart.rows[:-2]) == table.height == 36
    bars = {
        title(one).split(":")[0]: Fraction(0) for one in elements(chart, "rect") if "liquidated" in title(one) and "USDC" not in title(one)
    }
    for one in elements(chart, "rect"):
        if "liquidated" in title(one) and "USDC" not in title(one):
            bars[title(one).split(":")[0]] += Fraction(one.get("width", ""))
    on_one_line([(number(row[2]), bars[row[0]]) for row in chart.rows[:-2]] + [(Fraction(0), Fraction(0))])
    assert [row[:2] for row in chart.rows[-2:]] == [
        [
            "limits",
            f"{market}: price impact below 0.002, premium below 0.004 (fees of {market} in the logs, 0.001 a trade: opening + closing fee = 0.002, premium twice that (SCCP-293))",
        ]
        for market in ("BTCUSDC", "LINKUSDC")
    ]


# --- what every chart is

DRAWN = {"svg", "title", "desc", "g", "style", "path", "line", "rect", "circle", "text"}


def test_a_chart_names_itself_and_holds_nothing_that_acts(any_run: Run) -> None:
    """The hostile names of one of these runs stand in the texts, and nowhere else."""
    drawn = charts(any_run)
    ids = [one.get("id") for chart in drawn for one in ElementTree.fromstring(chart.svg).iter() if one.get("id")]
    assert len(ids) == len(set(ids)) == 2 * len(drawn)
    for chart in drawn:
        for text in (chart.svg, svg_file(chart).decode()):
            root = ElementTree.fromstring(text)
            assert {one.tag.removeprefix(SVG) for one in root.iter()} <= DRAWN
            attributes = {name for one in root.iter() for name in one.attrib}
            assert not [name for name in attributes if name == "style" or name.startswith("on") or name.endswith("href")]
            assert root.get("role") == "img"
            named_by = [next(one for one in root.iter() if one.get("id") == label) for label in root.get("aria-labelledby", "").split()]
            assert [one.text for one in named_by] == [chart.title, " ".join(chart.sentence.split())]
            assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg\")", text)
        assert re.match(r'<svg [^>]*viewBox="0 0 860 [0-9]+"', chart.svg)
        assert "<style" not in chart.svg
        assert chart.sentence.endswith(".")
        assert chart.rows
        assert {len(row) for row in chart.rows} == {len(chart.header)}
        classes = {kind for one in ElementTree.fromstring(chart.svg).iter() for kind in one.get("class", "").split()}
        assert [kind for kind in classes if not re.search(rf"\.{kind}\b", STYLE)] == []


def test_elements_are_those_of_the_library_for_svg() -> None:
    """svg.py writes the same: names of attributes, their order, classes, an element in another, and one with nothing inside."""
    mark = svg.Rect(x=1, y=2, width=3, height=Decimal("0.0"), class_=["a", "b"], elements=[svg.Title(text="1 &lt; 2")])
    text = svg.Text(x=5, y=Decimal("0.5"), text="t", text_anchor="end")
    tips = [svg.M(1, 2), svg.LineToRel(-3, -6), svg.HorizontalLineToRel(6), svg.Z()]
    names = {"role": "img", "aria-labelledby": "c-title"}
    whole = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, 860, 9), class_=["chart"], elements=[mark, text, svg.Path(d=tips, class_=["c"])], extra=names
    )
    parts = [told(bar(1, 2, 4, 1, "a", "b"), "1 < 2"), label(5, Fraction(1, 2), "t", anchor="end"), triangles([(1, 2)], False, 3, "c")]
    ours = str(drawing(9, parts, role="img", aria_labelledby="c-title"))
    assert re.sub(r"([0-9])\.0\b", r"\1", ours) == re.sub(r"([0-9])\.0\b", r"\1", str(whole))


def test_hostile_names_are_shown_as_they_are(markets: Run) -> None:
    """`<` in a text is `&lt;`, so the browser shows what the incident file says."""
    drawn = {chart.name: chart for chart in charts(markets)}
    assert [*drawn] == [name for name in NAMES if name != "guards"]
    for name in ("price-path", "vesting", "sensitivity"):
        assert "&lt;script&gt;" in drawn[name].svg
        assert "<script" not in drawn[name].svg
        assert any(HOSTILE in " ".join(row) for row in drawn[name].rows), "the table holds the name in full, not escaped"
    assert inert('a<b\N{RIGHT-TO-LEFT OVERRIDE}\x1b[31m\n"c"&') == 'a&lt;b\ufffd\ufffd[31m "c"&amp;'


def test_no_text_is_clipped_and_none_covers_another(any_run: Run) -> None:
    """As wide as the widest of the usual typefaces sets it: 0.6 of the size a letter, 0.66 of it a bold one."""
    for chart in charts(any_run):
        height = int(re.findall(r'viewBox="0 0 860 ([0-9]+)"', chart.svg)[0])
        boxes = []
        for one in elements(chart, "text"):
            kinds, text, x, y = one.get("class", "").split(), one.text or "", float(one.get("x", "")), float(one.get("y", ""))
            size = 12 if "small" in kinds else 14
            wide = len(text) * size * (0.66 if "strong" in kinds else 0.6)
            left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[one.get("text-anchor", "start")]
            boxes.append((left, y - 0.75 * size, left + wide, y + 0.2 * size, text))
        outside = [box for box in boxes if box[0] < 0 or box[1] < 0 or box[2] > 860 or box[3] > height]
        assert not outside, chart.name
        covered = [(a[4], b[4]) for a, b in combinations(boxes, 2) if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]]
        assert not covered, chart.name


def test_every_coordinate_is_rounded_to_a_tenth(any_run: Run) -> None:
    for chart in charts(any_run):
        numbers = [part for one in ElementTree.fromstring(chart.svg).iter() for name, value in one.attrib.items() if name in ("d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height") for part in re.findall(r"[-+0-9.eE]+", value)]  # fmt: skip
        assert numbers
        assert [part for part in numbers if not re.fullmatch(r"-?[0-9]+(\.[0-9])?", part)] == []


SUMS = """
import hashlib, perpcomp
from perpcomp.publish.charts import charts, svg_file
for chart in charts(perpcomp.compute("rehearsal")):
    print(hashlib.sha256(svg_file(chart) + repr((chart.sentence, chart.header, chart.rows)).encode()).hexdigest())
"""


def test_the_bytes_are_the_same_in_every_time_zone_and_for_every_hash_seed(rehearsal: Run) -> None:
    sums = [hashlib.sha256(svg_file(one) + repr((one.sentence, one.header, one.rows)).encode()).hexdigest() for one in charts(rehearsal)]
    elsewhere = os.environ | {"TZ": "Pacific/Chatham", "PYTHONHASHSEED": "7", "LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"}
    done = subprocess.run([sys.executable, "-c", SUMS], env=elsewhere, capture_output=True, text=True, check=True)
    assert done.stdout.split() == sums


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return sum(
        share * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
        for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_stands_out_from_its_ground(scheme: Mapping[str, str]) -> None:
    ground, *colours = [luminance(colour) for colour in scheme.values()]
    assert len(colours) == 4
    assert all((max(one, ground) + 0.05) / (min(one, ground) + 0.05) >= 4.5 for one in colours)


# --- which charts a run has


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("rehearsal", ["price-path", "payout-distribution", "formulas-compared", "sensitivity", "vesting"]),
        ("all_at_once", [*NAMES]),
        ("later", ["price-path", "payout-distribution", "formulas-compared"]),  # its total follows no price, and all unlocks at once
    ],
)
def test_a_chart_that_would_say_nothing_is_left_out(name: str, drawn: list[str], request: pytest.FixtureRequest) -> None:
    assert [chart.name for chart in charts(request.getfixturevalue(name))] == drawn


def test_a_run_from_a_published_table_has_no_price_path_and_an_all_zero_run_has_nothing() -> None:
    runs = {name: perpcomp.compute(str(PRECEDENTS / f"{name}.toml")) for name in ("s12-top-up", "s14d-nothing", "buyback-shares")}
    assert {name: [chart.name for chart in charts(run)] for name, run in runs.items()} == {
        "s12-top-up": ["payout-distribution", "formulas-compared"],
        "s14d-nothing": [],
        "buyback-shares": ["payout-distribution"],
    }


def test_one_trader_has_no_distribution_and_a_market_without_an_event_no_price(tmp_path: Path) -> None:
    rows = build.position(1, build.address(1), 1, 50_000, 10_000, 42_000)
    other = f'[[market]]\nname = "ETHUSDC"\namm = "0x{"ee" * 20}"\naffected = true\nreference_price = 1\nsource = "test"\n\n[eligibility]'
    run = build.run(tmp_path, rows, {"[eligibility]": other})
    assert [chart.name for chart in charts(run)] == ["price-path", "formulas-compared", "vesting"]
    assert {row[0] for row in named(run, "price-path").rows} == {"BTCUSDC"}


# --- the files


def drawn_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_run_writes_each_chart_beside_files_of_others(rehearsal: Run, tmp_path: Path) -> None:
    """A chart of another run is named; a second run writes the same again."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "notes.txt").write_text("mine")
    (tmp_path / "c" / "guards.svg").write_text("another run's")
    done = call("run", "--charts", "c", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0
    found = drawn_files(tmp_path / "c")
    pictures = {name for name in found if name.endswith(".png")}
    assert pictures == {f"{chart.name}.png" for chart in charts(rehearsal)}
    assert {name: data for name, data in found.items() if name not in pictures} == {
        "notes.txt": b"mine",
        "guards.svg": b"another run's",
        **{f"{chart.name}.svg": svg_file(chart) for chart in charts(rehearsal)},
    }
    assert "10 files in c: price-path, payout-distribution, formulas-compared, sensitivity, vesting." in done.stderr
    assert "warning: c: Not of this run, which has no such chart or picture: guards.svg. Remove what an earlier run wrote.\n" in done.stderr
    assert perpcomp.verify(tmp_path / "o").same, "a chart is no part of the run"
    (tmp_path / "c" / "guards.svg").unlink()
    again = call("run", "--charts", "c", "--out", "o", "--quiet", cwd=tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert drawn_files(tmp_path / "c") == {name: data for name, data in found.items() if name != "guards.svg"}


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("o", "o: This folder is in o, where the run goes; such a folder holds the files of its manifest only."),
        ("o/charts", "o/charts: This folder is in o, where the run goes; such a folder holds the files of its manifest only."),
        ("other", "other: This folder is a published run; such a folder holds the files of its manifest only."),
        ("file", "file: This is not a folder. Choose another with --charts."),
        ("file/c", "file/c: The folder cannot be made (Not a directory). Choose another with --charts."),
    ],
)
def test_a_folder_that_cannot_hold_charts_is_refused_before_anything_is_done(folder: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text("{}")
    (tmp_path / "file").write_text("")
    done = call("run", "--charts", folder, "--out", "o", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]


def test_a_chart_that_cannot_be_written_is_named_and_the_run_is_published(tmp_path: Path) -> None:
    (tmp_path / "c" / "sensitivity.svg").mkdir(parents=True)
    done = call("run", "--charts", "c", "--out", "o", cwd=tmp_path)
    assert done.returncode == 2
    assert "error: c/sensitivity.svg: The file cannot be written (Is a directory). The run itself is published." in done.stderr
    assert perpcomp.verify(tmp_path / "o").same
    assert sorted(path.name for path in (tmp_path / "c").glob("*.svg")) == [
        *("formulas-compared.svg", "payout-distribution.svg", "price-path.svg", "sensitivity.svg")
    ]


def test_a_run_with_nothing_to_draw_says_so(tmp_path: Path) -> None:
    done = call("run", str(PRECEDENTS / "s14d-nothing.toml"), "--charts", "c", "--out", "o", cwd=tmp_path)
    assert "No chart is written: the run has too little to draw." in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_a_machine_without_typefaces_gets_no_pictures_without_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resvg_py.svg_to_bytes", partial(resvg_py.svg_to_bytes, skip_system_fonts=True))
    done = call("run", "--charts", "c", "--out", "o", cwd=tmp_path)
    assert done.returncode == 0
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".svg"}
    assert "warning: c: No PNG file is written: this machine has none of the typefaces that the charts name" in done.stderr


def test_a_picture_shows_the_whole_file(rehearsal: Run) -> None:
    """1,720 dots across; its title is drawn with letters."""
    chart = named(rehearsal, "vesting")
    data = png_file(chart)
    assert data.startswith(b"\x89PNG")
    height = int(re.findall(r'viewBox="0 0 860 ([0-9]+)"', svg_file(chart).decode())[0])
    assert (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) == (1720, 2 * height)
