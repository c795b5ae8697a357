"""The Trainer of `atlantis_cross`: generated distances, scored in km."""

from tasks.geography.pair_trainer import PairTrainer


class AtlantisCrossTrainer(PairTrainer):
    """Scores generated distances to and between invented cities."""
