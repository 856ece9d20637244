"""Block matching: for each reference patch, the patches most like it within a window, found by matrix products.

    d(p, q) = sum_u (f_u(p) - f_u(q))^2 = [-2 f(p), 1, |f(p)|^2] . [f(q), |f(q)|^2, 1]

One product gives the distances of a tile of references to all patches around the tile; each reference then looks at its
own window of them. Patches beyond the area have an infinite norm, and are never found before those inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from denoisebench.core.lazy import torch

# References of a tile along a side. The union of their windows is compared with each: more waste, but larger products.
_TILE = 4
_FAR = 1e30


def reference_grid(side: int, step: int, start: int = 0) -> list[int]:
    """Positions of references along a side: the first, every ``step`` pixels from ``start`` on, and the last.

    Parameters
    ----------
    side : int
        Positions of patches along the side, at least 1.
    step : int
        Pixels from one reference to the next.
    start : int
        0 or more; there need be no position so far.
    """
    return sorted({0, *range(start, side, step), side - 1})


def similar(
    features: torch.Tensor,
    rows: Sequence[int],
    columns: Sequence[int],
    radius: int,
    count: int,
    floor: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The patches most like each reference, of those at most ``radius`` pixels away along each axis.

    Parameters
    ----------
    features : torch.Tensor
        (Y, X, F) float32 or float64: what is compared of the patch at each position of an area.
    rows, columns : sequence of int
        Positions of the references, increasing. All pairs of them are references, row by row.
    radius : int
        Reach of the window, in pixels.
    count : int
        Patches to find.
    floor : torch.Tensor, optional
        (2 radius + 1, 2 radius + 1), above 0, for each displacement: a smaller squared distance counts as this.

    Returns
    -------
    distances : torch.Tensor
        (references, count), squared, rising; 0 for the reference itself, which comes first, and above 1e29
        where the area holds no further patch.
    indices : torch.Tensor
        (references, count) int64 into the positions of the area, row by row; those of no patch are the reference's.
    """
    device, width = features.device, features.shape[1]
    window = 2 * radius + 1
    bits = {torch.float32: torch.int32, torch.float64: torch.int64}[features.dtype]
    row, column = torch.tensor(rows, device=device), torch.tensor(columns, device=device)
    table, above, before = _padded(features, rows, columns, radius)
    size = table.shape[2] - 2
    mine = table[row + above][:, column + before]
    queries = torch.cat([-2 * mine[:, :, :size], mine[:, :, size + 1 :], mine[:, :, size : size + 1]], dim=2)
    distances = features.new_empty(len(rows), len(columns), count)
    places = torch.empty(len(rows), len(columns), count, dtype=torch.int64, device=device)
    sections = _sections(window**2, count)
    own = features.new_full((len(rows) * min(_TILE, len(columns)), sections[0] * sections[1]), _FAR)
    for left, wide in _tiles(columns):
        first, reach = columns[left] + before - radius, columns[left + wide - 1] - columns[left] + window
        strip = table[:, first : first + reach].contiguous()
        part = own[: len(rows) * wide]
        for top, high in _tiles(rows):
            query = queries[top : top + high, left : left + wide].reshape(high * wide, -1)
            first, tall = rows[top] + above - radius, rows[top + high - 1] - rows[top] + window
            near = strip[first : first + tall].view(-1, size + 2)
            found = (query @ near.T).view(high, wide, tall, reach)
            down = rows[top + 1] - rows[top] if high > 1 else 0
            right = columns[left + 1] - columns[left] if wide > 1 else 0
            s0, s1, s2, s3 = found.stride()
            windows = found.as_strided((high, wide, window, window), (s0 + down * s2, s1 + right * s3, s2, s3))
            tile = part[top * wide : (top + high) * wide, : window**2]
            if floor is None:
                tile.view(high, wide, window, window).copy_(windows)
            else:
                torch.maximum(windows, floor, out=tile.view(high, wide, window, window))
        # -0.0 is the smallest of all whole numbers; of other floats not below 0 the order is that of their bits.
        part[:, radius * window + radius] = -0.0
        values, chosen = _smallest(part.view(bits), sections, count)
        distances[:, left : left + wide] = values.view(features.dtype).view(len(rows), wide, count)
        places[:, left : left + wide] = chosen.view(len(rows), wide, count)
    offset = (places.div(window, rounding_mode="floor") - radius) * width + places % window - radius
    indices = (row[:, None] * width + column)[:, :, None] + torch.where(distances < _FAR / 10, offset, 0)
    return distances.clamp_(min=0).view(-1, count), indices.view(-1, count)


def _padded(
    features: torch.Tensor, rows: Sequence[int], columns: Sequence[int], radius: int
) -> tuple[torch.Tensor, int, int]:
    """Features, squared norm and 1 of each position, as far as windows reach; and the rows and columns put before."""
    height, width, size = features.shape
    above, before = max(0, radius - rows[0]), max(0, radius - columns[0])
    below, behind = max(0, rows[-1] + radius + 1 - height), max(0, columns[-1] + radius + 1 - width)
    norms = features.square().sum(2, keepdim=True)
    table = torch.cat([features, norms, torch.ones_like(norms)], dim=2)
    if above or below or before or behind:
        table = torch.nn.functional.pad(table, (0, 0, before, behind, above, below))
        for beyond in (table[:above], table[above + height :], table[:, :before], table[:, before + width :]):
            beyond[:, :, size] = _FAR
    return table, above, before


def _sections(length: int, count: int) -> tuple[int, int]:
    """Number of sections of a row of distances, and their length: if there are several, twice what is to be found."""
    sections = next((n for n in (8, 4, 2) if length >= 2 * n * count), 1)
    return sections, max(-(-length // sections), count)


def _smallest(values: torch.Tensor, sections: tuple[int, int], count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest values of each row, rising, and where they are.

    They are all in those places of a section, over all sections, that hold the smallest minima.
    """
    split = values.view(len(values), *sections)
    places = split.amin(1).topk(count, dim=1, largest=False, sorted=False).indices
    candidates = split.gather(2, places[:, None].expand(-1, sections[0], -1))
    found = candidates.view(len(values), -1).topk(count, dim=1, largest=False)
    section, place = found.indices.div(count, rounding_mode="floor"), found.indices % count
    return found.values, section * sections[1] + places.gather(1, place)


def _tiles(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First index and number of references of each tile along a side; within a tile they are evenly spaced."""
    start = 0
    while start < len(places):
        end = start + 1
        while (
            end < len(places)
            and end - start < _TILE
            and (end - start < 2 or places[end] - places[end - 1] == places[start + 1] - places[start])
        ):
            end += 1
        yield start, end - start
        start = end
