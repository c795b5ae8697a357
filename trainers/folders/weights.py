"""Find the weights that a run has kept: of its end, and of its checkpoints."""

from pathlib import Path

from trainers.errors import UserError
from trainers.folders.checkpoints import read_state
from trainers.folders.run_folder import RunFolder


def named_weights(run: RunFolder, checkpoint: str) -> dict[int, Path]:
    """Return step -> folder of the weights that `--checkpoint` means: best, last, all, or the number of a step.

    Raises:
        UserError: the run has none of this name.
    """
    found = run.checkpoints
    if run.is_finished:
        found = {**found, _kept_step(run): run.path}
    if not found:
        raise UserError(f"{run.path} has saved no weights yet; train it further, or give another run")
    if checkpoint == "all":
        return dict(sorted(found.items()))
    if checkpoint == "last" and run.checkpoints:
        step = max(run.checkpoints)
        return {step: run.checkpoints[step]}
    if checkpoint == "best" and (step := _best_step(run)) in found:
        return {step: found[step]}
    if checkpoint.isdecimal() and int(checkpoint) in found:
        return {int(checkpoint): found[int(checkpoint)]}
    steps = ", ".join(map(str, sorted(found)))
    raise UserError(
        f"--checkpoint {checkpoint}: {run.path} has no such weights; give best, last, all, or a step: {steps}"
    )


def _kept_step(run: RunFolder) -> int:
    try:
        return int(run.results["kept_step"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"results.json of {run.path} has no kept_step; restore the file, or give another run"
        ) from error


def _best_step(run: RunFolder) -> int:
    """Return the step whose weights the run kept at its end; of a run that has not ended, that of the best so far."""
    if run.is_finished:
        return _kept_step(run)
    last = run.last_checkpoint
    state = read_state(last) if last else {}
    best = state.get("best_global_step")
    return int(state.get("global_step", -1) if best is None else best)  # nothing has been evaluated: the last one
