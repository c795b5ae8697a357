"""18 foundational ARC tasks by id, each with a seeded generator and a solver.

Fourteen are trained on, four are not (the split of the first experiments).
"""

from tasks.arc.generators import lines, objects, whole_grid
from tasks.arc.generators.concept import Concept

CONCEPTS: dict[str, Concept] = dict(sorted({**whole_grid.CONCEPTS, **lines.CONCEPTS, **objects.CONCEPTS}.items()))
UNSEEN = ("a9f96cdd", "b27ca6d3", "c1d99e64", "dbc1a6ce")
SEEN = tuple(name for name in CONCEPTS if name not in UNSEEN)
