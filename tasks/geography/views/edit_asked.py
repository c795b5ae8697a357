"""Ask a model for the distances of cities that are to be moved, as it is and with their states edited."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

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
BEHIND: dict[Role, str] = {"first": ",c_", "second": ")="}
"""What follows the number of the city in every prompt: a model may keep the place at any of these tokens.

At `=` the question is complete, and a swapped state may hold the answer itself; encoder and probe know only places.
"""
MOST_GENERATED = 6  # five digits and <eos>


class Site(NamedTuple):
    """Where a state is edited."""

    block: int
    """The output of this one, from 1."""
    token: int
    """How many tokens behind the last digit of the city's number."""


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
        """Return the outputs of all blocks at the last digit and the tokens behind, (N, blocks, tokens, D)."""
        unique, place_N = np.unique(self.prefixes(role, city_N, partner_N), return_inverse=True)
        blocks = range(1, int(self.model.config.num_hidden_layers) + 1)  # pyright: ignore
        prompts = [f"{prefix}{BEHIND[role]}" for prefix in unique.tolist()]
        found = extract_hidden_states(self.model, prompts, blocks, 1 + len(BEHIND[role]), self.vocabulary)
        return found[place_N]

    def prefixes(self, role: Role, city_N: np.ndarray, partner_N: np.ndarray) -> list[str]:
        """Return the prompts up to the last digit of the cities."""
        numbers, partners = self.city_id_C[city_N].tolist(), self.city_id_C[partner_N].tolist()
        if role == "first":
            return [f"dist(c_{number}" for number in numbers]
        return [f"dist(c_{partner},c_{number}" for number, partner in zip(numbers, partners, strict=True)]

    def prompts(self, role: Role, city_N: np.ndarray, partner_N: np.ndarray) -> list[str]:
        """Return the complete prompts."""
        begun = [f"{prefix}{BEHIND[role]}" for prefix in self.prefixes(role, city_N, partner_N)]
        if role == "second":
            return begun
        return [f"{prefix}{to})=" for prefix, to in zip(begun, self.city_id_C[partner_N].tolist(), strict=True)]


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
        own_RLTD, target_RLTD: Their states at all blocks and tokens, in the same prompt.
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
        self.own_RLTD, self.target_RLTD = (mind.states(role, city, partner_R) for city in (self.own_R, self.target_R))

    @cached_property
    def before_NP(self) -> np.ndarray:
        """The answers without an edit, in km; NaN: unreadable."""
        return self._answers(self.token_R, {})

    def states_at(self, site: Site) -> tuple[np.ndarray, np.ndarray]:
        """Return the states of the cities, and of those at the targets, (R, D) each."""
        return self.own_RLTD[:, site.block - 1, site.token], self.target_RLTD[:, site.block - 1, site.token]

    def follow(self, site: Site, state_RD: np.ndarray, target_N3: np.ndarray | None = None) -> Followed:
        """Return how the answers follow, to the targets or to other places, if the states at a site are these."""
        after_NP = self._answers(self.token_R + site.token, {site.block: state_RD})
        return self._followed(after_NP, self.target_N3 if target_N3 is None else target_N3)

    def unedited(self) -> Followed:
        """Return how the answers follow if nothing is edited."""
        return self._followed(self.before_NP, self.target_N3)

    def _answers(self, token_R: np.ndarray, states: dict[int, np.ndarray]) -> np.ndarray:
        texts = answers_with(self.mind.model, self.prompts, token_R, states, MOST_GENERATED, self.mind.vocabulary)
        return _km(texts).reshape(self.shape)

    def _followed(self, after_NP: np.ndarray, to_N3: np.ndarray) -> Followed:
        own_NP, target_NP = (angles_km(place[:, None], self.partner_NP3) for place in (self.own_N3, to_N3))
        found_N3 = place_by_answers(after_NP, self.partner_NP3)
        arrived_N, off_km_N = shares_of_way(found_N3, self.own_N3, to_N3)
        share_N = shares_followed(self.before_NP, after_NP, own_NP, target_NP)
        return Followed(share_N, arrived_N, off_km_N, float(np.isnan(after_NP).mean()))


def _km(texts: Sequence[str]) -> np.ndarray:
    return np.array([parse_km(text) for text in texts])
