"""SVG elements as text, as the library svg.py writes them: a small run would spend as long on importing it as on drawing every chart."""


class Element:
    """One element: its name, the markup inside it, and its attributes in the order in which they are written.

    The element leaves out an attribute that is None. Python reserves some names and allows no hyphen: write `class_` for class, and
    `text_anchor` for text-anchor. The caller escapes texts.
    """

    def __init__(self, name: str, inside: str = "", **attributes: object) -> None:
        self.name, self.inside, self.attributes = name, inside, attributes

    def __str__(self) -> str:
        given = {key.rstrip("_").replace("_", "-"): value for key, value in self.attributes.items() if value is not None}
        opening = " ".join([self.name, *(f'{key}="{value}"' for key, value in given.items())])
        return f"<{opening}>{self.inside}</{self.name}>" if self.inside else f"<{opening}/>"
