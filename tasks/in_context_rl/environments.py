"""Dark rooms as gymnasium environments: one agent, or many at once in NumPy.

    import gymnasium, tasks.in_context_rl.environments
    gymnasium.make("WorldModels/Darkroom-v0", render_mode="ansi")
    gymnasium.make_vec("WorldModels/DarkKeyToDoor-v0", num_envs=64, size=7)

Observations are row and column; the goal is hidden. Episodes are truncated at the horizon.
"""

import reprlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from tasks.in_context_rl import rooms
from tasks.in_context_rl.rooms import N_ACTIONS, Room
from tasks.in_context_rl.worlds import Family

FAMILIES: dict[str, Callable[..., Family]] = {
    "WorldModels/Darkroom-v0": rooms.darkroom,
    "WorldModels/DarkroomPermuted-v0": rooms.permuted_darkroom,
    "WorldModels/DarkKeyToDoor-v0": rooms.key_to_door,
}

_METADATA: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}


class RoomEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One agent in a room.

    Args:
        family: The room and its tasks.
        task: Number of the task; None draws one at every reset.
        render_mode: "ansi" for a text, see `draw_room`.
    """

    metadata: ClassVar[dict[str, Any]] = _METADATA

    def __init__(self, family: Family, task: int | None = None, render_mode: str | None = None) -> None:
        self.family, self.given, self.render_mode = family, task, _checked_mode(render_mode)
        self.observation_space = spaces.MultiDiscrete([family.room.size] * 2)
        self.action_space = spaces.Discrete(N_ACTIONS)
        _check_tasks(family, None if task is None else [task])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begin an episode; `info["task"]` is the task's number."""
        super().reset(seed=seed)
        self.task = int(self.np_random.integers(len(self.family.tasks))) if self.given is None else self.given
        self.cell_N, self.stage_N = np.array([self.family.room.start]), np.zeros(1, dtype=np.int64)
        return self._observation(), {"task": self.task}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step; `gymnasium.make` adds the time limit.

        Raises:
            InvalidAction: there is no such action.
        """
        if not self.action_space.contains(action):
            raise InvalidAction(f"an action is a whole number from 0 to {N_ACTIONS - 1}, got {action!r}")
        self.cell_N, self.stage_N, reward_N = self.family.room.step(
            self.family.tasks[[self.task]], self.cell_N, self.stage_N, np.array([action])
        )
        return self._observation(), float(reward_N[0]), False, False, {"task": self.task}

    def render(self) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the room as text; None without a render mode."""
        if self.render_mode is None:
            return None
        goals_G = self.family.tasks.goals_NG[self.task]
        return draw_room(self.family.room, goals_G, int(self.cell_N[0]), int(self.stage_N[0]))

    def _observation(self) -> np.ndarray:
        return np.array(divmod(int(self.cell_N[0]), self.family.room.size))


class RoomVectorEnv(VectorEnv):
    """Many agents in lockstep, each with its own task; all episodes end together, and the next begins at once.

    At an episode's last step the observation is the next one's first; `info["final_obs"]` is where the last step led.

    Args:
        family: The room, whose horizon is the length of an episode, and its tasks.
        tasks: Numbers of the tasks, one per agent; None draws them at every reset. They stay from episode to episode.
        render_mode: "ansi" for a text per agent.
    """

    metadata: ClassVar[dict[str, Any]] = {**_METADATA, "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self, family: Family, num_envs: int, tasks: np.ndarray | None = None, render_mode: str | None = None
    ) -> None:
        self.family, self.num_envs, self.given = family, num_envs, tasks
        self.render_mode = _checked_mode(render_mode)
        self.single_observation_space = spaces.MultiDiscrete([family.room.size] * 2)
        self.single_action_space = spaces.Discrete(N_ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        if tasks is not None and len(tasks) != num_envs:
            raise ValueError(f"{num_envs} environments need {num_envs} tasks, got {len(tasks)}")
        _check_tasks(family, tasks)
        self.generators: list[np.random.Generator | None] = [None] * num_envs
        self.elapsed: int | None = None

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode everywhere; `info["task"]` has the tasks' numbers.

        Args:
            seed: of every agent, as in gymnasium: a list has one each, a number is that of the first, and the others
                count on from it. An agent draws the task that it would draw alone with its seed.

        Raises:
            ValueError: as many seeds as agents are needed, and one agent cannot be reset without the others.
        """
        if options and "reset_mask" in options:
            raise ValueError("all agents begin their episodes together: reset without options['reset_mask']")
        self.task_N = self._drawn(seed) if self.given is None else np.asarray(self.given)
        self.tasks = self.family.tasks[self.task_N]
        self._begin()
        return self._observation(), self._info()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step with every agent.

        Raises:
            InvalidAction: one is out of range, or there are not as many as agents.
            ResetNeeded: no episode was begun.
        """
        if self.elapsed is None:
            raise ResetNeeded("no episode was begun: call reset() before step()")
        if not self.action_space.contains(actions):
            given = np.asarray(actions)
            every = given.ravel().tolist()
            wrong = [action for action in every if not self.single_action_space.contains(action)] or every
            raise InvalidAction(
                f"{self.num_envs} actions are needed, whole numbers from 0 to {N_ACTIONS - 1}, got shape {given.shape}"
                f" of {given.dtype} with {reprlib.repr(wrong)}"
            )
        self.cell_N, self.stage_N, reward_N = self.family.room.step(
            self.tasks, self.cell_N, self.stage_N, np.asarray(actions)
        )
        self.elapsed += 1
        infos, ends = self._info(), self.elapsed == self.family.room.horizon
        if ends:
            every_N = np.ones(self.num_envs, dtype=bool)
            infos |= {"final_obs": self._observation(), "_final_obs": every_N}
            infos |= {"final_info": self._info(), "_final_info": every_N}
            self._begin()
        never_N, ends_N = np.zeros(self.num_envs, dtype=bool), np.full(self.num_envs, ends)
        return self._observation(), reward_N.astype(np.float64), never_N, ends_N, infos

    def render(self) -> tuple[str, ...] | None:
        """Return every agent's room as text; None without a render mode."""
        if self.render_mode is None:
            return None
        places = zip(self.tasks.goals_NG, self.cell_N.tolist(), self.stage_N.tolist(), strict=True)
        return tuple(draw_room(self.family.room, *place) for place in places)

    def _drawn(self, seed: int | Sequence[int | None] | None) -> np.ndarray:
        """Return a drawn task for every agent; those without a seed go on with the generator that they have."""
        n = self.num_envs
        first = range(seed, seed + n) if isinstance(seed, int | np.integer) else seed
        seeds: Sequence[int | None] = [None] * n if first is None else first
        if len(seeds) != n:
            raise ValueError(f"{n} environments need {n} seeds, got {len(seeds)}")
        for place, one in enumerate(seeds):
            if one is not None or self.generators[place] is None:
                self.generators[place], _ = seeding.np_random(None if one is None else int(one))
        n_tasks = len(self.family.tasks)
        return np.array([generator.integers(n_tasks) for generator in self.generators if generator is not None])

    def _info(self) -> dict[str, Any]:
        return {"task": self.task_N, "_task": np.ones(self.num_envs, dtype=bool)}

    def _begin(self) -> None:
        self.cell_N = np.full(self.num_envs, self.family.room.start)
        self.stage_N, self.elapsed = np.zeros(self.num_envs, dtype=np.int64), 0

    def _observation(self) -> np.ndarray:
        return np.stack(np.divmod(self.cell_N, self.family.room.size), axis=-1)


def draw_room(room: Room, goals_G: np.ndarray, cell: int, stage: int) -> str:
    """Draw a room as text: the agent's cell in brackets, the goal G, or key K and door D until they are reached."""
    names = "KD" if room.n_goals == 2 else "G"
    shown = ["."] * room.n_cells
    for goal, name in reversed(list(zip(goals_G.tolist(), names, strict=True))[stage:]):
        shown[goal] = name  # in one cell, the next to be reached
    cells = [f"[{name}]" if place == cell else f" {name} " for place, name in enumerate(shown)]
    lines = ["".join(cells[first : first + room.size]).rstrip() for first in range(0, room.n_cells, room.size)]
    return "\n".join(lines) + "\n"


def _checked_mode(render_mode: str | None) -> str | None:
    if render_mode not in (None, *_METADATA["render_modes"]):
        raise ValueError(f"a room is drawn with render_mode 'ansi' or None, got {render_mode!r}")
    return render_mode


def _check_tasks(family: Family, tasks: Any) -> None:
    if tasks is not None and not 0 <= min(tasks) <= max(tasks) < len(family.tasks):
        raise ValueError(f"tasks are numbered 0 to {len(family.tasks) - 1}, got {min(tasks)} to {max(tasks)}")


def make_env(
    make_family: Callable[..., Family], size: int = 9, task: int | None = None, render_mode: str | None = None
) -> RoomEnv:
    """Entry point of `gymnasium.make`."""
    return RoomEnv(make_family(size), task, render_mode)


def make_vector_env(
    make_family: Callable[..., Family],
    num_envs: int,
    max_episode_steps: int,
    size: int = 9,
    tasks: np.ndarray | None = None,
    render_mode: str | None = None,
) -> RoomVectorEnv:
    """Entry point of `gymnasium.make_vec`."""
    return RoomVectorEnv(make_family(size, max_episode_steps), num_envs, tasks, render_mode)


for _name, _make_family in FAMILIES.items():
    gymnasium.register(
        _name,
        entry_point=f"{__name__}:make_env",
        vector_entry_point=f"{__name__}:make_vector_env",
        max_episode_steps=_make_family().room.horizon,
        kwargs={"make_family": _make_family},
    )
