"""What the tasks of in-context reinforcement learning share: rooms, learning histories, models that act."""
