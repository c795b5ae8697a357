"""The dataset of `darkroom`: learning histories of its tasks."""

from pathlib import Path

from tasks.in_context_rl.darkroom.options import DarkroomOptions
from tasks.in_context_rl.histories import build_histories
from tasks.in_context_rl.rooms import darkroom
from trainers.contract import BuiltDataset


def build(options: DarkroomOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows."""
    card = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    return build_histories(options, darkroom(options.size, options.horizon), card)
