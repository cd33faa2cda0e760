"""No option is ignored: every option of every command does something in a call, or the call is refused with words."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from perpcomp.cli import panels
from perpcomp.cli.app import StrictCommand, app
from perpcomp.incident import incident_file
from tests.commands import call

BARE = "2021-02-21-btc-flash-crash"  # an incident without logs of its own
LOGS = "logs.jsonl.gz"
NODE = "http://127.0.0.1:1"
GIVEN = "--amount 7 --start 2027-03-01T00:00:00Z"

# (command, option) -> calls in which the option would do nothing. () where it always does something.
FETCHING: dict[str, tuple[str, ...]] = {
    "--rpc": (f"QUERY --input {LOGS} --rpc {NODE}", f"rehearsal --rpc {NODE}"),
    "--second-rpc": (
        f"QUERY --second-rpc {NODE}",
        f"QUERY --input {LOGS} --second-rpc {NODE}",
        f"rehearsal --second-rpc {NODE}",
        f"QUERY --rpc {NODE} --second-rpc {NODE}",
    ),
    "--prove": ("rehearsal --prove", "QUERY --prove all", f"QUERY --input {LOGS} --prove"),
    "--blocks": ("rehearsal --blocks 1:2", "QUERY --blocks 1:2", f"QUERY --input {LOGS} --blocks 1:2"),
    "--store": ("rehearsal --store s", "QUERY --store s", f"QUERY --input {LOGS} --store s"),
    "--dry-run": ("rehearsal --dry-run", f"QUERY --input {LOGS} --dry-run", f"QUERY --input {LOGS} --rpc {NODE} --dry-run"),
    "--input": (),
}
WORKERS: dict[str, tuple[str, ...]] = {
    "--engine": (),
    "--scheduler": ("rehearsal --scheduler tcp://127.0.0.1:1",),
    "--scratch": ("rehearsal --scratch s",),
}
QUIET: dict[str, tuple[str, ...]] = {"--quiet": ("QUERY --dry-run --quiet",)}
ALWAYS: dict[str, tuple[str, ...]] = {"--json": ()}
BESIDE_RUN: dict[str, tuple[str, ...]] = {
    "--run": (),
    "--input": (f"--run o --input {LOGS}",),
    "--formula": ("--run o --formula margin-only",),
}
FORMS: dict[str, tuple[str, ...]] = {"--json": ("rehearsal --json --csv",), "--csv": ("rehearsal --json --csv",)}
PAYS = f"o --contract 0x{'0a' * 20}"
TERMS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(["--contract", "--chain", "--terms", "--shape"], ()),
    "--distribution": (f"{PAYS} --distribution 3",),
    "--attestor": (f"{PAYS} --attestor 0x{'0a' * 20}",),
    "--expires": (f"{PAYS} --expires 2027-03-01T00:00:00Z",),
}
FOLLOWED = f"o --logs {LOGS}"
IDLE: dict[str, dict[str, tuple[str, ...]]] = {
    "init": {
        "--system": (),
        "--input": (),
        "--rpc": (f"mine --input {LOGS} --rpc {NODE}",),
        "--chain": (),
        "--blocks": ("mine --blocks 1:2", f"mine --input {LOGS} --blocks 1:2"),
        "--yes": (),
    },
    "check": {**ALWAYS, "--input": ()},
    "schema": {},
    "run": {
        **FETCHING,
        **WORKERS,
        **QUIET,
        **ALWAYS,
        "--formula": (),
        "--out": (),
        "--force": (),
        "--charts": (f"QUERY --rpc {NODE} --dry-run --charts c",),
        "--payee-rpc": (),
    },
    "events": {**FETCHING, **WORKERS, **QUIET, **FORMS},
    "positions": {**FORMS, "--input": (), "--at": ()},
    "liquidations": {
        **FORMS,
        "--input": BESIDE_RUN["--input"],
        "--engine": ("--run o --engine local",),
        "--scheduler": (*WORKERS["--scheduler"], "--run o --engine dask --scheduler tcp://127.0.0.1:1"),
        "--scratch": (*WORKERS["--scratch"], "--run o --engine dask --scratch s"),
        "--run": (),
    },
    "payouts": {**FORMS, **BESIDE_RUN},
    "claims table": {**FORMS, **BESIDE_RUN, "--at": ()},
    "claims schedule": {
        **ALWAYS,
        **dict.fromkeys(["--amount", "--start", "--decimals", "--at", "--upfront", "--lock-weeks"], ()),
        "--preset": (),
        "--calendar": (f"{GIVEN} --preset instant --calendar seconds",),
        "--length": (f"{GIVEN} --preset instant --length 3",),
        "--tranches": (f"{GIVEN} --preset instant --tranches 3",),
        "--binding": (f"{GIVEN} --preset instant --binding line",),
        "--rounding": (f"{GIVEN} --preset drip-6m --rounding FRONT_LOADED",),
        "--granularity": (f"{GIVEN} --preset perp-3m --granularity 7",),
        "--cliff": (f"{GIVEN} --preset instant --cliff 1 --cliff-reading accrues",),
        "--cliff-reading": (f"{GIVEN} --preset perp-3m --cliff-reading accrues",),
        "--start-block": (f"{GIVEN} --preset perp-3m --start-block 5",),
        "--block-seconds": (f"{GIVEN} --preset perp-3m --block-seconds 5",),
    },
    "claims tree": {"--dialect": (), "--out": ("list.csv --out made.json",), "--quiet": ()},
    "claims verify": {
        **ALWAYS,
        "--root": (),
        "--rpc": (f"claims.json --rpc {NODE}",),
        "--contract": (f"claims.json --contract 0x{'0a' * 20}",),
        "--week": ("claims.json --week 3",),
        "--quiet": (),
    },
    "claims follow": {
        "--json": (f"{FOLLOWED} --json --csv",),
        "--csv": (f"{FOLLOWED} --json --csv",),
        "--logs": (f"{FOLLOWED} --rpc {NODE}",),
        "--rpc": (f"{FOLLOWED} --rpc {NODE}",),
        "--from-block": (f"{FOLLOWED} --from-block 5",),
        "--contract": (),
        "--at": (),
        "--redistribute": (),
    },
    "claims ready": {"--rpc": (), "--earlier": ()},
    "claims terms": {**TERMS, "--out": (), "--quiet": ()},
    "claims signatures": {
        **{option: tuple(f"{rest} s.csv" for rest in calls) for option, calls in TERMS.items()},
        **ALWAYS,
        **dict.fromkeys(["--rpc", "--out", "--quiet"], ()),
    },
    "prices": {**FORMS, "--input": (), "--market": ()},
    "compare": {
        **FORMS,
        "--input": BESIDE_RUN["--input"],
        "--run": (),
        "--table": (),
        "--against": ("rehearsal --against margin-only", "rehearsal --against margin-only --json"),
        "--votes": (f"rehearsal --votes {LOGS} --csv", f"rehearsal --votes {LOGS} --json"),
    },
    "sensitivity": {**FORMS, **BESIDE_RUN},
    "budget": {
        **ALWAYS,
        **dict.fromkeys(("--input", "--formula", "--by"), ()),
        "--budget": ("rehearsal --budget a --amount 1", "rehearsal --budget a --by months --income 1"),
        "--amount": ("rehearsal --budget a --amount 1", "rehearsal --amount 1 --by months --income 1"),
        "--income": ("rehearsal --income 1", "rehearsal --income 1 --by cap"),
        "--share": ("rehearsal --share 0.5", "rehearsal --share 0.5 --by cap"),
    },
    "explain": {
        **ALWAYS,
        **{option: tuple(f"0x12 {rest}" for rest in calls) for option, calls in BESIDE_RUN.items()},
    },
    "formulas": ALWAYS,
    "guards verdicts": {
        **ALWAYS,
        "--input": (),
        "--replay": (),
        "--rules": ("rehearsal --rules sip-2005", "rehearsal --sweep --rules v1-spread"),
        "--sweep": (),
        "--out": (),
        "--quiet": (),
    },
    "guards profiles": {},
    "guards vectors": {},
    "verify": {**ALWAYS, **dict.fromkeys(("--quiet", "--published", "--rpc", "--sheet", "--signatures", "--signer"), ())},
    "bundle": dict.fromkeys(("--out", "--quiet"), ()),
    "sign": {**ALWAYS, "--quiet": (), "--signature": ()},
    "proposal": dict.fromkeys(("--space", "--from", "--timestamp", "--snapshot", "--start", "--end", "--type", "--quiet"), ()),
    "check-sheet": {**ALWAYS, "--quiet": ()},
    "check-published": {
        **ALWAYS,
        **dict.fromkeys(("--against", "--decimals", "--total", "--pot", "--count", "--quiet"), ()),
        "--column": ("logs.jsonl.gz --column a",),
        "--against-column": ("logs.jsonl.gz --against-column a", "logs.jsonl.gz --against . --against-column a"),
        "--token": (),
        "--sheet": ("logs.jsonl.gz --sheet a",),
    },
    "diff": {**ALWAYS, "--quiet": ()},
    "ledger show": ALWAYS,
    "ledger add": dict.fromkeys(
        ("--trader", "--kind", "--amount", "--factor", "--reason", "--evidence", "--author", "--ruling", "--date", "--input"), ()
    ),
    "ledger from-workbook": {"--input": ()},
    "ledger freeze": dict.fromkeys(("--until", "--author", "--evidence", "--signature", "--date", "--input"), ()),
}


def commands() -> dict[str, Any]:
    """Every command by the words that call it."""
    found = {}
    panels.load([])
    top: Any = typer.main.get_command(app)
    for name, one in top.commands.items():
        found |= {f"{name} {inner}": deeper for inner, deeper in one.commands.items()} if hasattr(one, "commands") else {name: one}
    return found


def options(one: Any) -> set[str]:
    return {option.opts[0] for option in one.params if option.param_type_name == "option"} - {"--help"}


def test_the_table_holds_every_option_of_every_command() -> None:
    """A new option comes with the calls in which it would do nothing."""
    assert {name: options(one) for name, one in commands().items()} == {name: set(table) for name, table in IDLE.items()}


@pytest.mark.parametrize(
    ("command", "option", "rest"),
    [(command, option, rest) for command, table in IDLE.items() for option, calls in table.items() for rest in calls],
)
def test_an_option_that_would_do_nothing_is_refused(command: str, option: str, rest: str, tmp_path: Path) -> None:
    shutil.copy(incident_file.shelf() / "rehearsal" / LOGS, tmp_path)
    done = call(*command.split(), *rest.replace("QUERY", BARE).split(), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(rf"error: [^:]*{option}\b[^:]*: ", done.stderr), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOGS], "nothing is written"


@pytest.mark.parametrize(
    "words", ["payouts rehearsal", "claims rehearsal", "compare rehearsal", "liquidations rehearsal", "explain 0x12 rehearsal"]
)
def test_a_query_beside_a_published_run_is_refused(words: str, tmp_path: Path) -> None:
    """Even where it names the default: it would be passed over without a word."""
    done = call(*words.split(), "--run", "o", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: QUERY: The tables are read from o, and nothing is computed. It would do nothing. Leave it out, or leave --run out.\n"
    )


def test_a_verb_imports_the_modules_of_its_commands_and_no_other() -> None:
    found: dict[str, set[str]] = {}
    for name, one in commands().items():
        found.setdefault(one.callback.__module__.removeprefix("perpcomp.cli."), set()).add(name.partition(" ")[0])
    assert found == {module: {*verbs} for module, verbs in panels.MODULES.items()}
    script = "import sys; sys.argv = ['perpcomp', {!r}]\nfrom perpcomp.cli.main import main\ntry:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    for verb, modules in {"diff": {"diff"}, "--version": set(), "dif": {*panels.MODULES}, "--help": {*panels.MODULES}}.items():
        done = subprocess.run([sys.executable, "-c", script.format(verb)], capture_output=True, text=True, check=False)
        imported = {name.removeprefix("perpcomp.cli.") for name in done.stderr.split()}
        assert imported & {*panels.MODULES} == modules, verb


@pytest.mark.parametrize("name", sorted(commands()))
def test_an_option_is_given_once_and_has_a_value(name: str, tmp_path: Path) -> None:
    """The command-line library would take the last of several values, and an empty path for the current folder."""
    one = commands()[name]
    assert isinstance(one, StrictCommand)
    for option in one.params:
        if option.param_type_name != "option" or option.is_flag or option.opts[0] == "--engine":
            continue
        value = "window" if option.opts[0] == "--prove" else "x"
        words = [*name.split(), option.opts[0], value, option.opts[0], value]
        if not option.multiple:
            done = call(*words, cwd=tmp_path)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr == f"error: {option.opts[0]}: The option is given 2 times and has one value. Give it once.\n"
        if option.opts[0] != "--prove":
            done = call(*name.split(), option.opts[0], "", cwd=tmp_path)
            assert (done.returncode, done.stderr) == (2, f"error: {option.opts[0]}: The value is empty. Give a value, or leave it out.\n")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["run", "explain", "verify"])
def test_an_empty_argument_is_refused(words: str, tmp_path: Path) -> None:
    """As of a shell variable that is not set: `perpcomp verify "$FOLDER"`."""
    done = call(words, "", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "The value is empty." in done.stderr


@pytest.mark.parametrize("command", ["run", "events"])
def test_a_dry_run_prints_its_plan_and_writes_nothing(command: str, tmp_path: Path) -> None:
    words = (command, BARE, "--dry-run", "--rpc", NODE, "--second-rpc", "http://127.0.0.1:2", "--prove", "all", "--blocks", "1:500")
    done = call(*words, "--store", "s", cwd=tmp_path)
    assert done.returncode == 0
    assert "the header of every block of the range" in done.stderr
    assert "The same logs and headers of the second node" in done.stderr
    assert "Kept in: s. Nothing was sent." in done.stderr
    listed = call(*words, "--json", cwd=tmp_path)
    assert listed.stdout.startswith("[\n")
    assert not any(tmp_path.iterdir())


def test_quiet_prints_no_table(tmp_path: Path) -> None:
    for words in (("events",), ("guards",)):
        done = call(*words, "--quiet", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_options_of_another_guards_command_are_refused(tmp_path: Path) -> None:
    for words in (("profiles", "--json"), ("vectors", "x.json", "--replay"), ("--replay", "vectors", "x.json")):
        done = call("guards", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "rror: " in done.stderr
