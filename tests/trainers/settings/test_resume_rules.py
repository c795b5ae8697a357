"""What a resumed run may change: every setting has one rule, and the rule is what happens."""

from dataclasses import fields

import pytest

from tests.helpers import refusal
from trainers.settings.resume_rules import RULES, Change, changes_on_resume
from trainers.settings.run_options import REFUSED, RunOptions
from trainers.settings.training_fields import training_defaults

SETTINGS = {item.name for item in fields(RunOptions)} | {name for name in training_defaults() if name not in REFUSED}


def test_every_setting_of_a_run_has_a_rule():
    assert set(RULES) == SETTINGS


@pytest.mark.parametrize("name", [*sorted(RULES), "n_cities", "hidden_size"])
def test_a_changed_setting_is_refused_applied_or_free(name):
    before, after = {name: 1, "other": 2}, {name: 3, "other": 2, "newer": 4}
    rule = RULES.get(name, "restored")  # of the dataset or the model
    if rule == "restored":
        with refusal(f"--{name}", "1", "3", "--init_from"):
            changes_on_resume(before, after, 20)
    else:
        expected = [Change(name, 1, 3, 20)] if rule == "applied" else []
        assert changes_on_resume(before, after, 20) == expected


def test_all_refused_settings_are_named_at_once():
    with refusal("--seed", "--optim"):
        changes_on_resume({"seed": 1, "optim": "a", "max_steps": 1}, {"seed": 2, "optim": "b", "max_steps": 2}, 20)
