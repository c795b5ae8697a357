"""Dark rooms as gymnasium environments: one agent, or many at once in NumPy.

    import gymnasium, tasks.in_context_rl.environments
    gymnasium.make("WorldModels/Darkroom-v0")
    gymnasium.make_vec("WorldModels/DarkKeyToDoor-v0", num_envs=64, size=7)

Observations are row and column; the goal is hidden. Episodes are truncated at the horizon.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from tasks.in_context_rl import rooms
from tasks.in_context_rl.rooms import N_ACTIONS, RoomFamily

FAMILIES: dict[str, Callable[..., RoomFamily]] = {
    "WorldModels/Darkroom-v0": rooms.darkroom,
    "WorldModels/DarkroomPermuted-v0": rooms.permuted_darkroom,
    "WorldModels/DarkKeyToDoor-v0": rooms.key_to_door,
}


class RoomEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One agent in a room.

    Args:
        family: The room and its tasks.
        task: Number of the task; None draws one at every reset.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, family: RoomFamily, task: int | None = None) -> None:
        self.family, self.given = family, task
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
        """Take one step; `gymnasium.make` adds the time limit."""
        self.cell_N, self.stage_N, reward_N = rooms.step(
            self.family.room, self.family.tasks[[self.task]], self.cell_N, self.stage_N, np.array([action])
        )
        return self._observation(), float(reward_N[0]), False, False, {"task": self.task}

    def _observation(self) -> np.ndarray:
        return np.array(divmod(int(self.cell_N[0]), self.family.room.size))


class RoomVectorEnv(VectorEnv):
    """Many agents in lockstep, each with its own task; all episodes end together, and the next begins at once.

    At an episode's last step the observation is the next one's first; `info["final_obs"]` is where the last step led.

    Args:
        family: The room, whose horizon is the length of an episode, and its tasks.
        tasks: Numbers of the tasks, one per agent; None draws them at every reset.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, family: RoomFamily, num_envs: int, tasks: np.ndarray | None = None) -> None:
        self.family, self.num_envs, self.given = family, num_envs, tasks
        self.single_observation_space = spaces.MultiDiscrete([family.room.size] * 2)
        self.single_action_space = spaces.Discrete(N_ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        if tasks is not None and len(tasks) != num_envs:
            raise ValueError(f"{num_envs} environments need {num_envs} tasks, got {len(tasks)}")
        _check_tasks(family, tasks)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode everywhere; `info["task"]` has the tasks' numbers."""
        super().reset(seed=seed)
        drawn_N = self.np_random.integers(len(self.family.tasks), size=self.num_envs)
        self.task_N = drawn_N if self.given is None else np.asarray(self.given)
        self.tasks = self.family.tasks[self.task_N]
        self._begin()
        return self._observation(), {"task": self.task_N}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Take one step with every agent."""
        self.cell_N, self.stage_N, reward_N = rooms.step(
            self.family.room, self.tasks, self.cell_N, self.stage_N, actions
        )
        self.elapsed += 1
        infos: dict[str, Any] = {"task": self.task_N}
        ends = self.elapsed == self.family.room.horizon
        if ends:
            infos |= {"final_obs": self._observation(), "_final_obs": np.ones(self.num_envs, dtype=bool)}
            self._begin()
        never_N, ends_N = np.zeros(self.num_envs, dtype=bool), np.full(self.num_envs, ends)
        return self._observation(), reward_N.astype(np.float64), never_N, ends_N, infos

    def _begin(self) -> None:
        self.cell_N = np.full(self.num_envs, self.family.room.start)
        self.stage_N, self.elapsed = np.zeros(self.num_envs, dtype=np.int64), 0

    def _observation(self) -> np.ndarray:
        return np.stack(np.divmod(self.cell_N, self.family.room.size), axis=-1)


def _check_tasks(family: RoomFamily, tasks: Any) -> None:
    if tasks is not None and not 0 <= min(tasks) <= max(tasks) < len(family.tasks):
        raise ValueError(f"tasks are numbered 0 to {len(family.tasks) - 1}, got {min(tasks)} to {max(tasks)}")


def make_env(make_family: Callable[..., RoomFamily], size: int = 9, task: int | None = None) -> RoomEnv:
    """Entry point of `gymnasium.make`."""
    return RoomEnv(make_family(size), task)


def make_vector_env(
    make_family: Callable[..., RoomFamily],
    num_envs: int,
    max_episode_steps: int,
    size: int = 9,
    tasks: np.ndarray | None = None,
) -> RoomVectorEnv:
    """Entry point of `gymnasium.make_vec`."""
    return RoomVectorEnv(make_family(size, max_episode_steps), num_envs, tasks)


for _name, _make_family in FAMILIES.items():
    gymnasium.register(
        _name,
        entry_point=f"{__name__}:make_env",
        vector_entry_point=f"{__name__}:make_vector_env",
        max_episode_steps=_make_family().room.horizon,
        kwargs={"make_family": _make_family},
    )
