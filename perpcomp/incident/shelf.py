"""Where incident files lie: a path, or the name of a built-in one. It imports no Polars: what a command reads is known before."""

from pathlib import Path

from perpcomp.findings import near_miss, refusal

PACKAGE = Path(__file__).parent.parent
MAX_QUERY_BYTES = 2**20  # of an incident file


def shelf() -> Path:
    """The folder of the built-in incident files: in the wheel beside the code, in a checkout beside the package."""
    packaged = PACKAGE / "queries"
    return packaged if packaged.is_dir() else PACKAGE.parent / "queries"


def find(query: str) -> Path:
    """The file behind a path or a built-in name; InputError with the near miss."""
    path = Path(query)
    if path.suffix == ".toml" and path.is_file():
        return path
    built_in = {p.stem: p for p in shelf().glob("*.toml")}
    if query in built_in:
        return built_in[query]
    if path.suffix == ".toml" or "/" in query:
        advice = "Give the path of an incident file, or a built-in name: " + ", ".join(sorted(built_in))
        raise refusal(query, "There is no such file.", f"{advice}.")
    raise refusal(query, f"'{query}' is neither an incident file nor a built-in query.", near_miss(query, built_in))
