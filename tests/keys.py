"""Writes what is made of the description of the incident file: its JSON Schema, and the reference of its keys in queries/README.md."""

from pathlib import Path

from perpcomp.incident.json_schema import text
from perpcomp.incident.reference import reference

QUERIES = Path(__file__).parent.parent / "queries"
SCHEMA, README = QUERIES / "incident.schema.json", QUERIES / "README.md"
START, END = "<!-- keys -->\n", "<!-- end of keys -->"


def made() -> dict[Path, str]:
    """File -> what it must hold."""
    readme = README.read_text()
    return {SCHEMA: text(), README: f"{readme[: readme.index(START)]}{START}\n{reference()}\n\n{readme[readme.index(END) :]}"}


if __name__ == "__main__":
    for path, content in made().items():
        path.write_text(content)
