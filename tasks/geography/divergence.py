"""The divergence study: a new country is taught to a model by one question; what does it know of it in the others?

A base model that has learnt several questions about real cities is trained further on one of them, asked about invented
cities. How much of the way it goes in the other questions is the normalised improvement of each: 0 where the base was,
1 where it is with real cities. Beside it, what became of the answers about real cities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.geography.fine_tuning import ASKS_THE_SAME, members_of, named, seeded, train_bases
from trainers.errors import UserError
from trainers.folders.run_folder import RunFolder
from trainers.options import option
from trainers.studies.parent import Children
from trainers.studies.study_file import check_runs, read_yaml, task_of

_FORM = "`base` (flags) and `runs` (name: flags), each with a config, all of the same questions"


@dataclass
class Divergence:
    """What a model learns of a new country in questions that it is not taught it by."""

    base: str | None = option(
        None, "folder of a trained mixture of the questions; default: the study's base is trained"
    )

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train what is not finished yet; write and track table and figure of the finished runs."""
        content = read_yaml(path, _FORM, base=dict)
        check_runs(path, {"base": content["base"]})
        bases = train_bases(self.base, content["base"], folder, children)
        for base in bases.values():
            _check_known(base, path, content["runs"])
        jobs = {(name, seed): folder / named(name, seed) for seed in bases for name in content["runs"]}
        children.train(
            {
                place: {**seeded(content["runs"][name], seed), "init_from": bases[seed].path}
                for (name, seed), place in jobs.items()
            }
        )
        finished = {key: RunFolder(place) for key, place in jobs.items() if children.states[place.name] == "finished"}
        if not finished:
            children.check()

        from tasks.geography.divergence_report import report

        report(folder, bases, finished, children.tracker)


def _check_known(base: RunFolder, path: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise a `UserError` if a run asks what the base has not learnt, before any is trained."""
    known = {*members_of(base.task)}
    for name, flags in runs.items():
        asked = {ASKS_THE_SAME.get(member, member) for member in members_of(task_of(path, flags))}
        if missing := sorted(asked - known):
            raise UserError(
                f"{base.path} has not learnt {', '.join(missing)}, which run {name} asks; give another base"
            )
