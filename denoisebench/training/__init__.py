"""Training networks: recipe, job, crops, loop, several processes, checkpoints, records and weights."""

from typing import TYPE_CHECKING

from denoisebench.core.moved import names_of

# Names that this package held when it was one module; a type checker should miss them.
if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
