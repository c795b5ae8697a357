"""Read the answers of `random_walk`, and say which of their steps are legal."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.geography.random_walk.metric import step_legality
from tasks.geography.world import notes_on, stored_cities

_START = re.compile(r"srd_(\d+)=c_(\d+)")
_STEPS = re.compile(r"(?:,c_(?:0|[1-9]\d{0,17}))*", re.ASCII)


def parse_start(prompt: str) -> tuple[str, str]:
    """Return radius and start of a prompt, as texts."""
    match = _START.fullmatch(prompt)
    if match is None:
        raise ValueError(f"{prompt!r} is no prompt of random_walk, as srd_200=c_12")
    return match[1], match[2]


def parse_walk(prompt: str, answer: str) -> list[int]:
    """Return the ids of a walk from its start on; empty unless the answer is `,c_1,c_2,…` (or nothing)."""
    if not _STEPS.fullmatch(answer):
        return []
    return [int(parse_start(prompt)[1]), *(int(city) for city in answer.split(",c_")[1:])]


def explain(prompts: Sequence[str], answers: Sequence[str], dataset: Path) -> dict[str, list[Any]]:
    """Return for every answer which of its steps are legal in the world of a dataset, None if it is no walk, and notes.

    Cities that stand in the prompt behind the start belong to the walk; only the steps of the answer are judged.
    """
    cities = stored_cities(dataset)
    world: Any = {name: getattr(cities, name) for name in ("city_id", "lat_deg", "lon_deg")}
    legal: list[list[bool] | None] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        start, comma, passed = prompt.partition(",")
        walk = (
            parse_walk(start, comma + passed + answer) if _START.fullmatch(start) and _STEPS.fullmatch(answer) else []
        )
        n_steps = answer.count(",")
        steps = step_legality([walk], **world, radius_km=int(parse_start(start)[0]))[0] if walk else None
        legal.append(None if steps is None else steps[len(steps) - n_steps :].tolist())
    return {"legal": legal, "note": notes_on(prompts, cities)}
