"""The Trainer of `distance`: generated distances, scored in km."""

from tasks.geography.pair_trainer import PairTrainer


class DistanceTrainer(PairTrainer):
    """Scores generated distances between real cities."""
