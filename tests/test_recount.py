"""`check-published`: a table that somebody else published, added up again; two tables against each other.

The figures of Compound and ParaSwap are those of the published tables (tests/precedents runs the tables themselves); rows here are made up.
"""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import openpyxl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perpcomp.audit.recount.check import Asked, Recount, check
from perpcomp.audit.recount.listing import read_listing
from perpcomp.audit.recount.numbers import read_stated, shown
from perpcomp.audit.recount.rounding import recognise
from perpcomp.findings import InputError
from tests.build import address
from tests.commands import call, on_terminal

ONE = 10**18


def listed(folder: Path, header: str, *rows: str, name: str = "list.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def recounted(path: Path, **asked: object) -> Recount:
    return check(read_listing(path), Asked(**asked))  # type: ignore[arg-type]


def codes(recount: Recount, level: str = "error") -> list[str]:
    return [one.code for one in recount.findings if one.level == level]


def what(recount: Recount, code: str) -> str:
    return next(one.what for one in recount.findings if one.code == code)


def test_a_total_said_elsewhere_is_held_against_the_rows(tmp_path: Path) -> None:
    """Compound's prose said 55,254.95 COMP to 121 users; its rows add up to 55,254.055928856683239047 for 124."""
    units = [55_254 * ONE, 55_928_856_683_239_000, 47]
    path = listed(tmp_path, "user,comp", *(f"{address(n)},{units}" for n, units in enumerate(units, 1)))
    met = recounted(path, decimals=18, totals=[read_stated("--total", "comp=55,254.06")], count=3)
    assert codes(met) == []
    assert codes(recounted(path, decimals=18, totals=[read_stated("--total", "comp=55254.05")])) == []
    wrong = recounted(path, decimals=18, totals=[read_stated("--total", "comp=55,254.95")], count=121)
    assert codes(wrong) == ["count-differs", "total-differs"]
    assert "add up to 55,254.055928856683239047, but 55,254.95 is stated: the rows have 0.894071143316760953 less" in what(
        wrong, "total-differs"
    )
    assert "3 rows of 3 addresses, but 121 are stated" in what(wrong, "count-differs")


def test_rows_above_their_pot_are_found_with_the_divisor_that_misses_somebody(tmp_path: Path) -> None:
    """ParaSwap's fault: the pot is divided by a sum that leaves stakes out, so all rows together are above it."""
    stakes = [n * 1_234_567_890_123_456_789 for n in (3, 7, 20, 41)]
    divisor, pot = sum(stakes) - 5 * ONE, 170_000 * ONE
    rows = [f"{address(n)},{stake},{pot * stake // divisor}" for n, stake in enumerate(stakes)]
    found = recounted(listed(tmp_path, "user,staked,units", *rows), decimals=18, pots=[read_stated("--pot", "units=170000")])
    assert codes(found) == ["pot-exceeded"]
    excess = sum(pot * stake // divisor for stake in stakes) - pot
    assert f"{shown(excess, 18)} above the pot of 170000" in what(found, "pot-exceeded")
    assert "so the divisor is wrong by 5." in what(found, "pot-exceeded")
    left = recounted(tmp_path / "list.csv", decimals=18, pots=[read_stated("--pot", f"units=1{'0' * 6}")])
    assert codes(left) == []
    assert "are left" in what(left, "pot-enough")


def test_shares_must_add_up_to_the_whole(tmp_path: Path) -> None:
    def of(*shares: object, column: str = "share_ppm") -> list[str]:
        recount = recounted(listed(tmp_path, f"user,{column}", *(f"{address(n)},{share}" for n, share in enumerate(shares, 1))))
        return [f"{one.level} {one.what}" for one in recount.findings if one.code == "shares"]

    assert of(215_717, 174_893, 609_390) == []
    assert of(Decimal("0.5"), Decimal("0.25"), Decimal("0.25"), column="share") == []
    assert of("33.3%", "33.4%", "33.3%", column="Share") == []
    assert of(333_333, 333_333, 333_333) == [
        "warning The shares add up to 999,999, 1 less than 1,000,000 ppm. No more than cutting each row's last place explains."
    ]
    assert of(333_333, 333_333, 333_335)[0].startswith("error The shares add up to 1,000,001, 1 more than")
    assert of("0.50", "0.40", column="share")[0].startswith("error The shares add up to 0.9, 0.1 less than 1.")
    assert of(100, 100, 100, column="% not recovered") == []


def test_an_address_that_is_listed_twice_or_is_none_or_nobodys_is_found(tmp_path: Path) -> None:
    mixed = "0x7a7A7A7A7a7a7A7a7a7a7A7A0000000000000001"
    rows = [f"{address(1)},5", f"{address(2)},5", f"0X{address(1)[2:]},5", f"{address(1)},5", f"0x{'0' * 40},5"]
    found = recounted(listed(tmp_path, "user,amount", *rows, f"{address(3)[:-1]}О,1", f"{mixed},2"))
    places = [(one.where, one.code) for one in found.findings if one.level == "error"]
    assert places == [
        ("list.csv row 4", "bad-address"),
        ("list.csv row 4", "duplicate"),
        ("list.csv row 5", "duplicate"),
        ("list.csv row 7", "bad-address"),
        ("list.csv row 8", "bad-address"),
        ("list.csv row 8", "duplicate"),
        ("list.csv row 6", "unpayable"),
    ]
    assert "is in row 2 too" in what(found, "duplicate")
    tranches = [f"{address(1)},PERP,0,5", f"{address(1)},PERP,1,5", f"{address(1)},USDC,0,5"]
    per_token = recounted(listed(tmp_path, "user,token,tranche,amount", *tranches))
    assert codes(per_token) == []
    assert [line[1:] for line in per_token.sums] == [("PERP", 2, "10"), ("USDC", 1, "5")]


def test_amounts_that_went_through_floats_are_found_and_round_amounts_are_not(tmp_path: Path) -> None:
    exact = [n * 1_234_567_890_123_456_789_012 + n for n in range(1, 21)]
    floats = [int(float(amount)) for amount in exact]
    for amounts, expected in ((exact, []), (floats, ["floats"]), ([n * 250 * ONE for n in range(1, 21)], [])):
        found = recounted(listed(tmp_path, "user,units", *(f"{address(n)},{units}" for n, units in enumerate(amounts, 1))))
        assert codes(found) == expected
    some = [*floats[:15], *exact[15:]]
    found = recounted(listed(tmp_path, "user,units", *(f"{address(n)},{units}" for n, units in enumerate(some, 1))))
    assert codes(found) == []
    assert "15 of 20 long amounts are exact binary doubles; by chance none would be" in what(found, "floats")
    shown_as = [f"{address(n)},{units},{units / 10**18!r}" for n, units in enumerate(exact, 1)]
    found = recounted(listed(tmp_path, "user,units,formatted", *shown_as))
    assert "formatted is units / 10**18 with digits lost: it differs in 20 of 20 rows" in what(found, "rounding")
    assert codes(found, "warning") == ["float-texts"]


@given(
    st.lists(st.integers(10**12, 10**24), min_size=3, max_size=30, unique=True),
    st.fractions(Fraction(1, 1000), 1000, max_denominator=10**6),
    st.sampled_from(["cut down", "rounded up", "rounded to the nearest"]),
)
def test_one_factor_and_its_rounding_are_recognised(source: list[int], factor: Fraction, mode: str) -> None:
    """The true factor is inside the bounds, and the recognised rounding gives every row again."""
    half = Fraction(1, 2)
    rounded = {"cut down": lambda x: x // 1, "rounded up": lambda x: -(-x // 1), "rounded to the nearest": lambda x: (x + half) // 1}
    derived = [rounded[mode](factor * s) for s in source]
    assume(len({*derived}) > 2)
    rule = recognise(derived, source)
    assert rule is not None
    if rule.mode == mode:
        assert rule.low <= factor <= rule.high
    elif rule.mode == "exactly":
        assert len({Fraction(d, s) for d, s in zip(derived, source, strict=True)}) == 1
    else:
        inside = (rule.low + rule.high) / 2
        assert [rounded[rule.mode](inside * s) for s in source] == derived


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (Fraction(100, 12_339), "/ 123.39"),
        (Fraction(358_763_363, 100), "* 3,587,633.63"),
        (Fraction(2, 3), "* 2/3"),
        (Fraction(1, 1000), "/ 10**3"),
    ],
)
def test_a_factor_is_shown_as_its_shortest_text(factor: Fraction, text: str) -> None:
    source = [n * 987_654_321_987_654_321 for n in range(1, 40)]
    rule = recognise([factor.numerator * s // factor.denominator for s in source], source)
    assert rule is not None
    assert rule.factor(0) == text


def test_one_row_off_by_a_unit_breaks_the_rule() -> None:
    source = [n * 10**20 // 7 for n in range(1, 50)]
    derived = [s * 100 // 12_339 for s in source]
    assert recognise(derived, source) is not None
    derived[20] += 2
    assert recognise(derived, source) is None


def test_a_row_of_totals_and_numbers_of_other_shapes_are_read(tmp_path: Path) -> None:
    rows = [f'{address(1)};"1,234.50"', f"{address(2)};2e3", f"{address(3)};-4", f"{address(4)};12,5", f"{address(5)};", "Total;3,234.5"]
    found = recounted(listed(tmp_path, "user;amount", *rows))
    assert [(one.level, one.code) for one in found.findings] == [
        ("error", "exponent"),
        ("error", "bad-number"),
        ("warning", "empty-cell"),
        ("error", "total-row-differs"),
        ("error", "negative"),
    ]
    assert what(found, "total-row-differs") == "amount is 3,234.5, but the rows add up to 3,230.5."
    assert "row 5" in next(one.where for one in found.findings if one.code == "bad-number")


def book(folder: Path) -> Path:
    """A workbook with a heading, a hidden row, a formula and a number of 18 digits."""
    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    for row in (
        ["Payouts of the vote"],
        ["user", "units"],
        [address(1), "5000000000000000001"],
        [address(2), 123456789012345678],
        [address(3), "=B3"],
    ):
        sheet.append(row)
    sheet.row_dimensions[4].hidden = True
    made.save(folder / "list.xlsx")
    return folder / "list.xlsx"


def test_a_workbook_is_read_with_what_it_hides(tmp_path: Path) -> None:
    found = recounted(book(tmp_path))
    assert [(one.where, one.code) for one in found.findings if one.level != "note"] == [
        ("list.xlsx Sheet", "hidden-row"),
        ("list.xlsx Sheet", "precision-lost"),
        ("list.xlsx row 5", "bad-number"),
    ]
    assert found.sums == [("units", "", 3, "5,123,456,789,012,345,697")]  # the number cell was 123,456,789,012,345,678
    with pytest.raises(InputError, match="no sheet 'Payout'"):
        read_listing(tmp_path / "list.xlsx", "Payout")


def test_two_lists_are_compared_address_by_address(tmp_path: Path) -> None:
    listed(tmp_path, "user,units", f"{address(1)},1000000000000000001", f"{address(2)},5", f"{address(3)},7", name="a.csv")
    listed(tmp_path, "payee,amount", f"{address(3)},7", f"{address(1)},1000000000000000003", f"{address(4)},9", name="b.csv")
    done = call("check-published", "a.csv", "--against", "b.csv", "--json", cwd=tmp_path)
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert [(row["address"], row.get("here"), row.get("there"), row["difference"]) for row in answer["differences"]] == [
        (address(4), None, "9", "-9"),
        (address(2), "5", None, "5"),
        (address(1), "1000000000000000001", "1000000000000000003", "-2"),
    ]
    assert "The largest difference is 2 units of 10**-0" in done.stderr
    assert call("check-published", "a.csv", "--against", "a.csv", cwd=tmp_path).returncode == 0
    listed(
        tmp_path,
        "user,tokens",
        f"{address(1)},1.000000000000000001",
        f"{address(2)},0.000000000000000005",
        f"{address(3)},{7 / 10**18:.18f}",
        name="c.csv",
    )
    same = call(
        "check-published",
        "a.csv",
        "--against",
        "c.csv",
        "--column",
        "units",
        "--against-column",
        "tokens",
        "--decimals",
        "18",
        cwd=tmp_path,
    )
    assert same.returncode == 0, same.stderr
    without = call("check-published", "a.csv", "--against", "c.csv", "--column", "units", "--against-column", "tokens", cwd=tmp_path)
    assert "say how many with --decimals" in without.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--total", "units"), "'units' is not COLUMN=NUMBER"),
        (("--pot", "unit=5"), "no column of numbers 'unit'. Did you mean 'units'?"),
        (("--column", "units"), "Nothing is compared"),
        (("--token", "PERP"), "has no token 'PERP'"),
        (("--sheet", "One"), "is no workbook"),
    ],
)
def test_a_wrong_question_is_answered_in_words(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    listed(tmp_path, "user,units", f"{address(1)},5")
    done = call("check-published", "list.csv", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_table_without_addresses_is_refused_and_a_good_one_fits_80_columns(tmp_path: Path) -> None:
    listed(tmp_path, "name,units", "Ann,5")
    assert "No cell of the table is an address" in call("check-published", "list.csv", cwd=tmp_path).stderr
    listed(tmp_path, "user,units", f"{address(1)},5")
    assert "units" in (shown := on_terminal(80, "check-published", "list.csv", cwd=tmp_path))
    assert max(map(len, shown.splitlines())) <= 80
