"""The body of a proposal: what a voter must know, as lines of Markdown and lists that may be cut."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from perpcomp.claims.claim_file import roots_of
from perpcomp.eip55 import checksummed
from perpcomp.incident.incident import Incident
from perpcomp.number_text import counted
from perpcomp.publish import facts
from perpcomp.publish.markdown import with_code
from perpcomp.publish.proposal.choices import NOTHING, Ballot, Choice, Option
from perpcomp.publish.proposal.fit import Listed, Made, Text
from perpcomp.publish.proposal.text import cell, code, shown
from perpcomp.publish.sentence import in_one_sentence, meaning, short
from perpcomp.publish.status import DRAFT, status
from perpcomp.publish.summary import Line, summary
from perpcomp.run import Run
from perpcomp.systems.units import units
from perpcomp.tables.schema import CSV_TIME
from perpcomp.vesting.schedule import end_in_words
from perpcomp.vesting.words import claims_end, in_words

NO_PRECEDENT = "This is no precedent: it is a one-off for this incident, and gives nobody a right to be paid for any other loss."
STATUS = ("WHAT-IF", "PAYMENT IS STOPPED")  # lines of the summary that a proposal says before anything else
# The lists of the body, in the order in which they are cut where it is too long.
CUT_FIRST = ("accounts", "links", "files of claims", "rulings", "findings", "reasons", "rules not on the ballot", "funds", "choices")
HASHED = ("2-liquidations.csv", "3-payouts.csv", "4-claims.csv", "comparison.csv")


def body(run: Run, ballot: Ballot, files: Mapping[str, bytes], hashes: Mapping[str, str], executes: Sequence[str]) -> Text:
    """The body, before it is cut. `files` are those that the run publishes, and `hashes` the sha256 of those of HASHED; `executes` says what
    an on-chain vote executes, if anything.
    """
    said = summary(run)
    of_amounts: list[tuple[str, Iterator[str | Listed]]] = [
        ("Choices", _choices(run, ballot)),
        ("Who pays, and what it costs", _cost(run)),
        ("Who is paid", _paid(run, hashes)),
        ("When it unlocks", _unlocks(run)),
    ]
    stopped = any(problem.stops for problem in run.problems)  # then no amount is said: all are in doubt
    parts: list[tuple[str, Iterator[str | Listed]]] = [
        ("", _opening(run, said)),
        *(() if stopped else of_amounts),
        ("What is not included", _not_included(run, said)),
        ("How far the input reaches", _coverage(run)),
        ("Findings", _findings(run)),
        ("Objections", _objections(run)),
        ("What the vote executes", iter(executes)),
        ("How to check", _how_to_check(run, files, hashes)),
        ("Links", _links(run.incident)),
    ]
    text: list[str | Listed] = []
    for heading, part in parts:
        if lines := list(part):
            text += [*(["", f"## {heading}", ""] if heading else []), *lines]
    return text


def _bullets(name: str, lines: Sequence[str], rest: str, where: str) -> Listed:
    """A list of points; what is cut is counted, and said to be `where`."""
    return Listed(
        name, [f"- {line}" for line in lines], lambda n: [f"- {counted(len(lines) - n, rest)}: see {where}"] if n < len(lines) else []
    )


def _opening(run: Run, said: Sequence[Line]) -> Iterator[str]:
    """What stands against a vote, then the proposal in one sentence."""
    for line in said:
        if line.label in STATUS:
            yield from (f"**{line.label}.** {shown(line.value)}", "")
    if status(run) == DRAFT:
        yield from ("**DRAFT.** These amounts may still change: no ruling freezes them (see Objections).", "")
    if run.incident.notice:
        yield from (f"> {shown(run.incident.notice)}", "")
    yield from (shown(in_one_sentence(run)), "")
    yield from (f"**{NO_PRECEDENT}**", "")
    yield "Amounts on this page are cut to two places. The CSV files of the run hold every digit."


def _choices(run: Run, ballot: Ballot) -> Iterator[str | Listed]:
    """What each choice stands for; which one is recommended, and what is compared and not on the ballot."""
    quote, last = units(run.incident).quote, len(ballot.choices)
    recommended = f"Choice {ballot.recommended + 1} is recommended: it is what the incident file states, and what this page describes."
    yield from (f"{recommended} A total is what a choice gives in all, in {shown(quote)}.", "")
    means = {one.name: meaning(one) for one in run.compared} | {run.formula.name: meaning(run.formula)}
    lines = [f"{n}. {_choice(one, means, quote)}" for n, one in enumerate(ballot.choices[:-1], 1)]
    nobody = f"; {_named(ballot.same)} would pay nobody either" if ballot.same else ""
    yield Listed(
        "choices",
        lines,
        lambda n: [*([f"Choices {n + 1} to {last - 1}: see `comparison.csv`."] if n < last - 1 else []), f"{last}. **{NOTHING}**{nobody}."],
    )
    if off := [
        *((one, "beyond the number of choices") for one in ballot.beyond),
        *((one, "it may be negative, so it is never paid") for one in ballot.unpayable),
    ]:
        yield from ("", "Compared, and not on the ballot:", "")
        yield _bullets(
            "rules not on the ballot", [f"{shown(one.name)}: {_total(one, quote)} ({why})" for one, why in off], "more", "`comparison.csv`"
        )
    yield ""
    yield (
        "In this order: what the incident file states, its other rules, then formulas by total. What gives every account the same is one choice."
        " `comparison.csv` has what each gives each account. Where another choice wins, its name goes into [formula] of the incident file, and"
        " the run is made again."
    )


def _choice(one: Choice, means: Mapping[str, str], quote: str) -> str:
    first, *others = one.options
    same = f"; the same as {_named(others)}" if others else ""
    said = f": {shown(means[first.name])}" if means.get(first.name) else ""
    return f"**{shown(first.name)}**{said}. {_total(first, quote)}{same}."


def _named(options: Sequence[Option]) -> str:
    return ", ".join(shown(one.name) for one in options)


def _total(one: Option, quote: str) -> str:
    least = f"at least {short(one.total)}" if one.incomplete else short(one.total)
    return f"{least} {shown(quote)} to {counted(one.accounts, 'account')}"


def _cost(run: Run) -> Iterator[str | Listed]:
    yield from (f"- {shown(line)}" for line in facts.to_pay(run))
    rows = [f"{shown(one.name)} holds {shown(one.holds)}; the formula needs {shown(one.needs)} ({one.share})." for one in facts.funds(run)]
    yield from ("", facts.WHO_PAYS if rows else facts.NO_FUNDS)
    if rows:
        yield ""
        yield _bullets("funds", rows, "more source", "`capacity.csv`")


def _paid(run: Run, hashes: Mapping[str, str]) -> Iterator[str | Listed]:
    """How many are paid, how many get 0 and why, and every account that is paid."""
    yield from _by_reason(facts.who_is_paid(run))
    tokens, quote = [leg.token for leg in run.incident.settlement], units(run.incident).quote
    paid = [one for one in facts.ranked(run) if any(one.amounts)]
    if not paid:
        yield from ("", "Nobody is paid.")
        return

    def row(label: str, sums: Sequence[int]) -> str:
        return f"| {label} | {' | '.join(map(short, sums))} |"

    sums = facts.added_up(paid, len(tokens))
    everybody = row(f"**{counted(len(paid), 'account')}**", sums)

    def account(n: int) -> str:
        return row(f"`{checksummed(paid[n].address)}`", (paid[n].entitlement, *paid[n].amounts))

    def rest(n: int) -> list[str]:
        others = [whole - part for whole, part in zip(sums, facts.added_up(paid[:n], len(tokens)), strict=True)]
        return [*([row(counted(len(paid) - n, "other account"), others)] if n < len(paid) else []), everybody]

    yield from ("", f"| account | entitlement ({cell(quote)}) | {' | '.join(f'paid ({cell(token)})' for token in tokens)} |")
    yield f"| --- |{' ---: |' * (1 + len(tokens))}"
    yield Listed("accounts", Made(len(paid), account), rest)
    yield ""
    yield f"All accounts with every digit: `3-payouts.csv`, sha256 `{hashes['3-payouts.csv']}`."


def _unlocks(run: Run) -> Iterator[str]:
    incident = run.incident
    yield f"- Vesting: {shown(in_words(incident.vesting))}."
    if not incident.vesting.all_at_once:
        yield f"- All unlocked: {shown(end_in_words(incident.vesting))}."
    if incident.claims is not None:
        yield f"- Claims end: {shown(claims_end(incident.claims))}."


def _not_included(run: Run, said: Sequence[Line]) -> Iterator[str | Listed]:
    if run.incident.published_table is not None:
        yield facts.UNKNOWN_OTHERS
    else:
        for n, reasons in enumerate(facts.who_is_not(run)):
            yield from [""] * min(n, 1)
            yield from _by_reason(reasons)
    if lines := facts.also(said):
        yield from ("", "Also:", "", *(f"- {shown(line)}" for line in lines))


def _by_reason(reasons: facts.Reasons) -> Iterator[str | Listed]:
    yield shown(reasons.said)
    if reasons.groups:
        yield ""
        lines = [shown(f"{group.number} ({group.code}): {group.meaning}") for group in reasons.groups]
        yield _bullets("reasons", lines, "more reason", "`left-out.csv`")


def _coverage(run: Run) -> Iterator[str]:
    said = facts.coverage_in_words(run)
    yield with_code(said) if run.coverage is None else shown(said)


def _findings(run: Run) -> Iterator[str | Listed]:
    yield with_code(facts.findings_in_words(run))
    grave = sorted((problem for problem in run.problems if problem.level != "note"), key=lambda one: (not one.stops, one.level))
    if grave:
        yield ""
        yield _bullets("findings", [f"**{one.level}** {shown(str(one))}" for one in grave], "more finding", "`findings.csv`")


def _objections(run: Run) -> Iterator[str | Listed]:
    """How the ledger of rulings stands: what it changes, and whether it is frozen."""
    book, incident = run.incident.book, run.incident
    if incident.adjustments:
        yield f"{counted(len(incident.adjustments), 'ruling')} corrected what single traders are owed; `adjusted.csv` has each with its reason and evidence."
        yield ""
        words = [
            f"{one.trader}: {shown(one.in_words)} {shown(units(incident).quote)}; {shown(one.reason)} ({shown(one.ruling)})"
            for one in incident.adjustments
        ]
        yield _bullets("rulings", words, "more ruling", "`adjusted.csv`")
        yield ""
    if book is None:
        yield "The incident file names no ledger of rulings, so nothing freezes these amounts before the vote."
        return
    yield f"The ledger has {counted(book.lines, 'line')}; the last hash is `{book.head}`."
    if book.freeze is not None:
        where = f" Comments are collected here: {shown(book.freeze.evidence)}." if book.freeze.evidence else ""
        yield f"Frozen by {shown(book.freeze.place)}, {shown(book.freeze.by)}; objections until {book.freeze.comment_until.strftime(CSV_TIME)}.{where}"
    else:
        undone = f": {shown(book.undone_by)} changed it after the last freeze" if book.undone_by else ""
        yield f"It is not frozen{undone}: an objection that is ruled on changes these amounts."


def _how_to_check(run: Run, files: Mapping[str, bytes], hashes: Mapping[str, str]) -> Iterator[str | Listed]:
    """The commands, the hashes by which two people see that they have the same run, and the roots of the claim trees."""
    yield "Get the run's folder, and type in it, with the version of perpcomp that `manifest.json` names:"
    yield from ("", *(f"- `{line}`" for line in facts.commands(run)), "")
    yield "`verify` computes everything again from `inputs/`, with this text. Everybody who looks at the same run has these hashes:"
    yield ""
    yield f"- {code(f'{run.incident.name}.toml')}: sha256 `{run.incident.sha256}`"
    yield from (f"- `{name}`: sha256 `{digest}`" for name, digest in hashes.items())
    if roots := roots_of(files):
        yield ""
        trees = [f"`{file}`: root `{root}`, sha256 `{sha256(files[file]).hexdigest()}`" for (_, root), file in roots.items()]
        yield _bullets("files of claims", trees, "more tree", "`claims/`")


def _links(incident: Incident) -> Iterator[Listed]:
    links = [f"{shown(source.text)}: {code(source.url)}" for source in incident.sources.values() if source.url is not None]
    if links:
        yield _bullets("links", links, "more source", "the incident file")
