"""Runs that earlier versions published stay verifiable: one frozen run of each manifest format."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import perpcomp
from perpcomp.audit.corrections import CHANGES_PAYOUTS, since
from perpcomp.version import VERSION
from tests.commands import call
from tests.stated import restate

pytestmark = pytest.mark.money

FROZEN = Path(__file__).parent / "manifests" / "v1" / "rehearsal"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FROZEN, tmp_path / "rehearsal"))


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def edit_workbook(folder: Path, old: str, new: str) -> None:
    parts = {}
    with zipfile.ZipFile(folder / "vote.xlsx") as source:
        for name in source.namelist():
            parts[name] = source.read(name)
    assert any(old.encode() in data for data in parts.values())
    with zipfile.ZipFile(folder / "vote.xlsx", "w") as target:
        for name, data in parts.items():
            target.writestr(name, data.replace(old.encode(), new.encode(), 1))


def test_the_frozen_run_is_what_was_published() -> None:
    """The rehearsal as version 0.1.0 published it with `perpcomp-run-v1`, byte for byte. It is never written again."""
    stated = json.loads((FROZEN / "manifest.json").read_text())
    assert stated["format"] == "perpcomp-run-v1"
    assert stated["tool"]["version"] == "0.1.0" != VERSION
    there = {path.relative_to(FROZEN).as_posix(): path.read_bytes() for path in FROZEN.rglob("*") if path.is_file()}
    del there["manifest.json"]
    assert {name: {"bytes": str(len(data)), "sha256": hashlib.sha256(data).hexdigest()} for name, data in there.items()} == stated["files"]


def test_the_frozen_run_verifies_and_what_is_not_compared_is_named(tmp_path: Path) -> None:
    done = call("verify", str(FROZEN), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"note: perpcomp 0.1.0 made it, {VERSION} is installed" in done.stderr
    assert "note: findings.csv: words differ. Compared: the level and stops of each finding." in done.stderr
    assert "note: vote.xlsx: words differ. Compared: numbers of the summary and cells of the tables." in done.stderr
    assert "PASS: 30 files compared, 0 differences." in done.stderr


@pytest.mark.parametrize("careful", [False, True])
def test_a_changed_amount_in_the_frozen_run_is_named_by_its_cell(copy: Path, careful: bool) -> None:
    lines = (copy / "3-payouts.csv").read_text().splitlines()
    at = lines[0].split(",").index("amount_base_units")
    cells = lines[1].split(",")
    cells[at] = str(int(cells[at]) + 1)
    (copy / "3-payouts.csv").write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    if careful:
        restate(copy)
    verdict = perpcomp.verify(copy)
    differences = verdict.differences
    assert differences[0].where == "3-payouts.csv row 2 amount_base_units"
    assert int(differences[0].published) == int(differences[0].recomputed) + 1
    (explained,) = [note for note in verdict.notes if "changes payouts" in note]
    assert explained.startswith("perpcomp 0.1.0 made the run, and 0.2.0 changes payouts (CHANGELOG.md, Changes payouts): ")
    assert explained.endswith("It may be why these differ: 3-payouts.csv (1 row: 2).")


def test_a_changed_word_of_a_finding_is_caught_by_the_hash_alone(copy: Path) -> None:
    edit(copy / "findings.csv", "liquidated their own position", "liquidated their own positiom")
    (difference,) = perpcomp.verify(copy).differences
    assert difference.where == "findings.csv"
    stated = json.loads((FROZEN / "manifest.json").read_text())["files"]["findings.csv"]["sha256"]
    assert difference.recomputed == f"sha256 {stated} by the manifest"


def drop_the_last_finding(folder: Path) -> None:
    lines = (folder / "findings.csv").read_text().splitlines()
    (folder / "findings.csv").write_text("\n".join(lines[:-1]) + "\n")


@pytest.mark.parametrize(
    ("tamper", "place"),
    [
        (lambda folder: edit(folder / "findings.csv", "1,note,false", "1,error,false"), "findings.csv row 2 level"),
        (lambda folder: edit(folder / "findings.csv", "2,note,false", "2,note,true"), "findings.csv row 3 stops"),
        (lambda folder: edit(folder / "findings.csv", "number,level", "number,severity"), "findings.csv level"),
        (drop_the_last_finding, "findings.csv"),
        (lambda folder: (folder / "findings.csv").write_text(""), "findings.csv level"),
        (lambda folder: edit(folder / "left-out.csv", "not liquidated", "not paid"), "left-out.csv row 2 reason"),
        (lambda folder: edit_workbook(folder, "8,220.331472917692825739 PERP<", "9,220.331472917692825739 PERP<"), "vote.xlsx Summary"),
        (lambda folder: edit_workbook(folder, "Total 8,220.331472917692825739", "Total 9,220.331472917692825739"), "vote.xlsx Payouts"),
        (lambda folder: edit_workbook(folder, "closed a position under water", "closed a position"), "vote.xlsx Left out!"),
        (lambda folder: (folder / "vote.xlsx").write_bytes(b"PK no"), "vote.xlsx"),
    ],
)
def test_changed_data_is_found_although_words_may_differ(copy: Path, tamper: Callable[[Path], object], place: str) -> None:
    """Also with a manifest that states the changed bytes."""
    tamper(copy)
    restate(copy)
    assert any(difference.where.startswith(place) for difference in perpcomp.verify(copy).differences)


def test_a_column_or_line_of_the_workbook_that_is_not_compared_is_named(copy: Path) -> None:
    edit_workbook(copy, ">Sum of entitlements<", ">Sum of everything<")
    edit_workbook(copy, ">era_rule<", ">rule of the era<")
    restate(copy)
    verdict = perpcomp.verify(copy)
    assert verdict.same
    because = "not compared, because only one of the two has it"
    of_summary, of_liquidations = (
        next(note for note in verdict.notes if note.startswith(f"vote.xlsx {place}: {because}: {kind} "))
        for place, kind in (("Summary", "line"), ("Liquidations", "column"))
    )
    for titles, note in ((("Sum of everything", "Sum of entitlements"), of_summary), (("era_rule", "rule of the era"), of_liquidations)):
        assert all(title in note for title in titles)


def test_another_source_file_of_a_formula_is_named_and_its_amounts_are_compared(copy: Path) -> None:
    stated = json.loads((copy / "manifest.json").read_text())
    stated["formula"]["code_sha256"] = "0" * 64
    (copy / "manifest.json").write_text(json.dumps(stated))
    note = "the source file of the formula margin-upl-funding is another; its amounts were compared"
    verdict = perpcomp.verify(copy)
    assert verdict.same
    assert note in verdict.notes
    stated["tool"]["version"] = VERSION
    (copy / "manifest.json").write_text(json.dumps(stated))
    assert "manifest.json formula code_sha256" in {difference.where for difference in perpcomp.verify(copy).differences}


def test_a_run_of_this_version_may_not_differ_by_a_word(copy: Path) -> None:
    stated = json.loads((copy / "manifest.json").read_text())
    stated["tool"]["version"] = VERSION
    (copy / "manifest.json").write_text(json.dumps(stated))
    places = {difference.where for difference in perpcomp.verify(copy).differences}
    assert any(place.startswith("findings.csv row ") for place in places)
    assert any(place.startswith("vote.xlsx Summary!") for place in places)


def test_every_version_that_changes_payouts_is_known_to_verify() -> None:
    """A release that changes an amount must say so where an older run is verified, too."""
    sections = re.split(r"^## (\S+)$", (FROZEN.parents[3] / "CHANGELOG.md").read_text(), flags=re.M)
    changing = {version for version, text in zip(sections[1::2], sections[2::2], strict=True) if "**Changes payouts:**" in text}
    assert set(CHANGES_PAYOUTS) == changing - {"0.1.0"}, "the first changed nothing"
    assert list(since("0.1.0", "0.2.0")) == ["0.2.0"]
    assert since("0.2.0", "0.2.0") == since("0.1.0", "0.1.9") == since("nonsense", "0.2.0") == {}
