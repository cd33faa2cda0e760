"""What a proposer signs for Snapshot: EIP-712 typed data of a published run's proposal, bound to a space, a signer, times and a block.

No clock is read, and no settings of the space are: Snapshot refuses a delay, a period, a voting type or a privacy that the space does not
allow.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from perpcomp.eip55 import checksummed
from perpcomp.findings import INVALID_MANIFEST, Finding, near_miss, refusal
from perpcomp.incident.kinds import address
from perpcomp.publish.manifest import MANIFEST
from perpcomp.publish.proposal.content import CONTENT, FORMAT
from perpcomp.publish.proposal.limits import characters
from perpcomp.publish.read_back import Published
from perpcomp.publish.status import DRAFT, status
from perpcomp.run import kind_in_words
from perpcomp.tables.schema import CSV_TIME

# Source: npm @snapshot-labs/snapshot.js 0.17.5, src/sign: its domain, and the fields in this order, whose JSON the sequencer hashes.
DOMAIN = {"name": "snapshot", "version": "0.1.4"}
FIELDS = (
    *(("from", "string"), ("space", "string"), ("timestamp", "uint64"), ("type", "string"), ("title", "string"), ("body", "string")),
    *(("discussion", "string"), ("choices", "string[]"), ("labels", "string[]"), ("start", "uint64"), ("end", "uint64")),
    *(("snapshot", "uint64"), ("plugins", "string"), ("privacy", "string"), ("app", "string")),
)
# Of Snapshot's voting types, those that take choices of their own: basic has For, Against and Abstain.
VOTING = ("single-choice", "approval", "quadratic", "ranked-choice", "weighted", "copeland")
# Source: the same, schemas/proposal.json: what start and end may be.
EARLIEST, LATEST = 1_000_000_000, 2_000_000_000
DAY = 24 * 60 * 60
PERIOD = 3 * DAY  # Source: github snapshot-labs/sx-monorepo, apps/ui: what the editor proposes where a space states no period
SUBMIT = 6  # days. Source: the same, apps/sequencer/src/ingestor.ts: how old a signed message may be
BLOCKS = 2**53  # Source: what a JavaScript number holds exactly is less
UNPAYABLE = "unpayable"  # the one error that a vote can live with: the text says what stays unpaid, and why


class _Content(msgspec.Struct):
    """What is signed of proposal.json."""

    format: str
    title: str
    body: str
    choices: list[str]
    limits: dict[str, int]


@dataclass(frozen=True)
class Asked:
    """For which space, by whom and when. Times in unix seconds; `start` is the timestamp and `end` three days after the start if not given."""

    space: str
    sender: str
    timestamp: int
    snapshot: int
    start: int | None = None
    end: int | None = None
    voting: str = VOTING[0]

    def __post_init__(self) -> None:
        """InputError for what Snapshot would not take, with the option to correct."""
        _check_space(self.space)
        try:
            if int(address(self.sender), 16) == 0:
                raise ValueError("is the zero address, which signs nothing.", "Give the account whose wallet signs.")
        except ValueError as error:
            raise refusal("--from", f"It {error.args[0]}", error.args[1]) from None
        if self.voting not in VOTING:
            what = f"'{self.voting}' is no voting type for choices of their own."
            raise refusal("--type", what, near_miss(self.voting, VOTING))
        for option, moment in (("--timestamp", self.timestamp), ("--start", self.begins), ("--end", self.ends)):
            if not EARLIEST <= moment <= LATEST:
                what = f"It is {moment}, and Snapshot takes times from {EARLIEST} to {LATEST}."
                raise refusal(option, what, "Give unix seconds, not milliseconds, or a time such as 2021-03-01T00:00:00Z.")
        if self.begins < self.timestamp:
            what = f"The vote would start at {said(self.begins)}, before the proposal is signed at {said(self.timestamp)}."
            raise refusal("--start", what, "Give a later start, or leave it out.")
        if self.ends <= self.begins:
            what = f"The vote would end at {said(self.ends)}, and it starts at {said(self.begins)}."
            raise refusal("--end", what, "Give an end after the start.")
        if not 0 < self.snapshot < BLOCKS:
            raise refusal(
                "--snapshot", f"{self.snapshot} is no block.", "Give a mined block of the space's network, whose voting power counts."
            )

    @property
    def begins(self) -> int:
        """When the vote starts."""
        return self.timestamp if self.start is None else self.start

    @property
    def ends(self) -> int:
        """When it ends."""
        return self.begins + PERIOD if self.end is None else self.end


def said(moment: int) -> str:
    """A time in words and in unix seconds."""
    return f"{datetime.fromtimestamp(moment, UTC).strftime(CSV_TIME)} ({moment})"


def _check_space(space: str) -> None:
    from ens.exceptions import InvalidName
    from ens.utils import normalize_name

    advice = "Give the space's ENS name, such as perp.eth."
    if space.startswith("s:"):
        raise refusal("--space", f"'{space}' has the s: of the address of its page.", f"Write {space[2:]}.")
    try:
        normal = normalize_name(space)
    except InvalidName as error:
        raise refusal("--space", f"'{space}' is no ENS name: {error}.", advice) from None
    if normal != space:
        raise refusal("--space", f"'{space}' is not in the normal form of ENS names.", f"Write {normal}.")
    if "." not in space:
        raise refusal("--space", f"'{space}' is no name of a space: it has no dot.", advice)


def typed_data(run: Published, asked: Asked) -> dict[str, Any]:
    """The typed data, as eth_signTypedData_v4 takes it; without EIP712Domain in its types it is the `data` that Snapshot is sent.

    InputError where the run is not ready for a vote: a what-if, one whose payment is stopped, or one with an error.
    """
    content = _content(run)
    refuse_unready(run)
    message = {
        "from": checksummed(address(asked.sender)),
        "space": asked.space,
        "timestamp": asked.timestamp,
        "type": asked.voting,
        "title": content.title,
        "body": content.body,
        "discussion": "",
        "choices": content.choices,
        "labels": [],
        "start": asked.begins,
        "end": asked.ends,
        "snapshot": asked.snapshot,
        "plugins": "{}",
        "privacy": "",
        "app": "perpcomp",
    }
    types = {
        "EIP712Domain": [{"name": name, "type": "string"} for name in DOMAIN],
        "Proposal": [{"name": name, "type": kind} for name, kind in FIELDS],
    }
    return {"types": types, "primaryType": "Proposal", "domain": DOMAIN, "message": message}


def refuse_unready(run: Published) -> None:
    """InputError where the run cannot be voted on as it stands."""
    where, query = str(run.folder), run.stated["query"]["file"]
    if stated := run.stated.get("overrides"):
        what = f"The run is {kind_in_words(stated)}: it recommends what the incident file does not state, so no source stands behind it."
        raise refusal(where, what, f"Write it into {query} with its source, and run again.")
    wrong = [one for one in run.problems if one.stops] or [one for one in run.problems if one.level == "error" and one.code != UNPAYABLE]
    if wrong:
        why = "payment is stopped" if wrong[0].stops else "it is not complete, or not certain"
        more = f" {len(wrong) - 1} more of this kind are in findings.csv." if len(wrong) > 1 else ""
        raise refusal(where, f"The run is not ready for a vote: {why}. {wrong[0]}{more}", "Resolve it, and run again.")


def not_final(run: Published) -> list[Finding]:
    """A warning where the amounts may still change."""
    if status(run) != DRAFT:
        return []
    what = "The run is a DRAFT, and its text says so: no ruling freezes its amounts."
    return [
        Finding(
            "warning", str(run.folder), what, "Freeze it with `perpcomp ledger freeze` and publish again, or sign a draft.", code="draft"
        )
    ]


def _content(run: Published) -> _Content:
    """The proposal of the run. InputError where it has none, or (exit code 4) one that no version writes."""
    where = f"{run.folder}/{CONTENT}"
    if CONTENT not in run.stated["files"]:
        advice = f"Make the run again: `perpcomp run {run.folder}/inputs/{run.stated['query']['file']} --out FOLDER`."
        raise refusal(where, f"perpcomp {run.stated['tool'].get('version')} made the run, and wrote no proposal.", advice)
    try:
        content = msgspec.convert(json.loads((run.folder / CONTENT).read_bytes()), _Content)
        if content.format != FORMAT:
            raise ValueError(f"its format is {content.format!r}, not {FORMAT}")
        if over := [one for one in content.choices if characters(one) > content.limits["choice"]]:
            raise ValueError(f"the choice {over[0]!r} is too long")
        if characters(content.body) > content.limits["body"] or len(content.choices) > content.limits["choices"]:
            raise ValueError("its body or its choices are beyond its limits")
    except (ValueError, KeyError, RecursionError) as error:
        advice = f"`perpcomp verify {run.folder}` says more."
        raise refusal(where, f"The file is no proposal: {error}. {MANIFEST} lists it so.", advice, INVALID_MANIFEST) from None
    return content
