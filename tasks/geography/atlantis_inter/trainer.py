"""The Trainer of `atlantis_inter`: generated distances, scored in km."""

from tasks.geography.pair_trainer import PairTrainer


class AtlantisInterTrainer(PairTrainer):
    """Scores generated distances to and between invented cities."""
