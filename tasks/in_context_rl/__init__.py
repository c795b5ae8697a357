"""In-context reinforcement learning: dark rooms, learning histories, models that act."""
