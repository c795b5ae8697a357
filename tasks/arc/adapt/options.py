"""Options of test-time training."""

from dataclasses import dataclass

from trainers.errors import UserError
from trainers.options import MAX_SEED, option


@dataclass
class AdaptOptions:
    """What a task gives, how a copy of the model is trained on it, how its answers become two attempts."""

    adapt_contexts: str = option("4", "demonstrations that a task gives, 2 to 16; several with commas between: a curve")
    adapt_tasks: str = option("", "names of the tasks, with commas between; default: all of the split")
    adapt_queries: int | None = option(None, "pairs to answer of every task, the first ones (default: all)", least=1)
    adapt_steps: int = option(400, "optimizer steps for every task", least=1, most=100_000)
    adapt_batch_size: int = option(8, "episodes in a step", least=1, most=1024)
    adapt_rate: float = option(1e-3, "learning rate, constant", least=1e-8, most=1)
    adapt_muon: bool = option(False, "Muon for hidden matrices, AdamW for the rest; else AdamW for all")
    adapt_shown: int = option(4, "most demonstrations shown at once, in an episode and with a query", least=1, most=16)
    adapt_borders: int = option(
        0, "most empty rows, and columns, put around pairs that keep their shape", least=0, most=9
    )
    adapt_draws: int = option(
        1, "times that each of the 8 symmetries is asked, after the first in new colours", least=1
    )
    adapt_seed: int = option(0, "seed of episodes and views, and of random weights", least=0, most=MAX_SEED)
    adapt_controls: bool = option(True, "adapt from random weights, and to shuffled outputs, too")
    adapt_processes: int | None = option(None, "processes, a task in each (default: one for each core)", least=1)


FREE = frozenset({"adapt_contexts", "adapt_tasks", "adapt_controls", "adapt_processes"})
"""Options that change no number of one task with one number of demonstrations."""


def contexts_of(options: AdaptOptions) -> list[int]:
    """Return the numbers of demonstrations that are asked for, ascending.

    Raises:
        UserError: one is no whole number from 2 to 16.
    """
    words = [word.strip() for word in options.adapt_contexts.split(",")]
    if wrong := [word for word in words if not word.isdecimal() or not 2 <= int(word) <= 16]:
        raise UserError(
            f"--adapt_contexts {options.adapt_contexts}: {wrong[0]!r} is no number of demonstrations; give whole"
            " numbers from 2 to 16 with commas between (one demonstration leaves none to predict it from)"
        )
    return sorted(set(map(int, words)))
