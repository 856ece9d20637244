"""Data sets written in Python that do not keep the contract: each mistake is a sentence, and none becomes a number."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from denoisebench.core.errors import UserError
from denoisebench.data.dataset import DataSet, FolderSet
from denoisebench.plugins.registry import DATASETS
from denoisebench.protocol.images import AnyImage

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


class Good(DataSet):
    """Two images in memory."""

    name = title = "good"
    channels = 3
    images = ("a", "b")
    data_hash = "0"

    def load(self, image: str) -> AnyImage:
        return IMAGE

    def verify(self) -> None:
        pass


class Captured(Good):
    """With captures."""

    real = True

    def captures(self, image: str) -> int:
        return 2

    def capture(self, image: str, index: int) -> AnyImage:
        return IMAGE


def other(base: type[DataSet] = Good, **attributes: Any) -> type[DataSet]:
    return type("Other", (base,), {"__module__": __name__, **attributes})


def answering(answer: Any) -> Callable[..., Any]:
    return lambda self, *args: answer


def test_a_data_set_that_keeps_the_contract_is_left_alone() -> None:
    for kind in (Good, Captured, other(Captured, capture=answering(IMAGE.astype(np.uint16)))):
        assert DATASETS.check(kind, "good") is kind
    assert Good().load("a") is IMAGE
    assert Captured().reference("a", 1) is IMAGE
    assert pickle.loads(pickle.dumps(Captured())).captures("a") == 2


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"title": " "}, "its title must be a text that is not empty, not ' '"),
        ({"name": "a b"}, "its name must be of letters, digits, _ and -, not 'a b'"),
        ({"summary": None}, "its summary must be a text, not None"),
        ({"channels": "3"}, "its channels must be one of 1, 3, 4, not '3'"),
        ({"channels": [3]}, r"its channels must be one of 1, 3, 4, not \[3\]"),
        ({"scoring": "uint16"}, "its scoring must be one of uint8, raw, not 'uint16'"),
        ({"real": 1}, "it lacks captures, capture"),
        ({"referenced": 0}, "its referenced must be True or False, not 0"),
        ({"paper_repeats": 0}, "its paper_repeats must be a whole number from 1, not 0"),
        ({"images": ("a", "b", "a")}, "its images hold 'a' several times; ids must be unique"),
        ({"images": ()}, "its images are none"),
        ({"images": (1, 2)}, r"its images must be a list or tuple of texts, the ids of the images, not \(1, 2\)"),
        ({"images": "ab"}, "its images must be a list or tuple of texts, the ids of the images, not 'ab'"),
        ({"images": ["a", "b\n"]}, r"its images hold 'b\\n', which cannot be printed"),
        ({"data_hash": None}, "its data_hash must be a text that is not empty, not None"),
        ({"note": 5}, "its note must be a text, not 5"),
    ],
)
def test_what_a_class_declares_is_checked_when_it_is_asked_for(attributes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=f"^Data set plugin mine.py: {words}"):
        DATASETS.check(other(**attributes), "mine.py")


def test_what_is_lacking_is_named() -> None:
    with pytest.raises(UserError, match="it lacks title, channels, images, load, verify, data_hash"):
        DATASETS.check(other(DataSet, name="x"), "mine.py")
    common = {"name": "x", "title": "x", "channels": 3}
    with pytest.raises(UserError, match=r"it lacks count, folders\."):
        DATASETS.check(other(FolderSet, **common), "mine.py")
    with pytest.raises(UserError, match="its folders must be a tuple of texts, names that the folder may have, not"):
        DATASETS.check(other(FolderSet, count=1, folders="x", **common), "mine.py")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (IMAGE[:, :, 0], "not uint8 of shape 16x20$"),
        (IMAGE[:, :, :1], "not uint8 of shape 16x20x1"),
        (IMAGE.astype(np.uint16), "not uint16 of shape 16x20x3"),
        (IMAGE / 255, "not float64 of shape 16x20x3"),
        (None, "not None"),
        (IMAGE.tolist(), "not "),
    ],
)
def test_an_image_that_is_none_is_refused_before_it_is_scored(image: Any, words: str) -> None:
    wanted = r"Data set 'good': its load\('a'\) must be an array \(height, width, 3\) of uint8, "
    with pytest.raises(UserError, match=wanted + words.removesuffix("$")):
        other(load=answering(image))().load("a")


def test_captures_may_be_deep_and_are_images_too() -> None:
    deep = IMAGE.astype(np.uint16)
    assert other(Captured, capture=answering(deep))().capture("a", 0) is deep
    words = r"its capture\('a', 1\) must be an array \(height, width, 3\) of uint8, uint16, or floats .* not int32 of"
    with pytest.raises(UserError, match=words):
        other(Captured, capture=answering(IMAGE.astype(np.int32)))().capture("a", 1)
    with pytest.raises(UserError, match=r"its captures\('a'\) must be a whole number from 0, not 'two'"):
        other(Captured, captures=answering("two"))().captures("a")


class Fragile(DataSet):
    """Every answer is an error."""

    name = title = "good"
    channels = 3

    def load(self, image: str) -> AnyImage:
        raise KeyError(image)

    def verify(self) -> None:
        raise SystemExit(3)

    @property
    def images(self) -> Any:
        def one_and_no_more() -> Iterator[str]:
            yield "a"

        return one_and_no_more()

    @cached_property
    def data_hash(self) -> str:
        raise RuntimeError("no hash")


def test_an_error_in_the_code_of_a_data_set_is_told_with_its_line() -> None:
    data = DATASETS.check(Fragile, "mine.py")()
    with pytest.raises(UserError, match=r"Data set 'good': its load\('a'\) raised KeyError: 'a' \(test_watched.py, "):
        data.load("a")
    with pytest.raises(UserError, match=r"its verify\(\) raised SystemExit: 3 \(test_watched.py, line"):
        data.verify()
    with pytest.raises(UserError, match="its images must be a list or tuple of texts, the ids of the images, not a g"):
        _ = data.images
    with pytest.raises(UserError, match=r"its data_hash raised RuntimeError: no hash \(test_watched.py, line"):
        _ = data.data_hash
    with pytest.raises(UserError, match=r"its __init__\(\) raised TypeError: .*missing 1 required positional argument"):
        other(__init__=lambda self, place: None)()


def test_what_a_data_set_says_to_its_user_is_passed_on_as_it_is() -> None:
    def load(self: DataSet, image: str) -> AnyImage:
        raise UserError("Fetch it first.")

    with pytest.raises(UserError, match=r"^Fetch it first\.$"):
        other(load=load)().load("a")
