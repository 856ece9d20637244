"""One image through one method, and its scores; fits to single images; the check of a method's contract."""

from typing import TYPE_CHECKING

from denoisebench.core.moved import names_of

# Names that this package held when it was one module; a type checker should miss them.
if not TYPE_CHECKING:
    __getattr__ = names_of(__name__)
