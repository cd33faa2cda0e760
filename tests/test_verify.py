"""A published run is recomputed from its own inputs; every tampering is named by its cell."""

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import perpcomp
from perpcomp.findings import InputError
from perpcomp.publish.stated import MANIFEST
from perpcomp.run import Run
from perpcomp.version import VERSION
from tests import stated
from tests.stated import restate

pytestmark = pytest.mark.money

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def pristine(rehearsal: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("run") / "rehearsal"
    perpcomp.publish_run(rehearsal, where)
    return where


@pytest.fixture
def copy(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "copy"))


def test_an_untouched_run_passes(pristine: Path) -> None:
    verdict = perpcomp.verify(pristine)
    assert verdict.same
    assert verdict.notes == ()
    assert verdict.files == 42


def test_the_committed_rehearsal_passes() -> None:
    assert perpcomp.verify(ROOT / "outputs" / "rehearsal").same


@pytest.mark.parametrize("careful", [False, True])
def test_one_changed_digit_is_named_by_file_row_and_column(copy: Path, careful: bool) -> None:
    file = copy / "3-payouts.csv"
    lines = file.read_text().splitlines()
    cells = lines[2].split(",")
    cells[9] = str(int(cells[9]) + 1)
    lines[2] = ",".join(cells)
    file.write_text("\n".join(lines) + "\n")
    if careful:
        restate(copy)
    verdict = perpcomp.verify(copy)
    assert verdict.differences[0].where == "3-payouts.csv row 3 amount_base_units"
    assert int(verdict.differences[0].published) == int(verdict.differences[0].recomputed) + 1


def drop_a_row(where: Path) -> None:
    lines = (where / "4-claims.csv").read_text().splitlines()
    (where / "4-claims.csv").write_text("\n".join(lines[:-1]) + "\n")


def change_parquet(where: Path) -> None:
    frame = pl.read_parquet(where / "1-events.parquet")
    frame.with_columns(pl.when(pl.int_range(pl.len()) == 5).then(pl.col("margin") + 1).otherwise("margin").alias("margin")).write_parquet(
        where / "1-events.parquet"
    )


def change_cell(where: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(where / "vote.xlsx") as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"8,220.331472917692825739", b"9,220.331472917692825739"))
    (where / "vote.xlsx").write_bytes(packed.getvalue())


@pytest.mark.parametrize(
    ("tamper", "place"),
    [
        (drop_a_row, "4-claims.csv"),
        (change_parquet, "1-events.parquet row 7 margin"),
        (change_cell, "vote.xlsx Read me!B"),
        (lambda where: (where / "extra.txt").write_text("x"), "extra.txt"),
        (lambda where: (where / "left-out.csv").unlink(), "left-out.csv"),
        (lambda where: (where / "1-events.parquet").write_bytes(b"PAR1 not really"), "1-events.parquet"),
        (lambda where: (where / "vote.xlsx").write_bytes(b"PK no"), "vote.xlsx"),
    ],
)
def test_other_tampering_is_found(copy: Path, tamper: Callable[[Path], object], place: str) -> None:
    """With the old manifest a file is named by its hash, and not parsed if it is no text; with one brought in line its cells are compared."""
    tamper(copy)
    for restates in (False, True):
        verdict = perpcomp.verify(copy)
        named = place if restates else place.split()[0]
        assert any(d.where.startswith(named) for d in verdict.differences), verdict.differences
        if place in ("extra.txt", "left-out.csv"):
            break
        restate(copy)


def test_an_input_that_was_changed_is_named_before_anything_is_recomputed(copy: Path) -> None:
    query = copy / "inputs" / "rehearsal.toml"
    query.write_text(query.read_text().replace("price = 6.93250035067212", "price = 6.93250035067213"))
    verdict = perpcomp.verify(copy)
    assert [d.where for d in verdict.differences] == ["inputs/rehearsal.toml"]


def test_a_forged_query_with_a_forged_manifest_still_differs(copy: Path) -> None:
    query = copy / "inputs" / "rehearsal.toml"
    query.write_text(query.read_text().replace("price = 6.93250035067212", "price = 3.46625017533606"))
    restate(copy, inputs=True)
    assert any(d.where.startswith("3-payouts.csv row 3 price") for d in perpcomp.verify(copy).differences)


def test_other_versions_are_noted_and_do_not_count(copy: Path) -> None:
    stated.change(copy, lambda s: s["versions"].update(polars="1.0.0"), lambda s: s["tool"].update(version="0.0.9"))
    verdict = perpcomp.verify(copy)
    assert verdict.same
    assert verdict.notes == ("polars 1.0.0 made it, 2.1.0 is installed", f"perpcomp 0.0.9 made it, {VERSION} is installed")


def test_another_packing_of_the_same_rows_is_no_difference_of_rows(copy: Path) -> None:
    """Parquet by another version of Polars: other bytes, the same rows. It is noted, if the manifest states those bytes."""
    pl.read_parquet(copy / "1-events.parquet").write_parquet(copy / "1-events.parquet", compression="snappy")
    assert [d.where for d in perpcomp.verify(copy).differences] == ["1-events.parquet"], "its bytes are not those of the manifest"
    restate(copy, polars="1.0.0")
    verdict = perpcomp.verify(copy)
    assert verdict.same
    assert verdict.notes == (
        "polars 1.0.0 made it, 2.1.0 is installed",
        "1-events.parquet has other bytes than a run here gives, and the same content.",
    )
    restate(copy, polars="2.1.0")
    assert {d.where for d in perpcomp.verify(copy).differences} == {
        "manifest.json files 1-events.parquet sha256",
    }, "the same version writes the same bytes"


def refused(where: Path, text: str) -> str:
    """Why this manifest is refused."""
    (where / MANIFEST).write_text(text)
    with pytest.raises(InputError, match="The manifest is invalid") as error:
        perpcomp.verify(where)
    assert error.value.exit_code == 4
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "its format is None"),
        ('{"format": "perpcomp-run-v9"}', "its format is 'perpcomp-run-v9'"),
        ('{"format": "perpcomp-run-v1", "format": "perpcomp-run-v1"}', "'format' is listed twice"),
        ('{"format": NaN}', "it contains NaN"),
        ("[1]", "its format is 'list'"),
        ("nonsense", "Expecting value"),
        ('{"format": "perpcomp-run-v1"}', "missing required field `tool`"),
        ("[" * 100_000, "it nests deeper than 20 levels"),
    ],
)
def test_an_invalid_manifest_is_refused(copy: Path, text: str, words: str) -> None:
    assert words in refused(copy, text)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("files", "../x"), {"sha256": "0" * 64}, "'../x' is not a valid file name of a run"),
        (("files", "/etc/passwd"), {"sha256": "0" * 64}, "'/etc/passwd' is not a valid file name of a run"),
        (("query", "file"), "/etc/passwd", "'/etc/passwd' is not a valid input name of a run"),
        (("query", "file"), "a/b.toml", "'a/b.toml' is not a valid input name of a run"),
        (("inputs", "files"), [{"file": "../x", "sha256": "0"}], "'../x' is not a valid input name of a run"),
        (("inputs", "files"), [{"file": "logs.jsonl.gz"}], "missing required field `sha256`"),
        (("inputs", "files"), "logs.jsonl.gz", "Expected `array`, got `str`"),
        (("formula", "name"), 5, "Expected `str`, got `int`"),
        (("files", "findings.csv"), {"sha256": "0"}, "matching regex '^[0-9a-f]{64}"),
        (("block", "number"), "-1", "matching regex '^[0-9]{1,19}"),
    ],
)
def test_a_manifest_with_an_invalid_field_is_refused(copy: Path, place: tuple[str, str], value: object, words: str) -> None:
    held = stated.read(copy)
    held[place[0]][place[1]] = value
    assert words in refused(copy, stated.written(held).decode())


def test_a_folder_without_a_manifest_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a published run: it has no manifest"):
        perpcomp.verify(tmp_path)


def test_a_clone_with_other_line_endings_verifies(tmp_path: Path) -> None:
    """Git on Windows turns LF into CRLF at a checkout; .gitattributes keeps it from that."""

    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words], cwd=tmp_path, check=True, capture_output=True
        )

    git("init", "here")
    for name in (".gitattributes", "queries/rehearsal.toml"):
        (tmp_path / "here" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "here" / name)
    shutil.copytree(ROOT / "outputs" / "rehearsal", tmp_path / "here" / "outputs" / "rehearsal")
    (tmp_path / "here" / "README.md").write_text("one\ntwo\n")
    git("-C", "here", "-c", "core.autocrlf=true", "add", "-A")
    git("-C", "here", "commit", "-m", "a run")
    git("clone", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "here", "there")
    for path in (tmp_path / "here").rglob("*"):
        if path.is_file() and ".git/" not in path.as_posix():
            assert (tmp_path / "there" / path.relative_to(tmp_path / "here")).read_bytes() == path.read_bytes(), path
    assert perpcomp.verify(tmp_path / "there" / "outputs" / "rehearsal").same
