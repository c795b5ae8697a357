"""The families of tasks, one folder each; `trainers.registry` finds a task by the name of its folder."""
