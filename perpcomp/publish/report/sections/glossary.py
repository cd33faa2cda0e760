"""The words of the field."""

from perpcomp.glossary import GLOSSARY
from perpcomp.publish.report.parts import Section, Term, Terms


def section() -> Section:
    """The section."""
    ordered = sorted(GLOSSARY.items(), key=lambda entry: entry[0].lower())
    return Section("glossary", "Glossary", [Terms([Term(word, meaning) for word, meaning in ordered])])
