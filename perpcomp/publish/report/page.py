"""The page: its parts put into the template, with the policy that lets nothing but its own style work."""

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from perpcomp.eip55 import checksummed
from perpcomp.publish.charts import STYLE, charts
from perpcomp.publish.one_line import one_line
from perpcomp.publish.report.parts import Accounts, Section
from perpcomp.publish.report.sections import (
    check,
    findings,
    glossary,
    guards,
    happened,
    left_out,
    methods,
    paid,
    prices,
    rules,
    short,
    vesting,
    why,
)
from perpcomp.publish.sentence import in_one_sentence
from perpcomp.publish.status import DRAFT, FINAL, status
from perpcomp.publish.summary import summary
from perpcomp.run import Run, kind_in_words
from perpcomp.tables.payouts import PAYOUTS

TEMPLATES = Path(__file__).parent / "templates"
WORDS = {DRAFT: "The run is not frozen, and may still change before the vote.", FINAL: "The run is frozen."}
RUN_ID = 16  # hex digits of each hash that the page begins with


def report(run: Run) -> bytes:
    """The page's bytes. Equal runs give equal bytes."""
    style = f"{(TEMPLATES / 'style.css').read_text(encoding='utf-8')}{STYLE}"
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = (
        _environment()
        .get_template("report.html")
        .render(
            incident=run.incident,
            status=status(run),
            state=WORDS[status(run)],
            warnings=list(_warnings(run)),
            lead=in_one_sentence(run),
            run_id=f"payouts {run.row_hash('payouts', PAYOUTS)[:RUN_ID]}, incident file {run.incident.sha256[:RUN_ID]}",
            sections=_sections(run),
            style=Markup(style),
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        )
    )
    return text.encode()


def _warnings(run: Run) -> Iterator[str]:
    """What a reader must know before anything else."""
    if run.overrides:
        yield f"This is {kind_in_words(run.overrides)}, not the run that the incident file states."
    if any(problem.stops for problem in run.problems):
        yield "Payment is stopped: a finding puts the amounts in doubt. Every payout is 0 until it is resolved."


def _sections(run: Run) -> list[Section]:
    said, drawn = summary(run), {chart.name: chart for chart in charts(run)}
    accounts = why.section(run)
    taken = {line.account for part in accounts.parts if isinstance(part, Accounts) for line in part.lines}
    return [
        short.section(run, said),
        happened.section(run, said, drawn),
        paid.section(run, drawn),
        rules.section(run, drawn),
        prices.section(run, drawn),
        vesting.section(run, said, drawn),
        guards.section(run, drawn),
        accounts,
        left_out.section(run, said, taken),
        findings.section(run),
        methods.section(run),
        check.section(run),
        glossary.section(),
    ]


@cache
def _environment() -> Environment:
    """Templates that escape every value and refuse a name that nobody gave."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_inert,
    )
    found.filters |= {"checksummed": checksummed, "whole": _whole, "places": _places, "breakable": _breakable}
    return found


def _inert(value: object) -> object:
    """What a template prints: a text as one line of visible characters; markup of our own as it is."""
    return one_line(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _whole(amount: str) -> str:
    """An amount up to its second place; any other text."""
    return amount[: _second_place(amount)]


def _places(amount: str) -> str:
    """The places behind that."""
    return amount[_second_place(amount) :]


def _second_place(amount: str) -> int:
    point = amount.find(".")
    return len(amount) if point < 0 else point + 3


def _breakable(name: str) -> Markup:
    """The name of a column, which may go on in the next line after each of its underscores."""
    return Markup("_<wbr>").join(name.split("_"))
