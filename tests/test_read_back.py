"""A published folder, read without the logs, shows what the logs give: every table, every step, to the wei."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import perpcomp
from perpcomp import pipeline
from perpcomp.explain.explain import explain, steps
from perpcomp.findings import InputError
from perpcomp.input import find_input
from perpcomp.publish.files import CSV_FILES
from perpcomp.publish.stated import MANIFEST, parse_manifest
from perpcomp.run import Run
from tests import build, stated
from tests.build import address, position
from tests.commands import call
from tests.conftest import LAB
from tests.test_explain import evaluated, value_of
from tests.test_manifests import FROZEN
from tests.test_payees import MARGINS, OWNED, exclusions, made, payee, received
from tests.test_synthetix_v2_recorded import incident
from tests.variants import NO_PRICE, computed

pytestmark = pytest.mark.money

LATER = str(LAB / "later-contracts.toml")
RESTORING = '[restore]\nat = 16_000_209\norder = "largest-first"\nspread = 0.001\nsource = "recording"\n'
BLOCKS = "from = 2021-02-20T22:45:00Z\nto = 2021-02-20T23:45:00Z"


def valued(price: str, at: str) -> Run:
    table = f'[valuation]\nat = {at}\nprice = "{price}"\nsource = "recording"\n\n'
    return computed(LATER, table + RESTORING, NO_PRICE, "restore-position" if price == "curve" else "margin-upl-funding")


def in_blocks(folder: Path) -> Run:
    rows = [row for n in (1, 2) for row in position(n, address(n), 1, 55_000, 5_000 * n, 50_000, minutes=n)]
    return build.run(folder, rows, {BLOCKS: "from_block = 10_001\nto_block = 10_002"})


def by_a_file(folder: Path) -> Run:
    """Also with a list of exclusions by its hash, and with what somebody received already."""
    text = f"address,reason,evidence\n{address(1)},its own bot,a list\n"
    (folder / "prices.csv").write_text("market_name,time,price\nBTCUSDC,2021-02-20T22:00:00Z,50000\nBTCUSDC,2021-02-21T00:00:00Z,45000\n")
    legs = build.QUERY[build.QUERY.index("[[settlement]]") : build.QUERY.index("[vesting]")]
    halves = legs.replace("share = 1\n", 'share = "1/3"\n') + legs.replace('"PERP"', '"USDC"').replace(
        "decimals = 18", "decimals = 6"
    ).replace("share = 1\n", 'share = "2/3"\n')
    changes = {
        "reference_price = 50_000\n": "",
        "[formula]": exclusions(folder, text)["[formula]"],
        legs: halves,
        "[vesting]": '[valuation]\nat = "liquidation"\nprice = "prices.csv"\ninterval = 9000\nsource = "test"\n\n[vesting]',
    }
    made(folder, MARGINS)  # writes the events
    loaded = build.made_up(folder, {**changes, "[sources]": f"{received(address(2), 1_000)}\n[sources]"})
    return pipeline.compute(loaded, find_input(loaded, folder / "events.csv"))


RUNS: dict[str, Callable[[Path], Run]] = {
    "rehearsal": lambda _: perpcomp.compute("rehearsal"),
    "rehearsal restored": lambda _: perpcomp.compute("rehearsal", formula="restore-position"),
    "partial liquidations": lambda _: perpcomp.compute(LATER),
    "valued on the curve": lambda _: valued("curve", '"liquidation"'),
    "valued by the average at a moment": lambda _: valued("twap", "2021-05-19T03:00:05Z"),
    "paid to others": lambda folder: made(folder, MARGINS, "".join(payee(*pair) for pair in OWNED.items())),
    "a window in blocks": in_blocks,
    "Perps V2": lambda folder: perpcomp.compute(incident("june", folder)),
    "valued by a file, paid in two tokens": by_a_file,
}


@pytest.fixture(scope="module", params=RUNS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run, and its folder, in which the logs are replaced by what nobody can read."""
    place = tmp_path_factory.mktemp("published")
    (place / "made").mkdir()
    run = RUNS[request.param](place / "made")
    perpcomp.publish_run(run, place / "folder")
    for path in run.input.files:
        (place / "folder" / "inputs" / path.name).write_bytes(b"no logs")
    stated.restate(place / "folder", inputs=True)
    return run, place / "folder"


def test_every_table_is_the_runs(pair: tuple[Run, Path]) -> None:
    run, folder = pair
    held = perpcomp.published(folder)
    for attribute, _ in CSV_FILES.values():
        if attribute != "findings":
            assert_frame_equal(getattr(held, attribute), getattr(run, attribute))
    assert_frame_equal(held.redirected, run.redirected)
    assert_frame_equal(held.events.table, run.events.table)
    assert held.problems == run.problems
    assert held.incident.eligibility == run.incident.eligibility
    assert held.formula == run.formula


def keys(run: Run) -> Iterator[str]:
    """Whom one can ask about: who is paid, who is not, who lost, who only traded, and every transaction of a liquidation."""
    for frame in (run.payouts, run.liquidations, run.left_out, run.events.table):
        yield from frame["trader"].unique()
    yield from run.redirected["payee"].unique()
    yield from run.liquidations["transaction_hash"].unique()


def test_every_explanation_is_the_runs(pair: tuple[Run, Path]) -> None:
    run, folder = pair
    held, asked = perpcomp.published(folder), {*keys(run)}
    for key in asked:
        told = steps(held, key)
        assert told == steps(run, key)
        for step in told:
            assert not step.expression or evaluated(step.fields()) == value_of(step.result), step
    assert len(asked) > 3
    for wrong in ("0x12", "0x" + "9" * 40):
        with pytest.raises(InputError) as here:
            explain(run, wrong)
        with pytest.raises(InputError) as there:
            explain(held, wrong)
        assert here.value.problems == there.value.problems


VERBS = ("liquidations", "payouts", "claims", "compare", "explain 0xf014343bdffbed8660a9d8721dec985126f189f3")


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `perpcomp run` leaves."""
    place = tmp_path_factory.mktemp("rehearsed")
    done = call("run", cwd=place)
    assert "`perpcomp explain ADDRESS --run outputs/rehearsal` derives every number." in done.stderr
    return place


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("verb", VERBS)
def test_a_command_prints_the_same_both_ways(verb: str, form: tuple[str, ...], rehearsed: Path) -> None:
    computed_now = call(*verb.split(), *form, cwd=rehearsed)
    read = call(*verb.split(), *form, "--run", "outputs/rehearsal", cwd=rehearsed)
    assert (read.returncode, read.stdout, read.stderr) == (0, computed_now.stdout, computed_now.stderr)
    assert len(read.stdout) > 1000


@pytest.fixture
def folder(rehearsed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rehearsed / "outputs" / "rehearsal", tmp_path / "r"))


def restating(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        stated.change(folder, change)

    return edit


def pay_more(folder: Path) -> None:
    """One more base unit to the first who is paid, in a manifest that states it."""
    table = pl.read_csv(folder / "3-payouts.csv", infer_schema=False)
    paid = pl.int_range(pl.len()) == table["amount_base_units"].to_list().index("704968747833953461691")
    table.with_columns(amount_base_units=pl.when(paid).then(pl.lit("704968747833953461692")).otherwise("amount_base_units")).write_csv(
        folder / "3-payouts.csv"
    )
    stated.restate(folder, inputs=True)


@pytest.mark.parametrize(
    ("harm", "code", "words"),
    [
        (lambda f: shutil.rmtree(f), 2, "The folder is not a published run: it has no manifest.json. Give a folder that"),
        (lambda f: shutil.rmtree(f) or f.write_bytes(b"x"), 2, "The folder is not a published run: it has no manifest.json."),
        (lambda f: (f / MANIFEST).write_text("{}"), 4, "The manifest is invalid: its format is None, not perpcomp-run-v2."),
        (restating(lambda s: s.update(format="perpcomp-run-v9")), 4, "its format is 'perpcomp-run-v9', not perpcomp-run-v2."),
        (restating(lambda s: s.update(overrides=["x"])), 4, "The manifest is invalid: "),
        (lambda f: (f / "4-claims.csv").unlink(), 4, "error: r/4-claims.csv: The file is missing. Nothing was read."),
        (lambda f: (f / "vote.xlsx").write_bytes(b"x"), 4, "error: r/vote.xlsx: The file has the sha256 2d711642b726b044"),
        (lambda f: (f / "inputs" / "rehearsal.toml").write_bytes(b"x"), 4, "error: r/inputs/rehearsal.toml: The file has the sha256 "),
        (restating(lambda s: s["files"].pop("3-payouts.csv")), 4, "3-payouts.csv: The file cannot be read as this version"),  # type: ignore[attr-defined]
        (restating(lambda s: s["formula"].update(name="gone")), 2, "paid by the formula gone, which is not installed"),  # type: ignore[index]
        (restating(lambda s: s["formula"].update(name="margin-only")), 2, "margin-only does not give the payouts in the folder"),  # type: ignore[index]
        (pay_more, 4, "margin-upl-funding does not give the payouts in the folder, so it cannot explain them."),
        (
            lambda f: (f / "1-events.parquet").write_bytes(b"PAR1") and stated.restate(f, inputs=True),
            4,
            "1-events.parquet: The file cannot be read as",
        ),
        (
            lambda f: (f / "2-liquidations.csv").write_text("a\n1\n") and stated.restate(f, inputs=True),
            4,
            "2-liquidations.csv: column chain_id is missing.",
        ),
    ],
)
def test_a_folder_that_is_none_or_does_not_fit_its_manifest_is_refused(
    harm: Callable[[Path], object], code: int, words: str, folder: Path
) -> None:
    harm(folder)
    done = call("explain", "0xf014343bdffbed8660a9d8721dec985126f189f3", "--run", "r", cwd=folder.parent)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert done.stderr.startswith("error: r")


def test_every_file_that_does_not_fit_is_named(folder: Path) -> None:
    (folder / "vote.xlsx").write_bytes(b"x")
    (folder / "left-out.csv").unlink()
    done = call("claims", "--run", "r", cwd=folder.parent)
    assert [line.split(": ")[1] for line in done.stderr.splitlines()] == ["r/left-out.csv", "r/vote.xlsx"]


def test_a_run_of_an_older_version_says_how_to_make_it_again(tmp_path: Path) -> None:
    """Its findings have no codes, which decide what stops and what is shown."""
    shutil.copytree(FROZEN, tmp_path / "old")
    done = call("payouts", "--run", "old", cwd=tmp_path)
    assert done.returncode == 2
    assert "perpcomp 0.1.0 made the run. Make it again: `perpcomp run old/inputs/rehearsal.toml --input old/inputs/" in done.stderr
    again = done.stderr.split("`")[1].replace("FOLDER", "new").split()
    assert call(*again[1:], "--quiet", cwd=tmp_path).returncode == 0
    assert call("payouts", "--run", "new", cwd=tmp_path).returncode == 0


def test_an_error_of_the_run_is_an_error_of_its_folder(tmp_path: Path) -> None:
    """So that `--run` never makes a run look better than it was."""
    wrong = made(tmp_path, {address(1): 5_000}, payee(address(1), build.MARKET))
    perpcomp.publish_run(wrong, tmp_path / "o")
    done = call("payouts", "--run", "o", cwd=tmp_path, COLUMNS="400")
    assert done.returncode == 1
    assert next(problem.what for problem in wrong.problems if problem.code == "unpayable") in done.stderr
    assert done.stdout.count(build.MARKET) == 1


# A what-if.


def test_a_what_if_has_a_folder_of_its_own_and_verifies(tmp_path: Path) -> None:
    assert call("run", "--quiet", cwd=tmp_path).returncode == 0
    official = (tmp_path / "outputs" / "rehearsal" / MANIFEST).read_bytes()
    done = call("run", "--formula", "margin-only", cwd=tmp_path, COLUMNS="400")
    assert "in outputs/rehearsal--formula-margin-only." in done.stderr
    assert "This is a what-if (formula margin-only), not the run that the incident file states." in done.stdout
    assert (tmp_path / "outputs" / "rehearsal" / MANIFEST).read_bytes() == official
    where = tmp_path / "outputs" / "rehearsal--formula-margin-only"
    assert stated.read(where)["overrides"] == {"formula": "margin-only"}
    assert parse_manifest(official, MANIFEST)["overrides"] == {}
    assert "**This is a what-if (formula margin-only), not the run" in (where / "README.md").read_text()
    assert call("verify", str(where), cwd=tmp_path).returncode == 0
    named = call("run", "--formula", "margin-upl-funding", "--quiet", cwd=tmp_path)
    assert named.returncode == 0
    assert (tmp_path / "outputs" / "rehearsal" / MANIFEST).read_bytes() == official, "the incident's own formula is no what-if"


def test_another_input_than_the_incidents_is_a_what_if(tmp_path: Path) -> None:
    logs = perpcomp.compute("rehearsal").input.file
    shutil.copy(logs, tmp_path / "Other_logs.jsonl.gz")
    assert call("run", "--input", "Other_logs.jsonl.gz", "--quiet", cwd=tmp_path).returncode == 0
    where = tmp_path / "outputs" / "rehearsal--input-other_logs"
    assert stated.read(where)["overrides"] == {"input": "Other_logs.jsonl.gz"}
    assert call("verify", str(where), cwd=tmp_path).returncode == 0
    restating(lambda stated: stated.update(overrides={}))(where)
    assert call("verify", str(where), cwd=tmp_path).returncode == 1, "and cannot be passed off as the official run"
    assert call("run", "--input", str(logs), "--quiet", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["rehearsal", "rehearsal--input-other_logs"]


def test_an_input_whose_name_no_manifest_holds_is_refused(tmp_path: Path) -> None:
    """A browser saves a second download as `logs (1).jsonl.gz`. The folder would hold a run that nobody can read."""
    shutil.copy(perpcomp.compute("rehearsal").input.file, tmp_path / "logs (1).jsonl.gz")
    done = call("run", "--input", "logs (1).jsonl.gz", "--out", "o", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: 'logs (1).jsonl.gz': An input's file name in a published run has only letters" in done.stderr
    assert not (tmp_path / "o" / MANIFEST).exists()


def test_a_what_if_replaces_the_official_run_with_force_only(tmp_path: Path) -> None:
    assert call("run", "--out", "o", "--quiet", cwd=tmp_path).returncode == 0
    before = (tmp_path / "o" / MANIFEST).read_bytes()
    done = call("run", "--formula", "margin-only", "--out", "o", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: o: The folder holds the official run of rehearsal.toml, and this is a what-if (formula margin-only)." in done.stderr
    assert (tmp_path / "o" / MANIFEST).read_bytes() == before
    assert call("run", "--formula", "margin-only", "--out", "o", "--force", "--quiet", cwd=tmp_path).returncode == 0
    assert (
        "holds a what-if (formula margin-only) of rehearsal.toml, and this is the official run."
        in call("run", "--out", "o", cwd=tmp_path).stderr
    )
