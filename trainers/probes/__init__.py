"""Linear probes of hidden states."""
