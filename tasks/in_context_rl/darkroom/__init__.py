"""Task `darkroom`: reach a hidden goal; evaluated on goals that were not trained on."""

from dataclasses import replace

from tasks.in_context_rl.family import FAMILY

TASK = replace(FAMILY, package=__name__, summary="Learn in context where the reward of a dark room is.")
