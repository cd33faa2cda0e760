"""The command line as its users see it: output, exit codes, pipes, narrow terminals, Ctrl-C."""

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import perpcomp
from perpcomp.cli import interrupt
from perpcomp.cli.app import EXIT_CODES, PANELS
from perpcomp.cli.guards import guards
from perpcomp.cli.options import GUARDS_COMMANDS
from perpcomp.findings import ERROR_OR_DIFFERENCE, INVALID_MANIFEST, NETWORK, WRONG_INPUT
from perpcomp.incident import incident_file
from perpcomp.lock import LOCK
from perpcomp.run import Run
from perpcomp.systems.perpetual_v1 import events as v1
from tests.commands import PERPCOMP, call, on_real_terminal, process
from tests.conftest import truth

ROOT = Path(__file__).parent.parent


def test_run_in_an_empty_folder_writes_outputs_rehearsal(tmp_path: Path) -> None:
    """The installed program makes the run and verifies it."""
    done = process("run", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "outputs" / "rehearsal" / "vote.xlsx").is_file()
    assert "A rehearsal, not the historical incident" in done.stdout
    assert "42 files in outputs/rehearsal" in done.stderr
    assert process("verify", "outputs/rehearsal", cwd=tmp_path).returncode == 0


def test_help_loads_neither_polars_nor_web3(tmp_path: Path) -> None:
    script = "import sys; sys.argv = ['perpcomp', '--help']\nfrom perpcomp.cli.main import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    script += "heavy = {'polars', 'web3', 'dask', 'distributed', 'openpyxl', 'xlsxwriter', 'eth_utils', 'msgspec'} & set(sys.modules)\nassert not heavy, heavy\n"
    script += (
        "slow = {'rich.markdown', 'markdown_it', 'pygments', 'rich.progress', 'rich.traceback'} & set(sys.modules)\nassert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for verb in (
        "run",
        "events",
        "positions",
        "liquidations",
        "payouts",
        "claims",
        "prices",
        "compare",
        "explain",
        "guards",
        "formulas",
        "verify",
    ):
        assert re.search(rf"^ +{verb} ", done.stdout, re.M)


@pytest.mark.parametrize(
    "verb",
    ["run", "events", "positions", "liquidations", "payouts", "claims", "prices", "compare", "explain", "guards", "formulas", "verify"],
)
def test_every_command_has_help(verb: str, tmp_path: Path) -> None:
    done = call(verb, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage: perpcomp " + verb in done.stdout


@pytest.mark.parametrize(
    ("verb", "table"),
    [("events", "events"), ("liquidations", "liquidations"), ("payouts", "payouts"), ("claims", "claims"), ("compare", "comparison")],
)
def test_json_carries_every_column_with_exact_amounts(verb: str, table: str, rehearsal: Run, tmp_path: Path) -> None:
    rows = json.loads(call(verb, "--json", cwd=tmp_path).stdout, parse_float=lambda text: pytest.fail(f"a float: {text}"))
    frame = rehearsal.events.table if table == "events" else getattr(rehearsal, table)
    assert list(rows[0]) == frame.columns
    assert len(rows) == frame.height
    for name in frame.columns:
        if str(frame.schema[name]).startswith("Decimal"):
            assert [row[name] for row in rows] == [None if v is None else f"{v:f}" for v in frame[name]]


def test_positions_at_a_block_are_the_contracts_views(tmp_path: Path) -> None:
    """For every account with a position at the reference block of the recording."""
    views = truth("february")
    done = call("positions", "--at", str(views["reference_block"]), "--json", cwd=tmp_path)
    markets = {market.name: market.amm for market in incident_file.load("rehearsal").markets}
    expected = {
        (markets[name], trader): tuple(int(view[k]) for k in ("size", "margin", "openNotional", "spotUpl"))
        for name, traders in views["reference_positions"].items()
        for trader, view in traders.items()
        if view["size"] != "0"
    }
    names = ("size", "margin", "open_notional", "unrealized_pnl_curve")
    found = {(row["market"], row["trader"]): tuple(int(Decimal(row[n]).scaleb(18)) for n in names) for row in json.loads(done.stdout)}
    assert found == expected


def test_positions_default_to_the_start_of_the_window(tmp_path: Path) -> None:
    by_default = json.loads(call("positions", "--json", cwd=tmp_path).stdout)
    at_time = json.loads(call("positions", "--at", "2021-02-21T06:45:00+08:00", "--json", cwd=tmp_path).stdout)
    assert {row["trader"] for row in by_default} == {row["trader"] for row in at_time}
    assert by_default[0]["time"] == "2021-02-20T22:45:00Z"
    marked = [row for row in by_default if row["unrealized_pnl_mark"] is not None]
    assert len(marked) > 25, "the affected market's, at its reference price"
    for wrong in ("yesterday", "2021-02-20T22:45:00", "１３"):
        refused = call("positions", "--at", wrong, cwd=tmp_path)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: --at: ")


def test_tables_go_to_stdout_and_sentences_to_stderr(tmp_path: Path) -> None:
    done = call("claims", cwd=tmp_path)
    assert "tranche dates bind" in done.stderr
    assert "tranche dates bind" not in done.stdout
    quiet = call("run", "--quiet", cwd=tmp_path)
    assert (quiet.stdout, quiet.stderr, quiet.returncode) == ("", "", 0)


def test_a_url_in_the_environment_is_ignored_for_an_incident_with_its_own_logs(tmp_path: Path) -> None:
    done = call("run", cwd=tmp_path, PERPCOMP_RPC_URL="http://127.0.0.1:1/key")
    assert done.returncode == 0
    assert "'rehearsal' has its own logs: nothing is fetched." in done.stderr


def test_an_incident_without_logs_asks_for_input(tmp_path: Path) -> None:
    for name in ("2021-02-21-btc-flash-crash", "2021-04-18-eth-flash-crash"):
        done = call("run", name, cwd=tmp_path)
        assert done.returncode == 3
        assert "names no input" in done.stderr
        assert "--input FILE" in done.stderr
        assert not (tmp_path / "outputs").exists()


def test_an_exported_events_table_runs_another_query(rehearsal: Run, tmp_path: Path) -> None:
    """The rehearsal's own CSV of events, given by --input to a copy of its query without one."""
    text = (incident_file.shelf() / "rehearsal.toml").read_text().replace('[input]\nfile = "rehearsal/logs.jsonl.gz"\n', "")
    (tmp_path / "mine.toml").write_text(text)
    shutil.copy(ROOT / "outputs" / "rehearsal" / "1-events.csv", tmp_path / "export.csv")
    assert call("run", "mine.toml", "--quiet", cwd=tmp_path).returncode == 3
    assert call("run", "mine.toml", "--input", "export.csv", "--quiet", cwd=tmp_path).returncode == 0
    here, there = tmp_path / "outputs" / "mine" / "3-payouts.csv", ROOT / "outputs" / "rehearsal" / "3-payouts.csv"
    assert here.read_bytes() == there.read_bytes()
    assert call("verify", "outputs/mine", cwd=tmp_path).returncode == 0, "its input is in the folder"


def test_verify_recomputes_with_the_formula_of_the_option(tmp_path: Path) -> None:
    assert call("run", "--formula", "margin-only", "--out", "there", "--quiet", cwd=tmp_path).returncode == 0
    assert "margin-only" in (tmp_path / "there" / "3-payouts.csv").read_text()
    assert call("verify", "there", cwd=tmp_path).returncode == 0
    done = call("run", "--formula", "margin-onyl", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean 'margin-only'?" in done.stderr


def test_a_difference_exits_with_1_and_names_the_first_cell(tmp_path: Path) -> None:
    call("run", "--quiet", cwd=tmp_path)
    file = tmp_path / "outputs" / "rehearsal" / "3-payouts.csv"
    file.write_text(file.read_text().replace("margin-upl-funding", "margin-upl-fundinG", 1))
    done = call("verify", "outputs/rehearsal", cwd=tmp_path)
    assert done.returncode == 1
    assert "3-payouts.csv row 2 formula" in done.stdout
    assert "FAIL" in done.stderr
    stated = json.loads(call("verify", "outputs/rehearsal", "--json", cwd=tmp_path).stdout)
    assert stated["same"] is False
    assert stated["differences"][0]["recomputed"] == "margin-upl-funding"


def test_a_mistake_of_the_user_has_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("title = [")
    for arguments in (("run", "bad.toml"), ("run", "nowhere.toml"), ("explain", "0x12"), ("verify", "."), ("run", "--input", "x.docx")):
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
    assert call("run", "--nonsense", cwd=tmp_path).returncode == 2
    done = process("run", "bad.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), "the installed program prints the same"


def test_a_problem_is_printed_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("title = [")
    (tmp_path / "strange\x1b.toml").write_text("title = [")
    text = call("run", "bad.toml", cwd=tmp_path).stderr
    assert re.fullmatch(r"error: bad\.toml: .*not valid TOML: Invalid value \(at end of document\)\. Correct the line named\.\n", text)
    assert call("run", "nowhere.toml", cwd=tmp_path).stderr.startswith("error: nowhere.toml: There is no such file. Give ")
    assert call("run", "strange\x1b.toml", cwd=tmp_path).stderr.startswith("error: strange\N{REPLACEMENT CHARACTER}.toml: ")


def test_an_error_level_finding_exits_with_1_and_stops_payment(tmp_path: Path) -> None:
    lines = gzip.decompress((incident_file.shelf() / "rehearsal" / "logs.jsonl.gz").read_bytes()).decode().splitlines()
    kept = [line for line in lines if v1.MARGIN_CHANGED.topic0 not in line]
    (tmp_path / "logs.jsonl").write_text("\n".join(kept) + "\n")
    done = call("run", "--input", "logs.jsonl", cwd=tmp_path)
    assert done.returncode == 1
    assert "PAYMENT IS STOPPED" in done.stdout
    assert "margin change is missing" in done.stderr
    payouts = (tmp_path / "outputs" / "rehearsal--input-logs" / "3-payouts.csv").read_text()
    assert payouts.count("payment is stopped") == 29


def test_the_summary_fits_a_narrow_terminal(tmp_path: Path) -> None:
    text = on_real_terminal(60, "run", cwd=tmp_path)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 60
    assert "56,987.450818642970225288 USDC" in text


def test_no_color_and_pipes_are_plain(tmp_path: Path) -> None:
    assert "\x1b" not in call("run", cwd=tmp_path, NO_COLOR="1").stdout
    assert "\x1b" not in call("compare", cwd=tmp_path).stdout


def test_a_pipe_closed_by_its_reader_is_not_an_error(tmp_path: Path) -> None:
    done = subprocess.run(f"{PERPCOMP} events --json | head -1", shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["--help", "payouts", "events --json", "formulas", "explain 0xf014343bdffbed8660a9d8721dec985126f189f3"])
def test_a_full_disk_behind_stdout_is_one_sentence(words: str, tmp_path: Path) -> None:
    done = subprocess.run(f"{PERPCOMP} {words} > /dev/full", shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the output: It cannot be written (No space left on device). Free some space, or send the output elsewhere.\n"
    )
    silent = subprocess.run(f"{PERPCOMP} {words} > /dev/full 2>&1", shell=True, cwd=tmp_path, check=False)
    assert silent.returncode == 2


@pytest.mark.parametrize("words", ["run", "formulas", "compare", "guards", "--help"])
def test_a_terminal_of_ascii_shows_everything(words: str, tmp_path: Path) -> None:
    done = process(*words.split(), cwd=tmp_path, PYTHONIOENCODING="ascii", LANG="C", LC_ALL="C")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert done.stdout.isascii()
    assert done.stdout


def test_json_on_a_terminal_of_ascii_is_json(tmp_path: Path) -> None:
    plain = process("formulas", "--json", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert plain.stdout.isascii()
    assert json.loads(plain.stdout) == json.loads(call("formulas", "--json", cwd=tmp_path).stdout)


def test_perpcomp_alone_prints_its_help(tmp_path: Path) -> None:
    done = process(cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage: perpcomp" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("/", "The folder holds files that are not part of a run: "),
        (".", "The folder holds files that are not part of a run: file, link."),
        ("file", "This is not a folder."),
        ("file/inner", "(Not a directory)"),
        ("link", "This is a link to elsewhere. Give the folder itself with --out."),
        ("x" * 300, "(File name too long)"),
        ("/proc/nowhere", "The folder cannot be made (No such file or directory)."),
    ],
)
def test_an_output_folder_that_cannot_be_used_is_refused_before_the_work(folder: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("elsewhere")
    before = sorted(tmp_path.iterdir())
    done = call("run", "--out", folder, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {folder}: ")
    assert words in done.stderr
    assert "--out" in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_another_incident_in_the_folder_is_replaced_with_force_only(tmp_path: Path) -> None:
    text = (incident_file.shelf() / "rehearsal.toml").read_text()
    shutil.copytree(incident_file.shelf() / "rehearsal", tmp_path / "rehearsal")
    assert call("run", "--out", "o", "--quiet", cwd=tmp_path).returncode == 0
    before = (tmp_path / "o" / "manifest.json").read_bytes()
    (tmp_path / "rehearsal.toml").write_text(text + "\n# another version\n")
    (tmp_path / "other.toml").write_text(text)
    for query, held in (("rehearsal.toml", "a run of another rehearsal.toml (sha256 "), ("other.toml", "a run of rehearsal.toml.")):
        done = call("run", query, "--out", "o", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"error: o: The folder holds {held}" in done.stderr
        assert "type --force to replace that run" in done.stderr
        assert (tmp_path / "o" / "manifest.json").read_bytes() == before
        assert sorted(path.name for path in (tmp_path / "o").glob(".*")) == []
    assert call("run", "other.toml", "--out", "o", "--force", "--quiet", cwd=tmp_path).returncode == 0
    assert call("verify", "o", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "o" / "inputs" / "rehearsal.toml").exists()


STOPS = """
import sys, time
from perpcomp.cli.main import main

ending = sys.argv.pop(1)

def stop(event, arguments):
    if event == "open" and str(arguments[0]).endswith(ending):
        print("opening", ending, file=sys.stderr, flush=True)
        time.sleep(60)

sys.addaudithook(stop)
main()
"""


@pytest.mark.parametrize("ending", ["rehearsal/logs.jsonl.gz", ".vote.xlsx.partial"], ids=["while reading", "while writing"])
def test_ctrl_c_ends_with_a_sentence_and_without_incomplete_files(tmp_path: Path, ending: str) -> None:
    """The process reports that it opens the file and waits there, so that the signal always arrives during the work."""
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS, ending, "run", "--out", "o"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == f"opening {ending}\n"
    files = {path.name for path in (tmp_path / "o").iterdir()}
    assert (files == {LOCK}) == ("partial" not in ending)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted." in words
    assert "Traceback" not in words
    assert not (tmp_path / "o").exists()


def test_formulas_lists_what_each_formula_reads_and_quotes(tmp_path: Path) -> None:
    text = call("formulas", cwd=tmp_path).stdout
    for words in (
        "margin-only    [forum F1, april A1]",
        "= max(0, ((margin_at_reference + unrealized_pnl_at_reference) - funding_at_reference))",
        "treat every one the same way",
        "compared, never paid",
    ):
        assert words in text
    listed = json.loads(call("formulas", "--json", cwd=tmp_path).stdout)
    assert {"margin-only", "margin-upl-funding", "restore-position", "split-50-50", "realized-loss"} <= {one["name"] for one in listed}
    assert next(one for one in listed if one["name"] == "split-50-50")["reads"] == ["margin_at_reference"]


PLUGIN = '''
"""A rule of another package: the margin, but at most 1,000 USDC."""

from perpcomp import fixed
from perpcomp.formula import formula


@formula(name="capped-margin", source="a test")
def capped(terms):
    """At most 1,000 USDC of the margin."""
    return terms.margin.clip(upper_bound=fixed.amount(1000))
'''


def test_a_formula_of_another_installed_package_can_be_run_and_verified(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "capped_margin.py").write_text(PLUGIN)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "capped-margin"\nversion = "1"\n'
        '[project.entry-points."perpcomp.formulas"]\ncapped-margin = "capped_margin:capped"\n'
        '[tool.hatch.build.targets.wheel]\ninclude = ["capped_margin.py"]\n'
    )
    target = tmp_path / "installed"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--target",
            str(target),
            str(package),
        ],
        check=True,
        capture_output=True,
    )
    listed = json.loads(process("formulas", "--json", cwd=tmp_path, PYTHONPATH=str(target)).stdout)
    assert "capped-margin" in {one["name"] for one in listed}
    done = process("run", "--formula", "capped-margin", cwd=tmp_path, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    what_if = "outputs/rehearsal--formula-capped-margin"
    rows = (tmp_path / what_if / "3-payouts.csv").read_text()
    assert ",capped-margin,1,1000.000000000000000000," in rows
    assert process("verify", what_if, cwd=tmp_path, PYTHONPATH=str(target)).returncode == 0
    without = call("verify", what_if, cwd=tmp_path)
    assert without.returncode == 2
    assert "made with formulas that are not installed: capped-margin" in without.stderr


def test_a_wheel_carries_queries_and_logs_and_runs_in_an_empty_folder(tmp_path: Path) -> None:
    target = tmp_path / "installed"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--target",
            str(target),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (tmp_path / "empty").mkdir()
    script = f"import sys; sys.path.insert(0, {str(target)!r}); import perpcomp; assert perpcomp.__file__.startswith({str(target)!r}); from perpcomp.cli.main import main; sys.argv = ['perpcomp', 'run', '--quiet']; main()"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "empty", check=True)
    made = tmp_path / "empty" / "outputs" / "rehearsal" / "3-payouts.csv"
    assert made.read_bytes() == (ROOT / "outputs" / "rehearsal" / "3-payouts.csv").read_bytes()


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert call("--version", cwd=tmp_path).stdout == f"perpcomp {perpcomp.__version__}\n"
    assert f'version = "{perpcomp.__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", GUARDS_COMMANDS)
def test_a_query_file_with_the_name_of_a_guards_command_is_refused(name: str, tmp_path: Path) -> None:
    """A user could not tell `perpcomp guards profiles` from a query of that name."""
    shutil.copy(incident_file.shelf() / "rehearsal.toml", tmp_path / f"{name}.toml")
    for arguments in (("run", f"{name}.toml"), ("guards", f"./{name}.toml"), ("payouts", name)):
        done = call(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert f"'{name}' is a command of `perpcomp guards` and cannot name an incident. Rename the file." in done.stderr


def test_the_guards_commands_are_those_that_no_query_may_be_called() -> None:
    assert tuple(command.callback.__name__ for command in guards.registered_commands if command.callback) == GUARDS_COMMANDS


def test_help_lists_every_exit_code_and_the_commands_by_panel(tmp_path: Path) -> None:
    text = call("--help", cwd=tmp_path).stdout
    assert [text.index(f"{panel}:\n") for panel in PANELS] == sorted(text.index(f"{panel}:\n") for panel in PANELS)
    assert " ".join(text.split()).endswith(EXIT_CODES)
    codes = (0, ERROR_OR_DIFFERENCE, WRONG_INPUT, NETWORK, INVALID_MANIFEST, interrupt.CODE)
    assert [int(code) for code in re.findall(r"(\d+): ", EXIT_CODES)] == list(codes)
