"""The contract as checks that any method, shipped or a user's own, can be put through."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from denoisebench.core.errors import UserError, explain
from denoisebench.core.files import parse_json, sealed
from denoisebench.core.lazy import torch
from denoisebench.core.userfiles import line_of, loaded_again
from denoisebench.evaluation.evaluate import Fitting, Place, Route, denoise
from denoisebench.evaluation.fit import FitRecipe
from denoisebench.plugins.broken import BrokenMethod
from denoisebench.plugins.lookup import find_dataset, parse_method
from denoisebench.plugins.method import (
    Batch,
    LearnedMethod,
    Method,
    Need,
    PerImageMethod,
    PlainMethod,
    known_of,
    setting_flaw,
    show_value,
)
from denoisebench.plugins.parcel import PluginPickle
from denoisebench.protocol.draws import CounterDraws
from denoisebench.protocol.images import CHANNEL_KINDS, FloatImage, UIntImage, pack_bayer, pad, to_channels
from denoisebench.protocol.noise import FAMILIES, REAL, Draw, Noise, add_noise_batch, parse_noise
from denoisebench.protocol.seeds import torch_generator_from
from denoisebench.training.recipe import Budget

NOISES = ("gauss25", "gauss5_50", "poisson30", "poisson5_50", "gamma4", "gamma1_10")
_SIDE = 96
# Odd enough to need padding, small enough for a method of 50 passes.
_DENOISED_HEIGHT, _DENOISED_WIDTH = 48, 35
_FIT_STEPS = 3
# A plain denoiser whose values are so many times as large as those of its input takes white for 255.
_LARGEST = 10.0
_LIKE_REAL = parse_noise("poisson30")


@dataclass(frozen=True)
class Verdict:
    """The outcome of one rule, and for a broken one what was seen."""

    rule: str
    passed: bool
    detail: str = ""


def check(text: str) -> Iterator[Verdict]:
    """Put a method through every rule.

    Parameters
    ----------
    text : str
        As on the command line; a learned method is checked with an untrained network.

    Yields
    ------
    Iterator[Verdict]
        Verdict per rule, in order; rules that make no sense after a broken one are left out.
    """
    method = parse_method(text)
    if isinstance(method, BrokenMethod):
        yield Verdict("hooks: text, comparison and told() answer before any image", False, method.reason)
        return
    yield _verdict("metadata: label and licence are given", partial(_metadata, method))
    yield _verdict("settings: frozen dataclass, and its text reads back", partial(_settings, method))
    yield _verdict(
        "settings, label and packages are stored and handed to other processes as they are", partial(_kept, method)
    )
    yield _verdict("needs: told is a subset of info.needs", partial(_needs, method))
    seen: set[int] = set()
    for channels in method.info.channels:
        # Packed raw images come with real noise, and the rest is as for colour.
        for noise in map(parse_noise, NOISES) if channels != 4 else (REAL,):
            where = f"{noise.id}, {CHANNEL_KINDS[channels]}"
            try:
                reason = method.unsuitable(noise, channels)
            except Exception as error:  # the method under test may raise anything
                yield Verdict(f"{where}: says whether it suits", False, explain(error))
                continue
            if reason:
                yield Verdict(f"{where}: not for this method ({reason})", True)
                continue
            if isinstance(method, LearnedMethod):
                rule = f"{where}: loss and gradient are finite and reach the network"
                yield _verdict(rule, partial(_gradient, method, noise, channels))
            if isinstance(method, PerImageMethod):
                rule = f"{where}: loss and gradient are finite and reach the network"
                yield _verdict(rule, partial(_fit_gradient, method, noise, channels))
            rule = f"{where}: denoises with what it declared, same shape, finite, repeatable"
            yield _verdict(rule, partial(_denoising, method, noise, channels, between=channels not in seen))
            seen.add(channels)
    if isinstance(method, LearnedMethod):
        yield _verdict("backward gives the gradient of loss", partial(_same_gradient, method))


def _verdict(rule: str, test: Callable[[], str | None]) -> Verdict:
    try:
        problem = test()
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        problem = f"it tried to end the program (SystemExit: {error.code}){line_of(error)}"
    except BaseException as error:  # the method under test may raise anything
        kept = isinstance(error, ValueError) and "read-only" in str(error)
        hint = "; the noisy image may not be changed, begin with a copy of it" if kept else ""
        problem = f"{explain(error)}{line_of(error)}{hint}"
    return Verdict(rule, not problem, problem or "")


def _metadata(method: Method) -> str | None:
    missing = [name for name in ("label", "licence") if not getattr(method.info, name)]
    return f"info lacks {', '.join(missing)}" if missing else None


def _settings(method: Method) -> str | None:
    # Looked up in the class itself: an undecorated one inherits the base's, and its fields are no settings.
    parameters = vars(type(method)).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        return "the class must be @dataclass(frozen=True)"
    without = [f.name for f in dataclasses.fields(method) if f.default is dataclasses.MISSING]
    if without:
        return f"settings without a default: {', '.join(without)}"
    for f in dataclasses.fields(method):
        try:
            read = getattr(method.from_settings({f.name: show_value(f.default)}), f.name)
        except UserError as error:
            return f"the default of {f.name!r} is none of its values: {error}"
        if read != f.default:
            return f"the default of {f.name!r} is {f.default!r}, and {f.name}={show_value(f.default)} reads as {read!r}"
    return None if parse_method(method.text) == method else f"{method.text} does not read back"


def _kept(method: Method) -> str | None:
    for key, value in method.settings().items():
        problem = setting_flaw(value)
        if problem:
            return f"{key}: {problem}"
    info = method.info
    texts = {"label": info.label, "licence": info.licence, **{f"package {p!r}": p for p in info.packages}}
    wrong = [name for name, text in texts.items() if type(text) is not str]
    if wrong:
        return f"{wrong[0]} is no text"
    stored = sealed({"settings": method.settings(), "text": method.text, "label": info.label}, 1)
    if parse_json(Path(method.name), stored)["settings"] != method.settings():
        return "the settings do not read back from JSON"
    return None if PluginPickle.of(method).open() == method else "another process gets another method"


def _needs(method: Method) -> str | None:
    for family in FAMILIES:
        extra = method.told(family) - method.info.needs
        if extra:
            return f"told({family!r}) has {', '.join(sorted(extra))} beyond info.needs"
    return None


def _crop(channels: int) -> UIntImage:
    photograph = find_dataset("samples", ()).load("astronaut")
    if channels == 4:
        return pack_bayer(to_channels(photograph[50 : 50 + 2 * _SIDE, 180 : 180 + 2 * _SIDE - 38], 1))
    return to_channels(photograph[50 : 50 + _SIDE, 180 : 180 + _SIDE - 19], channels)


def _draw(clean: UIntImage, noise: Noise) -> Draw:
    """A noisy image; stands for a capture too, which no method can tell from one that was drawn."""
    if noise.real:
        return Draw(CounterDraws(0).draw("contract", "astronaut", 0, clean, _LIKE_REAL).noisy, None)
    return CounterDraws(0).draw("contract", "astronaut", 0, clean, noise)


def _denoising(method: Method, noise: Noise, channels: int, between: bool) -> str | None:
    """Denoise an image twice; ``between``, another one between the two calls, and that by a new copy of the method."""
    draw, route = _draw(_crop(channels)[:_DENOISED_HEIGHT, :_DENOISED_WIDTH], noise), _route(method, noise, channels)
    # Upside down and with more contrast, so that what is measured in the one does not suit the other.
    turned = dataclasses.replace(draw, noisy=1.25 * draw.noisy[::-1] - np.float32(0.125))
    before = draw.noisy.copy()
    results = []
    for seed, given in enumerate((draw, turned, draw) if between else (draw, draw)):
        # What a method draws from the generators of the process differs from call to call, as it would in a run.
        _seed_all(seed)
        results.append(denoise(route, given, Place("contract", "astronaut", 0)).image)
    first, *other, again = results
    if not np.array_equal(before, draw.noisy):
        return "the noisy image was changed in place"
    if not np.array_equal(first, again):
        kept = " and keep nothing from one image to the next" if between else ""
        return f"two calls with the same generator differ; draw only from the generator that is handed over{kept}"
    if other and np.array_equal(first, other[0]) and first.min() < first.max():
        return "another image has the result of the one before; keep nothing from one image to the next"
    if other and not _starts_anew(method, noise, channels, turned, other[0]):
        return (
            "an image has another result after another one than first of all; keep nothing from one image to the next"
        )
    # A network that is not trained may return anything.
    largest, whitest = (float(np.abs(image).max()) for image in (first, draw.noisy))
    if isinstance(method, PlainMethod) and largest > _LARGEST * max(whitest, 1.0):
        return f"values reach {largest:.0f} where those of the noisy image reach {whitest:.1f}; white is 1.0, not 255"
    return None


def _starts_anew(method: Method, noise: Noise, channels: int, draw: Draw, result: FloatImage) -> bool:
    """Whether the method of a file has the same result if this image is the first one after its import."""
    cls = type(method)
    with loaded_again(cls.__module__) as module:
        again = getattr(module, cls.__name__, None)
        if again is None:
            return True
        _seed_all(1)
        route = _route(again(**method.changed()), noise, channels)
        return np.array_equal(denoise(route, draw, Place("contract", "astronaut", 0)).image, result)


def _seed_all(seed: int) -> None:
    """Seed the generators of the process, from which no method may draw."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _route(method: Method, noise: Noise, channels: int) -> Route:
    fitting = Fitting(FitRecipe(Budget(_FIT_STEPS, "steps"))) if isinstance(method, PerImageMethod) else None
    return Route(method, _network(method, channels), noise, fitting=fitting)


def _gradient(method: LearnedMethod, noise: Noise, channels: int) -> str | None:
    for progress in (0.01, 0.5, 1.0):
        network = _network(method, channels)
        if not isinstance(network, torch.nn.Module):
            return f"build returned a {type(network).__name__}; it must end with: return the network"
        batch = _batch(method, noise, channels, torch.float32)
        try:
            loss, _ = method.backward(network, batch, progress)
        except Exception:
            problem = _form(method.loss(network, batch, progress))
            if problem:
                return problem
            raise
        problem = _flaw(network, loss)
        if problem:
            return f"{problem} at progress {progress}"
    return None


def _fit_gradient(method: PerImageMethod, noise: Noise, channels: int) -> str | None:
    clean = _crop(channels)[:_DENOISED_HEIGHT, :_DENOISED_WIDTH]
    draw = _draw(clean, noise)
    known = known_of(method, noise, draw.level)
    image = torch.from_numpy(pad(draw.noisy, method.info.multiple, False).copy()).permute(2, 0, 1)[None]
    before = image.clone()
    for progress in (0.01, 0.5, 1.0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = method.build(image).train()
            loss = method.loss(network, image, known, progress)
            if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
                return f"loss returned {_shown(loss)}, not a scalar tensor with gradient"
            loss.backward()
        if not torch.equal(image, before):
            return "loss changed the noisy image in place"
        problem = _flaw(network, loss)
        if problem:
            return f"{problem} at progress {progress}"
        if not 0 < method.rate(progress) < 1:
            return f"rate({progress}) is {method.rate(progress)}, not between 0 and 1"
    return None


def _form(returned: object) -> str | None:
    """What of a learned method's loss is not (loss, monitors)."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        return f"loss returned {_shown(returned)}, not (loss, monitors), such as: return loss, {{}}"
    loss, monitors = returned
    if not isinstance(loss, torch.Tensor) or loss.ndim or not loss.requires_grad:
        return f"the loss is {_shown(loss)}, not a scalar tensor with gradient"
    return None if isinstance(monitors, dict) else f"the monitors are {_shown(monitors)}, not a dict"


def _shown(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return "nothing" if value is None else f"a {type(value).__name__}"
    return f"a tensor of shape {tuple(value.shape)}" + ("" if value.requires_grad else " without gradient")


def _flaw(network: torch.nn.Module, loss: torch.Tensor) -> str | None:
    if loss.ndim or not torch.isfinite(loss):
        return f"loss is {loss.tolist()}"
    for name, parameter in network.named_parameters():
        if parameter.grad is None:
            return f"no gradient for {name}"
        if not torch.isfinite(parameter.grad).all():
            return f"gradient of {name} is not finite"
    if not any(parameter.grad.any() for parameter in network.parameters() if parameter.grad is not None):
        return "the gradient is zero everywhere"
    return None


def _same_gradient(method: LearnedMethod) -> str | None:
    channels, noise = ([c for c in method.info.channels if c != 4] or [4])[-1], parse_noise(NOISES[0])
    gradients = []
    for seed, overridden in enumerate((False, False, True)):
        network = _network(method, channels)
        assert network is not None
        network.double()
        batch = _batch(method, noise, channels, torch.float64)
        _seed_all(seed)
        if overridden:
            method.backward(network, batch, 0.95)
        else:
            method.loss(network, batch, 0.95)[0].backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    for first, again in zip(*gradients[:2], strict=True):
        if first is not None and again is not None and not torch.allclose(first, again, rtol=1e-6, atol=1e-12):
            return (
                "two calls of loss with the same batch differ; draw only from batch.generator, and keep nothing of it"
            )
    for expected, found in zip(*gradients[1:], strict=True):
        if expected is None or found is None:
            if expected is not found:
                return "only one of the two has a gradient"
        elif not torch.allclose(expected, found, rtol=1e-6, atol=1e-12):
            return "the gradients differ"
    return None


def _network(method: Method, channels: int) -> torch.nn.Module | None:
    if not isinstance(method, LearnedMethod):
        return None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return method.build(channels)


def _batch(method: LearnedMethod, noise: Noise, channels: int, dtype: torch.dtype) -> Batch:
    side = method.crop_multiple
    crop = _crop(channels)[:side, :side]
    clean = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].to(dtype) / 255
    drawn = _LIKE_REAL if noise.real else noise
    noisy, level = add_noise_batch(clean, drawn, torch_generator_from("contract"))
    second, _ = add_noise_batch(clean, drawn, torch_generator_from("contract", 2))
    told = method.told(noise.family)
    values = {Need.CLEAN: clean, Need.SECOND: second}
    known = known_of(method, noise, None if noise.real else level)
    return Batch(noisy, known, torch_generator_from("contract", 3), method.name, told, values)
