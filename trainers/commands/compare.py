"""Compare tracked runs: one table and one figure of a metric over steps, labelled by what differs between the runs.

    python -m trainers.commands.compare --query "tags.task = 'location' and params.learning_rate = '0.001'"
    python -m trainers.commands.compare --metric memorisation/loss --limit 5

Runs come from MLflow's store, the newest first. Nothing is changed there; only the table (compare.csv) and the figure
(compare.png) are written, and written anew by the same command.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from trainers.common import environment, figures
from trainers.common.files import write_csv, write_json
from trainers.errors import UserError, exit_code_of
from trainers.options import option
from trainers.tracking.comparison import curve_of, figure_of, measure_of, rows_of

_MARKER = "compare.json"


@dataclass
class CompareOptions:
    """Which runs, by what."""

    query: str = option("", "MLflow's filter, e.g. \"tags.task = 'location'\"; default: all runs")
    metric: str | None = option(None, "e.g. memorisation/haversine_km_mean; default: the task's primary metric")
    greater_is_better: bool | None = option(None, "direction of a --metric that is no loss and no primary metric")
    limit: int = option(20, "at most so many runs, the newest", least=1, most=1000)
    output_dir: str | None = option(None, "where to write; default: <EXP_DIR_PREFIX>/compare/<name by the query>")


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return the exit code."""
    return exit_code_of(lambda: _compare(sys.argv[1:] if argv is None else argv))


def _compare(argv: list[str]) -> None:
    environment.set_up()
    from trainers.common import tables
    from trainers.settings import help_text
    from trainers.tracking import queries

    given = help_text.read_or_help(argv, __doc__, CompareOptions)
    if given is None:
        return
    folder = _folder(given)
    # A sweep has a record of its own above those of its runs; it is these that are compared.
    runs = [run for run in queries.find(given.query) if "sweep" not in run.data.tags]
    if not runs:
        raise UserError(f"no run matches --query {given.query!r}; `mlflow ui` shows all" if given.query else "no runs")
    if len(runs) > given.limit:
        print(f"the newest {given.limit} runs of more; --limit takes more of them")
    measure = measure_of(runs[: given.limit], given.metric, given.greater_is_better)
    courses = [curve_of(run, measure) for run in runs[: given.limit]]
    drawn = [course for course in courses if course.values]
    rows = rows_of(courses, measure)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / _MARKER, {"query": given.query, "metric": measure.name, "limit": given.limit})
    write_csv(folder / "compare.csv", rows)
    figures.save_figure(figure_of(drawn, measure), folder / "compare.png")
    shown = [{name: value for name, value in row.items() if name != "run id"} for row in rows]
    print(f"{measure.name}\n{tables.format_table(shown)}\nwritten: {folder / 'compare.csv'}, compare.png")


def _folder(given: CompareOptions) -> Path:
    from trainers.folders.command_folder import own_folder

    words = "_".join(re.findall(r"[a-z0-9]+", given.query.lower()))[:40] or "all"
    key = hashlib.sha256(repr((given.query, given.metric, given.limit)).encode()).hexdigest()[:8]
    default = environment.resolved_prefix() / "compare" / f"{words}-{key}"
    return own_folder(Path(given.output_dir or default), _MARKER)


if __name__ == "__main__":
    sys.exit(main())
