"""The files of a proposal: `proposal.md` to paste, `proposal.json` for programs, and `governor.json` where the vote executes on chain."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from msgspec.structs import asdict

from perpcomp.claims.claim_file import roots_of
from perpcomp.number_text import exact
from perpcomp.publish.markdown import in_one_line
from perpcomp.publish.proposal.body import CUT_FIRST, HASHED, body
from perpcomp.publish.proposal.choices import Ballot, Option, ballot
from perpcomp.publish.proposal.fit import fitted
from perpcomp.publish.proposal.governor import as_file, calls_of, in_words
from perpcomp.publish.proposal.limits import Limits, characters, cut
from perpcomp.publish.proposal.text import shown
from perpcomp.publish.sentence import paid_accounts
from perpcomp.publish.status import status
from perpcomp.run import Run
from perpcomp.systems.units import units

FORMAT = "perpcomp-proposal-v1"
PAGE, CONTENT, GOVERNOR = "proposal.md", "proposal.json", "governor.json"
TAKES = Limits()


def proposal(run: Run, files: Mapping[str, bytes], limits: Limits = TAKES) -> dict[str, bytes]:
    """Name -> bytes. `files` are those that the run publishes before: their hashes and roots stand in the text.

    `proposal.md` is the title as a heading and the body, and both fit a space's limit together. InputError where [claims.governor] asks
    for calls that this run cannot give.
    """
    calls, votes = calls_of(run), ballot(run, limits)
    title = title_of(run, limits)
    heading = f"# {shown(title)}\n\n"
    executes = [] if calls is None else in_words(calls, votes.recommended + 1)
    hashes = {name: sha256(files[name]).hexdigest() for name in HASHED}
    text, left_out = fitted(body(run, votes, files, hashes, executes), limits.body - characters(heading), CUT_FIRST)
    # Without a newline at its end, which is lost where the text is pasted: a Governor hashes the exact bytes.
    page = f"{heading}{text}"
    document = {
        "format": FORMAT,
        "title": title,
        "body": text,
        "choices": votes.labels,
        "recommended": votes.recommended + 1,
        "options": _options(votes),
        "characters": {"title": characters(title), "body": characters(text), PAGE: characters(page)},
        "limits": asdict(limits),
        "left_out_of_body": left_out,
        "status": status(run),
        "overrides": run.overrides,
        "stopped": any(problem.stops for problem in run.problems),
        "totals": _totals(run),
        "sha256": {f"{run.incident.name}.toml": run.incident.sha256, **hashes},
        "roots": {file: root for (_, root), file in roots_of(files).items()},
    }
    made = {PAGE: page.encode(), CONTENT: (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()}
    return made if calls is None else {**made, GOVERNOR: as_file(calls, made[PAGE])}


def title_of(run: Run, limits: Limits) -> str:
    """The incident and its date, after what stands against a vote. It is cut, the date is not."""
    incident = run.incident
    named = in_one_line(incident.title)
    start = "" if incident.published_table is not None else f"{incident.eligibility.start:%Y-%m-%d}"
    date = f" ({start})" if start and start not in named else ""
    stopped = any(problem.stops for problem in run.problems)
    before = "STOPPED, not for a vote. " if stopped else "WHAT-IF, not for a vote. " if run.overrides else ""
    before += "" if "compensation" in named.lower() else "Compensation: "
    return cut(f"{before}{named}", limits.title - characters(date)) + date


def _options(votes: Ballot) -> list[dict[str, Any]]:
    """Everything that is compared: its choice on the ballot from 1, None where it has none, and its exact total."""
    listed = [(n, one) for n, choice in enumerate(votes.choices, 1) for one in choice.options]
    listed += [(len(votes.choices), one) for one in votes.same]
    return [_option(n, one) for n, one in listed] + [_option(None, one) for one in (*votes.beyond, *votes.unpayable)]


def _option(choice: int | None, one: Option) -> dict[str, Any]:
    return {"choice": choice, "name": one.name, "total": exact(one.total), "accounts": one.accounts, "incomplete": one.incomplete}


def _totals(run: Run) -> dict[str, Any]:
    """What the run pays, as texts: base units of each token."""
    by_token = {
        leg.token: {
            "base_units": str(sum(map(int, run.payouts.filter(token=leg.token).get_column("amount_base_units")))),
            "decimals": leg.decimals,
            "address": leg.address,
        }
        for leg in run.incident.settlement
    }
    owed = 0 if any(problem.stops for problem in run.problems) else run.due.total
    return {
        "accounts": paid_accounts(run.payouts),
        "entitlement": {"unit": units(run.incident).quote, "amount": exact(owed)},
        "paid": by_token,
    }
