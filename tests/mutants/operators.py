"""Mutations that cosmic-ray does not know: the slips that a table of Polars expressions invites. Runs in the environment of requirements.lock."""

from collections.abc import Iterator, Sequence
from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import Keyword, Name, String

PAIRS = (
    *(("any", "all"), ("min", "max"), ("first", "last"), ("head", "tail"), ("any_horizontal", "all_horizontal")),
    *(("min_horizontal", "max_horizontal"), ("is_null", "is_not_null"), ("floor", "ceil"), ("forward_fill", "backward_fill")),
)
WORDS = {one: other for pair in PAIRS for one, other in (pair, pair[::-1])}
TEXTS = {f'"{one}"': f'"{other}"' for pair in (("first", "last"), ("semi", "anti")) for one, other in (pair, pair[::-1])}
TEXTS['"left"'] = '"inner"'  # how rows without a partner end
DROPPED = ("abs", "clip", "fill_null", "sort", "unique", "filter", "shift", "over", "drop_nulls", "tail", "head")
CALLS = {"abs": "", "sorted": "list"}  # abs(x) becomes (x), and what was sorted keeps its order

Span = tuple[tuple[int, int], tuple[int, int]]


class _One(Operator):
    """A mutation in one way of each place that `holds` names."""

    def holds(self, node: Any) -> bool:
        raise NotImplementedError

    def mutation_positions(self, node: Any) -> Sequence[Span]:
        return [(node.start_pos, node.end_pos)] if self.holds(node) else []

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class SwapWord(_One):
    """any for all, first for last, is_null for is_not_null, and back."""

    def holds(self, node: Any) -> bool:
        called = isinstance(node, Name) and node.value in WORDS and (after := node.get_next_leaf()) is not None and after.value == "("
        passed = isinstance(node, Name) and node.value in ("min", "max") and not called  # min handed on as a function
        return called or (passed and node.parent.type not in ("param", "trailer"))

    def mutate(self, node: Any, index: int) -> Any:
        node.value = WORDS[node.value]
        return node


class SwapText(_One):
    """The first row for the last one, rows with a partner for those without."""

    def holds(self, node: Any) -> bool:
        if not (isinstance(node, String) and node.value in TEXTS and node.parent.type == "argument"):
            return False
        return node.parent.children[0].get_code().strip() in ("how", "keep")

    def mutate(self, node: Any, index: int) -> Any:
        node.value = TEXTS[node.value]
        return node


class DropMethod(Operator):
    """x.abs() becomes x, and so with clip, fill_null, sort, filter and their like."""

    def _places(self, node: Any) -> list[int]:
        if node.type not in ("atom_expr", "power"):
            return []
        pairs = enumerate(zip(node.children, node.children[1:], strict=False))
        return [
            n
            for n, (one, two) in pairs
            if one.type == two.type == "trailer" and one.children[0] == "." and one.children[1].value in DROPPED and two.children[0] == "("
        ]

    def mutation_positions(self, node: Any) -> Sequence[Span]:
        return [(node.children[n].start_pos, node.children[n + 1].end_pos) for n in self._places(node)]

    def mutate(self, node: Any, index: int) -> Any:
        n = self._places(node)[index]
        del node.children[n : n + 2]
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


class DropCall(_One):
    """abs(x) becomes (x), sorted(x, key=...) becomes list(x)."""

    def holds(self, node: Any) -> bool:
        return (
            node.type in ("atom_expr", "power")
            and isinstance(node.children[0], Name)
            and node.children[0].value in CALLS
            and node.children[1].type == "trailer"
            and node.children[1].children[0] == "("
        )

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0].value = CALLS[node.children[0].value]
        within = node.children[1].children
        within[1] = within[1].children[0] if within[1].type == "arglist" else within[1]
        return node


class DropStatement(_One):
    """A call whose result nobody takes, a raise or a yield becomes pass: a check that does not check."""

    def holds(self, node: Any) -> bool:
        if node.type != "simple_stmt":
            return False
        return node.children[0].type in ("atom_expr", "power", "raise_stmt", "yield_expr") or node.children[0] == "continue"

    def mutate(self, node: Any, index: int) -> Any:
        first = node.children[0]
        node.children[0] = Keyword("pass", first.start_pos, prefix=first.get_first_leaf().prefix)
        return node


OF_NAME = {one.__name__: one for one in (SwapWord, SwapText, DropMethod, DropCall, DropStatement)}


class Provider:
    """These mutations, as cosmic-ray asks for them."""

    def __iter__(self) -> Iterator[str]:
        return iter(OF_NAME)

    def __getitem__(self, name: str) -> type[Operator]:
        return OF_NAME[name]
