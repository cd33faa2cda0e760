"""How a key of the incident file is described: once, for the reader, the JSON Schema, a template and the key reference alike.

A table is a Struct whose fields carry `Annotated[type, Key(...)]`; reader.py builds it or collects every problem. Why not a library:
msgspec stops at the first problem; pydantic (0.075 CPU-s to import) collects them, but leaves near misses, keys that depend on other
tables and every error text to us, which is all but a few lines of the reader.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import NODEFAULT, Struct, field
from msgspec.structs import fields, force_setattr, replace

if TYPE_CHECKING:
    from perpcomp.incident.reader import TableReader

Raw = Mapping[str, Any]  # a table as TOML gives it

UNSET: Any = object()  # the default of a key is that of its field; without one, the key is required
REQUIRED: Any = object()  # the key is required in the file though its field has a default

ANY_NAME = "*"  # the name of a key that the writer of the file chooses


class Kind(Struct, frozen=True):
    """A kind of value. `allowed` says in words what may be written, `choices` lists the words where only some are allowed.

    `read` gives the checked value of a raw one, or raises ValueError(what is wrong, what to do). `keys_of` is the table of the file
    whose keys the value must name. `of_chain`: the value holds addresses of the chain that [chain] names, perhaps with its prefix.
    `shape` is what JSON Schema can say of the raw value; it accepts all that `read` accepts.
    """

    name: str
    allowed: str
    read: Callable[[Any], Any]
    choices: tuple[str, ...] = ()
    keys_of: str = ""
    of_chain: bool = False
    shape: Raw = field(default_factory=dict)


class Condition(Struct, frozen=True):
    """When a key is required: in words, and as a test of its table and of the whole file, both raw.

    `shape` is a JSON Schema of the tables in which it holds; None where other tables decide too.
    """

    words: str
    holds: Callable[[Raw, Raw], bool]
    shape: Raw | None = None


def given(key: str) -> Condition:
    """The table has the key."""
    return Condition(f"{key} is given", lambda table, _: key in table, {"required": [key]})


def absent(*names: str) -> Condition:
    """The table has none of the keys."""
    words = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} absent"
    return Condition(words, lambda table, _: not {*names} & table.keys(), {"not": {"anyOf": [{"required": [name]} for name in names]}})


def equals(key: str, *words: str) -> Condition:
    """The key has one of these values."""
    said = " or ".join(f'{key} = "{word}"' for word in words)
    return Condition(said, lambda table, _: table.get(key) in words, {"required": [key], "properties": {key: {"enum": [*words]}}})


class Key(Struct, frozen=True):
    """One key. `example` is a value as the file writes it; `default` is what an absent key means; `why` says why it is required.

    A default that the Struct states need not be repeated here. `name` is the key in the file where the field is called otherwise.
    A key with `required_if` is required where the condition holds and has its default elsewhere.
    """

    kind: Kind
    meaning: str
    example: str
    unit: str = ""
    default: Any = UNSET
    required_if: Condition | None = None
    why: str = ""
    name: str = ""

    @property
    def required(self) -> bool:
        """Whether the key is required in every file."""
        return self.required_if is None and (self.default is UNSET or self.default is REQUIRED)


class Table(Struct, frozen=True):
    """A table of the file, or with `many` a list of tables `[[name]]`. `meaning` follows its name in a sentence.

    `absent` is the value of an optional table that the file does not have. `keys` are those of the Struct `of` if not given. `read`
    replaces the plain reading, which builds `of` from its keys; it gives None where the table has a problem.
    """

    of: type
    meaning: str
    required: bool = True
    many: bool = False
    absent: Any = None
    keys: "Mapping[str, Key | Table]" = field(default_factory=dict)
    read: "Callable[[TableReader], Any] | None" = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.keys:
            force_setattr(self, "keys", keys(self.of))


@cache
def keys(table: type) -> Mapping[str, Key | Table]:
    """Field -> description, of each field of a Struct that carries one, in order; the other fields are derived."""
    found: dict[str, Key | Table] = {}
    for one in fields(table):
        for described in getattr(one.type, "__metadata__", ()):
            named = described if described.name else replace(described, name=one.name)
            if isinstance(named, Key) and named.default is UNSET and one.default is not NODEFAULT:
                named = replace(named, default=one.default)
            found[one.name] = named
    return found
