"""Stop a training whose loss is no longer finite."""

import math
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainers.errors import UserError


class StopOnBadLoss(TrainerCallback):
    """Ends the run when a loss, of training or of an evaluation, is not finite: waiting would not mend it."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check every logged loss."""
        bad = [(n, v) for n, v in (logs or {}).items() if n.endswith("loss") and not math.isfinite(v)]
        if bad:
            raise UserError(
                f"{bad[0][0]} is {bad[0][1]} at step {state.global_step}; lower --learning_rate or --init_scale."
                " The last checkpoint is kept"
            )
