"""The comparison with the published study of tasks on one world: what it says, what is found here, what differs.

It trains nothing: it reads the folders of finished studies, and says in words which of them are missing.
"""

from dataclasses import dataclass
from pathlib import Path

from trainers.common import environment
from trainers.errors import UserError
from trainers.options import option
from trainers.studies.parent import Children
from trainers.studies.study_file import studies_of

PARTS = ("convergence", "divergence", "pairs")


@dataclass
class Paper:
    """What is published about tasks on one world, beside what finished studies have found here."""

    studies_dir: str | None = option(None, "folder that the studies lie in; default: <EXP_DIR_PREFIX>/studies")

    def run(self, path: Path, folder: Path, children: Children) -> None:
        """Write and track the table."""
        parts = studies_of(path)
        if {*parts} != {*PARTS}:
            raise UserError(f"{path}: studies has {', '.join(parts) or 'none'}, expected {', '.join(PARTS)}")
        place = Path(self.studies_dir or environment.resolved_prefix() / "studies").expanduser()

        from tasks.geography.paper_measures import Stored
        from tasks.geography.paper_report import report

        report(folder, {part: Stored(file.stem, place / file.stem) for part, file in parts.items()}, children.tracker)
