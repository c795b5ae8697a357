"""Yardsticks of learning in context: agents that know the rules and every possible task of a room, but not which it is.

psrl      draws a task from the exact posterior at the beginning of every episode, and acts optimally in it to the end
          (posterior sampling: Osband, Russo and Van Roy 2013, "(More) Efficient Reinforcement Learning via Posterior
          Sampling")
search    also draws another one as soon as what it has seen rules out the one that it acts for
matching  draws another one at every step, and so takes every action with the probability that it is the best
          (probability matching): what a perfect model of the best action does, which `dpt` learns to be

All tasks are equally likely at first, and nothing in a room is left to chance, so the posterior is uniform over the
tasks that fit all that was seen. The tasks are all combinations of goals and orders of the actions, and so are those
that fit: each part is ruled out by itself. Of several shortest ways one is drawn, step by step.
"""

import numpy as np

from tasks.in_context_rl.rooms import Room, RoomTasks, family_of

YARDSTICKS = ("psrl", "search", "matching")
LABELS = {
    "psrl": "posterior sampling",
    "search": "search within an episode",
    "matching": "matching of action probabilities",
    "ucb": "upper confidence bounds",
    "thompson": "Thompson sampling",
    "gittins": "Gittins index",
}
"""How figures and tables call them, and the rules of bandits (`bandit_rules.RULES`)."""
_ROLLOUTS, _SEED = 1024, 0  # of all tasks together, at least


class Posterior:
    """What N agents hold possible: cells of every goal, goal_NGC, and orders of the actions, order_NP."""

    def __init__(self, room: Room, n: int) -> None:
        tasks = family_of(room).tasks
        possible_GC = np.zeros((room.n_goals, room.n_cells), dtype=bool)
        possible_GC[np.arange(room.n_goals), tasks.goals_NG] = True
        self.room, self.orders_PA = room, np.unique(tasks.moves_NA, axis=0)
        self.goal_NGC = possible_GC[None].repeat(n, axis=0)
        self.order_NP = np.ones((n, len(self.orders_PA)), dtype=bool)

    def observe(
        self, cell_N: np.ndarray, stage_N: np.ndarray, action_N: np.ndarray, next_N: np.ndarray, reward_N: np.ndarray
    ) -> None:
        """Rule out what does not fit a step."""
        unsure = np.flatnonzero(self.order_NP.sum(axis=1) > 1)
        led_to_NP = self.room.moved_CM[cell_N[unsure], self.orders_PA[:, action_N[unsure]]].T
        self.order_NP[unsure] &= np.equal(led_to_NP, next_N[unsure, None])
        looking = np.flatnonzero(stage_N < self.room.n_goals)
        goal, arrived, found = stage_N[looking], next_N[looking], reward_N[looking] > 0
        self.goal_NGC[looking[found], goal[found]] = False
        self.goal_NGC[looking, goal, arrived] = found

    def draw(self, chosen: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return goals (n, G), and the number of the order of the actions (n,), of a task for each of n agents."""
        return _draw_true(self.goal_NGC[chosen], rng), _draw_true(self.order_NP[chosen], rng)

    def rules_out(self, goals_NG: np.ndarray, order_N: np.ndarray) -> np.ndarray:
        """Return whether an agent's task cannot be the true one, (N,) bool."""
        every_N, every_G = np.arange(len(order_N)), np.arange(self.room.n_goals)
        fits_NG = self.goal_NGC[every_N[:, None], every_G, goals_NG]
        return ~(fits_NG.all(axis=1) & self.order_NP[every_N, order_N])


def play(room: Room, tasks: RoomTasks, n_episodes: int, yardstick: str, rng: np.random.Generator) -> np.ndarray:
    """Let a yardstick act in N tasks, E episodes each; return their returns, (N, E)."""
    n, posterior = len(tasks), Posterior(room, len(tasks))
    return_NE = np.zeros((n, n_episodes))
    for episode in range(n_episodes):
        cell_N, stage_N = np.full(n, room.start), np.zeros(n, dtype=np.int64)
        goals_NG, order_N = posterior.draw(np.arange(n), rng)
        for _ in range(room.horizon):
            meant = RoomTasks(goals_NG, posterior.orders_PA[order_N])
            action_N = room.best_actions(meant, cell_N, stage_N, rng)
            next_N, next_stage_N, reward_N = room.step(tasks, cell_N, stage_N, action_N)
            posterior.observe(cell_N, stage_N, action_N, next_N, reward_N)
            cell_N, stage_N = next_N, next_stage_N
            return_NE[:, episode] += reward_N
            if yardstick != "psrl":
                anew_N = posterior.rules_out(goals_NG, order_N) | (yardstick == "matching")
                anew = np.flatnonzero(anew_N)
                goals_NG[anew], order_N[anew] = posterior.draw(anew, rng)
    return return_NE


def yardstick_returns(room: Room, tasks: RoomTasks, n_episodes: int) -> dict[str, np.ndarray]:
    """Return the returns of each yardstick in K tasks, R rollouts of E episodes each, (K, R, E)."""
    rollouts = -(-_ROLLOUTS // len(tasks))
    return {
        name: play(room, tasks.repeated(rollouts), n_episodes, name, np.random.default_rng(_SEED)).reshape(
            len(tasks), rollouts, n_episodes
        )
        for name in YARDSTICKS
    }


def _draw_true(possible: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one of the places along the last axis that are True, each alike."""
    number = possible.cumsum(axis=-1)
    return (number <= rng.integers(number[..., -1:])).sum(axis=-1)
