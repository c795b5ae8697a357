"""How far is it from city to city? A model learns `dist(c_12,c_5075)=769`, and with it, perhaps, a map."""

from dataclasses import replace

from tasks.geography.pair_task import PAIR_TASK

TASK = replace(PAIR_TASK, package=__name__)
