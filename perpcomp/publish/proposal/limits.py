"""What Snapshot takes, and how it counts: a JavaScript string's length, in which a character beyond U+FFFF is two."""

from msgspec import Struct


class Limits(Struct, frozen=True):
    """The most that a space takes by default.

    Source: Snapshot's sequencer (github snapshot-labs/sx-monorepo, apps/sequencer/src/writer/proposal.ts) counts the body and the choices;
    npm @snapshot-labs/snapshot.js 0.17.5, schemas/proposal.json, the title; the web editor takes 32 characters a choice.
    """

    title: int = 256
    body: int = 10_000
    choice: int = 32
    choices: int = 10


def characters(text: str) -> int:
    """How many characters Snapshot counts."""
    return len(text.encode("utf-16-le")) // 2


def cut(text: str, most: int) -> str:
    """The text, or as much of it as fits with "…" at its end. No character is cut in two."""
    if characters(text) <= most:
        return text
    kept = text.encode("utf-16-le")[: 2 * (most - 1)].decode("utf-16-le", "ignore")
    return kept.rstrip() + "…"
