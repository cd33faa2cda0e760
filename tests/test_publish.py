"""What is written: the folder all or nothing, the workbook exact and without surprises, the same bytes wherever it is made."""

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from eth_utils.address import is_checksum_address
from msgspec.structs import replace
from openpyxl import load_workbook

import perpcomp
from perpcomp import sheet_limits
from perpcomp.findings import InputError
from perpcomp.fixed import to_integer
from perpcomp.number_text import in_full
from perpcomp.publish import folder
from perpcomp.publish.files import CSV_FILES, files
from perpcomp.publish.manifest import MANIFEST, manifest
from perpcomp.publish.summary import summary
from perpcomp.publish.workbook import content_digest, write
from perpcomp.publish.workbook.plan import HEADER_ROW
from perpcomp.run import Run
from perpcomp.tables.files import read
from perpcomp.totals import total_of
from tests import build, stated
from tests.build import address, position

pytestmark = pytest.mark.money

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def published(rehearsal: Run) -> dict[str, bytes]:
    return files(rehearsal)


def test_every_csv_reads_back_as_the_checked_table(rehearsal: Run, published: dict[str, bytes], tmp_path: Path) -> None:
    for name, (attribute, table) in CSV_FILES.items():
        (tmp_path / name).write_bytes(published[name])
        assert read(tmp_path / name, table).equals(getattr(rehearsal, attribute)), name
        assert b"\r" not in published[name]


def test_the_folder_holds_what_the_design_promises(published: dict[str, bytes]) -> None:
    wanted = {"1-events.parquet", "1-events.csv", "2-liquidations.csv", "3-payouts.csv", "4-claims.csv", "vote.xlsx", "comparison.csv"}
    wanted |= {
        "comparison-wide.csv",
        "left-out.csv",
        "findings.csv",
        "restore-in-kind.csv",
        "capacity.csv",
        "events/Transfer.parquet",
        "inputs/rehearsal.toml",
        "inputs/logs.jsonl.gz",
    }
    assert wanted <= set(published)
    assert "events/MarginChanged.parquet" in published


def test_the_workbook_reads_back_exact(rehearsal: Run, published: dict[str, bytes]) -> None:
    book = load_workbook(io.BytesIO(published["vote.xlsx"]), data_only=True)
    assert book.properties.created.isoformat() == "2021-02-21T00:45:01", "the incident's date, not the clock's"
    sheet = book["Claims"]
    header = [cell.value for cell in sheet[HEADER_ROW]]
    rows = [dict(zip(header, (c.value for c in row), strict=True)) for row in sheet.iter_rows(min_row=HEADER_ROW + 1)]
    assert len(rows) == rehearsal.payouts.height
    by_trader = {row["account"].lower(): row for row in rows}
    for row in rehearsal.payouts.iter_rows(named=True):
        shown = by_trader[row["trader"]]
        assert is_checksum_address(shown["account"])
        assert shown["exact, published (base units of PERP, 10^-18)"] == row["amount_base_units"]
        assert abs(Decimal(shown["entitlement (USDC)"]) - row["entitlement"]) < Decimal("1e-9")
        assert abs(Decimal(shown["paid (PERP)"]) - row["amount"]) < Decimal("1e-9")
    amounts = [row["entitlement (USDC)"] for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert any(c.value == "8,220.331472917692825739 PERP" for c in sheet[HEADER_ROW - 1])


def test_the_summary_answers_on_one_screen(published: dict[str, bytes]) -> None:
    sheet = load_workbook(io.BytesIO(published["vote.xlsx"]))["Read me"]
    lines = {row[0].value: f"{row[1].value} {row[2].value}" for row in sheet.iter_rows(min_row=HEADER_ROW + 1)}
    assert "2021-02-20T22:45:00Z to 2021-02-21T00:45:01Z (UTC" in lines["Window"]
    assert "+08:00" in lines["Window"], "as written, and in UTC"
    assert "30 accounts, 31 positions, 31 liquidations" in lines["In the window"]
    assert "Coin Metrics" in lines["Price of PERP"]
    assert "DAO treasury" in lines["Rounded off"]
    assert "tranche dates bind" in lines["Vesting"]


def test_hostile_words_in_a_query_stay_words(tmp_path: Path) -> None:
    """A title cannot become a formula; the loader refuses one that starts like it, and cells are text anyway."""
    done = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), {"A made-up incident": "<b>&amp; [red] title"})
    book = load_workbook(io.BytesIO(files(done)["vote.xlsx"]))
    assert book["Read me"]["A1"].value == "<b>&amp; [red] title"


SCRIPT = """
import hashlib, sys
import perpcomp
from perpcomp.publish.files import files
from perpcomp.publish.manifest import manifest
run = perpcomp.compute("rehearsal")
made = files(run)
made["manifest.json"] = manifest(run, made)
for name in sorted(made):
    print(name, hashlib.sha256(made[name]).hexdigest())
"""


@pytest.mark.parametrize(
    "surroundings",
    [
        {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "5", "POLARS_MAX_THREADS": "1"},
        {"TZ": "America/Los_Angeles", "PYTHONHASHSEED": "99", "LC_ALL": "C", "LANG": "de_DE.UTF-8", "POLARS_MAX_THREADS": "7"},
    ],
)
def test_the_same_bytes_in_other_surroundings(
    surroundings: dict[str, str], published: dict[str, bytes], rehearsal: Run, tmp_path: Path
) -> None:
    """Another time zone, locale, hash seed, thread count, working directory and umask."""
    environment = {**os.environ, **surroundings}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, umask=0o077
    )
    here = {**published, MANIFEST: manifest(rehearsal, published)}
    assert done.stdout == "".join(f"{name} {hashlib.sha256(here[name]).hexdigest()}\n" for name in sorted(here))


def test_the_committed_rehearsal_is_what_the_code_makes(published: dict[str, bytes]) -> None:
    """Tables by their canonical text, the workbook by its content: those hold under every version of the lock's libraries."""
    committed = ROOT / "outputs" / "rehearsal"
    for name in CSV_FILES:
        assert (committed / name).read_bytes() == published[name], name
    assert content_digest((committed / "vote.xlsx").read_bytes()) == content_digest(published["vote.xlsx"])
    assert set(stated.read(committed)["files"]) == set(published)


def test_the_manifest_holds_no_clock_no_path_and_no_host(rehearsal: Run, published: dict[str, bytes]) -> None:
    import getpass
    import socket
    from datetime import UTC, datetime

    text = manifest(rehearsal, published).decode()
    assert str(ROOT) not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert f'"{socket.gethostname()}"' not in text
    assert f'"{getpass.getuser()}"' not in text
    assert datetime.now(UTC).strftime("%Y-%m-%d") not in text
    predicate = json.loads(text)["predicate"]
    assert predicate["totals"]["entitlement_1e18_usdc"] == str(sum(map(to_integer, rehearsal.payouts["entitlement"])))
    assert predicate["inputs"]["files"][0]["sha256"] == hashlib.sha256(published["inputs/logs.jsonl.gz"]).hexdigest()
    assert {one["name"] for one in predicate["compared"]} >= {"margin-only", "realized-loss"}


# The folder.


LEFT_BY_PROGRAMS = (".DS_Store", "inputs/.DS_Store", "._vote.xlsx", "Thumbs.db", "desktop.ini", "~$vote.xlsx", ".~lock.vote.xlsx#")


def test_what_file_managers_and_office_programs_leave_is_a_note(rehearsal: Run, tmp_path: Path) -> None:
    where = tmp_path / "out"
    perpcomp.publish_run(rehearsal, where)
    for name in LEFT_BY_PROGRAMS:
        (where / name).write_bytes(b"theirs")
    (where / "inputs" / ".logs.jsonl.gz.partial").write_bytes(b"left by a kill")
    verdict = perpcomp.verify(where)
    assert verdict.same
    for name in (*LEFT_BY_PROGRAMS, "inputs/.logs.jsonl.gz.partial"):
        assert any(note.startswith(f"{name} was left by ") for note in verdict.notes), name
    perpcomp.publish_run(rehearsal, where)
    assert all((where / name).read_bytes() == b"theirs" for name in LEFT_BY_PROGRAMS), "they stay where they are"
    assert not (where / "inputs" / ".logs.jsonl.gz.partial").exists()
    assert perpcomp.verify(where).same


def test_a_second_run_replaces_the_first_and_leaves_no_rubbish(rehearsal: Run, tmp_path: Path) -> None:
    where = tmp_path / "out"
    first = perpcomp.publish_run(rehearsal, where)
    before = {p.relative_to(where).as_posix(): p.read_bytes() for p in where.rglob("*") if p.is_file()}
    assert before == first
    (where / ".2-liquidations.csv.partial").write_bytes(b"left by a kill")
    perpcomp.publish_run(rehearsal, where)
    assert {p.relative_to(where).as_posix(): p.read_bytes() for p in where.rglob("*") if p.is_file()} == first


def test_a_file_that_the_new_run_no_longer_has_goes(rehearsal: Run, published: dict[str, bytes], tmp_path: Path) -> None:
    made = {**published, MANIFEST: manifest(rehearsal, published)}
    old = {**published, "extra.csv": b"old"}
    folder.write(tmp_path / "o", {**old, MANIFEST: manifest(rehearsal, old)})
    folder.write(tmp_path / "o", made)
    assert not (tmp_path / "o" / "extra.csv").exists()


@pytest.mark.parametrize(
    "what",
    [
        "somebody's file",
        "somebody's download",
        "another run",
        "a run of another file of the same name",
        "a file of somebody's in a run",
        "a link in a run",
        "a file",
        "a link",
    ],
)
def test_a_folder_that_holds_something_else_is_refused(what: str, rehearsal: Run, published: dict[str, bytes], tmp_path: Path) -> None:
    where = tmp_path / "out"
    made = {**published, MANIFEST: manifest(rehearsal, published)}
    if what == "somebody's file":
        where.mkdir()
        (where / "thesis.txt").write_text("years of work")
    elif what == "another run":
        folder.write(where, {**published, MANIFEST: manifest(replaced(rehearsal, name="another"), published)})
    elif what == "a run of another file of the same name":
        folder.write(where, {**published, MANIFEST: manifest(replaced(rehearsal, raw=b"other"), published)})
    elif what == "a file of somebody's in a run":
        folder.write(where, made)
        (where / "notes.txt").write_text("mine")
    elif what == "somebody's download":
        where.mkdir()
        (where / "film.partial").write_text("mine")
    elif what == "a link in a run":
        folder.write(where, made)
        (tmp_path / "elsewhere").mkdir()
        (where / "guards").symlink_to(tmp_path / "elsewhere")
    elif what == "a file":
        where.write_text("a file")
    else:
        (tmp_path / "elsewhere").mkdir()
        where.symlink_to(tmp_path / "elsewhere")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match="--out"):
        perpcomp.publish_run(rehearsal, where)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    if "run of" in what or what == "another run":
        with pytest.raises(InputError, match="--force"):
            perpcomp.publish_run(rehearsal, where)
        perpcomp.publish_run(rehearsal, where, force=True)
        assert {p.relative_to(where).as_posix(): p.read_bytes() for p in where.rglob("*") if p.is_file()} == made
    elif where.is_dir():
        with pytest.raises(InputError, match="--out"):  # --force never deletes what is not of a run
            perpcomp.publish_run(rehearsal, where, force=True)


def replaced(run: Run, **changes: Any) -> Run:
    """The run of a changed incident."""
    return replace(run, incident=replace(run.incident, **changes))


def test_a_disk_that_fails_at_any_write_leaves_the_old_run_whole(
    rehearsal: Run, published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The N-th write fails, for every N: also while the last file is written."""
    old = {**published, MANIFEST: manifest(rehearsal, published)}
    new = {name: data + b" " if name.endswith(".csv") else data for name, data in old.items()}
    where = tmp_path / "out"
    folder.write(where, old)
    calls, fails_at = 0, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fails_at:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for fails_at in range(1, len(new) + 1):
        calls = 0
        with pytest.raises(InputError, match="No space left on device"):
            folder.write(where, new)
        assert {p.relative_to(where).as_posix(): p.read_bytes() for p in where.rglob("*") if p.is_file()} == old, fails_at


def test_a_disk_that_fails_at_the_first_run_leaves_nothing(rehearsal: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError):
        perpcomp.publish_run(rehearsal, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_workbooks_digest_survives_another_packing(published: dict[str, bytes]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(published["vote.xlsx"])) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in reversed(source.namelist()):
            target.writestr(name, source.read(name))
    assert packed.getvalue() != published["vote.xlsx"]
    assert content_digest(packed.getvalue()) == content_digest(published["vote.xlsx"])


def test_large_runs_in_one_go(large: Run) -> None:
    assert large.payouts.height == 1179
    assert sum(map(to_integer, large.payouts["entitlement"])) == 563_676_318995828685575595
    made = files(large)
    assert "1-events.csv" not in made, "a twin only where it is small"
    assert pl.read_parquet(io.BytesIO(made["1-events.parquet"])).equals(large.events.table)


# The workbook's limits.


def traders(folder: Path, count: int) -> Run:
    return build.run(folder, [row for n in range(1, count + 1) for row in position(n, address(n), 1, 30_000, 10_000, 42_000)])


def test_a_sheet_with_fewer_rows_than_its_table_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sheet holds 1,048,576 rows, and XlsxWriter leaves the others out without a word."""
    monkeypatch.setattr(sheet_limits, "ROWS", 12)
    monkeypatch.setattr(sheet_limits, "EXCERPT", 5)
    done = traders(tmp_path, 8)
    book = load_workbook(io.BytesIO(files(done)["vote.xlsx"]))
    claims = book["Claims"]
    assert claims["A1"].value == "What each account is paid, largest first: 5 of 8; all are in 3-payouts.csv"
    assert claims.max_row == sheet_limits.ABOVE + 5
    assert f"{in_full(total_of(done.payouts, 'amount'))} PERP" in [cell.value for cell in claims[HEADER_ROW - 1]], "of all"
    assert book["Positions"]["A1"].value.endswith(": 5 of 8; all are in 2-liquidations.csv")
    found = [problem for problem in done.problems if problem.code == "sheet-too-short"]
    assert [(one.level, one.where) for one in found] == [("warning", "3-payouts.csv"), ("warning", "2-liquidations.csv")]
    assert found[0].what == "vote.xlsx shows 5 of the 8 rows, because a sheet has at most 12 rows."


def test_a_table_that_just_fits_a_sheet_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_limits, "ROWS", 8 + sheet_limits.ABOVE)
    done = traders(tmp_path, 8)
    book = load_workbook(io.BytesIO(files(done)["vote.xlsx"]))
    assert book["Claims"]["A1"].value == "What each account is paid, largest first: 8"
    assert book["Claims"].max_row == 8 + sheet_limits.ABOVE
    assert not [problem for problem in done.problems if problem.code == "sheet-too-short"]


@pytest.mark.parametrize("character", ["x", "\U0001f642"], ids=["one unit", "two units"])
def test_a_text_that_is_longer_than_a_cell_is_cut_with_words(character: str, tmp_path: Path) -> None:
    title = "T" + character * 40_000
    done = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000), {"A made-up incident": title})
    shown = load_workbook(io.BytesIO(files(done)["vote.xlsx"]))["Read me"]["A1"].value
    length = 40_001 if character == "x" else 80_001
    assert shown.startswith("T" + character * 1000)
    assert shown.endswith(f" … (cut: {length:,} characters; the whole text is in inputs/made-up.toml)")
    (finding,) = [problem for problem in done.problems if problem.code == "cell-too-short"]
    assert finding.what.startswith(f"title has {length:,} characters; ")


def test_every_call_of_xlsxwriter_is_checked() -> None:
    """A method that returns a code and raises nothing stands inside `_done`."""
    tree = ast.parse(Path(write.__file__).read_text())
    checked = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_done" for inner in ast.walk(node)
    }
    without_code = {"set_landscape", "set_paper", "set_margins", "fit_to_pages", "freeze_panes", "protect"}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("sheet.")]
    assert len(calls) > 12
    for call in calls:
        assert id(call) in checked or ast.unparse(call.func).removeprefix("sheet.") in without_code, ast.unparse(call)
    with pytest.raises(RuntimeError, match="-1"):
        write._done(-1)


def test_a_summary_counts_one_account_in_the_singular(tmp_path: Path) -> None:
    done = build.run(tmp_path, position(1, address(1), 1, 30_000, 10_000, 42_000))
    lines = {line.label: line.value for line in summary(done)}
    assert lines["In the window"] == "1 account, 1 position, 1 liquidation"
    assert lines["Compensated"] == "1 account, 1 position"
    assert lines["Not compensated"].endswith("0 accounts seen in the window and left out")
    assert load_workbook(io.BytesIO(files(done)["vote.xlsx"]))["Claims"]["A1"].value == "What each account is paid, largest first: 1"
