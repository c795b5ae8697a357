"""Write the table of published numbers and of those measured here."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.geography.paper_figures import Published, published
from tasks.geography.paper_measures import AbsentError, Studies
from trainers.common.files import write_csv, write_text
from trainers.common.intervals import interval_cell, interval_columns, interval_of, mean_interval
from trainers.common.tables import format_markdown
from trainers.tracking.tracker import Tracker

EVERYWHERE = (
    "a sphere; published: a plane, where the date line is a wall and distances near the poles are stretched",
    "worlds of 300 and 900 cities that grow, and 400,000 parameters, so that two cores train them; published: 5,075"
    " cities at once and 1.6 million parameters",
    "the loss is on the answer alone; published: on the whole sequence (--loss_on all, in none of these studies)",
    "models that did not learn stay in the means; published: one was replaced",
)
"""What differs in every row."""


def report(folder: Path, studies: Studies, tracker: Tracker) -> None:
    """Measure what the studies have, print the table; write it into the folder and into MLflow."""
    rows = [compared(one, studies) for one in published()]
    text = as_markdown(rows, studies)
    write_csv(folder / "paper.csv", rows)
    write_text(folder / "paper.md", text)
    for name in ("paper.csv", "paper.md"):
        tracker.file(folder / name)
    print(f"\n{text}written: {folder}")


def compared(one: Published, studies: Studies) -> dict[str, Any]:
    """Return the row of a published number; `missing` says why there is none of here."""
    try:
        stated, missing = one.here(studies), ""
    except AbsentError as error:
        stated, missing = mean_interval([]), str(error)
    row = {"what": one.what, "published": one.published, **interval_columns("here", stated), "missing": missing}
    return {**row, "differs": one.differs, "form": one.form}


def as_markdown(rows: Sequence[Mapping[str, Any]], studies: Studies) -> str:
    """Return the table as Markdown, with what differs everywhere and which studies are missing below it."""
    shown = [
        {
            "what": row["what"],
            "published": row["published"],
            "here [95 %]": row["missing"] or interval_cell(interval_of(row, "here"), row["form"]),
            "n": str(row["here_seeds"] or "-"),
            "what differs, and why": row["differs"],
        }
        for row in rows
    ]
    return "\n".join([format_markdown(shown), "", *_notes(studies)]) + "\n"


def _notes(studies: Studies) -> Iterator[str]:
    """Give what holds for all rows, and every study that is missing."""
    yield "n: seeds, of shares examples; in brackets 95 % intervals, Student's over seeds, Wilson's of shares."
    yield f"Everywhere: {'; '.join(EVERYWHERE)}."
    for stored in studies.values():
        if not stored.is_reported:
            state = "not finished" if stored.folder.is_dir() else "missing"
            yield f"The study {stored.study} is {state}: `world-models study {stored.study}` ({stored.folder})."
