"""What a chart is: one SVG element, the sentence that says its result, and the same figures as a table."""

from msgspec import Struct


class Chart(Struct, frozen=True):
    """One chart of a run. `name` is the stem of its file and the prefix of the ids in it, such as "price-path".

    `title` says in a few words what it shows, `sentence` the result with its figures. `svg` is one element of 860 units across that names
    classes of STYLE and holds no style of its own. `header` and `rows` are the same figures as text.
    """

    name: str
    title: str
    sentence: str
    svg: str
    header: list[str]
    rows: list[list[str]]
