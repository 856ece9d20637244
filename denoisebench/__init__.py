"""denoisebench: a benchmark suite for self-supervised image denoisers.

``__init__.pyi`` lists the public names and says where each is; nothing is imported before it is used.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

import lazy_loader

from denoisebench.core import moved

__version__ = "0.2.0"

# The plugin folders stand at the top of the repository but are imported as denoisebench.methods and
# denoisebench.datasets: a wheel carries them inside the package, a checkout beside it. These two alone, so that nothing
# else of a checkout (its tests) can be imported as a part of the package.
_here = Path(__file__).resolve().parent
for _name in ("methods", "datasets"):
    _folder = _here.parent / _name
    if not (_here / _name).is_dir() and _folder.is_dir():
        _spec = ModuleSpec(f"{__name__}.{_name}", None, is_package=True)
        _spec.submodule_search_locations = [str(_folder)]
        globals()[_name] = sys.modules[_spec.name] = module_from_spec(_spec)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Old import paths, each a warning; see there.
moved.install()
