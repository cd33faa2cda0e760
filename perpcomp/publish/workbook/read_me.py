"""The sheets of words: Read me, Provenance, Glossary."""

from collections.abc import Iterator, Mapping

import polars as pl

from perpcomp.coverage import Coverage
from perpcomp.glossary import GLOSSARY
from perpcomp.number_text import counted
from perpcomp.publish.facts import NO_FUNDS, WHO_PAYS, coverage_in_words, funds
from perpcomp.publish.sentence import in_one_sentence, paid_accounts, short
from perpcomp.publish.status import DRAFT, status
from perpcomp.publish.summary import Line, summary
from perpcomp.publish.workbook.check import CHECK
from perpcomp.publish.workbook.plan import Cell, Column, Sheet
from perpcomp.run import Run
from perpcomp.sheet_limits import shown_text
from perpcomp.systems.units import units
from perpcomp.tables.schema import CSV_TIME, Table
from perpcomp.totals import total_of
from perpcomp.version import VERSION

READ_ME = "Read me"
CHECKS = (
    f"Look at the sheet {CHECK}: every line says YES. It adds up the exact amounts to the last base unit.",
    "Find your account on Claims. Positions shows each of its positions, Formulas what every formula gives it.",
    "Change a yellow cell on Inputs. Every live number follows, and each sheet says WHAT-IF until the value is the original one again.",
    "`perpcomp check-sheet FILE FOLDER` says whether a copy of this file still is the run. `perpcomp verify FOLDER` computes all again.",
)


def read_me(run: Run) -> Sheet:
    """What is voted on, who pays, what it costs, what is left out and how to check it; then the summary of the run with its sources."""
    checks = (Line(f"How to check, {k}", text) for k, text in enumerate(CHECKS, 1))
    lines = [*_front(run), *checks, *summary(run)]
    file = f"inputs/{run.incident.name}.toml"
    rows = [
        [
            Cell(shown_text(line.label, file), "bold"),
            Cell(shown_text(line.value, file), "wrapped"),
            Cell(shown_text(line.source, file), "small"),
        ]
        for line in lines
    ]
    columns = [Column("what", 28), Column("value", 84), Column("source", 62)]
    return Sheet(READ_ME, shown_text(run.incident.title, file), columns, rows)


def _front(run: Run) -> Iterator[Line]:
    yield Line("What is proposed", in_one_sentence(run))
    draft = "the run is not frozen, and may still change before the vote" if status(run) == DRAFT else "the run is frozen"
    yield Line("Status", f"{status(run)}: {draft}")
    paid, accounts = paid_accounts(run.payouts), run.payouts.get_column("trader").n_unique()
    nothing = f"{accounts - paid:,} may be paid by the rules and get{'s' if accounts - paid == 1 else ''} 0"
    left = f"{counted(run.left_out.height, 'account')} acted in the window and {'is' if run.left_out.height == 1 else 'are'} left out"
    yield Line("Who is paid", f"{counted(paid, 'account')} {'is' if paid == 1 else 'are'} paid; {nothing}; {left}", "Claims, Left out")
    legs = (f"{short(total_of(run.payouts, 'amount', leg.token))} {leg.token}" for leg in run.incident.settlement)
    yield Line("What it costs", f"{' and '.join(legs)}, for entitlements of {short(run.due.total)} {units(run.incident).quote}")
    sources = funds(run)
    for fund in sources:
        yield Line(f"Share of {fund.name}", f"{fund.share} of {fund.holds}", "Compare")
    yield Line("Who pays", WHO_PAYS if sources else NO_FUNDS)
    yield Line("Coverage", coverage_in_words(run))


def provenance(run: Run, tables: dict[str, tuple[str, Table]], inputs: Mapping[str, str]) -> Sheet:
    """Every table of the run with its rows and row hash, every input with its hash, the chain and the blocks."""
    rows = [
        [Cell(name, "bold"), Cell("output", "text"), Cell(getattr(run, own).height, "whole"), Cell(run.row_hash(own, table), "digits")]
        for name, (own, table) in tables.items()
    ]
    rows += [
        [Cell(name, "bold"), Cell("input", "text"), Cell("", "text"), Cell(digest, "digits")] for name, digest in sorted(inputs.items())
    ]
    facts = [("made by", f"perpcomp {VERSION}")]
    if run.coverage is not None:
        facts += [("chain id", str(run.incident.chain.id)), *_blocks(run, run.coverage)]
    rows += [[Cell(what, "bold"), Cell("fact", "text"), Cell("", "text"), Cell(text, "digits")] for what, text in facts]
    columns = [Column("file", 34), Column("kind", 10), Column("rows", 10), Column("row sha256 of an output, sha256 of an input", 70)]
    return Sheet("Provenance", "Where every number comes from", columns, rows, (0,))


def _blocks(run: Run, reached: Coverage) -> Iterator[tuple[str, str]]:
    """The first and the last block with a log, with their times, and their hashes where the input holds them."""
    ends = {"first block": (reached.first_block, reached.first_time), "last block": (reached.last_block, reached.last_time)}
    hashes = run.events.lazy.filter(pl.col("block_number").is_in([block for block, _ in ends.values()])).select(
        "block_number", "block_hash"
    )
    of_block = dict(hashes.unique().collect().drop_nulls().iter_rows())
    for name, (block, time) in ends.items():
        yield name, f"{block}, {time.strftime(CSV_TIME)}"
        if block in of_block:
            yield f"hash of the {name}", of_block[block]


def glossary() -> Sheet:
    """The words of the field."""
    rows = [
        [Cell(word, "bold"), Cell(meaning, "wrapped")] for word, meaning in sorted(GLOSSARY.items(), key=lambda entry: entry[0].lower())
    ]
    return Sheet("Glossary", "The words of the field", [Column("word", 22), Column("meaning", 120)], rows, (0,))
