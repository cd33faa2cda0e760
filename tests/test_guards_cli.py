"""`perpcomp guards` as its users see it: tables, files, JSON, narrow terminals, and next to a published run."""

import json
from pathlib import Path
from typing import Any

import pytest

import perpcomp
from perpcomp.guards.report import FILES
from perpcomp.guards.verdicts import MEANING
from perpcomp.tables.files import read
from tests.commands import call
from tests.conftest import LAB


def test_the_default_prints_verdicts_parameters_and_meanings(tmp_path: Path) -> None:
    done = call("guards", cwd=tmp_path, COLUMNS="300")
    assert done.returncode == 0
    assert "NOT_FLAGGABLE_AT_INDEX" in done.stdout
    assert "by the limits alone" in done.stdout
    assert "opening + closing fee = 0.002, premium twice that (SCCP-293)" in done.stdout
    assert MEANING["FLAG_ONLY_PD"] in done.stderr
    assert "The oldest index price used was 676,805 seconds old." in done.stderr
    assert "verdicts.csv in outputs/rehearsal/guards." in done.stderr
    assert [path.name for path in (tmp_path / "outputs/rehearsal/guards").iterdir()] == ["verdicts.csv"]


def test_every_file_is_a_declared_table_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    first = call("guards", "--replay", "--sweep", "--out", "a", "--quiet", cwd=tmp_path)
    call("guards", "--replay", "--sweep", "--out", "b", "--quiet", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    _, found = perpcomp.guarded("rehearsal", rules="sip-2005", swept=True)
    for name, frame in found.tables.items():
        file, table = FILES[name]
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert read(tmp_path / "a" / file, table).equals(frame)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(file for file, _ in FILES.values())


def test_files_of_an_earlier_call_that_are_not_written_again_are_removed(tmp_path: Path) -> None:
    call("guards", "--sweep", "--out", "a", cwd=tmp_path)
    call("guards", "--out", "a", cwd=tmp_path)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["verdicts.csv"]


def test_json_carries_every_table_with_exact_amounts(tmp_path: Path) -> None:
    done = call("guards", "--sweep", "--json", "--quiet", cwd=tmp_path)
    tables: dict[str, list[dict[str, Any]]] = json.loads(done.stdout, parse_float=lambda text: pytest.fail(f"a float: {text}"))
    _, found = perpcomp.guarded("rehearsal", swept=True)
    assert list(tables) == ["verdicts", "sweep"]
    assert [row["price_impact"] for row in tables["verdicts"]] == [
        None if v is None else f"{v:f}" for v in found.tables["verdicts"]["price_impact"]
    ]


def test_its_files_do_not_change_a_published_run(tmp_path: Path) -> None:
    """They are in the run's folder and are not part of the run."""
    assert call("run", "--quiet", cwd=tmp_path).returncode == 0
    assert call("guards", "--quiet", cwd=tmp_path).returncode == 0
    assert call("verify", "outputs/rehearsal", cwd=tmp_path).returncode == 0
    assert call("run", "--quiet", cwd=tmp_path).returncode == 0
    assert (tmp_path / "outputs/rehearsal/guards/verdicts.csv").is_file()


def test_unknown_rules_and_rules_without_a_needed_setting_are_refused(tmp_path: Path) -> None:
    done = call("guards", "--replay", "--rules", "v1-spred", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'v1-spread'?" in done.stderr
    done = call("guards", "--replay", "--rules", "v1-spread", cwd=tmp_path)
    assert done.returncode == 2
    assert "need fluctuation_limit, which rehearsal.toml does not state" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = call("guards", "--out", "file", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: file: ")
    assert "is not a folder." in done.stderr
    assert "Traceback" not in done.stderr


def test_v1s_own_rules_by_name(tmp_path: Path) -> None:
    query = tmp_path / "later.toml"
    text = (LAB / "later-contracts.toml").read_text()
    query.write_text(text + '\n[guards]\nfluctuation_limit = 0.012\npartial_liquidation_ratio = 0.25\nsource = "recording"\n')
    logs = str(LAB / "later-contracts/logs.jsonl.gz")
    done = call("guards", str(query), "--input", logs, "--replay", "--rules", "v1-partial", cwd=tmp_path)
    assert done.returncode == 0
    assert "v1-partial" in done.stdout
    assert (tmp_path / "outputs/later/guards/replay.csv").read_text().count("v1-partial") == 17
