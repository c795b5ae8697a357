"""Settings that are chance only: runs that differ by nothing else are one result, never a best seed."""

from collections.abc import Mapping
from typing import Any

from trainers.errors import UserError
from trainers.options import MAX_SEED

SEEDS = ("seed", "data_seed")
"""Settings that are chance only."""
MOST_SEEDS = 1_000


def without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that make a difference."""
    return {name: value for name, value in settings.items() if name not in SEEDS}


def seeds_of(text: str) -> list[int]:
    """Return what `--seeds` asks for: `3` is 1, 2 and 3, `7,11` these two.

    Raises:
        UserError: it is neither a number of seeds nor a list of different ones.
    """
    words = [word.strip() for word in text.split(",")]
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(words) == 1 and numbers and 1 <= numbers[0] <= MOST_SEEDS:
        return list(range(1, numbers[0] + 1))
    if len(words) == 1 or len(numbers) < len(words) or len(set(numbers)) < len(numbers) or max(numbers) > MAX_SEED:
        raise UserError(
            f"--seeds is {text!r}; give how many (3 is the seeds 1, 2 and 3; at most {MOST_SEEDS:,}), or different"
            " seeds with commas between: 7,11"
        )
    return numbers
