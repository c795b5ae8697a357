"""What lies on disk: run folders, checkpoints, datasets, locks, cards."""
