"""A model that is made by hand: it looks places up, keeps them linearly in its states, and answers from these."""

import re
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from tests.tasks.geography.probe_helpers import RADIUS_KM, places_deg, real_cities, vectors_of
from tokenization.characters import VOCABULARY, ColumnEncoder
from trainers.contract import StoredDataset

WIDTH, READ_AT = 64, 2
"""The answer is computed from what block 2 of 3 has written."""


class Planted(nn.Module):
    """Keeps the place of a city at the last digit of its number or so many tokens behind, in all blocks."""

    def __init__(self, cities, n_blocks=3, knows=True, behind=0):
        super().__init__()
        self.behind = behind
        rng = np.random.default_rng(1)
        vectors = vectors_of(places_deg(cities))
        self.known = {
            str(city): torch.from_numpy(vector).float()
            for city, vector in zip(cities.city_id.tolist(), vectors, strict=True)
        }
        self.write = torch.from_numpy(rng.normal(size=(3, WIDTH))).float() * 5
        self.offset = torch.from_numpy(rng.normal(size=WIDTH)).float()
        self.read = torch.linalg.pinv(self.write)
        self.layers = nn.ModuleList(nn.Identity() for _ in range(n_blocks))
        self.device, self.knows = torch.device("cpu"), knows
        self.anchor = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(num_hidden_layers=n_blocks, model_type="planted")

    def get_decoder(self):
        return self

    def forward(self, ids, **kwargs):
        state = torch.zeros(*ids.shape, WIDTH)
        for row, text in enumerate(texts_of(ids)):
            for found in re.finditer(r"c_(\d+)", text):
                if found.end() + self.behind < len(state[row]):
                    state[row, found.end() + self.behind] = self.known[found[1]] @ self.write + self.offset
        states = [state]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return SimpleNamespace(hidden_states=states)

    def generate(self, ids, **kwargs):
        states = self(ids).hidden_states[READ_AT]
        answers = [self.answer(text, states[row]) for row, text in enumerate(texts_of(ids))]
        encoded = ColumnEncoder().encode(answers, [""] * len(answers))
        return torch.cat([ids, torch.from_numpy(encoded.ids_NT[:, 1:]).long()], dim=1)

    def answer(self, text, state_TD):
        """The distance between the places in the states; one that has nothing to do with them, unless it knows."""
        ends = [found.end() + self.behind for found in re.finditer(r"c_(\d+)", text)]
        one, other = ((state_TD[end] - self.offset) @ self.read for end in ends)
        if not self.knows:
            one, other = (self.known[number] for number in re.findall(r"c_(\d+)", text))
        cosine = torch.dot(one / one.norm(), other / other.norm()).clamp(-1, 1)
        return str(round(float(torch.arccos(cosine)) * RADIUS_KM))


def texts_of(ids):
    """The texts behind <bos>."""
    rows = ["".join(VOCABULARY[token] if token > 2 else "" for token in row) for row in ids.tolist()]
    return [f"{row}" for row in rows]


def planted_world(folder, n=80):
    """Cities anywhere, in a dataset's folder."""
    cities = real_cities(n)
    cities.write_csv(folder / "cities.csv")
    return cities, StoredDataset(folder, {}, {"task": "distance", "options": {}})
