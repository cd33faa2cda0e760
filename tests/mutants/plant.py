"""A pytest plugin that replaces one text of one module while it is imported, as PERPCOMP_MUTANT says. Nothing on disk changes."""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
MUTANT = "PERPCOMP_MUTANT"  # {"file": "perpcomp/fixed.py", "text": ..., "becomes": ...} as JSON


class Planted(SourceFileLoader):
    """Loads a module's source with the text replaced. There is no time of the file, so no byte code is read or written."""

    def __init__(self, name: str, path: str, text: str, becomes: str) -> None:
        super().__init__(name, path)
        self.text, self.becomes = text, becomes

    def path_stats(self, path: str) -> dict[str, float]:
        raise OSError

    def get_data(self, path: str) -> bytes:
        source = super().get_data(path).decode()
        assert source.count(self.text) == 1, f"{path} does not hold this text once: {self.text}"
        return source.replace(self.text, self.becomes).encode()


class Finder:
    """Finds the one module."""

    def __init__(self, file: str, text: str, becomes: str) -> None:
        self.name, self.path = file.removesuffix(".py").replace("/", "."), str(ROOT / file)
        self.text, self.becomes = text, becomes

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return spec_from_file_location(name, self.path, loader=Planted(name, self.path, self.text, self.becomes))


if MUTANT in os.environ:
    sys.meta_path.insert(0, Finder(**json.loads(os.environ[MUTANT])))
