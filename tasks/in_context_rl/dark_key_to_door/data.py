"""The dataset of `dark_key_to_door`: learning histories of its tasks."""

from pathlib import Path

from tasks.in_context_rl.dark_key_to_door.options import DarkKeyToDoorOptions
from tasks.in_context_rl.histories import build_histories
from tasks.in_context_rl.rooms import key_to_door
from trainers.contract import BuiltDataset


def build(options: DarkKeyToDoorOptions) -> BuiltDataset:
    """Build the rows; equal options give equal rows."""
    card = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    return build_histories(options, key_to_door(options.size, options.horizon), card)
