"""The convergence study: do models that learn different tasks about one world come to the same map of it?

Compared are models of equally many tasks, none in common, trained with different seeds, by the likeness of their states
of the same cities, block by block. Beside them, as what could be reached, models of the same tasks and different seeds;
those of one seed, which began with the same weights; as what chance gives, untrained models, and permuted cities.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainers.options import option
from trainers.studies.parent import Children
from trainers.studies.study_file import read_seeded


@dataclass
class Convergence:
    """Do models that learn different tasks about one world come to the same map?"""

    cities: Literal["same_digits", "all"] = option(
        "same_digits", "which cities are compared: those of the most frequent number of digits, or all"
    )

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Train unfinished runs; compare the finished ones, write and track tables and figure."""
        runs = children.train_seeds(read_seeded(path), folder)

        from tasks.geography.convergence_report import report

        report(folder, runs, children, all_cities=self.cities == "all")
