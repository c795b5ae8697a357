"""The dark rooms by their published rules, without numpy."""

from itertools import permutations, product

import numpy as np
import pytest

from tasks.in_context_rl import rooms
from tasks.in_context_rl.environments import FAMILIES as ENVIRONMENTS

FAMILIES = {
    "darkroom": rooms.darkroom,
    "darkroom_permuted": rooms.permuted_darkroom,
    "dark_key_to_door": rooms.key_to_door,
}

IDS = dict(zip(FAMILIES, ENVIRONMENTS, strict=True))

DIRECTIONS = [(1, 0), (-1, 0), (0, 1), (0, -1), (0, 0)]  # down, up, right, left, stay

families = pytest.mark.parametrize("name", FAMILIES)


def rules(name, size, number):
    """A task's start, goals and the direction of every action, from its number and what is published."""
    places = list(product(range(size), repeat=2))
    if name == "darkroom":
        return places[size**2 // 2 if size % 2 else size**2 // 2 + size // 2], [places[number]], DIRECTIONS
    if name == "darkroom_permuted":
        return places[0], [places[-1]], list(permutations(DIRECTIONS))[number]
    return rules("darkroom", size, 0)[0], list(product(places, repeat=2))[number], DIRECTIONS


def walked(name, size, number, actions):
    """Cells and rewards of one agent in one episode, without numpy."""
    (row, column), goals, directions = rules(name, size, number)
    left, cells, rewards = list(goals), [], []
    for action in actions:
        down, right = directions[action]
        if 0 <= row + down < size and 0 <= column + right < size:
            row, column = row + down, column + right
        rewarded = bool(left) and (row, column) == left[0]
        if rewarded and name == "dark_key_to_door":
            left.pop(0)
        cells.append(row * size + column)
        rewards.append(int(rewarded))
    return cells, rewards


def some_tasks(world, count, seed=0):
    n_tasks = len(world.tasks)
    return np.random.default_rng(seed).choice(n_tasks, min(count, n_tasks), replace=False)


def decoded(size, ids):
    """Fields of encoded steps; None is nothing yet."""
    sizes = [size, size, size + 1, size + 1, 6, 3, 2]
    values = [number - sum(sizes[:place]) for place, number in enumerate(ids)]
    assert all(0 <= value < most for value, most in zip(values, sizes, strict=True))
    nothing = [None, None, size, size, 5, 2, None]
    return [None if value == none else value for value, none in zip(values, nothing, strict=True)]
