"""denoisebench: a benchmark suite for self-supervised image denoisers."""

from pathlib import Path

__version__ = "0.1.0"

# The plugin folders stand at the top of the repository but are imported as denoisebench.methods and
# denoisebench.datasets: a wheel carries them inside the package, a checkout beside it.
_here = Path(__file__).resolve().parent
if not (_here / "methods").is_dir() and (_here.parent / "methods").is_dir():
    __path__.append(str(_here.parent))
