"""How it is computed: the formula or rule with the text that it quotes, the others in a line each, and every source."""

from collections.abc import Iterator

from perpcomp import arithmetic, formula
from perpcomp.publish.report.parts import Code, Folded, Grid, Heading, Part, Section, Term, Terms, Text
from perpcomp.publish.sentence import meaning
from perpcomp.publish.summary import cite
from perpcomp.rules.named import NamedRule, formulas_of
from perpcomp.rules.sentence import sentence
from perpcomp.run import Run

WEB = "https://"


def section(run: Run) -> Section:
    """The section."""
    parts: list[Part] = []
    if isinstance(run.formula, NamedRule):
        for rule in reversed(run.formula.rules):
            parts += [Heading(f"The rule {rule.name}"), Text(sentence(rule)), Text(f"Source: {cite(run.incident, rule.source)}.")]
    for one in formulas_of(run.formula):
        parts += [Heading(f"The formula {one.name}"), *_quoted(one.quote)]
        parts.append(Code(f"The arithmetic of {one.name}", [f"{one.name} = {arithmetic.text(formula.tree(one))}"]))
        cited = "" if isinstance(run.formula, NamedRule) else f"; {cite(run.incident, run.incident.formula_source)}"
        parts.append(Text(f"Source: {one.source}{cited}."))
    others = [[one.name, meaning(one), one.source] for one in run.compared if one.name != run.formula.name]
    if others:
        table = Grid("The other formulas and rules", ("name", "what it gives", "source"), others)
        parts.append(Folded(f"The other formulas and rules: {len(others)}", [table]))
    parts += [
        Heading("Sources"),
        Terms([Term(key, source.text, source.url or "", _link(source.url)) for key, source in run.incident.sources.items()]),
    ]
    return Section("methods", "Methods and sources", parts)


def _quoted(quote: str) -> Iterator[Part]:
    """The paragraphs of a formula's docstring; those that begin with > are quotes."""
    for paragraph in quote.split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        if lines and all(line.startswith(">") for line in lines):
            yield Text(" ".join(line.removeprefix(">").strip() for line in lines), "quote")
        elif any(lines):
            yield Text(" ".join(lines))


def _link(url: str | None) -> str:
    return url if url is not None and url.startswith(WEB) else ""
