"""Every command as a person sees it: on a real terminal of 80 and 120 columns, and in a pipe; progress; Ctrl-C; completion.

`python -m tests.test_terminal` writes the snapshots again. Look at the difference before it is committed.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len

from perpcomp import progress
from perpcomp.cli import terminal, watch
from perpcomp.cli.layout import fitted, lines, shortened
from perpcomp.fixed import AMOUNT
from perpcomp.incident import incident_file
from perpcomp.run import Run
from tests.commands import call, process, read_terminal, terminal_of
from tests.conftest import LAB
from tests.test_cli import ROOT

SNAPSHOTS = Path(__file__).parent / "snapshots"
TRADER = "0xf014343bdffbed8660a9d8721dec985126f189f3"
COMMANDS = (
    "--help",
    "run --help",
    "run",
    "events",
    "positions",
    "liquidations",
    "payouts",
    "claims",
    "claims --at 2021-04-15T00:00:00Z",
    "claims schedule --amount 100 --start 2021-03-01T00:00:00Z --preset perp-3m",
    "prices",
    "compare",
    f"explain {TRADER}",
    "formulas",
    "guards --replay --sweep",
    "guards profiles",
    "guards vectors vectors.json.gz",
    "verify outputs/rehearsal",
    "payouts --run outputs/rehearsal",
    "check",
    "init mine --yes --input logs.jsonl.gz",
    "events 2021-02-21-btc-flash-crash --dry-run",
    "payouts --formula margin-onyl",
    "payots",
)
LONG = 48  # lines of one command in a snapshot; of more, the first and the last half
# All commands in one process, so that imports are paid once. No bar: whether one is drawn depends on the machine.
DRIVER = """
import shlex, sys
from perpcomp.cli import panels, watch
from perpcomp.cli.main import main

panels.load([])
watch.PATIENCE = watch.LINES = 3600
for line in sys.argv.pop().splitlines():
    print(f"$ perpcomp {line}", flush=True)
    sys.argv[1:] = shlex.split(line)
    try:
        main()
    except SystemExit as ending:
        print(f"[exit {ending.code}]", flush=True)
"""


def shown(width: int | None, place: Path) -> str:
    """What all commands print on a terminal of that width, or in a pipe; without styles."""
    shutil.copy(incident_file.shelf() / "rehearsal" / "logs.jsonl.gz", place)
    (place / "vectors.json.gz").symlink_to(LAB / "guards" / "vectors.json.gz")
    command = [sys.executable, "-c", DRIVER, "\n".join(COMMANDS)]
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "PERPCOMP_RPC_URL")}
    environment |= {"TERM": "xterm-256color"}
    if width is None:
        done = subprocess.run(command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
        return done.stdout
    ours, theirs = terminal_of(width)
    running = subprocess.Popen(command, cwd=place, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = read_terminal(ours)
    assert running.wait() == 0
    return text


def shortened_text(text: str) -> str:
    """Of each command that prints much, its first and last lines."""
    parts = []
    for part in re.split(r"^(?=\$ perpcomp )", text, flags=re.M)[1:]:
        rows = part.splitlines()
        left_out = [f"… {len(rows) - LONG} lines …"]
        parts.append("\n".join(rows if len(rows) <= LONG + 1 else [*rows[: LONG // 2], *left_out, *rows[-LONG // 2 :]]))
    return "\n\n".join(parts) + "\n"


@pytest.fixture(scope="module", params=[80, 120, None], ids=["80", "120", "pipe"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int | None, str]:
    return request.param, shown(request.param, tmp_path_factory.mktemp("seen"))


def name_of(width: int | None) -> str:
    return f"{width or 'pipe'}.txt"


def test_every_command_prints_what_was_looked_at(seen: tuple[int | None, str]) -> None:
    width, text = seen
    assert shortened_text(text) == (SNAPSHOTS / name_of(width)).read_text()


def test_no_line_is_wider_than_the_terminal_and_none_is_padded(seen: tuple[int | None, str]) -> None:
    """So the terminal folds no digit and no address. In a pipe the tables have 100 columns, and sentences are not folded."""
    width, text = seen
    rows = [row for row in text.splitlines() if not row.startswith("$ ")]
    if width is not None:
        assert [row for row in rows if cell_len(row) > width] == []
        assert "\x1b" not in text
    else:
        tables = [row for row in rows if re.match(r"0x\w{4}…\w{4}  ", row)]
        assert len(tables) > 300
        assert [row for row in tables if cell_len(row) > 100] == []
        assert not re.search("[│╭╰─━]", text), "no boxes"
        assert [row for row in rows if row.endswith(" ")] == []


def test_the_summary_of_compare_fits_a_screen_of_80_by_24(seen: tuple[int | None, str]) -> None:
    _, text = seen
    (part,) = re.findall(r"^\$ perpcomp compare\n(.*?)^\[exit 0\]", text, re.M | re.S)
    table, _, summary = part.partition("\n\n")
    (total,) = re.findall(r"^total .*", table, re.M)
    assert total.split()[:3] == ["total", "56,987.45", "100,687.80"]
    assert len(summary.splitlines()) < 24, "one line is left for the prompt"
    for words in (
        "1 margin-upl-funding",
        "8 margin-upl-haircut   54,093.87    29           25  24,209.60    27,103.18",
        "5 sources of funds",
    ):
        assert words in summary


# Fitting


def test_a_row_is_one_line_and_columns_drop_from_the_right(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    terminal.print_grid(["trader", "margin (USDC)", "a_long_name", "last"], [[TRADER, "1,234.50", "x", "y"]] * 2, (1,), elsewhere="See z.")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "               margin",
        "trader         (USDC)  a_long_name  last",
        "0xf014…89f3  1,234.50  x            y",
        "0xf014…89f3  1,234.50  x            y",
    ]
    monkeypatch.setenv("COLUMNS", "24")
    terminal.print_grid(["trader", "margin (USDC)", "a_long_name", "last"], [[TRADER, "1,234.50", "x", "y"]], (1,), elsewhere="See z.")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["               margin", "trader         (USDC)", "0xf014…89f3  1,234.50"]
    assert err == "2 columns do not fit into 24: a_long_name, last. See z.\n"


def test_a_figure_is_never_folded_and_a_text_is_folded_at_its_blanks() -> None:
    row = ["12,345,678,901.23", "nothing of the position is left by this rule"]
    fit = fitted(["amount", "reason"], [row], (0,), 40)
    assert list(lines(row, fit, (0,))) == ["12,345,678,901.23  nothing of the", " " * 19 + "position is left by", " " * 19 + "this rule"]
    assert list(lines(["日本 abc"], fitted(["x"], [["日本 abc"]], (), 5), ())) == ["日本", "abc"], "two columns a character"


def test_addresses_that_begin_and_end_alike_stay_different() -> None:
    one, other = "0x1234" + "5" * 32 + "abcd", "0x12345" + "6" * 30 + "5abcd"
    assert shortened([[one], ["x"]], "…") == [["0x1234…abcd"], ["x"]]
    assert shortened([[one], [other]], "…") == [["0x123455…55abcd"], ["0x123456…65abcd"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [("1234.5678", "1,234.56"), ("-1234.5678", "-1,234.56"), ("0", "0.00"), ("0.009", "<0.01"), ("-0.009", ">-0.01"), ("0.01", "0.01")],
)
def test_an_amount_that_is_not_nothing_never_reads_as_nothing(value: str, text: str) -> None:
    assert terminal.readable(Decimal(value)) == text


def test_a_total_is_exact_and_unknown_where_a_part_is() -> None:
    frame = pl.DataFrame({"a": ["0.1"] * 3, "b": ["0.1", None, "1"]}).cast(AMOUNT)
    assert terminal.total(frame, "name", ("a", "b"), token="T") == {"name": "total", "token": "T", "a": Decimal("0.3"), "b": "unknown"}


# Forms


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("events", "1-events.csv"),
        ("liquidations", "2-liquidations.csv"),
        ("payouts", "3-payouts.csv"),
        ("claims", "4-claims.csv"),
        ("compare", "comparison.csv"),
    ],
)
def test_csv_is_the_published_file(command: str, file: str, tmp_path: Path) -> None:
    assert call(command, "--csv", cwd=tmp_path).stdout.encode() == (ROOT / "outputs" / "rehearsal" / file).read_bytes()


def test_csv_of_several_markets_names_the_market(tmp_path: Path) -> None:
    rows = call("prices", "--csv", cwd=tmp_path).stdout.splitlines()
    assert rows[0] == "market_name,block_time,block_number,spot_price,twap_price,index_price"
    assert {row.partition(",")[0] for row in rows[1:]} == {"BTCUSDC"}
    assert call("positions", "--csv", cwd=tmp_path).stdout.startswith("block_number,time,trader,market,")


def test_the_largest_payout_is_first_and_the_totals_are_last(rehearsal: Run, tmp_path: Path) -> None:
    rows = call("payouts", cwd=tmp_path, COLUMNS="200").stdout.splitlines()[1:]
    first = rehearsal.payouts.sort("amount", descending=True)["trader"].to_list()
    assert [row.split()[0] for row in rows[:21]] == first[:21]
    assert rows[-1].split() == ["total", "PERP", "8,220.33", "56,987.45"]


def test_totals_of_two_tokens_count_each_entitlement_once(tmp_path: Path) -> None:
    text = (incident_file.shelf() / "rehearsal.toml").read_text()
    half = text[text.index("[[settlement]]") :].partition("\n\n")[0]
    half = half.replace("share = 1", "share = 0.5")
    other = re.sub(
        r"address = .*\n", "", half.replace('"PERP"', '"USDC"').replace("decimals = 18", "decimals = 6").replace("6.93250035067212", "1")
    )
    (tmp_path / "two.toml").write_text(text.replace(half.replace("0.5", "1"), f"{half}\n\n{other}"))
    shutil.copytree(incident_file.shelf() / "rehearsal", tmp_path / "rehearsal")
    rows = call("payouts", "two.toml", cwd=tmp_path, COLUMNS="200").stdout.splitlines()
    assert [row.split()[:2] for row in rows[-3:-1]] == [["total", "PERP"], ["total", "USDC"]]
    assert rows[-1].split() == ["total", "56,987.45"]


# Progress


TICKED = threading.Event()


@progress.work()
def work_for_long(done: list[int]) -> None:
    progress.now("Reading x", 200)
    progress.advance(50, "7 logs")
    assert TICKED.wait(30)
    done.append(1)


def test_a_pipe_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(watch, "LINES", 0.01)
    monkeypatch.setattr(terminal, "say", lambda words: (said.append(words), TICKED.set()))
    done, before = list[int](), {*threading.enumerate()}
    with progress.watched_by(watch.watcher()):
        work_for_long(done)
    assert done == [1]
    assert said[0] == "Reading x, 25 % done, 7 logs (0 seconds so far)."
    assert capsys.readouterr() == ("", "")
    assert {*threading.enumerate()} <= before, "the thread has ended with the work"


def test_work_within_work_is_a_part_of_it_and_without_a_watcher_nothing_happens() -> None:
    seen: list[progress.Work] = []

    def note(work: progress.Work) -> "progress.AbstractContextManager[None]":
        seen.append(work)
        return progress.nullcontext()

    with progress.watched_by(note), progress.work():
        progress.now("outer")
        with progress.work():
            progress.now("inner", 2)
            progress.advance(1)
    assert [(work.what, work.total, work.done) for work in seen] == [("inner", 2, 1)]
    progress.now("nobody")
    progress.advance(1)
    assert len(seen) == 1


STOPS = """
import sys, time
from perpcomp.cli import panels, watch
from perpcomp.cli.main import main

panels.load([])
watch.PATIENCE = watch.REDRAWN = 0.01

def stop(event, arguments):
    if event == "open" and str(arguments[0]).endswith("rehearsal/logs.jsonl.gz"):
        time.sleep(60)

sys.addaudithook(stop)
main()
"""


@pytest.mark.parametrize("quiet", [False, True])
def test_ctrl_c_during_a_bar_leaves_a_clean_terminal(quiet: bool, tmp_path: Path) -> None:
    """The bar is erased, the cursor is there again, and results never held a part of it."""
    ours, theirs = terminal_of(80)
    words = ["run", "--out", "o", *(["--quiet"] if quiet else [])]
    running = subprocess.Popen(
        [sys.executable, "-c", STOPS, *words],
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    drawn = b""
    if not quiet:
        while b"Reading logs.jsonl.gz" not in drawn or drawn.count(b"\r") < 3:
            drawn += os.read(ours, 65536)
    else:
        while not (tmp_path / "o").exists():
            pass
    running.send_signal(signal.SIGINT)
    drawn += read_terminal(ours, plain=False).encode()
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, b"")
    assert drawn.rstrip().endswith(b"Type the same command to start again.")
    if quiet:
        assert b"Reading" not in drawn
    else:
        assert drawn.rindex(b"\x1b[?25h") > drawn.rindex(b"\x1b[?25l"), "the cursor is shown again"
        assert drawn.index(b"Interrupted.", drawn.rindex(b"\x1b[2K")) > 0, "the bar's line is erased"


# The command line itself


def test_the_module_is_the_program_and_h_is_help(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "perpcomp", "run", "-h"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: perpcomp run [OPTIONS] [QUERY]\n")
    assert done.stdout == call("run", "--help", cwd=tmp_path).stdout


def test_shells_complete_words(tmp_path: Path) -> None:
    asked = process(cwd=tmp_path, _PERPCOMP_COMPLETE="complete_bash", COMP_WORDS="perpcomp pa", COMP_CWORD="1")
    assert asked.stdout == "payouts\n"
    assert "complete -o default -F _perpcomp_completion perpcomp" in call("--show-completion", "bash", cwd=tmp_path).stdout
    call("--install-completion", "zsh", cwd=tmp_path, HOME=str(tmp_path))
    assert (tmp_path / ".zfunc" / "_perpcomp").read_text().startswith("#compdef perpcomp")
    assert call("--show-completion", cwd=tmp_path, SHELL="/bin/fish").stdout.startswith("complete --command perpcomp")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--install-completion tcsh",
            "--install-completion: Completion for the shell 'tcsh' does not exist. Write --install-completion with one",
        ),
        (
            "--show-completion",
            "--show-completion: The system does not say which shell this is. Write --show-completion with one of bash, zsh",
        ),
        ("payots", "perpcomp: No such command 'payots'. Did you mean 'payouts'? Type perpcomp --help for what it takes."),
        ("run a b", "perpcomp run: Too many arguments: b. Type perpcomp run --help for what it takes."),
        ("run --engine x", "perpcomp run: Invalid value for '--engine': 'x' is not one of 'local', 'dask'. Type perpcomp run --help"),
        ("verify", "perpcomp verify: Missing argument 'BUNDLE|RUN'. Type perpcomp verify --help for what it takes."),
    ],
)
def test_a_wrong_command_line_is_one_error_in_the_form_of_all(words: str, said: str, tmp_path: Path) -> None:
    done = call(*words.split(), cwd=tmp_path, SHELL="", HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


if __name__ == "__main__":
    SNAPSHOTS.mkdir(exist_ok=True)
    for columns in (80, 120, None):
        with tempfile.TemporaryDirectory() as folder:
            (SNAPSHOTS / name_of(columns)).write_text(shortened_text(shown(columns, Path(folder))))


@pytest.mark.parametrize(("told", "asked"), [({}, False), ({"FORCE_COLOR": "1"}, True), ({"TTY_COMPATIBLE": "0"}, True)])
def test_rich_is_asked_what_a_pipe_is_only_where_the_environment_hints(told: dict[str, str], asked: bool, tmp_path: Path) -> None:
    script = "import sys; from perpcomp.cli.main import main; sys.argv = ['perpcomp', 'formulas']\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
    script += "print('rich.console' in sys.modules, file=sys.stderr)"
    environment = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")} | told
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == str(asked)
    lines = done.stdout.splitlines()
    folded = "FORCE_COLOR" in told
    assert any("A trader under water" in line for line in lines)
    assert (max(map(len, lines)) <= 100) == folded, "on a terminal lines are folded, in a pipe a line stays a line"
