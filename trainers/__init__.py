"""Everything that any training run needs; knows no task by name (only the entry points look tasks up)."""
