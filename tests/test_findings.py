"""What is said about the data: place, words and advice as sentences, the same everywhere."""

import pytest

from perpcomp.findings import Finding, InputError, near_miss, refusal


@pytest.mark.parametrize(
    ("where", "what", "what_to_do", "said"),
    [
        ("x.toml: title", "is missing.", "Add it to the file.", "x.toml: title is missing. Add it to the file."),
        ("logs.jsonl row 4", "is not a row of eth_getLogs.", "", "logs.jsonl row 4 is not a row of eth_getLogs."),
        ("tx 0x1 log 7", "Its open notional is not known.", "Pull it.", "tx 0x1 log 7: Its open notional is not known. Pull it."),
        ("x.toml", "There is no such file.", "", "x.toml: There is no such file."),
        ("x.toml [[market]] name", '"BTC" stands twice.', "Keep one.", 'x.toml [[market]] name: "BTC" stands twice. Keep one.'),
        ("x.toml [[budget]] a", "5 PERP cannot be compared.", "Do.", "x.toml [[budget]] a: 5 PERP cannot be compared. Do."),
        ("tx 0x1 log 7", "0xab liquidated their own position.", "Decide.", "tx 0x1 log 7: 0xab liquidated their own position. Decide."),
        ("x.toml", "", "", "x.toml:"),
    ],
    ids=["a key", "no advice", "a sentence of its own", "a file", "a quoted text", "a number", "an address", "no words"],
)
def test_place_and_words_read_as_a_sentence(where: str, what: str, what_to_do: str, said: str) -> None:
    """Words that begin lower-case go on from the place; others stand behind a colon."""
    assert str(Finding("error", where, what, what_to_do)) == said
    assert str(refusal(where, what, what_to_do)) == said


def test_an_input_error_says_all_of_them_a_line_each() -> None:
    problems = [Finding("error", "a", "is wrong.", "Mend it."), Finding("warning", "b", "It is odd.", "")]
    error = InputError(problems)
    assert str(error).splitlines() == ["a is wrong. Mend it.", "b: It is odd."]
    assert (error.problems, error.exit_code) == (problems, 2)


def test_the_nearest_word_is_offered_or_only_the_list() -> None:
    assert near_miss("margn", ["fee", "margin"]) == "Did you mean 'margin'? Known: fee, margin."
    assert near_miss("x", ["margin", "fee"]) == "Known: fee, margin."
    assert near_miss("x", []) == "There are none."
