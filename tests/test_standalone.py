"""The verifier of one file: nothing of perpcomp in it, its own keccak, and what it says of what it does not rebuild."""

import ast
import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_keccak import keccak256

from perpcomp.audit import bundle, standalone
from perpcomp.eip55 import checksummed
from tests.test_bundle import forged

pytestmark = pytest.mark.money

PACKAGE = Path(standalone.__file__).parent.parent
ALONE = Path(standalone.__file__)


def test_it_imports_the_standard_library_only() -> None:
    names = set()
    for node in ast.walk(ast.parse(ALONE.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("exec", "eval", "__import__")
    assert names <= set(sys.stdlib_module_names)


def functions(path: Path) -> set[str]:
    """The bodies of a module's functions, without names of variables and docstrings: copies show in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and len(node.body) > 2:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            for inner in ast.walk(ast.Module(body, [])):
                if isinstance(inner, ast.Name):
                    inner.id = "x"
            found.add("\n".join(map(ast.unparse, body)))
    return found


def numbers(path: Path) -> set[str]:
    """Long literals: the entries of tables."""
    return set(re.findall(r"0x[0-9a-f]{8,}|\b[0-9][0-9_]{9,}\b", path.read_text()))


def test_it_shares_no_function_and_no_table_with_perpcomp() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path != ALONE]
    assert not functions(ALONE) & set().union(*map(functions, others))
    assert not numbers(ALONE) & set().union(*map(numbers, others))
    for path in others:
        assert "standalone import" not in path.read_text(), "and perpcomp uses nothing of it"


@given(st.binary(max_size=500))
def test_its_keccak_is_the_one_of_a_library(message: bytes) -> None:
    assert standalone.keccak(message) == keccak256(message)


@given(st.binary(min_size=20, max_size=20))
def test_its_addresses_are_those_of_eip_55(account: bytes) -> None:
    text = "0x" + account.hex()
    assert standalone.mixed_case(text) == checksummed(text)


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272])
def test_its_keccak_at_the_edges_of_a_block(length: int) -> None:
    assert standalone.keccak(b"a" * length) == keccak256(b"a" * length)


def alone(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-I", str(ALONE), *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_it_rebuilds_the_rehearsal_to_the_last_unit(published_rehearsal: Path, tmp_path: Path) -> None:
    """Every part of the rehearsal but eligibility; unpacked, it finds the bundle by itself."""
    (tmp_path / "r.zip").write_bytes(bundle.bundle(published_rehearsal))
    done = alone("r.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for what in (
        "events decoded from the logs: 3757",
        "liquidations: size, margin, open notional, funding payment: 325",
        "margin-only, margin-upl-funding, restore-position, split-50-50 by trader: 116",
        "settlement: value, base units, rounded off: 116",
        "vesting: date and base units of each tranche: 116",
    ):
        assert f"PASS: {what} compared, 0 differ" in done.stdout
    assert done.stdout.count("NOT REBUILT") == 1
    assert "Not checked here: headers, receipts and seals" in done.stdout
    subprocess.run([sys.executable, "-m", "zipfile", "-e", "r.zip", "unpacked"], cwd=tmp_path, check=True)
    unpacked = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "unpacked" / "verify.py")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (unpacked.returncode, unpacked.stdout) == (0, done.stdout)


@pytest.mark.parametrize(
    ("place", "words", "code"),
    [("nowhere", "cannot be read", 2), ("text", "the archive is damaged", 4), ("folder", "manifest.json is invalid", 4)],
)
def test_what_is_no_bundle_is_said_without_a_traceback(place: str, words: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    done = alone(place, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (code, "")
    assert words in done.stdout


CELLS = [
    ("1-events.csv", "funding_payment", "events decoded from the logs"),
    ("2-liquidations.csv", "margin", "liquidations: size, margin, open notional, funding payment"),
    ("2-liquidations.csv", "open_notional", "liquidations: size, margin, open notional, funding payment"),
    ("2-liquidations.csv", "bad_debt", "liquidations: size, margin, open notional, funding payment"),
    ("comparison.csv", "amount", "by trader"),
    ("3-payouts.csv", "entitlement", "settlement: value, base units, rounded off"),
    ("3-payouts.csv", "value", "settlement: value, base units, rounded off"),
    ("3-payouts.csv", "amount_base_units", "settlement: value, base units, rounded off"),
    ("3-payouts.csv", "rounded_off", "settlement: value, base units, rounded off"),
    ("4-claims.csv", "amount_base_units", "vesting: date and base units of each tranche"),
    ("4-claims.csv", "unlocks_at_unix", "vesting: date and base units of each tranche"),
]


@pytest.mark.parametrize(("name", "column", "check"), CELLS)
def test_it_finds_one_unit_in_each_table_it_rebuilds(name: str, column: str, check: str, published_rehearsal: Path, tmp_path: Path) -> None:
    """The first row that holds an amount, one unit more, with all hashes and totals brought in line."""

    def one_more(files: dict[str, bytes]) -> None:
        header, *rows = csv.reader(files[name].decode().splitlines())
        at = header.index(column)
        ours = [n for n, cells in enumerate(rows) if name != "comparison.csv" or "restore-position" in cells]
        row = next(n for n in ours if rows[n][at].strip("-0.") and len(rows[n][at]) > 9)
        rows[row][at] = rows[row][at][:-1] + str((int(rows[row][at][-1]) + 1) % 10)
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([header, *rows])
        files[name] = out.getvalue().encode()

    (tmp_path / "r.zip").write_bytes(forged(bundle.bundle(published_rehearsal), one_more))
    done = alone("r.zip", cwd=tmp_path)
    assert done.returncode == 1
    assert "PASS: sha256 of each file" in done.stdout
    assert any(line.startswith("FAIL: ") and check in line for line in done.stdout.splitlines()), done.stdout
