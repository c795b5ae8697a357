"""The decision-pretrained transformer: what it is to predict, what it is shown, and how it is evaluated."""

import numpy as np
import torch

from tasks.in_context_rl.histories import STEP_COLUMNS
from tasks.in_context_rl.model import HistoryConfig, build_model
from tasks.in_context_rl.options import HistoryModelOptions
from tasks.in_context_rl.sources import QLearning, record
from tests.helpers import results_of
from trainers.run import main

from .model_helpers import TINY, as_rows, logits_of, random_steps
from .room_helpers import FAMILIES, families, rules
from .test_building import STORED
from .test_intents import good_actions

CONFIG = HistoryConfig(architecture="dpt", window=20, keep=10, size=3)
SIZE, HORIZON = 3, 8


def histories(name, n_steps=5 * HORIZON, seed=0):
    """Rows of a wandering learner, and the numbers of its tasks."""
    world = FAMILIES[name](SIZE, HORIZON)
    numbers = np.random.default_rng(seed).integers(len(world.tasks), size=60)
    source = QLearning(1.0, 0.9, 0.5, 0.5, 0.5, 1.0)
    found = record(source, world.room, world.tasks[numbers], n_steps, np.random.default_rng(seed))
    return type(world)(world.room, world.tasks[numbers], []), vars(found), numbers


@families
def test_the_label_is_an_action_on_a_shortest_way_and_of_several_each_as_often(name):
    world, columns, numbers = histories(name)
    rows, firsts = as_rows(world, CONFIG, columns), []
    for agent, number in enumerate(numbers.tolist()):
        task, found = rules(name, SIZE, number), 0
        for step, (cell, reward) in enumerate(
            zip(*(columns[c][agent].tolist() for c in ("cell", "reward")), strict=True)
        ):
            found = found if step % HORIZON else 0
            good, _ = good_actions(task, divmod(cell, SIZE), found, SIZE)
            assert rows.label_NT[agent, step] in good
            firsts += [rows.label_NT[agent, step] == good[0]] if len(good) == 2 else []
            found += reward * (name == "dark_key_to_door")
    share = np.mean(firsts)
    assert len(firsts) > 200 and abs(share - 0.5) < 4 * 0.5 / len(firsts) ** 0.5


@families
def test_the_input_does_not_depend_on_what_is_to_be_found_nor_the_label_on_the_action_taken(name):
    world, columns, _ = histories(name)
    rows = as_rows(world, CONFIG, columns)
    every = list(range(len(rows)))
    batch = rows.__getitems__(every)
    others = type(world)(world.room, world.tasks[every[::-1]], [])
    moved = as_rows(others, CONFIG, columns).__getitems__(every)
    assert torch.equal(batch["steps"], moved["steps"])
    if name != "darkroom_permuted":  # its labels are of the goal in the last cell and the order of the actions
        assert not torch.equal(batch["labels"], moved["labels"])
    imitated = as_rows(world, HistoryConfig(window=20, keep=10, size=3), columns).__getitems__(every)
    assert torch.equal(batch["steps"], imitated["steps"])
    assert (imitated["labels"].numpy() == columns["action"]).all() and not torch.equal(
        batch["labels"], imitated["labels"]
    )
    other_actions = {**columns, "action": (columns["action"] + 1) % 5}
    assert torch.equal(as_rows(world, CONFIG, other_actions).__getitems__(every)["labels"], batch["labels"])


@families
def test_labels_do_not_depend_on_the_future(name):
    world, columns, _ = histories(name)
    part = {column: columns[column][:, : 2 * HORIZON] for column in STEP_COLUMNS}
    labels = as_rows(world, CONFIG, part).label_NT
    assert (labels == as_rows(world, CONFIG, columns).label_NT[:, : 2 * HORIZON]).all()


def test_the_model_is_that_of_ad():
    sizes = {name: TINY[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size")}
    models = []
    for architecture in ("ad", "dpt"):
        torch.manual_seed(0)
        models.append(build_model(HistoryModelOptions(architecture=architecture, window=5, keep=2, **sizes), STORED))
    steps = random_steps(2, 13)
    assert torch.equal(*(logits_of(model.eval(), steps) for model in models))


def test_a_run_is_evaluated_by_acting_and_has_no_entropy_bound(prefix):
    small = (
        "--task darkroom --source matching --size 3 --horizon 10 --n_streams 3 --history_steps 40 --keep_every 1"
        " --n_val_tasks 2 --eval_streams 1 --eval_episodes 3 --eval_rollouts 2 --architecture dpt --window 20 --keep 10"
        " --hidden_size 16 --intermediate_size 16 --num_hidden_layers 1 --num_attention_heads 2 --threads 1 --use_cpu"
        " --max_steps 2 --eval_steps 2 --per_device_train_batch_size 8"
    )
    assert main([*small.split(), "--output_dir", str(prefix / "run")]) == 0
    results = results_of(prefix / "run")
    assert {"final_test_regret", "final_test_accuracy", "final_test_reference_matching_regret"} <= results.keys()
    assert "final_test_entropy_bound" not in results
