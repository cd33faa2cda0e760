"""Findings as text: the place, then whole sentences; and the advice about an unknown word."""

import pickle

import pytest

from perpcomp.findings import NETWORK, Finding, InputError, closest, near_miss, refusal


@pytest.mark.parametrize(
    ("where", "what", "what_to_do", "text"),
    [
        ("x.toml", "title is missing.", "Add it to the file.", "x.toml: title is missing. Add it to the file."),
        ("logs.jsonl row 4", "This is not a row of eth_getLogs.", "", "logs.jsonl row 4: This is not a row of eth_getLogs."),
        ("x.toml [[market]] name", '"BTC" is listed twice.', "Keep one.", 'x.toml [[market]] name: "BTC" is listed twice. Keep one.'),
        ("x.toml [[budget]] a", "5 PERP cannot be compared.", "Do.", "x.toml [[budget]] a: 5 PERP cannot be compared. Do."),
        ("tx 0x1 log 7", "0xab liquidated their own position.", "Decide.", "tx 0x1 log 7: 0xab liquidated their own position. Decide."),
        ("x.toml", "", "", "x.toml:"),
    ],
    ids=["a key", "no advice", "a quoted text", "a number", "an address", "no words"],
)
def test_a_finding_reads_as_its_place_and_its_sentences(where: str, what: str, what_to_do: str, text: str) -> None:
    assert str(Finding("error", where, what, what_to_do)) == text
    assert str(refusal(where, what, what_to_do)) == text


def test_an_input_error_lists_every_problem_on_its_own_line() -> None:
    problems = [Finding("error", "a", "It is wrong.", "Correct it."), Finding("warning", "b", "It is odd.", "")]
    error = InputError(problems)
    assert str(error).splitlines() == ["a: It is wrong. Correct it.", "b: It is odd."]
    assert (error.problems, error.exit_code) == (problems, 2)


def test_an_input_error_of_another_process_keeps_problems_and_exit_code() -> None:
    error = pickle.loads(pickle.dumps(refusal("the node", "It does not answer.", "Use another.", NETWORK)))
    assert (error.problems, error.exit_code) == ([Finding("error", "the node", "It does not answer.", "Use another.")], 3)


def test_an_unknown_word_is_answered_with_the_most_similar_name_and_all_names() -> None:
    assert near_miss("margn", ["fee", "margin"]) == "Did you mean 'margin'? Known: fee, margin."
    assert near_miss("x", ["margin", "fee"]) == "No similar name. Known: fee, margin."
    assert near_miss("x", []) == "There are none."
    assert closest("margn", ["fee", "margin"]) == "margin"
    assert closest("x", ["fee", "margin"]) is None
