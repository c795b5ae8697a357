"""Ask a model for the distances of cities that are to be moved, as it is and with their states edited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from tasks.geography.pair_answers import parse_km
from tasks.geography.views.edit_measures import angles_km, place_by_answers, shares_followed, shares_of_way
from tasks.geography.views.edit_model import answers_with
from tokenization.characters import VOCABULARY, Vocabulary
from trainers.probes.probe import extract_hidden_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Role = Literal["first", "second"]
"""Which city of a prompt is moved."""
MOST_GENERATED = 6  # five digits and <eos>


@dataclass(frozen=True)
class Mind:
    """A model and the cities that it knows, C of them.

    Attributes:
        city_id_C: The number of each in the prompts. place_C3: Unit vectors.
    """

    model: "PreTrainedModel"
    city_id_C: np.ndarray
    place_C3: np.ndarray
    vocabulary: Vocabulary = VOCABULARY

    def states(self, role: Role, city_N: np.ndarray, partner_N: np.ndarray) -> np.ndarray:
        """Return the outputs of all blocks at the last digit of cities, (N, blocks, D)."""
        unique, place_N = np.unique(self.prefixes(role, city_N, partner_N), return_inverse=True)
        blocks = range(1, int(self.model.config.num_hidden_layers) + 1)  # pyright: ignore
        found = extract_hidden_states(self.model, unique.tolist(), blocks, 1, self.vocabulary)
        return found[:, :, 0][place_N]

    def prefixes(self, role: Role, city_N: np.ndarray, partner_N: np.ndarray) -> list[str]:
        """Return the prompts up to the last digit of the cities."""
        numbers, partners = self.city_id_C[city_N].tolist(), self.city_id_C[partner_N].tolist()
        if role == "first":
            return [f"dist(c_{number}" for number in numbers]
        return [f"dist(c_{partner},c_{number}" for number, partner in zip(numbers, partners, strict=True)]

    def prompts(self, role: Role, city_N: np.ndarray, partner_N: np.ndarray) -> list[str]:
        """Return the complete prompts."""
        begun = self.prefixes(role, city_N, partner_N)
        if role == "second":
            return [f"{prefix})=" for prefix in begun]
        return [f"{prefix},c_{to})=" for prefix, to in zip(begun, self.city_id_C[partner_N].tolist(), strict=True)]


@dataclass(frozen=True)
class Followed:
    """How the answers about N cities follow an edit.

    Attributes:
        share_N: Share of the intended displacement in the answers, a median over the partners.
        arrived_N: How much of the way to the target the place has made that fits all answers: 1 is there.
        off_km_N: How far that place is from the target.
        unread: Share of the answers that cannot be read.
    """

    share_N: np.ndarray
    arrived_N: np.ndarray
    off_km_N: np.ndarray
    unread: float


class Asked:
    """Prompts about cities that are to be moved: N cities, P partners of each; a row is a pair of them.

    Attributes:
        own_R, target_R: The city of each row, and the one at whose place it is to be. Rows of the table of cities.
        own_RLD, target_RLD: Their states at all blocks, in the same prompt.
    """

    def __init__(self, mind: Mind, role: Role, own_N: np.ndarray, target_N: np.ndarray, partner_NP: np.ndarray) -> None:
        self.mind, self.shape = mind, partner_NP.shape
        self.own_N3, self.target_N3 = mind.place_C3[own_N], mind.place_C3[target_N]
        self.partner_NP3 = mind.place_C3[partner_NP]
        partner_R = partner_NP.ravel()
        self.own_R, self.target_R = (np.repeat(city_N, partner_NP.shape[1]) for city_N in (own_N, target_N))
        self.prompts = mind.prompts(role, self.own_R, partner_R)
        # <bos> is token 0, and a character a token, so that the last of k characters is token k.
        self.token_R = np.array([len(prefix) for prefix in mind.prefixes(role, self.own_R, partner_R)])
        self.own_RLD, self.target_RLD = (mind.states(role, city, partner_R) for city in (self.own_R, self.target_R))

    @cached_property
    def before_NP(self) -> np.ndarray:
        """The answers without an edit, in km."""
        return self.answers({})

    def answers(self, states: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return the answers in km, (N, P), with other states (R, D) at the outputs of blocks; NaN: unreadable."""
        texts = answers_with(self.mind.model, self.prompts, self.token_R, states, MOST_GENERATED, self.mind.vocabulary)
        return _km(texts).reshape(self.shape)

    def follow(self, states: Mapping[int, np.ndarray], target_N3: np.ndarray | None = None) -> Followed:
        """Return how the answers follow, to the targets or to other places."""
        to_N3 = self.target_N3 if target_N3 is None else target_N3
        after_NP = self.answers(states)
        own_NP, target_NP = (angles_km(place[:, None], self.partner_NP3) for place in (self.own_N3, to_N3))
        found_N3 = place_by_answers(after_NP, self.partner_NP3)
        arrived_N, off_km_N = shares_of_way(found_N3, self.own_N3, to_N3)
        share_N = shares_followed(self.before_NP, after_NP, own_NP, target_NP)
        return Followed(share_N, arrived_N, off_km_N, float(np.isnan(after_NP).mean()))


def _km(texts: Sequence[str]) -> np.ndarray:
    return np.array([parse_km(text) for text in texts])
