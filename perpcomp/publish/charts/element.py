"""SVG elements as text, as the library svg.py writes them: a small run would spend as long on importing it as on drawing every chart."""


class Element:
    """One element: its name, the markup inside it, and its attributes in the order in which they are written.

    It writes no attribute that is None. Python reserves `class` and allows no hyphen in a name: write `class_` and `text_anchor`.
    The caller escapes texts.
    """

    def __init__(self, name: str, inside: str = "", **attributes: object) -> None:
        self.name, self.inside, self.attributes = name, inside, attributes

    def __str__(self) -> str:
        given = {key.rstrip("_").replace("_", "-"): value for key, value in self.attributes.items() if value is not None}
        opening = " ".join([self.name, *(f'{key}="{value}"' for key, value in given.items())])
        return f"<{opening}>{self.inside}</{self.name}>" if self.inside else f"<{opening}/>"
