"""The recipes of CONTRIBUTING, each followed once in a copy of the project: the files they name are enough, and nothing else is touched.

A new protocol is the fifth recipe; test_system.py follows it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMAND = "import sys; sys.argv[0] = 'perpcomp'; from perpcomp.cli.main import main; main()"


class Copy:
    """A copy of the package and its incidents that can be edited, installed and run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("perpcomp", "queries"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, folder)

    def write(self, name: str, text: str) -> None:
        """A new file."""
        assert not (self.folder / name).exists()
        (self.folder / name).write_text(text)

    def insert(self, name: str, before: str, text: str) -> None:
        """New text in an existing file, before a text that it holds once."""
        old = (self.folder / name).read_text()
        assert old.count(before) == 1, f"{name} holds {before!r} {old.count(before)} times"
        (self.folder / name).write_text(old.replace(before, text + before))

    def perpcomp(self, *arguments: str, code: int = 0) -> str:
        """What the copy's command line prints. An installation takes the entry points from pyproject.toml, and so does this."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        metadata = self.folder / f"perpcomp-{project['version']}.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: perpcomp\nVersion: {project['version']}\n")
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in project["entry-points"].items()]
        (metadata / "entry_points.txt").write_text("\n".join(lines))
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


def test_a_new_formula_is_a_file_and_an_entry_point(copy: Copy) -> None:
    """It is paid by name, and compared with the others."""
    copy.write(
        "perpcomp/formulas/half_margin.py",
        '''"""Half of the margin."""

import polars as pl

from perpcomp import fixed
from perpcomp.formula import Terms, formula


@formula(name="half-margin", source="a test")
def half_margin(terms: Terms) -> pl.Expr:
    """Pay half of the margin.

    > "half of it" (a test)
    """
    return fixed.mul(terms.margin_at_reference, fixed.amount("0.5"))
''',
    )
    copy.insert("pyproject.toml", "margin-only = ", 'half-margin = "perpcomp.formulas.half_margin:half_margin"\n')
    paid = json.loads(copy.perpcomp("payouts", "--formula", "half-margin", "--json"))
    whole = json.loads(copy.perpcomp("payouts", "--formula", "margin-only", "--json"))
    paid_by_trader, whole_by_trader = ({row["trader"]: row["entitlement"] for row in rows} for rows in (paid, whole))
    known = "0xf014343bdffbed8660a9d8721dec985126f189f3"
    assert 0 < int(paid_by_trader[known].replace(".", "")) == int(whole_by_trader[known].replace(".", "")) // 2
    assert {row["formula"] for row in json.loads(copy.perpcomp("compare", "--json"))} >= {"half-margin", "margin-only"}


def test_a_new_eligibility_rule_is_an_entry_and_a_key(copy: Copy) -> None:
    """It takes liquidations out with its own reason, and only where an incident asks for it."""
    copy.insert(
        "perpcomp/incident/eligibility.py",
        "    guard_verdicts: Annotated[",
        '    minimum_margin: Annotated[Decimal | None, _limit("The smallest margin that is compensated.", "100", "quote asset")]\n',
    )
    copy.insert(
        "perpcomp/eligibility/rules.py",
        "    # leverage of the opening trade\n",
        """    Rule(
        "margin-too-small",
        ("minimum_margin",),
        applies=lambda facts: pl.col("margin") < facts.limit("minimum_margin"),
        reason=lambda facts: pl.format(f"held a margin of {{}}, below {facts.eligibility.minimum_margin}", cut_column("margin", 2)),
    ),
""",
    )
    before = json.loads(copy.perpcomp("liquidations", "--json"))
    assert "margin-too-small" not in {row["reason_code"] for row in before}
    copy.insert("queries/rehearsal.toml", 'rebound_shorts = "', "minimum_margin = 4_000\n")
    after = json.loads(copy.perpcomp("liquidations", "--json"))
    small = {row["trader"] for row in before if row["eligible"] and float(row["margin"]) < 4_000}
    assert small
    assert {row["trader"] for row in after if row["reason_code"] == "margin-too-small"} >= small
    assert {row["trader"] for row in after if row["eligible"]} == {row["trader"] for row in before if row["eligible"]} - small
    assert "below 4000" in next(row["reason"] for row in after if row["reason_code"] == "margin-too-small")


def test_a_new_output_format_is_a_file_and_a_line(copy: Copy) -> None:
    """It is published, hashed in the manifest and verified like every other file."""
    copy.write(
        "perpcomp/publish/payouts_json.py",
        '''"""Payouts as JSON lines."""

import json

from perpcomp.run import Run


def payouts_json(run: Run) -> bytes:
    """One line a payout, amounts as exact text."""
    rows = run.payouts.select("trader", "amount_base_units").iter_rows(named=True)
    return b"".join(json.dumps(row).encode() + b"\\n" for row in rows)
''',
    )
    copy.insert("perpcomp/publish/files.py", "from perpcomp.publish.workbook", "from perpcomp.publish.payouts_json import payouts_json\n")
    copy.insert("perpcomp/publish/files.py", "    return published\n", '    published["payouts.jsonl"] = payouts_json(run)\n')
    copy.perpcomp("run", "--quiet", "--out", "out")
    file = copy.folder / "out" / "payouts.jsonl"
    published = json.loads(copy.perpcomp("payouts", "--json"))
    assert [json.loads(line)["amount_base_units"] for line in file.read_text().splitlines()] == [p["amount_base_units"] for p in published]
    copy.perpcomp("verify", "out")
    file.write_text(file.read_text().replace("0x", "0X", 1))
    assert "payouts.jsonl" in copy.perpcomp("verify", "out", code=1)


def test_a_new_verb_is_a_function_in_a_panel(copy: Copy) -> None:
    """With options of options.py, the help of its panel, and the exit code of its findings."""
    verb = '''

@command(CHECK)
def doubts(query: Query = "rehearsal", input: Input = None, as_json: AsJson = False) -> Sequence[Finding]:
    """Every finding of a run."""
    import perpcomp

    run = perpcomp.compute(query, input)
    lines = [str(finding) for finding in run.problems]
    terminal.print_json(lines) if as_json else print("\\\\n".join(lines))
    return run.problems
'''.replace("\\\\n", "\\n")
    file = copy.folder / "perpcomp/cli/check.py"
    file.write_text(file.read_text() + verb)
    copy.insert("perpcomp/cli/check.py", "import AsJson, Quiet\n", "")
    file.write_text(file.read_text().replace("import AsJson, Quiet\n", "import AsJson, Input, Query, Quiet\n"))
    help = copy.perpcomp("--help")
    assert help.index("Check:") < re.search(r"^  doubts +Every finding of a run\.", help, re.M).start()  # type: ignore[union-attr]
    assert "--input FILE" in copy.perpcomp("doubts", "--help")
    assert json.loads(copy.perpcomp("doubts", "--json"))
    assert len(copy.perpcomp("doubts").splitlines()) == len(json.loads(copy.perpcomp("doubts", "--json")))
