"""A foreign text as one line of visible characters: nothing in it can end the line, hide, or turn the text around it."""


def one_line(text: str) -> str:
    """The text with a space for each kind of space or line end, and a replacement character for each control or mark of direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)
