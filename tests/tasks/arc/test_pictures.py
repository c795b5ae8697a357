"""Pictures of episodes and tasks."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tasks.arc.figures import PALETTE, ArcExample, examples_figure, per_task_figure
from tasks.arc.grids import N_COLOURS

from .score_helpers import any_grid


def episodes():
    """Of many sizes, the second without a readable answer."""
    rng = np.random.default_rng(0)
    largest, smallest = any_grid(rng, (30, 30)), any_grid(rng, (1, 1))
    return [
        ArcExample("a", [(largest, smallest), (smallest, largest)], largest, smallest, smallest),
        ArcExample("b", [(any_grid(rng), any_grid(rng, (1, 30)))], any_grid(rng, (30, 1)), largest, None),
        ArcExample("c", [], any_grid(rng), any_grid(rng), np.zeros((2, 7), dtype=np.uint8)),
    ]


def test_episodes_of_any_size_are_drawn():
    figure = examples_figure(episodes(), "a title")
    figure.draw_without_rendering()
    last = [axes for number, axes in enumerate(figure.axes) if number % 7 == 6]
    assert [axes.get_title() for axes in last] == ["generated", "no grid", "generated"]
    assert [axes.images[0].get_array().shape for axes in last] == [(1, 1), (1, 1), (2, 7)]
    assert len({axes.title.get_color() for axes in last}) == 2  # right, wrong, wrong


def test_one_episode_without_an_answer_is_drawn():
    examples_figure(episodes()[1:2], "").draw_without_rendering()


@pytest.mark.parametrize("n_tasks", [1, 18])
def test_tasks_are_drawn(n_tasks):
    names = [f"{number:08x}" for number in range(n_tasks)]
    found = zip(np.linspace(0, 1, n_tasks).tolist(), [0.0] * n_tasks, strict=True)
    figure = per_task_figure(dict(zip(names, found, strict=True)), "a title")
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == names


def test_every_colour_is_drawn_as_itself():
    grid = np.arange(N_COLOURS, dtype=np.uint8).reshape(2, 5)
    figure = examples_figure([ArcExample("a", [(grid, grid)], grid, grid, grid[:1])], "")
    colours = [to_hex(colour).upper() for colour in PALETTE.colors]
    assert len(set(colours)) == N_COLOURS and colours[0] == "#000000"
    for axes in figure.axes:
        picture = axes.images[0]
        drawn = picture.to_rgba(picture.get_array()).reshape(-1, 4)
        assert [to_hex(colour).upper() for colour in drawn] == colours[: len(drawn)]
