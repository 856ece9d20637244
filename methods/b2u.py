"""B2U (Blind2Unblind): blind-spot training on all pixels at once, tied to the network's ordinary output.

    Omega_i = y (1 - m_i) + (K * y) m_i          masked copy i of s^2; m_i hides pixel i of every s x s cell
    h       = sum_i m_i f(Omega_i)               global-aware mask mapper: each pixel from the copy that hid it
    d1      = h - y,   d2 = sg f(y) - y          blind and visible residual; f(y) is computed under no-grad
    loss    = mean (d1 + lambda d2)^2 + eta mean d1^2                                                     (L_A)

K = [[1,2,1],[2,0,2],[1,2,1]]/12 with zero padding, not renormalised at the border. lambda is lambda_s until
``ramp_start`` of the training, rises linearly, and is lambda_f from ``ramp_end`` on. Three outputs: ``exp`` = f(y), one
pass, the method as the paper describes it; ``dn`` = h, s^2 passes; ``mid`` = (dn + blend exp) / (1 + blend), which the
paper's digits correspond to. Shapes: y (N, C, H, W), 0..1 scale. Told: nothing (with ``ramp_start=none`` whether the
noise has a single level or a range). Assumes zero-mean, pixel-independent noise.
Cost per training image: ``masks`` masked passes forward and backward and as much of a pass without gradient; to
denoise, 1 (``exp``), s^2 (``dn``) or s^2 + 1 (``mid``).

How many masks per step: the loss is a mean over the s^2 masks, and a mean over ``masks`` of them, drawn anew without
replacement for every image and step, estimates it without bias, as its gradient does (a test sums over all draws).
One mask costs a sixteenth of all 16, and a training gains more from sixteen steps than from one exact step. The
released script computes all: ``masks=none``.

Paper and code disagree on the cell: 2 in the paper's text (4 copies), 4 in every released script (16 copies), which
made the published numbers. The default is 4. Where every second row and column is a filler, a well-trained network
tells hidden pixels from visible ones and learns to make little of the centre: after 2,400 steps at sigma 25 f(y) is 0.3
dB above the blind output on held-out photographs, with cell 4 1.1 dB, after 16,000 steps 2.2 (docs/training.md).

The loss is L_A everywhere, as released; L_B (no released code) replaces its first term by mean (lambda d2 - d1)^2 and
keeps the eta term. The ``random`` mapper is the ablation's: one copy per image and step, one pixel per cell, loss
averaged over all elements.

The ramp of lambda: the target of a hidden pixel is y + lambda (y - f(y)) / (1 + eta), whose noise grows with lambda (11
sigma at 20), so a short training needs many steps at the end of it. Here lambda rises from the start and is at
lambda_f after half of the training. The released script starts at 0.8 for a single noise level and at 0.4 for a range
(``ramp_start=none``), in a staircase, one value per epoch and one epoch ahead of the line here; but the file it
published for sigma 25 ends at lambda 19.7, which only a ramp from 0.4 passes.

The network is the suite's `unet`: the same layers with He initialisation. PyTorch's default initialisation, which
the released code uses (``network=unet_b2u``), has deviations of 1/sqrt(3 fan_in) instead of sqrt(2 / fan_in), so each
layer shrinks its input, and the first hundreds of steps are spent on growing back.

Source: Wang, Liu, Li, Han, Blind2Unblind: Self-Supervised Image Denoising with Visible Blind Spots, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from denoisebench.core.errors import UserError
from denoisebench.core.lazy import torch
from denoisebench.networks import copies_per_pass, forward_at
from denoisebench.plugins.method import Batch, Info, LearnedMethod, Need, NoiseInfo
from denoisebench.toolbox.masking import fill


@dataclass(frozen=True)
class B2U(LearnedMethod):
    """Blind2Unblind with its ablation switches.

    Parameters
    ----------
    stride : {2, 4, 8}
        Side s of the mask cell, 2, 4 or 8.
    eta : float
        Weight of the blind-spot term.
    lambda_s, lambda_f : float
        First and last lambda.
    masks : int | None
        Masks drawn per image and training step; none: all stride^2.
    ramp_start : float | None
        Progress at which lambda starts to rise; none: the released rule, from 0.8 for a single noise level, 0.4 for a
        range, to the end.
    ramp_end : float
        Progress at which lambda has reached lambda_f; if not after the start, it jumps there.
    revisible : {'A', 'B'}
        A or B, the two signs of the re-visible loss.
    mapper : {'global', 'random'}
        Global, or random for the ablation.
    visible : bool
        False drops the visible term: loss = mean d1^2.
    output : {'exp', 'dn', 'mid'}
        Exp, dn or mid.
    blend : float | None
        Lambda of the ``mid`` output; none: lambda_f.
    """

    stride: Literal[2, 4, 8] = 4
    masks: int | None = 1
    eta: float = 1.0
    lambda_s: float = 2.0
    lambda_f: float = 20.0
    ramp_start: float | None = 0.0
    ramp_end: float = 0.5
    revisible: Literal["A", "B"] = "A"
    mapper: Literal["global", "random"] = "global"
    visible: bool = True
    output: Literal["exp", "dn", "mid"] = "exp"
    blend: float | None = None

    name = "b2u"
    info = Info(
        label="B2U",
        paper="Wang et al., Blind2Unblind: Self-Supervised Image Denoising with Visible Blind Spots, CVPR 2022",
        bibtex=(
            "@inproceedings{wang2022blind2unblind, title={Blind2Unblind: Self-Supervised Image Denoising with "
            "Visible Blind Spots}, author={Wang, Zejin and Liu, Jiazheng and Li, Guoqing and Han, Hua}, "
            "booktitle={CVPR}, year={2022}}"
        ),
        licence="written from the paper; the authors' repository states no licence and was not used",
        needs=frozenset({Need.RANGED}),
        multiple=32,
    )
    weight_decay = 1e-8
    inference_only = frozenset({"output", "blend"})

    def __post_init__(self) -> None:
        if self.ramp_start is not None and not 0 <= self.ramp_start < 1:
            raise UserError(f"b2u[ramp_start={self.ramp_start:g}]: allowed values lie in [0, 1).")
        if not 0 < self.ramp_end <= 1:
            raise UserError(f"b2u[ramp_end={self.ramp_end:g}]: allowed values lie above 0 and are at most 1.")
        if self.masks is not None and not 1 <= self.masks <= self.stride**2:
            raise UserError(f"b2u[masks={self.masks}]: allowed are none and 1 to {self.stride**2}, the cell's pixels.")
        if min(self.eta, self.lambda_s, self.lambda_f, self.blend or 0.0) < 0:
            raise UserError("b2u: eta, lambda_s, lambda_f and blend must not be negative.")

    def told(self, family: str) -> frozenset[Need]:
        return self.info.needs if self.ramp_start is None and self.visible else frozenset()

    def weight(self, progress: float, known: NoiseInfo) -> float:
        """lambda at a point of the training."""
        start, end = self.ramp_start, self.ramp_end
        if start is None:
            start, end = 0.4 if known.ranged else 0.8, 1.0
        if progress <= start:
            return self.lambda_s
        risen = min(1.0, (progress - start) / (end - start)) if end > start else 1.0
        return self.lambda_s + risen * (self.lambda_f - self.lambda_s)

    def outputs(self) -> Mapping[str, B2U]:
        return {output: replace(self, output=output) for output in ("exp", "dn", "mid")}

    def loss(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss with every output pixel computed, with all masks in one pass: the plain reference."""
        noisy = batch.noisy
        seen = self._visible_pass(network, noisy)
        weight = self.weight(progress, batch.known) if self.visible else 0.0
        filled = fill(noisy)
        if self.mapper == "random":
            mask = random_mask(noisy, self.stride, batch.generator)
            loss, sums = self._terms(network(torch.where(mask, filled, noisy)), noisy, seen, mask, weight)
            return loss / noisy.numel(), _means(sums, mask.expand_as(noisy).sum(), weight)
        masks = global_masks(noisy, self.stride)
        if self.masks is None:
            outputs = network(torch.cat([torch.where(mask, filled, noisy) for mask in masks])).chunk(len(masks))
            blind = sum(m * out for m, out in zip(masks, outputs, strict=True))
            loss, sums = self._terms(blind, noisy, seen, torch.ones_like(noisy, dtype=torch.bool), weight)
            return loss / noisy.numel(), _means(sums, noisy.numel(), weight)
        count = noisy.numel() * self.masks // len(masks)
        loss, sums = noisy.new_zeros(()), noisy.new_zeros(3)
        for offsets in self._drawn(batch):
            mask = torch.cat([masks[row * self.stride + column] for row, column in offsets])
            part, part_sums = self._terms(network(torch.where(mask, filled, noisy)), noisy, seen, mask, weight)
            loss, sums = loss + part, sums + part_sums
        return loss / count, _means(sums, count, weight)

    def backward(
        self, network: torch.nn.Module, batch: Batch, progress: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The gradient of `loss`: masks in chunks, outputs only at the pixels that are kept."""
        if self.mapper == "random":
            return super().backward(network, batch, progress)
        noisy = batch.noisy
        weight = self.weight(progress, batch.known) if self.visible else 0.0
        total, sums = noisy.new_zeros(()), noisy.new_zeros(3)
        cell = self.stride**2
        count = noisy.numel() * (self.masks or cell) // cell
        for pixels in self._passes(network, batch):
            loss = noisy.new_zeros(())
            for target, hidden, visible in pixels:
                everywhere = torch.ones_like(hidden, dtype=torch.bool)
                summed, part_sums = self._terms(hidden, target, visible, everywhere, weight)
                loss = loss + summed / count
                sums += part_sums
            loss.backward()
            total += loss.detach()
        return total, _means(sums, count, weight)

    def _passes(
        self, network: torch.nn.Module, batch: Batch
    ) -> Iterator[list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]:
        """For every pass and mask: noisy pixels that it hides, blind output there, visible output there."""
        noisy = batch.noisy
        if self.masks is None:
            whole = self._visible_pass(network, noisy)
            for offsets, blind in self._blind_passes(network, noisy):
                kept = [self._kept(offset) for offset in offsets]
                yield [(noisy[at], out, whole[at]) for at, out in zip(kept, blind, strict=True)]
            return
        filled = fill(noisy)
        for offsets in self._drawn(batch):
            copies = noisy.clone()
            for copy, image, offset in zip(copies, filled, offsets, strict=True):
                copy[self._kept(offset)] = image[self._kept(offset)]
            targets = [y[self._kept(offset)] for y, offset in zip(noisy.chunk(len(noisy)), offsets, strict=True)]
            seen = targets
            if self.visible:
                with torch.no_grad():
                    seen = forward_at(network, noisy, offsets, self.stride)
            yield list(zip(targets, forward_at(network, copies, offsets, self.stride), seen, strict=True))

    def _drawn(self, batch: Batch) -> list[list[tuple[int, int]]]:
        """For each of ``masks`` passes, the offset of every image of the batch: all different for one image."""
        cell, device = self.stride**2, batch.noisy.device
        draws = torch.stack([torch.randperm(cell, generator=batch.generator, device=device) for _ in batch.noisy])
        return [[divmod(index, self.stride) for index in column] for column in draws[:, : self.masks].t().tolist()]

    def _kept(self, offset: tuple[int, int]) -> tuple[Any, ...]:
        """Index of the pixels that the mask of an offset hides."""
        return (..., *(slice(start, None, self.stride) for start in offset))

    def denoise(
        self, network: torch.nn.Module, noisy: torch.Tensor, known: NoiseInfo, generator: torch.Generator
    ) -> torch.Tensor:
        if self.output == "exp":
            return network(noisy)
        blind = torch.empty_like(noisy)
        for offsets, outputs in self._blind_passes(network, noisy):
            for offset, pixels in zip(offsets, outputs, strict=True):
                blind[self._kept(offset)] = pixels.to(blind.dtype)
        if self.output == "dn":
            return blind
        blend = self.lambda_f if self.blend is None else self.blend
        return (blind + blend * network(noisy)) / (1 + blend)

    def diagnose(self, curve: Sequence[Mapping[str, float]]) -> list[str]:
        """Whether f(y) copies its input, or the visible and the blind output have parted."""
        late = [point for point in curve if point["progress"] >= 0.9]
        if not late or not self.visible:
            return []
        blind, seen, gap = (sum(p[key] for p in late) / len(late) for key in ("blind", "seen", "gap"))
        problems = []
        if seen < 0.1 * blind:
            problems.append(
                f"identity collapse: the visible output stays within {seen:.2g} of its noisy input in mean "
                f"square, the blind output within {blind:.2g}; exp hardly denoises, use output=dn"
            )
        if seen > 1.5 * blind or gap > blind:
            problems.append(
                f"exp and dn have parted (mean squares: visible residual {seen:.2g}, blind {blind:.2g}, between "
                f"them {gap:.2g}); training is unstable, lower the learning rate or lambda_f, or use output=dn"
            )
        return problems

    def _visible_pass(self, network: torch.nn.Module, noisy: torch.Tensor) -> torch.Tensor:
        if not self.visible:
            return noisy
        with torch.no_grad():
            return network(noisy)

    def _blind_passes(
        self, network: torch.nn.Module, noisy: torch.Tensor
    ) -> Iterator[tuple[list[tuple[int, int]], list[torch.Tensor]]]:
        cell = [(row, column) for row in range(self.stride) for column in range(self.stride)]
        filled = fill(noisy)
        chunk = copies_per_pass(noisy, len(cell))
        for start in range(0, len(cell), chunk):
            offsets = cell[start : start + chunk]
            copies = noisy.repeat(len(offsets), 1, 1, 1)
            for copy, offset in zip(copies.chunk(len(offsets)), offsets, strict=True):
                copy[self._kept(offset)] = filled[self._kept(offset)]
            yield offsets, forward_at(network, copies, offsets, self.stride)

    def _terms(
        self, blind: torch.Tensor, noisy: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor, weight: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed loss over the masked pixels, and the sums of d1^2, d2^2 and (d1 - d2)^2 there."""
        d1, d2 = (blind - noisy) * mask, (seen - noisy) * mask
        if self.visible:
            first = d1 + weight * d2 if self.revisible == "A" else weight * d2 - d1
            loss = first.square().sum() + self.eta * d1.square().sum()
        else:
            loss = d1.square().sum()
        with torch.no_grad():
            sums = torch.stack([d.square().sum() for d in (d1, d2, d1 - d2)])
        return loss, sums


def _means(sums: torch.Tensor, count: torch.Tensor | int, weight: float) -> dict[str, torch.Tensor]:
    means = dict(zip(("blind", "seen", "gap"), sums / count, strict=True))
    return {**means, "lambda": sums.new_tensor(weight)}


def global_masks(noisy: torch.Tensor, stride: int) -> list[torch.Tensor]:
    """The s^2 masks (1, 1, H, W): mask i hides row i // s, column i % s of every cell."""
    masks = []
    for i in range(stride * stride):
        mask = torch.zeros((1, 1, *noisy.shape[-2:]), dtype=torch.bool, device=noisy.device)
        mask[..., i // stride :: stride, i % stride :: stride] = True
        masks.append(mask)
    return masks


def random_mask(noisy: torch.Tensor, stride: int, generator: torch.Generator) -> torch.Tensor:
    """One hidden pixel per cell, uniform and independent per cell and image: (N, 1, H, W)."""
    count, _, height, width = noisy.shape
    shape = (count, 1, height // stride, width // stride)
    choice = torch.randint(stride * stride, shape, generator=generator, device=noisy.device)
    cells = torch.nn.functional.one_hot(choice.squeeze(1), stride * stride).movedim(-1, 1)
    return torch.nn.functional.pixel_shuffle(cells.float(), stride) > 0.5
