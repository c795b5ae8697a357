"""Train a copy of a model on the demonstrations of one task."""

import copy
import time
from dataclasses import dataclass
from typing import Any, cast

import torch

from tasks.arc.adapt.episodes import draw_episodes
from tasks.arc.adapt.given import Given
from tasks.arc.adapt.options import AdaptOptions
from tasks.arc.model import ArcConfig, ArcModel
from tasks.arc.rows import ArcRows
from trainers.optim.muon import MuonWithRest, split_parameters
from trainers.optim.muon_by_shape import MuonByShape

_CLIP = 1.0  # of the gradient's norm, as in `transformers.TrainingArguments`


@dataclass(frozen=True)
class Learnt:
    """A copy that has learnt a task, the mean loss of the last tenth of its steps, and the time that took."""

    model: ArcModel
    loss: float
    seconds: float


def learn(model: ArcModel, given: Given, rows: ArcRows, options: AdaptOptions, autocast: torch.autocast) -> Learnt:
    """Train a copy for a fixed number of steps; the model itself stays as it is.

    Args:
        rows: Any of the dataset, which write examples as the model takes them.
    """
    start_s = time.perf_counter()
    learner = copy.deepcopy(model).train()
    optimizer = _optimizer(learner, options)
    rng = given.rng(options.adapt_seed, "episodes")
    losses = []
    for _ in range(options.adapt_steps):
        examples = draw_episodes(given, options.adapt_batch_size, options.adapt_shown, options.adapt_borders, rng)
        batch = {name: part.to(learner.device) for name, part in rows.batch(*examples).items()}
        with autocast:
            loss = learner(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), _CLIP)
        optimizer.step()
        losses.append(loss.detach())
    last = torch.stack(losses[-max(1, len(losses) // 10) :]).mean()
    return Learnt(learner.eval(), float(last), time.perf_counter() - start_s)


def untrained(model: ArcModel, seed: int) -> ArcModel:
    """Return a model of the same kind with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh: Any = ArcModel(cast(ArcConfig, model.config))
    return fresh.to(model.device)


def _optimizer(model: ArcModel, options: AdaptOptions) -> torch.optim.Optimizer:
    """Return AdamW, or Muon for hidden matrices beside it, without decay."""
    if not options.adapt_muon:
        return torch.optim.AdamW(model.parameters(), lr=options.adapt_rate, betas=(0.9, 0.95), weight_decay=0)
    hidden, rest = split_parameters(model)
    muon = MuonByShape(hidden, lr=options.adapt_rate, weight_decay=0, adjust_lr_fn="match_rms_adamw")
    others = [parameter for _, parameter in rest]
    adamw = torch.optim.AdamW(others, lr=options.adapt_rate, betas=(0.9, 0.95), weight_decay=0)
    return MuonWithRest(muon, adamw)
