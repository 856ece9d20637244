"""What a method is: one frozen dataclass in one file, and what the harness hands to it.

A method's fields are its hyper-parameters, so ``b2u[stride=2,eta=0]`` on the command line, a row of an
ablation table and a Python call are one thing. A plugin derives from one of

`PlainMethod`
    ``denoise(noisy, known, rng)``, no training: BM3D, NLM, the identity.
`LearnedMethod`
    a network, ``loss(network, batch, progress)`` and ``denoise(network, noisy, known, generator)``.
`PerImageMethod`
    a network fitted on the one image it is given: ZS-N2N, Self2Self, DIP.

and declares in its `Info` what it needs to be told. It gets exactly that: a `Batch` or `NoiseInfo` raises
`ContractError` when asked for anything else, because the harness never put it there.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np

from denoisebench.core.errors import ContractError, UserError, unknown
from denoisebench.core.lazy import torch
from denoisebench.protocol.noise import FloatImage, Noise

T = TypeVar("T")


class Need(enum.StrEnum):
    """Something a method must be told. The value is what the table prints."""

    CLEAN = "clean images"
    SECOND = "second noisy copy"
    FAMILY = "noise model"
    LEVEL = "noise level"
    RANGED = "single or ranged level"


@dataclass(frozen=True)
class Info:
    """Metadata of a method.

    Parameters
    ----------
    label : str
        Name in tables.
    paper : str
        Authors, title, venue, year.
    bibtex : str
        One entry, or ''.
    licence : str
        Licence of the origin code, and what it means for users if it restricts them.
    needs : frozenset[Need]
        What the method may be told, at most.
    channels : tuple[int, ...]
        Channel counts it accepts.
    multiple : int
        Image sides are padded to a multiple of this before `denoise`.
    baseline : bool
        Shown in every table, as the line to beat.
    packages : tuple[str, ...]
        Distributions whose version decides the result, beyond numpy and torch.
    """

    label: str
    paper: str = ""
    bibtex: str = ""
    licence: str = ""
    needs: frozenset[Need] = frozenset()
    channels: tuple[int, ...] = (1, 3, 4)
    multiple: int = 1
    baseline: bool = False
    packages: tuple[str, ...] = ()


class DisclosedFacts:
    """Holds only what a method declared; asking for the rest raises `ContractError`."""

    def __init__(self, method: str, told: frozenset[Need], values: Mapping[Need, Any]) -> None:
        self._method = method
        self._values = {need: value for need, value in values.items() if need in told}

    def _get(self, need: Need) -> Any:
        if need not in self._values:
            raise ContractError(
                f"Method {self._method!r} asked for the {need.value!r} without declaring it; "
                f"add Need.{need.name} to the needs of its Info."
            )
        return self._values[need]


class NoiseInfo(DisclosedFacts):
    """What a method is told about the noise of the image or batch before it."""

    #: The level that the method found by itself and noted, for the record; None if none was.
    noted: float | None = None

    def note(self, level: float) -> None:
        """Record the level that a method estimated and used: it stands in the row of the image."""
        self.noted = float(level)

    @property
    def family(self) -> str:
        """'gauss', 'poisson' or 'gamma'; 'real' for captures, of whose noise nobody knows the model."""
        return str(self._get(Need.FAMILY))

    @property
    def level(self) -> Any:
        """Standard deviation on the 0..1 scale, lambda, or looks; a float, or (N, 1, 1, 1) for a batch."""
        return self._get(Need.LEVEL)

    @property
    def ranged(self) -> bool:
        """Whether each image has a level of its own."""
        return bool(self._get(Need.RANGED))


if not typing.TYPE_CHECKING:  # a type checker shall not find old names

    def __getattr__(name: str) -> Any:
        """`NoiseInfo` by its name of version 0.1, for plugins that import it; it goes with version 0.3."""
        if name == "Known":
            text = "denoisebench.plugins.method.Known is NoiseInfo now; the old name goes with denoisebench 0.3."
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return NoiseInfo
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Batch(DisclosedFacts):
    """One training batch: noisy crops, what is known of them, and a generator for the method's own draws."""

    def __init__(
        self,
        noisy: torch.Tensor,
        known: NoiseInfo,
        generator: torch.Generator,
        method: str,
        told: frozenset[Need],
        values: Mapping[Need, Any],
    ) -> None:
        super().__init__(method, told, values)
        self.noisy = noisy
        self.known = known
        self.generator = generator

    @property
    def clean(self) -> torch.Tensor:
        """Clean targets (N, C, H, W), for methods that declared Need.CLEAN."""
        return typing.cast("torch.Tensor", self._get(Need.CLEAN))

    @property
    def second(self) -> torch.Tensor:
        """A second, independent noisy copy (N, C, H, W), for methods that declared Need.SECOND."""
        return typing.cast("torch.Tensor", self._get(Need.SECOND))


@dataclass(frozen=True)
class Method:
    """Base of all methods: metadata, settings, and what it is told.

    Subclasses are frozen dataclasses whose fields have defaults and are int, float, bool, str or Literal.
    """

    name: ClassVar[str]
    info: ClassVar[Info]
    #: Families of drawn noise whose model or level it can use; one that is told neither does all.
    families: ClassVar[frozenset[str]] = frozenset({"gauss", "poisson"})
    # Fields that change only how a trained network is used: one training serves all their values.
    inference_only: ClassVar[frozenset[str]] = frozenset()
    # Fields that did not exist when results were stored: at their defaults nothing is keyed by them.
    added_later: ClassVar[frozenset[str]] = frozenset()
    _float_settings: ClassVar[frozenset[str] | None] = None

    def told(self, family: str) -> frozenset[Need]:
        """What this method, with these settings, is told for a noise family; a subset of ``info.needs``."""
        return self.info.needs

    @property
    def measures_noise(self) -> bool:
        """Whether it finds out more of the noise than its level, so that an estimate of the level does not serve it."""
        return False

    @property
    def says_the_level(self) -> bool:
        """Whether a setting is the noise level itself, so that none is estimated and no other may be given."""
        return False

    def told_the_level(self) -> Self:
        """The method set to be told the noise level instead of estimating it; itself where nothing says which."""
        return self

    def told_in_words(self, noise: Noise) -> list[str]:
        """What a table says it was told: of real noise there is no model to tell, only that it is real."""
        return sorted(need.value for need in self.told(noise.family) if not (noise.real and need is Need.FAMILY))

    def unsuitable(self, noise: Noise, channels: int) -> str | None:
        """Why this method cannot do this noise or channel count, or None."""
        if channels not in self.info.channels:
            allowed = " or ".join(map(str, self.info.channels))
            return f"takes images of {allowed} channels, not {channels}"
        if not (noise.real or noise.family in self.families) and self.told(noise.family) & {Need.FAMILY, Need.LEVEL}:
            return f"has no model of {noise.family} noise, only of {' and '.join(sorted(self.families))}"
        if noise.real and Need.LEVEL in self.told(noise.family):
            return "must be told the noise level, which nobody knows of real captures"
        return None

    @property
    def text(self) -> str:
        """Canonical text: the name, and in brackets each setting that is not at its default."""
        changed = [f"{name}={show_value(value)}" for name, value in self.changed().items()]
        return self.name + (f"[{','.join(changed)}]" if changed else "")

    def changed(self) -> dict[str, Any]:
        """The settings that are not at their defaults."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }

    def settings(self, training_only: bool = False) -> dict[str, Any]:
        """All settings, defaults included; optionally without those that only matter at inference.

        A whole number in a setting that is a float is one, so that ``width: float = 1`` and ``[width=1]`` are the same.
        """
        floats = _floats(type(self))
        return {
            field.name: float(value) if type(value) is int and field.name in floats else value
            for field in dataclasses.fields(self)
            for value in [getattr(self, field.name)]
            if not (training_only and field.name in self.inference_only)
        }

    def keyed_settings(self) -> dict[str, Any]:
        """All settings that results are keyed by."""
        changed = self.changed()
        return {
            name: value for name, value in self.settings().items() if name in changed or name not in self.added_later
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Self:
        """Build from the texts of a bracket.

        Raises
        ------
        UserError
            For an unknown setting or a value that its type does not allow.
        """
        hints = typing.get_type_hints(cls)
        known = {field.name for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for key, text in settings.items():
            if key not in known:
                if hasattr(cls, key) and not callable(getattr(cls, key)):
                    raise UserError(
                        f"{key!r} of {cls.name} is no setting: one is a field with a type, such as {key}: float = 1.0."
                    )
                if not known:
                    raise UserError(f"Method {cls.name!r} has no settings, but {key}={text} was given.")
                raise unknown(f"setting of {cls.name}", key, known)
            values[key] = _parse(f"{cls.name}[{key}={text}]", text, hints[key])
        try:
            made = cls(**values)
        except (UserError, ValueError) as error:  # ways of a plugin to refuse a value
            raise UserError(f"Method {cls.name!r} refuses its settings: {error}") from error
        except Exception as error:
            raise UserError(f"Method {cls.name!r} fails on its settings: {type(error).__name__}: {error}") from error
        for key, value in made.settings().items():
            problem = setting_flaw(value)
            if problem:
                raise UserError(f"Method {cls.name!r} sets its setting {key!r} to what cannot be stored: {problem}.")
        return made


def _floats(cls: type[Method]) -> frozenset[str]:
    """The settings that are floats, or none; looked up once, as a plan of thousands of cells asks for each."""
    found = cls.__dict__.get("_float_settings")
    if found is None:
        hints = typing.get_type_hints(cls)
        kinds = {
            field.name: (hints[field.name], *typing.get_args(hints[field.name])) for field in dataclasses.fields(cls)
        }
        found = frozenset(name for name, kind in kinds.items() if float in kind and int not in kind)
        cls._float_settings = found
    return found


def setting_flaw(value: Any) -> str:
    """Why a value cannot be a setting, which is stored, hashed and written in brackets; '' if it can."""
    if type(value) not in (int, float, bool, str, type(None)):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        return f"{value!r} is a {kind}; allowed are int, float, bool, str and None"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not finite"
    if isinstance(value, int) and abs(value) > 2**53:
        return "it is beyond 2^53"
    return ""


def known_of(method: Method, noise: Noise, level: Any) -> NoiseInfo:
    """What a method is told of a noisy image or batch: what it declared, as far as anybody knows it.

    Parameters
    ----------
    method : Method
        Who is told.
    noise : Noise
        What made it noisy.
    level : float, torch.Tensor or None
        Its level, None where nobody knows it.
    """
    facts: dict[Need, Any] = {Need.FAMILY: noise.family, Need.RANGED: noise.ranged}
    facts |= {} if level is None else {Need.LEVEL: level}
    return NoiseInfo(method.name, method.told(noise.family), facts)


def returned(method: Method, image: T | None) -> T:
    """What a method's ``denoise`` has returned, which Python lets it forget.

    Raises
    ------
    ContractError
        It is None.
    """
    if image is None:
        raise ContractError(f"method {method.name!r} returned nothing; denoise must end with: return the image")
    return image


def returned_batch(method: Method, images: Any) -> torch.Tensor:
    """The images (N, C, H, W) that a method with a network has returned.

    Raises
    ------
    ContractError
        It is no such tensor.
    """
    if not isinstance(returned(method, images), torch.Tensor):
        raise ContractError(f"method {method.name!r} returned a {type(images).__name__}, not a tensor (N, C, H, W)")
    if images.ndim != 4:
        raise ContractError(
            f"method {method.name!r} returned a tensor of shape {tuple(images.shape)}, not (N, C, H, W)"
        )
    return typing.cast("torch.Tensor", images)


def show_value(value: Any) -> str:
    """A setting as it is written in brackets."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    return str(value)


def _parse_one_of(where: str, text: str, kinds: Sequence[Any], or_none: bool) -> Any:
    """The text as the first of some types that it fits; the error names all of them, and none where it is allowed."""
    reasons = []
    for kind in kinds:
        try:
            return _parse(where, text, kind)
        except UserError as error:
            reasons.append(str(error).removeprefix(f"{where}: ").removesuffix("."))
    raise UserError(f"{where}: {', or '.join(reasons)}{', or none' * or_none}.")


def _parse(where: str, text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        for choice in choices:
            if text == str(choice):
                return choice
        raise UserError(f"{where}: allowed values are {', '.join(map(str, choices))}.")
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(kind) if option is not type(None)]
        if text == "none" and len(options) < len(typing.get_args(kind)):
            return None
        return _parse_one_of(where, text, options, len(options) < len(typing.get_args(kind)))
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise UserError(f"{where}: allowed values are true and false.")
        return text.lower() in ("true", "1", "yes")
    try:
        value = kind(text)
        if type(value) in (int, float) and setting_flaw(value):
            raise ValueError
    except ValueError:
        wanted = {int: "a whole number up to 2^53", float: "a finite number"}.get(kind, "text")
        raise UserError(f"{where}: the value must be {wanted}.") from None
    return value


@dataclass(frozen=True)
class PlainMethod(Method):
    """A denoiser that works on one image and needs no training."""

    def denoise(self, noisy: FloatImage, known: NoiseInfo, rng: np.random.Generator) -> FloatImage:
        """Denoise one image.

        Parameters
        ----------
        noisy : FloatImage
            (H, W, C) float32, white = 1.0, neither clipped nor quantised; read-only.
        known : NoiseInfo
            What the method declared it needs to be told.
        rng : np.random.Generator
            For methods that draw; seeded by image, so results repeat.

        Returns
        -------
        FloatImage
            (H, W, C) float; clipped and rounded to 8 bits by the harness.
        """
        raise NotImplementedError(f"{type(self).__name__} must define denoise(noisy, known, rng)")


@dataclass(frozen=True)
class LearnedMethod(Method):
    """A network trained on a set of images, one training for all images of a noise.

    Parameters
    ----------
    network : str
        Network that is trained, by its name (``denoisebench list networks``) or as ``file.py:Class``.
    """

    network: str = "unet"

    #: Coupled L2 weight decay of Adam.
    weight_decay: ClassVar[float] = 0.0
    #: Gradients with a larger Euclidean norm are scaled down to it before the step; None leaves all as they are.
    gradient_norm: ClassVar[float | None] = None
    #: Sides of training crops must be multiples of this.
    crop_multiple: ClassVar[int] = 32

    def build(self, channels: int) -> torch.nn.Module:
        """A new network for images of that many channels, freshly initialised from torch's generator."""
        from denoisebench.networks import build_network

        return build_network(self.network, channels, channels)

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of one batch, and named quantities to monitor.

        Parameters
        ----------
        network : torch.nn.Module
            In training mode.
        batch : Batch
            ``batch.noisy`` (N, C, H, W), ``batch.known``, ``batch.generator`` and what was declared.
        progress : float
            (step + 1) / steps, in (0, 1]; drives every schedule.

        Returns
        -------
        loss : torch.Tensor
            Scalar with gradient.
        monitors : dict[str, torch.Tensor]
            Detached scalars, kept in the learning curve.
        """
        raise NotImplementedError(f"{type(self).__name__} must define loss(network, batch, progress)")

    def backward(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Accumulate the gradient of `loss`; override where the same gradient can be had more cheaply."""
        loss, monitors = self.loss(network, batch, progress)
        loss.backward()
        return loss.detach(), monitors

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        """Denoise padded images under no-grad; by default one pass.

        Parameters
        ----------
        network : torch.nn.Module
            In evaluation mode.
        noisy : torch.Tensor
            (N, C, H, W), sides padded to ``info.multiple``.
        known : NoiseInfo
            What the method declared.
        generator : torch.Generator
            For methods that draw.

        Returns
        -------
        torch.Tensor
            (N, C, H, W), not yet clipped.
        """
        return typing.cast("torch.Tensor", network(noisy))

    def outputs(self) -> Mapping[str, Self]:
        """What is measured along a training, by name: this method with settings that matter for denoising only.

        A training is measured ten times; a method whose output takes many passes names a cheaper one here.
        """
        return {"psnr": self}

    def diagnose(self, curve: Sequence[Mapping[str, float]]) -> list[str]:
        """Sentences about what went wrong in a training, read off its learning curve; empty if nothing."""
        return []


@dataclass(frozen=True)
class PerImageMethod(Method):
    """A network fitted by Adam on the one noisy image that it then denoises.

    `build`, `loss` and `denoise` draw from torch's own generator, which is seeded by image. What must outlive a step
    (a fixed input, a running average) is a buffer of the network, so that a fit that was stopped can go on.
    """

    #: Steps where no budget is given: what a laptop can do.
    steps: ClassVar[int]
    #: Steps of the paper, or of its released code.
    paper_steps: ClassVar[int]
    #: Settings that go with the paper's steps, where they are not the defaults.
    paper_settings: ClassVar[Mapping[str, Any]] = {}

    def build(self, noisy: torch.Tensor) -> torch.nn.Module:
        """A new network for one image (1, C, H, W), freshly initialised."""
        raise NotImplementedError(f"{type(self).__name__} must define build(noisy)")

    def rate(self, progress: float) -> float:
        """Learning rate of Adam at ``progress``, in (0, 1]."""
        raise NotImplementedError(f"{type(self).__name__} must define rate(progress)")

    def loss(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, progress: float) -> torch.Tensor:
        """The loss of one step, a scalar with gradient.

        Parameters
        ----------
        network : torch.nn.Module
            In training mode.
        noisy : torch.Tensor
            (1, C, H, W), white = 1.0, sides padded to ``info.multiple``.
        known : NoiseInfo
            What the method declared.
        progress : float
            Finished part of the budget after this step, in (0, 1].
        """
        raise NotImplementedError(f"{type(self).__name__} must define loss(network, noisy, known, progress)")

    def finished(self, network: torch.nn.Module) -> bool:
        """Whether the fit shall end before its budget does; asked after every step."""
        return False

    def denoise(self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo) -> torch.Tensor:
        """The denoised image (1, C, H, W) from the fitted network, under no-grad; not yet clipped."""
        return typing.cast("torch.Tensor", network(noisy))
