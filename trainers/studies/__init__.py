"""Studies of several runs, and sweeps."""
