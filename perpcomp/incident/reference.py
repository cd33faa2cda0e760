"""The reference of every table and key of the incident file, in Markdown, made of the description that its reader uses."""

from collections.abc import Iterator, Mapping

from perpcomp import installed
from perpcomp.incident.description import ANY_NAME, Key, Table
from perpcomp.incident.json_schema import header, of_system, when_required

COLUMNS = "| key | what it means | what may be written | example |\n|---|---|---|---|"


def reference() -> str:
    """One section a table, in the order of the description. A key that only one protocol has names it."""
    systems = {name: of_system(name) for name in installed.names(installed.SYSTEMS)}
    return "\n\n".join(_section(systems, (), "The top of the file", "Before the first table."))


def _section(systems: Mapping[str, Mapping[str, Key | Table]], path: tuple[str, ...], title: str, said: str) -> Iterator[str]:
    tables = {name: _inside(keys, path) for name, keys in systems.items()}
    rows: dict[str, list[str]] = {}
    for system, keys in tables.items():
        for key in keys.values():
            if isinstance(key, Key):
                rows.setdefault(_row(key), []).append(system)
    lines = [row if len(named) == len(systems) else row.replace("` |", f"` ({', '.join(named)}) |", 1) for row, named in rows.items()]
    yield f"### {title}\n\n{said}\n\n" + "\n".join([COLUMNS, *lines])
    for table in next(iter(tables.values())).values():
        if isinstance(table, Table) and table.name != ANY_NAME:
            told = f"{table.meaning[0].upper()}{table.meaning[1:]}. {'Required' if table.required else 'Optional'}."
            yield from _section(systems, (*path, table.name), f"`{header(table, '.'.join(path))}`", told)
        elif isinstance(table, Table):
            told = f"{table.meaning[0].upper()}{table.meaning[1:]}."
            yield from _section(systems, (*path, ANY_NAME), f"`[{'.'.join(path)}.NAME]`", told)


def _inside(keys: Mapping[str, Key | Table], path: tuple[str, ...]) -> Mapping[str, Key | Table]:
    """The keys of the table at a path."""
    for name in path:
        keys = next(key.keys for key in keys.values() if isinstance(key, Table) and key.name == name)
    return keys


def _row(key: Key) -> str:
    name = "NAME" if key.name == ANY_NAME else key.name
    unit = f" Unit: {key.unit}." if key.unit else ""
    cells = (f"`{name}`", f"{key.meaning}{unit} {when_required(key)}", key.kind.allowed, f"`{key.example}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
