"""The hidden states of cities where their place can be known first: at the last digit of a number, and behind it."""

from typing import TYPE_CHECKING

import numpy as np

from geo.cities import Cities
from tasks.geography.city_probe import filled_prompt
from tasks.geography.linear_maps import errors_km, linear_vectors
from tokenization.characters import read_vocabulary
from trainers.contract import StoredDataset, Task
from trainers.errors import UserError
from trainers.probes.probe import extract_hidden_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def last_block(model: "PreTrainedModel") -> int:
    """Return the number of a model's last block."""
    return int(model.config.num_hidden_layers)


def states_at_last_digit(
    model: "PreTrainedModel", task: Task, data: StoredDataset, cities: Cities, block: int
) -> np.ndarray:
    """Return the output of a block for every city at the last digit of its number, (n, D) float64.

    The model is causal, so what the prompt of the probe has behind the number need not be written.

    Raises:
        UserError: the model has no such block.
    """
    if not 0 <= block <= last_block(model):
        raise UserError(f"--block is {block}, but the model has the blocks 1 to {last_block(model)} (0: the embedding)")
    begin, _ = _around_number(task, data)
    prompts = [f"{begin}{city_id}" for city_id in cities.city_id.tolist()]
    states_NLTD = extract_hidden_states(model, prompts, [block], 1, read_vocabulary(data.path / "tokenizer"))
    return states_NLTD[:, 0, 0].astype(np.float64)


def states_from_last_digit(model: "PreTrainedModel", task: Task, data: StoredDataset, cities: Cities) -> np.ndarray:
    """Return the outputs of all blocks at the last digit and the tokens that the probe's prompt has behind it.

    Returns:
        (n, blocks from 1 on, tokens, D) float32.
    """
    begin, behind = _around_number(task, data)
    prompts = [f"{begin}{city_id}{behind}" for city_id in cities.city_id.tolist()]
    blocks, vocabulary = range(1, last_block(model) + 1), read_vocabulary(data.path / "tokenizer")
    return extract_hidden_states(model, prompts, blocks, 1 + len(behind), vocabulary)


def where_the_map_is(states_NLTD: np.ndarray, cities: Cities, rows: np.ndarray) -> tuple[int, int]:
    """Return the place along L and along T of the states from which a linear map decodes places best.

    Args:
        states_NLTD: Of all cities.
        rows: Of some, in random order: the first fifth chooses, the map is fitted to the others.
    """
    places_deg = np.stack([cities.lat_deg, cities.lon_deg], axis=1)
    choose, fit = np.split(rows, [max(1, len(rows) // 5)])

    def off_km(cell: tuple[int, ...]) -> float:
        decoded_N3 = linear_vectors(states_NLTD[:, *cell], places_deg, fit)
        return float(errors_km(decoded_N3[choose], places_deg[choose]).mean())

    block, token = min(np.ndindex(states_NLTD.shape[1:3]), key=off_km)
    return block, token


def _around_number(task: Task, data: StoredDataset) -> tuple[str, str]:
    """Return what the probe's prompt has before the number of a city, and behind."""
    begin, _, behind = filled_prompt(task.probe_prompt, data).partition("{id}")
    return begin, behind


def groups_of(cities: Cities, least: int) -> dict[str, np.ndarray]:
    """Return the rows of all cities, and of those whose numbers have equally many digits; small groups are left out."""
    digits = np.array([len(str(city_id)) for city_id in cities.city_id.tolist()])
    found = {f"{n}_digits": np.flatnonzero(digits == n) for n in np.unique(digits).tolist()}
    return {name: rows for name, rows in {"all": np.arange(len(cities)), **found}.items() if len(rows) >= least}
