"""The published tables: one reader, one writer, and every cell looked at."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from perpcomp.findings import InputError
from perpcomp.fixed import SHORT
from perpcomp.run import Run
from perpcomp.tables import decide, events, guards, liquidations, payouts
from perpcomp.tables.decide import COMPARISON, FINDINGS, IN_KIND, RESTORE_ORDERS
from perpcomp.tables.events import EVENTS
from perpcomp.tables.files import read, row_hash, to_csv, to_parquet
from perpcomp.tables.liquidations import LEFT_OUT, LIQUIDATIONS
from perpcomp.tables.payouts import CLAIMS, PAYOUTS
from perpcomp.tables.schema import CSV_TIME, KINDS, Table, check, columns, frame_of, rising

pytestmark = pytest.mark.money

ROOMS = [events, liquidations, payouts, decide, guards]
TABLES = list({t.name: t for room in ROOMS for t in vars(room).values() if isinstance(t, Table)}.values())
UNITS = {
    "",
    "QUOTE",
    "QUOTE per base",
    "PAID",
    "PAID per token",
    "base",
    "token",
    "base units",
    "1e-18 QUOTE",
    "votes",
    "/1",
    "/1 a day",
    "s",
    "UTC",
}
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)


@pytest.fixture(scope="module")
def events(rehearsal: Run) -> pl.DataFrame:
    return rehearsal.events.table


@pytest.fixture(scope="module")
def lines(events: pl.DataFrame) -> list[str]:
    return to_csv(events, EVENTS).decode().splitlines()


def with_cell(lines: list[str], row: int, column: str, value: str) -> str:
    """The CSV with one cell replaced; row 2 is the first below the header."""
    cells = lines[row - 1].split(",")
    cells[lines[0].split(",").index(column)] = value
    return "\n".join([*lines[: row - 1], ",".join(cells), *lines[row:]]) + "\n"


def refused(folder: Path, data: str | bytes, name: str = "events.csv") -> list[str]:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(InputError) as caught:
        read(path, EVENTS)
    assert caught.value.exit_code == 2
    assert all(problem.where.startswith(name) and problem.what_to_do for problem in caught.value.problems)
    return str(caught.value).splitlines()


# Rows

SMALL = Table("small", ("number",), columns("number | integer | | a\nfirst | amount | | b\nsecond | amount? | | c\nwhen | time | | d"))


def test_rows_are_matched_by_column_name_and_not_by_position() -> None:
    rows = [
        {"number": 1, "first": 5 * 10**17, "second": -2 * 10**18, "when": 1_613_862_000},
        {"when": 0, "second": None, "first": 10**37, "number": 2},
    ]
    frame = check(frame_of(rows, SMALL), SMALL)
    assert frame["first"].to_list() == [Decimal("0.5"), Decimal(10**19)]
    assert frame["second"].to_list() == [Decimal(-2), None]
    assert frame["when"].to_list() == [datetime(2021, 2, 20, 23, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)]
    assert frame_of([], SMALL).equals(SMALL.empty())


@pytest.mark.parametrize("row", [{"number": 1, "first": 1, "second": 1}, {"number": 1, "first": 1, "second": 1, "when": 1, "third": 1}])
def test_a_row_with_other_columns_than_its_table_is_refused(row: dict[str, int]) -> None:
    with pytest.raises(AssertionError, match=r"table small: a row has other columns: (when|third)$"):
        frame_of([row], SMALL)


# Round trips


def test_a_table_comes_back_from_csv_as_it_was(tmp_path: Path, events: pl.DataFrame) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(to_csv(events, EVENTS))
    assert read(path, EVENTS).equals(events)
    assert dict(read(path, EVENTS).schema) == EVENTS.schema


def test_a_table_comes_back_from_parquet_as_it_was(tmp_path: Path, events: pl.DataFrame) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(to_parquet(events))
    assert read(path, EVENTS).equals(events)
    assert row_hash(read(path, EVENTS), EVENTS) == row_hash(events, EVENTS)


def test_the_columns_of_a_file_may_stand_in_any_order(tmp_path: Path, events: pl.DataFrame) -> None:
    turned = events.select(reversed(events.columns))
    (tmp_path / "events.parquet").write_bytes(to_parquet(turned))
    turned.write_csv(tmp_path / "events.csv", datetime_format=CSV_TIME)
    for name in ("events.parquet", "events.csv"):
        assert read(tmp_path / name, EVENTS).equals(events)


@pytest.mark.parametrize(
    "change",
    [lambda d: d.replace(b"\n", b"\r\n"), lambda d: b"\xef\xbb\xbf" + d, lambda d: d[:-1]],
    ids=["CRLF", "BOM", "no last line end"],
)
def test_what_spreadsheets_do_to_line_ends_does_not_matter(tmp_path: Path, events: pl.DataFrame, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(change(to_csv(events, EVENTS)))
    assert read(path, EVENTS).equals(events)


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-0.5",
        "100000",
        "99999999999999999999.999999999999999999",
        "-99999999999999999999.999999999999999999",
        "0.000000000000000001",
        "007",
    ],
)
def test_an_amount_in_plain_digits_is_kept_exactly(tmp_path: Path, lines: list[str], value: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(with_cell(lines, 2, "margin", value))
    assert read(path, EVENTS)["margin"].cast(pl.String)[0].rstrip("0").rstrip(".") == (
        value.lstrip("0") or "0" if "." not in value else value
    )


# Bad cells


AMOUNT_HELP = "Amounts are plain decimals with at most 18 places and 20 digits before them, e.g. 100000 or -0.5."


@pytest.mark.parametrize(
    "value",
    ["+1", " 1", "1 ", "NaN", "inf", "0." + "1" * 19, "１", "1.５", "٣", "1" * 21, "-", ".5", "1.", "--1", "1_0", "0x10", "1,0", "1'000", "one", "null"],
)  # fmt: skip
def test_an_amount_that_is_no_plain_decimal_is_refused(tmp_path: Path, lines: list[str], value: str) -> None:
    cell = f'"{value}"' if "," in value else value
    assert refused(tmp_path, with_cell(lines, 5, "margin", cell)) == [f'events.csv row 5: margin is "{value}". {AMOUNT_HELP}']


@pytest.mark.parametrize("value", ["1e5", "1E5", "1.E+5"])
def test_an_exponent_is_refused_with_the_digits_to_write(tmp_path: Path, lines: list[str], value: str) -> None:
    (said,) = refused(tmp_path, with_cell(lines, 5, "margin", value))
    assert said.startswith(f'events.csv row 5: margin is "{value}". An exponent may hide lost digits.')
    assert "write all digits: 100000 if these are all." in said


@pytest.mark.parametrize(
    ("column", "value", "wanted"),
    [
        ("trader", "0x" + "A" * 40, "0x and 40 lower-case hex digits"),
        ("trader", "0x" + "a" * 39, "0x and 40 lower-case hex digits"),
        ("trader", "a" * 40, "0x and 40 lower-case hex digits"),
        ("trader", "0x" + "а" * 40, "0x and 40 lower-case hex digits"),
        ("liquidator", "nobody", "0x and 40 lower-case hex digits"),
        ("transaction_hash", "0x12", "0x and 64 lower-case hex digits"),
        ("block_number", "1.0", "Write a whole number without separators."),
        ("block_number", "1" * 19, "Write a whole number without separators."),
        ("block_number", "1_000", "Write a whole number without separators."),
        ("block_number", "0xcdfe69", "Write a whole number without separators."),
        ("kind", "a\x07b", "without control characters"),
        ("block_time", "2021-02-20 22:45:00", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "2021-02-20T22:45:00", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "2021-02-20T22:45:00.5Z", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "2021-02-20T22:45:00+08:00", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "2021-02-30T00:00:00Z", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "2021-02-20T24:00:00Z", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "2021-02-20T23:59:60Z", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "0000-01-01T00:00:00Z", "e.g. 2021-02-20T22:45:00Z"),
        ("block_time", "1613861100", "e.g. 2021-02-20T22:45:00Z"),
    ],
)
def test_a_cell_of_another_shape_is_refused(tmp_path: Path, lines: list[str], column: str, value: str, wanted: str) -> None:
    said = refused(tmp_path, with_cell(lines, 3, column, value))
    assert len(said) == 1
    assert said[0].startswith(f'events.csv row 3: {column} is "{value}". ')
    assert wanted in said[0]


@pytest.mark.parametrize("column", [c.name for c in EVENTS.columns if not c.optional])
def test_an_empty_cell_is_refused_where_one_is_needed(tmp_path: Path, lines: list[str], column: str) -> None:
    said = refused(tmp_path, with_cell(lines, 4, column, ""))
    assert said[0].startswith(f"events.csv row 4: {column} is empty. ")


@pytest.mark.parametrize("column", [c.name for c in EVENTS.columns if c.optional])
def test_an_empty_cell_may_stand_where_a_column_is_optional(tmp_path: Path, lines: list[str], column: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(with_cell(lines, 4, column, ""))
    assert read(path, EVENTS)[column][2] is None


def test_every_bad_cell_is_named_at_once(tmp_path: Path, lines: list[str]) -> None:
    one = with_cell(lines, 2, "margin", "1e5").splitlines()
    two = with_cell(one, 9, "trader", "nobody").splitlines()
    said = refused(tmp_path, with_cell(two, 4, "fee", "+1"))
    assert sorted(s.split(" is ")[0] for s in said) == ["events.csv row 2: margin", "events.csv row 4: fee", "events.csv row 9: trader"]


def test_at_most_20_bad_cells_are_listed(tmp_path: Path, lines: list[str]) -> None:
    index = lines[0].split(",").index("margin")
    bad = [",".join("x" if n == index else cell for n, cell in enumerate(line.split(","))) for line in lines[1:]]
    assert len(refused(tmp_path, "\n".join([lines[0], *bad]))) == 20


# Bad headers and files


def test_a_missing_column_is_named(tmp_path: Path, events: pl.DataFrame) -> None:
    short = events.drop("margin")
    assert refused(tmp_path, to_parquet(short), "events.parquet") == [
        "events.parquet: column margin is missing. The table events needs it. Amounts are plain decimals with at most 18 places and 20 digits before them, e.g. 100000 or -0.5."
    ]
    assert refused(tmp_path, short.write_csv(datetime_format=CSV_TIME)) == [
        "events.csv: column margin is missing. The table events needs it. Amounts are plain decimals with at most 18 places and 20 digits before them, e.g. 100000 or -0.5."
    ]


def test_an_unknown_column_names_the_nearest(tmp_path: Path, lines: list[str]) -> None:
    said = refused(tmp_path, "\n".join([lines[0].replace("margin,", "margins,"), *lines[1:]]))
    assert (
        said[0]
        == "events.csv: column margin is missing. The table events needs it. Amounts are plain decimals with at most 18 places and 20 digits before them, e.g. 100000 or -0.5."
    )
    assert said[1].startswith("events.csv: column margins is unknown. Did you mean 'margin'? Known: bad_debt, ")


def test_a_column_that_stands_twice_is_refused(tmp_path: Path, lines: list[str]) -> None:
    said = refused(tmp_path, "\n".join([lines[0].replace("fee,", "margin,", 1), *lines[1:]]))
    assert any("column margin_duplicated_0 is unknown" in s for s in said)


def test_a_header_without_rows_is_an_empty_table(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "events.csv").write_text(lines[0] + "\n")
    assert read(tmp_path / "events.csv", EVENTS).equals(EVENTS.empty())


@pytest.mark.parametrize("change", [lambda line: line + ",5", lambda line: ""], ids=["a cell too many", "an empty line"])
def test_a_row_that_is_no_row_of_the_table_is_refused(tmp_path: Path, lines: list[str], change: Callable[[str], str]) -> None:
    assert refused(tmp_path, "\n".join([*lines[:3], change(lines[3]), *lines[4:]]))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe\x00", b"PK\x03\x04" + bytes(50), b"a,b\n\xff,2\n"], ids=["empty", "no text", "a zip", "no UTF-8"]
)
def test_a_file_that_is_no_csv_of_the_table_is_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data)[0].startswith(("events.csv: The CSV file cannot be read (", "events.csv: column chain_id is missing."))


@pytest.mark.parametrize(
    "spoil", [lambda d: b"", lambda d: b"x" * 50, lambda d: d[: len(d) // 2], lambda d: b"PAR1" + b"\xff" * 40 + b"PAR1", lambda d: d[4:]]
)
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, events: pl.DataFrame, spoil: Callable[[bytes], bytes]) -> None:
    said = refused(tmp_path, spoil(to_parquet(events)), "events.parquet")
    assert said[0].startswith("events.parquet: The Parquet file cannot be read (")
    assert said[0].endswith("Export it again.")


@pytest.mark.parametrize(
    ("column", "type_", "named"),
    [
        ("margin", pl.Float64, "Float64"),
        ("margin", pl.String, "String"),
        ("margin", pl.Decimal(38, 6), "Decimal(precision=38, scale=6)"),
        ("margin", pl.Decimal(30, 18), "Decimal(precision=30, scale=18)"),
        ("block_number", pl.UInt32, "UInt32"),
        ("kind", pl.Categorical, "Categorical"),
        ("block_time", pl.Datetime("ms", "UTC"), "Datetime"),
        ("block_time", pl.Datetime("us"), "Datetime"),
        ("block_time", pl.Int64, "Int64"),
    ],
)  # fmt: skip
def test_a_parquet_column_of_another_type_is_refused(
    tmp_path: Path, events: pl.DataFrame, column: str, type_: pl.DataType, named: str
) -> None:
    cell = pl.col(column).dt.replace_time_zone(None) if type_ == pl.Datetime("us") else pl.col(column)
    said = refused(tmp_path, to_parquet(events.with_columns(cell.cast(type_))), "events.parquet")
    assert len(said) == 1
    assert said[0].startswith(f"events.parquet: column {column} is {named}")
    assert "Export it as an exact type" in said[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pl.lit(None, KINDS["amount"][0]).alias("margin"), "margin is empty."),
        (pl.col("trader").str.to_uppercase(), 'trader is "0X'),
        (pl.lit("a\nb").alias("kind"), 'kind is "a'),
        (pl.col("block_time") + pl.duration(microseconds=5), "000005Z"),
        (pl.lit("x" * 100).alias("liquidator"), 'liquidator is "' + "x" * 60 + '"'),
    ],
    ids=["null", "upper case", "line end", "part of a second", "long text"],
)
def test_a_parquet_cell_is_checked_as_a_csv_cell_is(tmp_path: Path, events: pl.DataFrame, change: pl.Expr, said: str) -> None:
    message = refused(tmp_path, to_parquet(events.head(1).with_columns(change)), "events.parquet")[0]
    assert message.startswith("events.parquet row 1: ")
    assert said in "\n".join(refused(tmp_path, to_parquet(events.head(1).with_columns(change)), "events.parquet"))


def test_a_key_that_stands_twice_is_named_in_both_rows(tmp_path: Path, lines: list[str]) -> None:
    block, log = lines[2].split(",")[1], lines[2].split(",")[6]
    said = refused(tmp_path, "\n".join([*lines[:4], lines[2], *lines[4:]]))
    assert [s.split(" row ")[1][0] for s in said] == ["3", "5"]
    assert all(f"block_number {block}, log_index {log} is in another row too. " in s for s in said)


# The identity of the rows


def test_the_row_hash_depends_on_the_rows_alone(events: pl.DataFrame) -> None:
    assert (
        row_hash(events, EVENTS) == row_hash(events.reverse(), EVENTS) == row_hash(events.sample(fraction=1, shuffle=True, seed=7), EVENTS)
    )


def test_the_row_hash_is_that_of_the_whole_text_also_where_it_is_written_in_many_pieces() -> None:
    numbers = Table("numbers", ("number",), columns("number | integer | | counts"))
    frame = pl.DataFrame({"number": range(10**6)})
    assert row_hash(frame, numbers) == sha256(("number\n" + "".join(f"{n}\n" for n in range(10**6))).encode()).hexdigest()


def test_the_row_hash_sees_the_last_digit(events: pl.DataFrame) -> None:
    touched = events.with_columns(
        pl.when(pl.int_range(pl.len()) == 7)
        .then(pl.col("margin") + pl.lit("0.000000000000000001").cast(pl.Decimal(38, 18)))
        .otherwise("margin")
        .alias("margin")
    )
    assert row_hash(events, EVENTS) != row_hash(touched, EVENTS)


def test_a_table_from_csv_and_from_parquet_has_one_hash(tmp_path: Path, events: pl.DataFrame) -> None:
    (tmp_path / "events.csv").write_bytes(to_csv(events.reverse(), EVENTS))
    (tmp_path / "events.parquet").write_bytes(to_parquet(events.reverse()))
    assert len({row_hash(read(tmp_path / name, EVENTS), EVENTS) for name in ("events.csv", "events.parquet")}) == 1


def test_the_canonical_text_is_plain(events: pl.DataFrame) -> None:
    """LF, UTF-8, 18 places, UTC to the second, nothing quoted that need not be."""
    data = to_csv(events, EVENTS)
    head, first, *_ = data.decode().split("\n")
    assert head == ",".join(c.name for c in EVENTS.columns)
    assert b"\r" not in data
    assert b'"' not in data
    assert data.endswith(b"\n")
    cells = dict(zip(head.split(","), first.split(","), strict=True))
    assert cells["block_time"] == "2021-01-05T10:00:35Z"
    assert cells["margin"] == "10000.000000000000000000"
    assert cells["liquidator"] == ""


def test_parquet_bytes_are_the_same_each_time(events: pl.DataFrame) -> None:
    assert to_parquet(events) == to_parquet(events.clone())


# Our own mistakes are no input errors


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: f.with_columns(pl.col("margin").cast(pl.Float64)), "margin: Float64 instead of Decimal"),
        (lambda f: f.with_columns(pl.col("margin").cast(pl.Decimal(38, 6))), "margin: Decimal"),
        (lambda f: f.drop("fee"), "fee: None instead of Decimal"),
        (lambda f: f.with_columns(extra=1), "extra: Int32 instead of None"),
        (lambda f: f.select(reversed(f.columns)), "columns are in another order"),
        (lambda f: f.with_columns(pl.lit(None, pl.String).alias("trader")), "null in trader"),
        (lambda f: pl.concat([f, f.head(1)]), "block_number, log_index names two rows"),
    ],
    ids=["float", "scale", "missing", "extra", "order", "null", "key twice"],
)
def test_check_finds_our_own_mistakes(events: pl.DataFrame, spoil: Callable[[pl.DataFrame], pl.DataFrame], said: str) -> None:
    with pytest.raises(AssertionError, match=f"table events: .*{said}"):
        check(spoil(events), EVENTS)


def test_check_sorts_by_the_key(events: pl.DataFrame) -> None:
    assert check(events.reverse(), EVENTS).equals(events)


@pytest.mark.parametrize("height", [SHORT, SHORT + 2])
def test_keys_rise_where_each_is_greater_than_the_one_before(height: int) -> None:
    """Up to SHORT rows are compared one by one, more by Polars."""
    rows = [(n // 2, f"0x{n:02x}") for n in range(height)]
    last, before = rows[-1], rows[-2]
    found = {
        "rising": rows,
        "twice": [*rows[:-1], before],
        "falling in the second column": [*rows[:-2], last, before],
        "falling in the first column": [*rows[:-1], (-1, "0xff")],
        "unknown": [*rows[:-1], (before[0], None)],
    }
    frames = {name: pl.DataFrame(listed, schema={"n": pl.Int64, "text": pl.String}, orient="row") for name, listed in found.items()}
    assert [name for name, frame in frames.items() if rising(frame, ("n", "text"))] == ["rising"]


@each_table
def test_every_table_says_what_its_columns_mean(table: Table) -> None:
    assert set(table.key) <= set(table.schema)
    assert len({c.name for c in table.columns}) == len(table.columns)
    for column in table.columns:
        assert column.kind in KINDS
        assert column.meaning
        assert column.unit in UNITS, f"{table.name}.{column.name} is in {column.unit}: an asset's name stands in no table"
        assert column.unit or column.kind != "amount", f"{table.name}.{column.name} has no unit"
        assert not (column.optional and column.name in table.key)


@each_table
def test_an_empty_table_is_a_table(table: Table) -> None:
    assert check(table.empty(), table).height == 0
    assert to_csv(table.empty(), table).decode() == ",".join(table.schema) + "\n"


@pytest.mark.parametrize(
    ("table", "attribute"),
    [
        (PAYOUTS, "payouts"),
        (FINDINGS, "findings"),
        (LIQUIDATIONS, "liquidations"),
        (CLAIMS, "claims"),
        (COMPARISON, "comparison"),
        (LEFT_OUT, "left_out"),
        (IN_KIND, "in_kind"),
        (RESTORE_ORDERS, "restore_orders"),
    ],
)
def test_every_table_of_a_run_comes_back_from_its_files(tmp_path: Path, rehearsal: Run, table: Table, attribute: str) -> None:
    frame = getattr(rehearsal, attribute)
    (tmp_path / "t.csv").write_bytes(to_csv(frame, table))
    (tmp_path / "t.parquet").write_bytes(to_parquet(frame))
    assert read(tmp_path / "t.csv", table).equals(check(frame, table))
    assert read(tmp_path / "t.parquet", table).equals(check(frame, table))
