"""Block matching against distances computed one by one."""

from __future__ import annotations

import pytest
import torch

from denoisebench.toolbox.block_matching import reference_grid, similar


def one_by_one(
    features: torch.Tensor, row: int, column: int, radius: int, count: int
) -> tuple[torch.Tensor, dict[int, float]]:
    """Smallest distances to a reference, and the distance of every position in its window."""
    height, width = features.shape[:2]
    everything = {
        y * width + x: float((features[y, x] - features[row, column]).square().sum())
        for y in range(max(0, row - radius), min(height, row + radius + 1))
        for x in range(max(0, column - radius), min(width, column + radius + 1))
    }
    return torch.tensor(sorted(everything.values())[:count]), everything


@pytest.mark.parametrize("shape", [(1, 1), (3, 20), (17, 23)])
@pytest.mark.parametrize(("radius", "count"), [(2, 4), (5, 8), (19, 16), (19, 32)])
def test_finds_the_nearest_within_the_window(shape: tuple[int, int], radius: int, count: int) -> None:
    features = torch.randint(0, 50, (*shape, 5), generator=torch.Generator().manual_seed(1)).float()
    rows, columns = (reference_grid(side, 3) for side in shape)
    distances, indices = similar(features, rows, columns, radius, count)
    references = [(y, x) for y in rows for x in columns]
    assert distances.shape == indices.shape == (len(references), count)
    for reference, (row, column) in enumerate(references):
        expected, everything = one_by_one(features, row, column, radius, count)
        found = distances[reference]
        # Whole numbers this small are exact in float32.
        assert torch.equal(found[: len(expected)], expected)
        assert (found[len(expected) :] > 1e29).all()
        own = row * shape[1] + column
        assert indices[reference, 0] == own
        assert (indices[reference, len(expected) :] == own).all()
        chosen = indices[reference, : len(expected)].tolist()
        assert len(set(chosen)) == len(chosen)
        assert [everything[place] for place in chosen] == expected.tolist()


def test_distances_below_a_floor_count_as_the_floor_of_their_displacement() -> None:
    shape, radius, count = (23, 20), 4, 12
    generator = torch.Generator().manual_seed(3)
    features = torch.randint(0, 8, (*shape, 5), generator=generator).float()
    floor = 40 + torch.randperm((2 * radius + 1) ** 2, generator=generator).view(2 * radius + 1, -1) / 128
    rows, columns = (reference_grid(side, 3) for side in shape)
    distances, indices = similar(features, rows, columns, radius, count, floor)
    references = [(y, x) for y in rows for x in columns]
    for reference, (row, column) in enumerate(references):
        expected = {
            place: max(distance, float(floor[place // shape[1] - row + radius, place % shape[1] - column + radius]))
            for place, distance in one_by_one(features, row, column, radius, count)[1].items()
        }
        own = row * shape[1] + column
        expected[own] = 0
        assert distances[reference].tolist() == sorted(expected.values())[:count]
        assert [expected[place] for place in indices[reference].tolist()] == distances[reference].tolist()
        assert int(indices[reference, 0]) == own


def test_the_reference_comes_first_even_among_equals() -> None:
    features = torch.full((30, 30, 64), 200.0)
    rows = columns = reference_grid(30, 3)
    distances, indices = similar(features, rows, columns, 19, 16)
    assert indices[:, 0].tolist() == [30 * y + x for y in rows for x in columns]
    assert float(distances.max()) == 0


def test_references_of_an_inner_area_need_no_border() -> None:
    features = torch.randn(60, 50, 8, generator=torch.Generator().manual_seed(2))
    inner, where = similar(features, [19, 22, 25], [19, 22], 19, 8)
    rows, columns = reference_grid(60, 1), reference_grid(50, 1)
    all_distances, all_places = similar(features, rows, columns, 19, 8)
    chosen = [50 * y + x for y in (19, 22, 25) for x in (19, 22)]
    torch.testing.assert_close(inner, all_distances[chosen], rtol=1e-5, atol=1e-4)
    assert torch.equal(where, all_places[chosen])


@pytest.mark.parametrize(("side", "expected"), [(1, [0]), (2, [0, 1]), (7, [0, 3, 6]), (9, [0, 3, 6, 8])])
def test_grid_ends_with_the_last_position(side: int, expected: list[int]) -> None:
    assert reference_grid(side, 3) == expected


@pytest.mark.parametrize(("side", "expected"), [(1, [0]), (2, [0, 1]), (7, [0, 2, 5, 6]), (9, [0, 2, 5, 8])])
def test_a_grid_that_starts_further_on_has_the_first_position_too(side: int, expected: list[int]) -> None:
    assert reference_grid(side, 3, 2) == expected
