"""The U-Net's layers for a CPU: the same functions as PyTorch's, with fewer multiply-adds and a faster gradient.

Two exact savings. A 3x3 convolution after nearest-neighbour upsampling sees each low-resolution pixel several
times; for each of the four positions of a 2x2 block its taps on equal pixels add up to a 2x2 kernel, 4 multiply-adds
instead of 9 per channel pair. `folded_up_conv` does so on every CPU and in every precision.

And the gradient of a 3x3 kernel is a matrix product per tap over one flat, padded copy of input and gradient, in which
a shift by a tap is a constant offset. oneDNN's own takes about twice as long on AVX2; with AVX512, and in bfloat16, it
is the faster one. So the functions of this kind serve where `suits` says so, and PyTorch's layers everywhere else.

All tensors are (N, C, H, W) in channels_last order. Each function but `folded_up_conv` includes the LeakyReLU that
follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function

# Below these sizes the calls cost more than they save.
MIN_PIXELS, _MIN_CHANNELS = 1024, 16
# Of oneDNN, in float32; it has no convolutions in float64.
FAST_GRADIENTS = torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def suits(x: torch.Tensor, plain: bool) -> bool:
    """Whether a gradient of our own is the faster way for this input; never if ``plain`` layers are asked for."""
    if plain or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    if x.dtype == torch.float32 and FAST_GRADIENTS:
        return False
    return x.shape[0] * x.shape[2] * x.shape[3] >= MIN_PIXELS and not torch.is_autocast_enabled("cpu")


def serves(x: torch.Tensor, plain: bool) -> bool:
    """Whether other ways than PyTorch's own pay for this input: on a CPU, unless ``plain`` layers are asked for."""
    return not plain and x.device.type == "cpu"


def weights(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Kernel and bias of a convolution that has both; a `torch.nn.ModuleList` does not tell what its layers are."""
    kernel, bias = layer.weight, layer.bias
    assert isinstance(kernel, torch.Tensor)
    assert isinstance(bias, torch.Tensor)
    return kernel, bias


def applied(function: type[Function], *arguments: Any) -> torch.Tensor:
    """``function.apply(*arguments)``, which PyTorch leaves without types."""
    return function.apply(*arguments)


def conv3x3(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float) -> torch.Tensor:
    """``leaky_relu(conv2d(x, weight, bias, padding=1), slope)``."""
    return applied(_Conv3x3, x, weight, bias, slope)


def up_conv3x3(
    low: torch.Tensor, skip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float
) -> torch.Tensor:
    """``leaky_relu(conv2d(cat([upsample(low), skip]), weight, bias, padding=1), slope)``.

    Parameters
    ----------
    low : torch.Tensor
        (N, L, H, W), upsampled to the nearest neighbour twofold.
    skip : torch.Tensor
        (N, S, 2H, 2W).
    weight : torch.Tensor
        (O, L + S, 3, 3).
    """
    return applied(_UpConv3x3, low, skip, weight, bias, slope)


def conv3x3_at(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    slope: float,
    offsets: Sequence[tuple[int, int]],
    stride: int,
) -> torch.Tensor:
    """`conv3x3` of stacked copies, each only at the pixels of its own offset.

    Parameters
    ----------
    x : torch.Tensor
        (K N, C, H, W); copy k is ``x[k N:(k + 1) N]``.
    offsets : Sequence[tuple[int, int]]
        K pairs (row, column), each below ``stride``, which divides H and W.

    Returns
    -------
    torch.Tensor
        (K N, O, H / stride, W / stride).
    """
    return applied(_Conv3x3At, x, weight, bias, slope, tuple(offsets), stride)


def folded_up_conv(
    low: torch.Tensor, skip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, above: int = 1
) -> torch.Tensor:
    """`up_conv3x3` without its LeakyReLU, of PyTorch's operations: in any precision, also for a kernel that looks up.

    Parameters
    ----------
    above : int
        How many rows above a pixel its kernel reaches: 1, or 2 for a kernel whose last row is the pixel's own.
    """
    split = low.shape[1]
    grid = F.conv2d(F.pad(low, (1, 1, 1, 2 - above)), _channels_last(_fold(weight[:, :split], above)))
    return applied(_Interleave, grid, above) + shifted_conv(skip, weight[:, split:], bias, above)


def shifted_conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, above: int) -> torch.Tensor:
    """A 3x3 convolution whose kernel reaches ``above`` rows above a pixel: 1, or 2 as in `folded_up_conv`."""
    if above == 1:
        return F.conv2d(x, weight, bias, padding=1)
    return F.conv2d(F.pad(x, (1, 1, above, 2 - above)), weight, bias)


class _Conv3x3(Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float) -> torch.Tensor:
        x = _channels_last(x)
        out = F.leaky_relu_(F.conv2d(x, weight, bias, padding=1), slope)
        ctx.save_for_backward(x, weight, out)
        ctx.slope = slope
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, out = ctx.saved_tensors
        padded = _through_activation(grad, out, ctx.slope)
        grad_x = _data_gradient(padded, weight) if ctx.needs_input_grad[0] else None
        return grad_x, _kernel_gradient(x, padded), padded.sum((0, 1, 2)), None


class _UpConv3x3(Function):
    @staticmethod
    def forward(
        ctx: Any, low: torch.Tensor, skip: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: float
    ) -> torch.Tensor:
        low, skip = _channels_last(low), _channels_last(skip)
        split = low.shape[1]
        folded = _channels_last(_fold(weight[:, :split]))
        grid = F.conv2d(low, folded, padding=1).permute(0, 2, 3, 1)
        out = F.conv2d(skip, _channels_last(weight[:, split:]), bias, padding=1)
        for blocks, phase in zip(_blocks(out.permute(0, 2, 3, 1)), _phases(grid, weight.shape[0]), strict=True):
            blocks += phase
        F.leaky_relu_(out, slope)
        ctx.save_for_backward(low, skip, weight, out, folded)
        ctx.slope = slope
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        low, skip, weight, out, folded = ctx.saved_tensors
        channels, split = weight.shape[0], low.shape[1]
        count, _, height, width = low.shape
        padded = _through_activation(grad, out, ctx.slope)
        grad_skip = _data_gradient(padded, weight[:, split:]) if ctx.needs_input_grad[1] else None
        # One row and column more than the output has blocks, and another for a flat view: see `_grid_gradient`.
        grid = grad.new_empty(count, height + 2, width + 2, 4 * channels)
        _clear_border(grid, 2)
        for phase, blocks in zip(_phases(grid[:, :-1, :-1], channels), _blocks(padded[:, 1:-1, 1:-1]), strict=True):
            phase.copy_(blocks)
        grad_low = None
        if ctx.needs_input_grad[0]:
            grad_low = F.conv2d(grid.permute(0, 3, 1, 2), _transposed(folded))[:, :, :-1, :-1]
        grad_weight = torch.cat([_unfold(_grid_gradient(low, grid)), _kernel_gradient(skip, padded)], dim=1)
        return grad_low, grad_skip, grad_weight, padded.sum((0, 1, 2)), None


class _Interleave(Function):
    """The four positions of each 2x2 block, from channels side by side into their places."""

    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, above: int) -> torch.Tensor:
        count, channels, height, width = grid.shape
        ctx.above, outputs = above, channels // 4
        out = grid.new_empty(count, 2 * (height - 2 + above), 2 * (width - 1), outputs)
        for blocks, phase in zip(_blocks(out), _phases(grid.permute(0, 2, 3, 1), outputs, above), strict=True):
            blocks.copy_(phase)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        count, outputs, height, width = grad.shape
        grid = grad.new_empty(count, height // 2 + 2 - ctx.above, width // 2 + 1, 4 * outputs)
        _clear_border(grid, 1)
        blocks = _blocks(grad.permute(0, 2, 3, 1))
        for phase, pixels in zip(_phases(grid, outputs, ctx.above), blocks, strict=True):
            phase.copy_(pixels)
        return grid.permute(0, 3, 1, 2), None


class _Conv3x3At(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        slope: float,
        offsets: tuple[tuple[int, int], ...],
        stride: int,
    ) -> torch.Tensor:
        total, channels, height, width = x.shape
        windows = x.new_empty(total, height // stride, width // stride, 9, channels)
        for target, source in _windows(windows, _padded(x), offsets, stride):
            target.copy_(source)
        kernel = weight.permute(0, 2, 3, 1).flatten(1)
        out = F.leaky_relu_(F.linear(windows.flatten(3), kernel, bias), slope)
        ctx.save_for_backward(windows, kernel, out)
        ctx.slope, ctx.offsets, ctx.stride = slope, offsets, stride
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        windows, kernel, out = ctx.saved_tensors
        total, rows, columns, _, channels = windows.shape
        stride, outputs = ctx.stride, len(kernel)
        grad = torch.ops.aten.leaky_relu_backward(grad.permute(0, 2, 3, 1).contiguous(), out, ctx.slope, True)
        flat = grad.view(-1, outputs)
        grad_kernel = (flat.t() @ windows.view(-1, 9 * channels)).view(outputs, 3, 3, channels).permute(0, 3, 1, 2)
        padded = grad.new_zeros(total, rows * stride + 2, columns * stride + 2, channels)
        # The windows are not needed any more, and as large as their gradient.
        torch.mm(flat, kernel, out=windows.view(-1, 9 * channels))
        for source, target in _windows(windows, padded, ctx.offsets, stride):
            target += source
        return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2), grad_kernel, flat.sum(0), None, None, None


def _windows(
    windows: torch.Tensor, padded: torch.Tensor, offsets: Sequence[tuple[int, int]], stride: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of views (N, H / stride, W / stride, C): a tap of the windows of one copy, and its pixels in the image."""
    rows, columns = windows.shape[1:3]
    for part, image, (row, column) in zip(
        windows.chunk(len(offsets)), padded.chunk(len(offsets)), offsets, strict=True
    ):
        for tap in range(9):
            top, left = row + tap // 3, column + tap % 3
            bottom, right = top + (rows - 1) * stride + 1, left + (columns - 1) * stride + 1
            yield part[:, :, :, tap], image[:, top:bottom:stride, left:right:stride]


def _kernel_gradient(x: torch.Tensor, padded: torch.Tensor) -> torch.Tensor:
    """Gradient (O, C, 3, 3) of a kernel from the input (N, C, H, W) and the padded gradient (N, H + 2, W + 2, O)."""
    count, channels, height, width = x.shape
    outputs = padded.shape[3]
    if count * height * width < MIN_PIXELS or channels < _MIN_CHANNELS:
        grad = padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
        kernel = x.new_empty(outputs, channels, 3, 3)
        return torch.ops.aten.convolution_backward(
            grad, x, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]
        )[1]
    flat_x, flat_grad = _padded(x).view(-1, channels), padded.view(-1, outputs)
    reach = width + 3
    # The gradient is zero on the padding, so windows that run over an edge contribute nothing.
    inner = flat_grad[reach : len(flat_grad) - reach].t()
    taps = x.new_empty(3, 3, outputs, channels)
    for row in range(3):
        for column in range(3):
            start = row * (width + 2) + column
            torch.mm(inner, flat_x[start : start + inner.shape[1]], out=taps[row, column])
    return taps.permute(2, 3, 0, 1)


def _grid_gradient(low: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Gradient (4 O, L, 2, 2) of a folded kernel; ``grid`` is (N, H + 2, W + 2, 4 O), its last row and column zero."""
    channels, width = low.shape[1], low.shape[3]
    flat_low, flat_grid = _padded(low).view(-1, channels), grid.view(-1, grid.shape[3])
    inner = flat_grid[: len(flat_grid) - width - 3].t()
    taps = low.new_empty(2, 2, grid.shape[3], channels)
    for row in range(2):
        for column in range(2):
            start = row * (width + 2) + column
            torch.mm(inner, flat_low[start : start + inner.shape[1]], out=taps[row, column])
    return taps.permute(2, 3, 0, 1)


def _fold_matrix(above: int) -> torch.Tensor:
    """(9, 16): which taps of a 3x3 kernel add up to which taps of its four 2x2 kernels."""
    # Columns of the 3x3 kernel in each column of the 2x2 kernel, for even and for odd output columns.
    # On the CPU whatever the caller's default: this module may be imported while a network is made on another device.
    columns = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], device="cpu")
    # One row higher, an even row sees of the blocks what an odd one sees of the blocks below.
    rows = columns if above == 1 else columns.flip(0)
    return torch.einsum("pai,qbj->ijpqab", rows, columns).reshape(9, 16)


_FOLD = {above: _fold_matrix(above) for above in (1, 2)}


def _fold(weight: torch.Tensor, above: int = 1) -> torch.Tensor:
    """(O, C, 3, 3) to the four 2x2 kernels (4 O, C, 2, 2) of even and odd rows and columns."""
    # Mixed precision would round the taps before they are added, and their sums once more.
    with torch.autocast("cpu", enabled=False):
        parts = (weight.flatten(2) @ _FOLD[above].to(weight.dtype)).view(*weight.shape[:2], 4, 2, 2)
    return parts.movedim(2, 0).flatten(0, 1)


def _unfold(folded: torch.Tensor) -> torch.Tensor:
    """The adjoint of `_fold`: the gradient of a kernel from those of its four parts."""
    parts = folded.view(4, -1, *folded.shape[1:]).movedim(0, 2)
    return (parts.flatten(2) @ _FOLD[1].to(folded.dtype).t()).view(*parts.shape[:2], 3, 3)


_PARITIES = ((0, 0), (0, 1), (1, 0), (1, 1))


def _phases(grid: torch.Tensor, channels: int, above: int = 1) -> list[torch.Tensor]:
    """Views (N, H, W, O) of a grid (N, H + 2 - above, W + 1, 4 O).

    Output columns 2j + odd lie at grid columns j + odd, and so do the rows, but for ``above`` = 2: there at grid row i.
    """
    height, width = grid.shape[1] - 2 + above, grid.shape[2] - 1
    return [
        grid[:, row : row + height, column : column + width, number * channels : (number + 1) * channels]
        for number, (row, column) in enumerate((row * (2 - above), column) for row, column in _PARITIES)
    ]


def _blocks(pixels: torch.Tensor) -> list[torch.Tensor]:
    """Views (N, H, W, O) of (N, 2H, 2W, O): the pixels of each parity."""
    return [pixels[:, row::2, column::2] for row, column in _PARITIES]


def _through_activation(grad: torch.Tensor, out: torch.Tensor, slope: float) -> torch.Tensor:
    """The gradient before a LeakyReLU, (N, H + 2, W + 2, O) with a border of zeros."""
    count, channels, height, width = out.shape
    padded = out.new_empty(count, height + 2, width + 2, channels)
    _clear_border(padded, 1)
    inner = padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2)
    # Any layout with channels innermost will do; only a foreign one is worth a copy.
    grad = grad if grad.stride(1) == 1 else _channels_last(grad)
    torch.ops.aten.leaky_relu_backward.grad_input(grad, out, slope, True, grad_input=inner)
    return padded


def _padded(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) to (N, H + 2, W + 2, C) with a border of zeros."""
    count, channels, height, width = x.shape
    padded = x.new_empty(count, height + 2, width + 2, channels)
    _clear_border(padded, 1)
    padded[:, 1:-1, 1:-1].copy_(x.permute(0, 2, 3, 1))
    return padded


def _clear_border(pixels: torch.Tensor, width: int) -> None:
    for side in (slice(None, width), slice(-width, None)):
        pixels[:, side].zero_()
        pixels[:, :, side].zero_()


def _data_gradient(padded: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Gradient of the input of a 3x3 convolution: one without padding, of the padded gradient."""
    return F.conv2d(padded.permute(0, 3, 1, 2), _transposed(weight))


def _transposed(weight: torch.Tensor) -> torch.Tensor:
    return _channels_last(weight.flip(2, 3).transpose(0, 1))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
