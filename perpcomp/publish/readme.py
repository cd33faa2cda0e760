"""README.md of a run's folder: what a visitor reads first. It is plain Markdown, so it can be pasted into a forum.

It names no version and no path, because the same run must give the same bytes everywhere.
"""

from collections.abc import Iterator, Sequence

from perpcomp.publish import facts
from perpcomp.publish.facts import Reasons
from perpcomp.publish.markdown import escaped, table, with_code
from perpcomp.publish.sentence import in_one_sentence
from perpcomp.publish.summary import Line, summary
from perpcomp.run import Run, kind_in_words


def readme(run: Run) -> bytes:
    """The file's bytes."""
    lines = [f"# {escaped(run.incident.title)}", ""]
    if run.incident.notice:
        lines += [f"> {escaped(run.incident.notice)}", ""]
    if run.overrides:
        lines += [f"**This is {escaped(kind_in_words(run.overrides))}, not the run that the incident file states.**", ""]
    said = summary(run)
    lines += ["**What is proposed.** " + escaped(in_one_sentence(run)), "", facts.CUT, ""]
    for heading, part in (
        ("Who pays, and what it costs", _cost(run)),
        ("Who is paid", _paid(run)),
        ("What is not included", _not_included(run, said)),
        ("How far the input reaches", _coverage(run)),
        ("Findings", _findings(run)),
        ("How to check", _how_to_check(run, said)),
    ):
        lines += [f"## {heading}", "", *part, ""]
    return "\n".join(lines).encode()


def _cost(run: Run) -> Iterator[str]:
    """The amounts to pay, and for each source of funds how much of it they are."""
    for said in facts.to_pay(run):
        yield f"- {escaped(said)}"
    yield ""
    rows = [[escaped(fund.name), escaped(fund.holds), escaped(fund.needs), fund.share] for fund in facts.funds(run)]
    if not rows:
        yield facts.NO_FUNDS
        return
    yield from table(("source of funds", "holds", "the formula needs", "share of it"), rows, right=(1, 2, 3))
    yield ""
    yield facts.WHO_PAYS


def _paid(run: Run) -> Iterator[str]:
    """How many accounts are paid, how many get 0 and why, and the largest payouts."""
    yield from _by_reason(facts.who_is_paid(run))
    header, rows = facts.largest(run)
    cells = [[f"`{who}`" if who.startswith("0x") else who, *amounts] for who, *amounts in rows]
    cells[-1] = [f"**{cell}**" for cell in cells[-1]]
    yield from table([escaped(name) for name in header], cells, right=range(1, len(header)))
    yield ""
    yield with_code(facts.ALL_ACCOUNTS)


def _not_included(run: Run, said: Sequence[Line]) -> Iterator[str]:
    if run.incident.published_table is not None:
        yield f"{facts.UNKNOWN_OTHERS} Of those who have:"
    else:
        for reasons in facts.who_is_not(run):
            yield from _by_reason(reasons)
        yield f"{with_code(facts.EACH_IN)} Also:"
    yield ""
    yield from (f"- {escaped(line)}" for line in facts.also(said))


def _by_reason(reasons: Reasons) -> Iterator[str]:
    yield from (reasons.said, "")
    for group in reasons.groups:
        yield f"- {group.number} ({escaped(group.code)}): {escaped(group.meaning)}"
    if reasons.groups:
        yield ""


def _coverage(run: Run) -> Iterator[str]:
    said = facts.coverage_in_words(run)
    yield with_code(said) if run.coverage is None else escaped(said)


def _findings(run: Run) -> Iterator[str]:
    """How many there are, and the errors and warnings."""
    yield with_code(facts.findings_in_words(run))
    grave, more = facts.grave(run)
    if grave:
        yield ""
    for problem in grave:
        yield f"- **{problem.level}** {escaped(str(problem))}"
    if more:
        yield f"- {with_code(more)}"


def _how_to_check(run: Run, said: Sequence[Line]) -> Iterator[str]:
    """Four commands, and the hashes by which two people see that they have the same tables."""
    yield with_code(facts.IN_FOLDER)
    yield from ("", "```sh", *facts.commands(run), "```", "", f"`verify` {with_code(facts.CHECKED)}", "")
    for line in said:
        if line.label.endswith("row hash"):
            yield f"- {line.label}: `{line.value}`"
