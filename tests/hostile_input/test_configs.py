"""Whatever stands in a config, the answer is one sentence and exit code 2."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trainers import registry
from trainers.settings.request import flag_names

from .desk_helpers import DRY, LETTERS, SCALARS, VALUES, as_bytes, many, refused, told

FLAGS = sorted(name for group in flag_names(registry.load("location")).values() for name in group)


# Not tried: what changes this process for good.
FLAGS = [name for name in FLAGS if name not in ("full_determinism", "log_level", "log_level_replica")]

NASTY = (
    "task: [location, distance]",
    "task: []",
    "task: {location: 1}",
    "task: nowhere.echo",
    "task: ../location",
    "seed: 1\nseed: 2",
    "seed: &a [*a]",
    "lr_scheduler_kwargs: &a {b: *a}",
    "lr_scheduler_kwargs: {b: 2024-01-01}",
    "lr_scheduler_kwargs: {b: !!binary aGVsbG8=}",
    "lr_scheduler_kwargs: {b: !!set {c}}",
    "lr_scheduler_kwargs: {1: 2, null: 3, [4]: 5}",
    "lr_scheduler_kwargs: {2024-01-01: 1}",
    "lr_scheduler_kwargs: {[1]: 1}",
    "seed: *missing",
    "a: &a [x, x]\nb: &b [*a, *a]\nseed: *b",
    "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    + "".join(
        f"{now}: &{now} [{', '.join([f'*{before}'] * 9)}]\n" for before, now in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "seed: *i",
    "<<: {seed: 1}",
    "base: &base {seed: 1}\n<<: *base",
    "seed: 2024-99-99",
    "seed: 2024-01-01 99:99:99",
    "seed: !!int seven",
    "seed: !!int ''",
    "seed: !!float seven",
    "seed: !!bool perhaps",
    "seed: !!timestamp today",
    "seed: !!binary '%'",
    "seed: !!null 1",
    "seed: !!seq 1",
    "seed: !!omap [1]",
    "seed: !!pairs 3",
    "seed: !!python/object/apply:os.system ['touch executed']",
    "seed: !!python/name:os.system",
    "seed: 0b_",
    "seed: 0x_",
    f"seed: 0x{'f' * 5000}",
    f"seed: {'9' * 5000}",
    f"seed: {'[' * 3000}",
    f"seed: {'[' * 400}1{']' * 400}",
    f"seed: {'{a: ' * 400}1{'}' * 400}",
    "seed: |\n  text\n more",
    "seed:\t1",
    "seed: 1\n---\nseed: 2",
    "%YAML 9.9\n---\nseed: 1",
    "seed: 'half",
    "seed: 1e999",
    "learning_rate: .nan",
    "learning_rate: -.inf",
    "num_train_epochs: .inf",
    "logging_steps: .inf",
    "eval_steps: 1e999",
    "save_steps: .nan",
    "warmup_steps: .inf",
    "eval_delay: .nan",
    "per_device_train_batch_size: 99999999999999999999",
    "num_hidden_layers: 99999999999999999999",
    "hidden_size: 99999999999999999999",
    "n_cities: 99999999999999999999",
    "n_train: 99999999999999999999",
    "min_population: 99999999999999999999",
    "world_seed: 99999999999999999999",
    'output_dir: "a\\0b"',
    'run_name: "a\\0b"',
    'dataset: "a\\0b"',
    'init_from: "a\\0b"',
    'cities_csv: "a\\0b"',
    'resume_from_checkpoint: "a\\0b"',
    'run_name: "\\uD800"',
    "run_name: ..",
    "output_dir: ''",
    "learning_rate: ['--overwrite', 1]",
    "report_to: [none, --muon]",
    "accelerator_config: 3",
    "deepspeed: nowhere.json",
    "fsdp: [a, b]",
    "lr_scheduler_type: 7",
    "optim: [adamw_torch, sgd]",
    "metric_for_best_model: [a]",
    "true: 1",
    "1: 1",
    "null: 1",
    ".nan: 1",
    "2024-01-01: 1",
    "'': 1",
    "? [a, b]\n: 1",
    "--seed: 1",
)
"""Lines that a config of `location` must not have."""


@pytest.mark.parametrize("line", NASTY, ids=[line[:40] for line in NASTY])
def test_a_config_with_one_nasty_line(line, desk):
    start = "" if "task:" in line or line.startswith("%") else "task: location\n"
    refused(desk, ["--config", desk.put("my.yaml", start + line + "\n"), *DRY])
    assert not (desk.folder / "executed").exists()


@many(40)
@given(
    content=st.one_of(
        st.text(),
        st.binary(),
        st.text(alphabet="&*!|>%@`{}[],:?-#'\" \n\tab1", max_size=30).map(lambda text: "task: location\n" + text),
        st.dictionaries(st.sampled_from([*FLAGS, "learning_rat"]) | st.text(alphabet=LETTERS), VALUES, max_size=3).map(
            lambda flags: yaml.safe_dump({"task": "location", **flags})
        ),
    )
)
def test_configs_of_any_content(content, desk):
    told(desk, ["--config", desk.put("my.yaml", content if isinstance(content, bytes) else as_bytes(content)), *DRY])


@many(30)
@given(name=st.sampled_from(FLAGS), value=SCALARS | VALUES)
def test_a_config_with_any_value(name, value, desk):
    told(desk, ["--config", desk.put("my.yaml", as_bytes(yaml.safe_dump({"task": "location", name: value}))), *DRY])


def test_good_configs_are_taken(desk):
    for text in ("task: location\nseed: 3\n", "task: distance\nn_cities: 30\nn_train: 100\nn_val: 9\nn_test: 9\n"):
        assert told(desk, ["--config", desk.put("my.yaml", text), *DRY]) == ""
