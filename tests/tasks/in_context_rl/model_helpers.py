"""Small history models, made-up histories, and rows that are written by hand."""

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset

from tasks.in_context_rl.encoding import FIELDS, field_sizes
from tasks.in_context_rl.model import HistoryConfig, HistoryModel
from tasks.in_context_rl.rollout import Actor
from tasks.in_context_rl.rooms import N_ACTIONS
from tasks.in_context_rl.rows import HistoryRows

MODELS = {
    "ad": {"architecture": "ad"},
    "gated": {"architecture": "compressed_ad", "gated": True},
    "ungated": {"architecture": "compressed_ad", "gated": False},
}

COMPRESSED = ["gated", "ungated"]

SCHEDULES = {"half": (4, 2), "little": (5, 1), "nothing": (3, 0), "one": (1, 0), "all but one": (4, 3)}

TINY = {
    "size": 3,
    "n_latents": 3,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_encoder_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "init_scale": 0.3,
    "dropout": 0.0,
}


def build(name, schedule="half", seed=0, **sizes):
    """In float64, so that what is equal is nearly so in every digit."""
    torch.manual_seed(seed)
    window, keep = SCHEDULES[schedule]
    config = HistoryConfig(**{**TINY, **MODELS[name], "window": window, "keep": keep, **sizes})
    return HistoryModel(config).double().eval()


def random_steps(n, length, size=3, seed=0):
    """Any value in every field."""
    rng, sizes = np.random.default_rng(seed), field_sizes(size, N_ACTIONS, 2)
    first = np.cumsum([0, *sizes[:-1]])
    return torch.from_numpy(rng.integers(0, sizes, (n, length, len(FIELDS))) + first)


def random_labels(n, length, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, N_ACTIONS, (n, length)))


def other_step(steps_F, size=3):
    """A step that differs in every field."""
    sizes = torch.tensor(field_sizes(size, N_ACTIONS, 2))
    first = torch.cumsum(sizes, 0) - sizes
    return (steps_F - first + 1) % sizes + first


def each_changed(steps_1TF):
    """T histories; number t differs from the given one in step t alone."""
    changed = steps_1TF.repeat(steps_1TF.shape[1], 1, 1)
    for place in range(len(changed)):
        changed[place, place] = other_step(changed[place, place])
    return changed


@torch.no_grad()
def logits_of(model, steps):
    return model(steps=steps).logits


def acted(model, steps):
    actor = Actor(model, len(steps))
    return torch.stack([actor.logits(steps[:, place]) for place in range(steps.shape[1])], dim=1)


def longest_of(model, depth=3):
    """Steps of a history that ends in the middle of a window, where there is a middle."""
    return model.schedule.length(depth) + (model.schedule.stride + 1) // 2


def simulated(window, keep, n_steps):
    """Depth of every step, and the first step that is still seen."""
    seen, depth, found = [], 0, []
    for step in range(n_steps):
        if len(seen) == window:
            seen, depth = seen[window - keep :], depth + 1
        seen.append(step)
        found.append((depth, seen[0]))
    return found


def random_window(model, n_steps, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((1, n_steps, TINY["hidden_size"]), (1, model.n_latents, TINY["hidden_size"]))
    return [torch.from_numpy(rng.standard_normal(shape)) for shape in shapes]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def optimal_player(room, worlds_tasks):
    """An actor that knows its tasks and reads from each step where it is; it walks straight to the next goal."""
    sizes = field_sizes(room.size, N_ACTIONS, 2)
    first, stage = np.cumsum([0, *sizes[:-1]]), np.zeros(len(worlds_tasks), dtype=int)

    def logits(ids):
        found = torch.zeros(len(ids), N_ACTIONS)
        for agent, fields in enumerate((ids.numpy() - first).tolist()):
            row, column, _, _, _, reward, begins = fields
            stage[agent] = 0 if begins else stage[agent] + (reward == 1)
            goals = worlds_tasks.goals_NG[agent]
            goal_row, goal_column = divmod(int(goals[min(stage[agent], len(goals) - 1)]), room.size)
            steps = [goal_row > row, goal_row < row, goal_column > column, goal_column < column, True]
            found[agent, worlds_tasks.moves_NA[agent].tolist().index(steps.index(True))] = 1
        return found

    return lambda model, batch: SimpleNamespace(logits=logits)


PLAIN = ("task", "label", "goals", "moves", "random_return", "optimal_return")


def lists(values_NK):
    return pa.FixedSizeListArray.from_arrays(pa.array(values_NK.ravel()), values_NK.shape[1])


def tasks_of(world, n):
    places = np.arange(n) % len(world.tasks)
    return {"goals": lists(world.tasks.goals_NG[places]), "moves": lists(world.tasks.moves_NA[places])}


def as_rows(world, config, columns, split="validation"):
    kinds = {name: np.float16 if name == "probability" else np.uint8 for name in columns}
    table = {name: lists(np.ascontiguousarray(values, dtype=kinds[name])) for name, values in columns.items()}
    n = len(next(iter(columns.values())))
    return HistoryRows(
        split,
        Dataset(pa.table({**dict.fromkeys(PLAIN, np.arange(n)), **tasks_of(world, n), **table})),
        world.room,
        config,
        {"dataset_seed": 0},
    )


class Rows:
    """Test rows of a source of which every second episode is kept."""

    options: ClassVar = {"eval_episodes": 3}
    source_episode_E = 1 + 2 * np.arange(20)
    yardsticks: ClassVar = {
        name: np.full((2, 4, 3), level) for name, level in (("psrl", 6.0), ("search", 6.5), ("matching", 5.5))
    }

    def tasks(self):
        return None, {"random_return": np.array([0.1, 0.3]), "optimal_return": np.array([5.0, 9.0])}

    def returns(self):
        return np.arange(40).reshape(2, 20)
