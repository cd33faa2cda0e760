"""The local node and the contracts of `package.json`, installed once."""

from dataclasses import dataclass
from pathlib import Path

from tests import npm
from tests.npm import WITHOUT, NodeToolsMissing

HERE = Path(__file__).parent


@dataclass(frozen=True)
class NodeTools:
    """What npm installed: the anvil program of this platform, and the folder of the compiled contracts' packages."""

    anvil: Path
    modules: Path


def install(folder: Path = HERE) -> NodeTools:
    """Both, from the npm registry on the first call and whenever the folder's package.json changed."""
    modules = npm.install(folder)
    return NodeTools(_anvil(modules), modules)


def _anvil(modules: Path) -> Path:
    """The platform's own program: the package's launcher would need an install script to have run."""
    found = sorted((modules / "@foundry-rs").glob("anvil-*/bin/anvil*"))
    if not found:
        raise NodeToolsMissing(f"npm installed no anvil for this platform. {WITHOUT}")
    return found[0]
