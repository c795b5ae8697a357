"""Make one task of several: the rows of all, the metrics of each, and one primary metric."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from trainers.contract import SummarySpec, Task
from trainers.errors import UserError
from trainers.options import option

PRIMARY = "improvement_mean"


def mixture_of(members: Sequence[Task]) -> Task:
    """Return the task of learning all members at once, with the flags of all; what is left is the first one's.

    Raises:
        UserError: A member is given twice, is no text task, or cannot share a model with the first.
    """
    first, names = members[0], [member.name for member in members]
    if len(set(names)) < len(names):
        raise UserError(f"--task {','.join(names)} names a task twice; give each once, and its share by --mix")
    for member in members:
        _check(member, first)
    grows = {member.grows for member in members}
    return dataclasses.replace(
        first,
        summary=f"Learn {len(members)} tasks at once: {', '.join(names)}.",
        options=_options(members),
        build_dataset="trainers.mixtures.data:build",
        rows="trainers.mixtures.data:rows_of",
        metric="trainers.mixtures.metric:Improvement",
        trainer="trainers.mixtures.trainer:MixtureTrainer",
        primary_metric=PRIMARY,
        greater_is_better=True,
        plot=SummarySpec(
            label="mean improvement over the trivial answers",
            value_label="improvement of an answer over the trivial one",
            limits=(-1, 1),
        ),
        explain="",
        grows=grows.pop() if len(grows) == 1 else "",
        small={},
        licence=first.licence if {member.licence for member in members} == {first.licence} else "",
        package="+".join(member.package for member in members),
        name="+".join(names),
        base="",
        card="\n\n".join([f"A mixture of {', '.join(names)}.", *(member.card for member in members)]),
        members=tuple(members),
    )


def _check(member: Task, first: Task) -> None:
    if member.rows != "trainers.text:rows_of" or not member.tokenizer:
        raise UserError(f"{member.name} is no task of prompts and answers, which alone can be mixed; leave it out")
    for part in ("tokenizer", "build_model", "model_options"):
        if getattr(member, part) != getattr(first, part):
            raise UserError(f"{member.name} and {first.name} differ in their {part}, so no model learns both")


def _options(members: Sequence[Task]) -> type:
    """Return a dataclass of the options of all members; those of one name are one flag, as the first declares it."""
    fields: dict[str, Any] = {}
    for item in (item for member in members for item in dataclasses.fields(member.options)):
        again = dataclasses.field(default=item.default, metadata=item.metadata)
        fields.setdefault(item.name, (item.name, item.type, again))
    shares = option(
        None, f"shares of the training rows, such as {':'.join('1' * len(members))} (default: equal; 0: only evaluated)"
    )
    made = dataclasses.make_dataclass("MixtureOptions", [*fields.values(), ("mix", str | None, shares)])
    made.members = tuple(members)  # for `build`, which has the options alone
    made.__doc__ = "The options of all tasks of the mixture; those of one name hold for all."
    return made
