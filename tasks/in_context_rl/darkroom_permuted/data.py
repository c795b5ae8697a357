"""The dataset of `darkroom_permuted`: learning histories of its tasks."""

from pathlib import Path

from tasks.in_context_rl.darkroom_permuted.options import DarkroomPermutedOptions
from tasks.in_context_rl.histories import build_histories
from tasks.in_context_rl.rooms import permuted_darkroom
from trainers.contract import BuiltDataset


def build(options: DarkroomPermutedOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows."""
    card = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    return build_histories(options, permuted_darkroom(options.size, options.horizon), card)
