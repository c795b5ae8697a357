"""Linear probes of hidden states, and other views of a trained model."""
