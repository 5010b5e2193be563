"""The bench under its short name, in a checkout: :mod:`attnpanel.bench`.

`python -m bench` and ``from bench import certify`` work where the project's folder is the current
one. The wheel has no such package. `bench.run` is the very module `attnpanel.bench.run`, so nothing
is loaded twice.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import TYPE_CHECKING

import attnpanel.bench
from attnpanel.bench import certify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

__all__ = ["certify"]
ALIAS, NAME = "bench", "attnpanel.bench"


class _Alias(MetaPathFinder, Loader):
    """Imports ``bench.x`` as ``attnpanel.bench.x``: a finder and a loader in one."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{ALIAS}."):
            return None
        found = find_spec(_full(fullname))
        if found is None:
            return None
        package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, self, origin=found.origin, is_package=package)

    def create_module(self, _spec: ModuleSpec) -> None:
        """Have a module made, which exec_module replaces."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(_full(module.__name__))

    def get_code(self, fullname: str) -> CodeType | None:
        """Return what `python -m` runs."""
        found = find_spec(_full(fullname))
        if found is None or not isinstance(found.loader, InspectLoader):
            return None
        return found.loader.get_code(_full(fullname))


def _full(name: str) -> str:
    return NAME + name.removeprefix(ALIAS)


sys.meta_path.insert(0, _Alias())
# Also so that loading `bench.certify`, a package, does not hide `certify`, the function.
for _name in [name for name in sys.modules if name.startswith(f"{NAME}.")]:
    sys.modules[ALIAS + _name.removeprefix(NAME)] = sys.modules[_name]
sys.modules[ALIAS] = attnpanel.bench
