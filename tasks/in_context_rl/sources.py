"""Sources of learning histories: Q-learning, an oracle whose noise fades, yardsticks (`intents`), rules for bandits.

All record the probability of every action, which gives the entropy bound of a model of the histories.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.in_context_rl.bandit_rules import RULES, ArmRule
from tasks.in_context_rl.bandits import Bandit, BanditTasks
from tasks.in_context_rl.intents import Yardstick
from tasks.in_context_rl.rooms import N_ACTIONS, Room, RoomTasks
from tasks.in_context_rl.worlds import World

Policy = Callable[[np.ndarray, int], np.ndarray]
"""States (N,) and the step's number -> probabilities of the actions (N, A)."""
Learn = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]
"""State, action, reward and next state, (N,) each."""


@dataclass(frozen=True)
class Histories:
    """T steps of N learners, each (N, T): uint8, the probabilities float16.

    Attributes:
        cell: before the action. next_cell: after it, also at the end of an episode.
        probability: of the action under the policy that chose it.
    """

    cell: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_cell: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class QLearning:
    """Watkins' Q-learning (1989) with a fading share of random actions; ties are broken at random.

    Attributes:
        step_size, discount: of the update. initial: every Q at first; above 0 the agent explores by itself.
        noise_start, noise_end: share of random actions, linear between them over `noise_share` of the history.
    """

    step_size: float
    discount: float
    initial: float
    noise_start: float
    noise_end: float
    noise_share: float

    def policy(self, room: Room, tasks: RoomTasks, n_steps: int) -> tuple[Policy, Learn]:
        """Return how N learners act, and how they learn from a step."""
        every_N = np.arange(len(tasks))
        value_NSA = np.full((len(tasks), room.n_stages * room.n_cells, N_ACTIONS), self.initial, dtype=np.float32)

        def policy(state_N: np.ndarray, number: int) -> np.ndarray:
            known_NA = value_NSA[every_N, state_N]
            best_NA = known_NA == known_NA.max(axis=1, keepdims=True)
            return _add_noise(best_NA, self, number, n_steps)

        def learn(state_N: np.ndarray, action_N: np.ndarray, reward_N: np.ndarray, next_N: np.ndarray) -> None:
            target_N = reward_N + np.float32(self.discount) * value_NSA[every_N, next_N].max(axis=1)
            known_N = value_NSA[every_N, state_N, action_N]
            value_NSA[every_N, state_N, action_N] = known_N + np.float32(self.step_size) * (target_N - known_N)

        return policy, learn


@dataclass(frozen=True)
class FadingOracle:
    """An optimal policy whose share of random actions fades: a history of improvement without a learner.

    Source: Zisman et al. 2023, "Emergence of In-Context Reinforcement Learning from Noise Distillation".
    """

    noise_start: float
    noise_end: float
    noise_share: float

    def policy(self, room: Room, tasks: RoomTasks, n_steps: int) -> tuple[Policy, Learn]:
        """Return how N oracles act; they learn nothing."""
        every_N = np.arange(len(tasks))

        def policy(state_N: np.ndarray, number: int) -> np.ndarray:
            stage_N, cell_N = np.divmod(state_N, room.n_cells)
            best_NA = np.zeros((len(tasks), N_ACTIONS), dtype=bool)
            best_NA[every_N, room.best_actions(tasks, cell_N, stage_N)] = True
            return _add_noise(best_NA, self, number, n_steps)

        return policy, lambda *_: None


_ROLLOUTS, _SEED = 1024, 0  # of the rules of bandits, in all tasks together, at least
Source = QLearning | FadingOracle | Yardstick | ArmRule


def record(source: Any, room: World, tasks: Any, n_steps: int, rng: np.random.Generator) -> Histories:
    """Record histories of N tasks, all at once; equal seeds give equal histories."""
    policy, learn = source.policy(room, tasks, n_steps)
    n = len(tasks)
    columns = [np.empty((n_steps, n), kind) for kind in (np.uint8,) * 4 + (np.float16,)]
    every_N, start_N = np.arange(n), np.full(n, room.start)
    cell_N, stage_N = start_N, np.zeros_like(start_N)
    for number in range(n_steps):
        if number % room.horizon == 0:
            cell_N, stage_N = start_N, np.zeros_like(start_N)
        state_N = stage_N * room.n_cells + cell_N
        chance_NA = policy(state_N, number)
        action_N = _draw(chance_NA, rng)
        next_N, stage_N, reward_N = room.step(tasks, cell_N, stage_N, action_N, rng)
        learn(state_N, action_N, reward_N, stage_N * room.n_cells + next_N)
        taken = (cell_N, action_N, reward_N, next_N, chance_NA[every_N, action_N])
        for column, value in zip(columns, taken, strict=True):
            column[number] = value
        cell_N = next_N
    return Histories(*(np.ascontiguousarray(column.T) for column in columns))


def rule_returns(room: Bandit, tasks: BanditTasks, n_episodes: int) -> dict[str, np.ndarray]:
    """Return the returns of every rule in K bandits, R rollouts of E episodes each, (K, R, E)."""
    rollouts = -(-_ROLLOUTS // len(tasks))
    repeated, returns = tasks.repeated(rollouts), {}
    for name in RULES:
        found = record(ArmRule(name), room, repeated, n_episodes * room.horizon, np.random.default_rng(_SEED))
        worth_NT = room.worth(repeated, found.action, found.reward)
        returns[name] = worth_NT.reshape(len(tasks), rollouts, n_episodes, room.horizon).sum(axis=-1)
    return returns


def _draw(chance_NA: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one action for each task by its probability."""
    below_NA = np.cumsum(chance_NA, axis=1)
    u_N1 = rng.random((len(chance_NA), 1), dtype=np.float32) * below_NA[:, -1:]
    return (below_NA[:, :-1] <= u_N1).sum(axis=1)


def _add_noise(best_NA: np.ndarray, source: QLearning | FadingOracle, number: int, n_steps: int) -> np.ndarray:
    """Return probabilities of a step: uniform over the best actions, and for the share of noise over all."""
    done = min(1.0, number / (source.noise_share * n_steps))
    noise = source.noise_start + (source.noise_end - source.noise_start) * done
    greedy_NA = best_NA / best_NA.sum(axis=1, keepdims=True, dtype=np.float32)
    return np.float32(1 - noise) * greedy_NA + np.float32(noise / N_ACTIONS)
