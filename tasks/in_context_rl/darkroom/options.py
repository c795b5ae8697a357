"""What the dataset builder of `darkroom` can be asked for."""

from dataclasses import dataclass

from tasks.in_context_rl.options import HistoryOptions


@dataclass
class DarkroomOptions(HistoryOptions):
    """The room, its histories, and how acting is measured."""
