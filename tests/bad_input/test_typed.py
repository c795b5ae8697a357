"""Everything a person can mistype ends with one sentence, exit code 2, and every file as it was."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from trainers import run
from trainers.commands import dataset

from .desk_helpers import check

TYPED = (
    # names
    (
        "--task locaton",
        "locaton arc atlantis_cross atlantis_inter bandit dark_key_to_door darkroom darkroom_permuted distance"
        " location random_walk",
    ),
    ("--task locaton --help", "locaton location"),
    ("", "--task arc atlantis_cross atlantis_inter"),
    ("--task", "--task arc atlantis_cross atlantis_inter"),
    ("--task nowhere.echo", "nowhere.echo PYTHONPATH"),
    ("--task json.decoder", "json.decoder TASK"),
    ("--task location --learning_rat 1", "learning_rat learning_rate"),
    ("--task location --learning-rat 1", "learning_rate"),
    ("--task location --zzz 1", "zzz --help"),
    ("--task location --do_train", "--do_train run.py"),
    ("--task location --push_to_hub", "--push_to_hub"),
    ("--config locaton", "locaton location"),
    (f"--config {'a' * 300}", "File name too long"),  # the operating system's words
    # the form
    ("location --n_cities 40", "'location'"),
    ("-task location", "-task"),
    ("--task location --n_cities 40 50", "'50'"),
    ("--task location distance", "'distance'"),
    ("--task location --no_muon yes", "no_muon"),
    ("--task location --learning_rate", "--learning_rate"),
    ("--task location --learning_rate=", "--learning_rate"),
    ("--task location --init_from ''", "--init_from"),
    # types
    ("--task location --learning_rate abc", "--learning_rate abc"),
    ("--task location --max_steps 1.5", "--max_steps 1.5"),
    ("--task location --use_cpu maybe", "--use_cpu maybe"),
    ("--task location --no_hidden_size", "--hidden_size"),
    ("--task location --lr_scheduler_type cosin", "--lr_scheduler_type cosin linear"),
    ("--task location --optim adam", "--optim adam adamw_torch"),
    ("--task location --lr_scheduler_kwargs '{a'", "--lr_scheduler_kwargs {a JSON"),
    ("--task location --lr_scheduler_kwargs half", "--lr_scheduler_kwargs half JSON"),
    ("--task location --accelerator_config missing.json", "--accelerator_config missing.json JSON"),
    ("--task location --accelerator_config '{\"speed\": 1}'", "--accelerator_config speed"),
    # ranges
    ("--task location --learning_rate nan", "--learning_rate nan"),
    ("--task location --learning_rate inf", "--learning_rate inf"),
    ("--task location --learning_rate -1", "--learning_rate -1.0"),
    ("--task location --learning_rate 0", "--learning_rate 0"),
    ("--task location --per_device_train_batch_size -8", "--per_device_train_batch_size -8"),
    ("--task location --num_train_epochs 0", "--num_train_epochs 0"),
    ("--task location --warmup_steps -1", "warmup_steps"),
    ("--task location --max_steps 0", "--max_steps 0"),
    ("--task location --max_steps -7", "--max_steps -7"),
    ("--task location --seed 4294967296", "--seed 4294967296"),
    ("--task location --threads 0", "--threads 0"),
    ("--task location --grow 800", "--grow 800 SIZE:STEPS 800:2500"),
    ("--task location --grow 800:0", "--grow 800:0"),
    ("--task location --grow 800:10,400:10", "--grow 400 800"),
    ("--task location --grow 5075:10", "--grow 5,075"),
    ("--task random_walk --grow 800:10", "--grow random_walk"),
    ("--task location --early_stopping_patience 0", "--early_stopping_patience 0"),
    ("--task location --hidden_size -16", "--hidden_size -16"),
    ("--task location --init_scale nan", "--init_scale nan"),
    ("--task location --n_val -1", "--n_val -1"),
    ("--task location --n_cities 0", "--n_cities 0"),
    ("--task location --world_seed -1", "--world_seed -1"),
    # combinations
    ("--task location --evals_per_epoch 2 --eval_steps 3", "--evals_per_epoch --eval_steps"),
    ("--task location --eval_steps 2 --save_steps 3", "--load_best_model_at_end 2 3"),
    ("--task location --eval_strategy epoch", "save and eval strategy to match"),  # transformers' words
    ("--task location --all --n_train 4", "--all --n_train 4"),
    ("--task location --n_train 5076", "--n_train 5076 5075"),
    ("--task location --n_train 5000 --n_val 76", "--n_val 76 --n_train 5000 75 5075"),
    ("--task location --n_val 5076", "--n_val 5076 5075"),
    ("--task location --n_cities 1000000", "--n_cities --min_population 1000000"),
    ("--task location --min_population 100000000", "--min_population 100000000"),
    ("--task location --cities_csv missing.csv", "--cities_csv missing.csv"),
    ("--task location --cities_csv .", "--cities_csv folder CSV"),
    ("--task location --dataset missing", "missing"),
    ("--task location --dataset missing --n_train 9", "--dataset"),
    ("--task location --overwrite", "--overwrite --output_dir"),
    ("--task location --resume_from_checkpoint last", "--resume_from_checkpoint last --output_dir"),
    ("--task location --overwrite --resume_from_checkpoint last", "--overwrite --resume_from_checkpoint"),
    ("--task location --run_name ../../away", "--run_name ../../away"),
    # the other tasks
    ("--task location --l2_to_start -1", "--l2_to_start -1.0"),
    ("--task location --l2_to_start nan", "--l2_to_start nan"),
    ("--task random_walk --radius_km 0", "--radius_km 0"),
    ("--task random_walk --radius_km 20016", "--radius_km 20016 20015"),
    ("--task random_walk --n_cities 40 --radius_km 1 --n_train 10", "--n_val --n_test --radius_km --longest_walk"),
    (
        "--task distance --n_cities 40 --n_train 700 --n_val 80 --n_test 1",
        "781 40 --n_train --n_val --n_test 780",
    ),
    ("--task atlantis_inter --n_cities 40 --n_atlantis 5", "5 --n_train --n_val --n_test 10"),
    (
        "--task atlantis_cross --n_cities 40 --n_atlantis 5 --n_train 100 --n_val 0 --n_test 0 --inter_ratio 0.5",
        "--inter_ratio 0.5 100 50 10 0.1",
    ),
    ("--task atlantis_cross --inter_ratio 1.5", "--inter_ratio 1.5"),
    ("--task atlantis_inter --spread_km 0", "--spread_km 0.0"),
    ("--task atlantis_inter --n_cities 40 --regions nonsense", "--regions nonsense"),
    ("--task atlantis_inter --n_cities 40 --regions '35,-35 95,0'", "--regions 95,0"),
    ("--task atlantis_inter --n_cities 40 --replay_ratio 0.5", "--replay_ratio --replay_dataset"),
    ("--task atlantis_inter --n_cities 40 --replay_dataset .", "--replay_ratio --replay_dataset"),
    ("--task atlantis_inter --n_cities 40 --replay_ratio 0.5 --replay_dataset nowhere", "nowhere"),
    ("--task atlantis_inter --replay_ratio 1", "--replay_ratio 1.0 0.99"),
)
"""What is typed, and what the answer must name."""

TYPED_TO_BUILD = (
    ("--task location --learning_rate 1", "learning_rate"),
    ("--task locaton", "locaton location"),
    ("--task location --n_train few", "--n_train few"),
    ("--task location --n_val -1", "--n_val -1"),
    ("--task location --n_train 5076", "--n_train 5076 5075"),
)

TYPED_TINY = (
    # the model
    ("--hidden_size 6 --num_attention_heads 4", "--hidden_size 6 --num_attention_heads 4 1.5"),
    ("--hidden_size 6 --num_attention_heads 2", "--hidden_size 6 --num_attention_heads 2 3"),
    ("--hidden_size 1099511627776", "--hidden_size 1099511627776"),
    ("--model_type qwen", "--model_type qwen qwen2 llama"),
    # training
    ("--torch_compile --torch_compile_mode fast", "--torch_compile_mode fast reduce-overhead"),
    ("--metric_for_best_model accuracy", "--metric_for_best_model accuracy"),
    ("--metric_for_best_model eval_memorisation_accuracy", "eval_memorisation_haversine_km_mean"),
    ("--metric_for_best_model eval_memorisation_haversine_km_p90", "--greater_is_better"),
    ("--optim adamw_torch_npu_fused", "--optim adamw_torch_npu_fused"),
    ("--optim_args nonsense", "--optim adamw_torch_fused"),
    ("--lr_scheduler_type cosine_with_min_lr", "--lr_scheduler_type cosine_with_min_lr --lr_scheduler_kwargs"),
    ("--lr_scheduler_kwargs '{\"speed\": 1}'", "speed"),
    ("--report_to nonsense", "--report_to nonsense"),
    ("--report_to mlflow", "--report_to mlflow"),
    ("--eval_steps 0.5 --saves_per_epoch 1", "--saves_per_epoch"),
    ("--no_load_best_model_at_end --eval_strategy no --early_stopping_patience 2", "--early_stopping_patience"),
    # the folder
    ("--output_dir .", "--output_dir EXP_DIR_PREFIX"),
    ("--output_dir outputs", "--output_dir outputs EXP_DIR_PREFIX"),
    ("--output_dir outputs/../outputs/.", "--output_dir EXP_DIR_PREFIX"),
    ("--output_dir outputs/../away", "--output_dir away EXP_DIR_PREFIX"),
    (f"--output_dir outputs/{'a' * 300}", "File name too long"),  # the operating system's words
    ("--output_dir outputs/new --resume_from_checkpoint last", "--resume_from_checkpoint outputs/new"),
    ("--resume_from_checkpoint outputs/new/checkpoint-5", "--resume_from_checkpoint outputs/new/checkpoint-5"),
    ("--output_dir ~nosuchuser/run", "--output_dir ~nosuchuser/run EXP_DIR_PREFIX"),
    ("--resume_from_checkpoint ~nosuchuser/checkpoint-5", "~nosuchuser EXP_DIR_PREFIX"),
    ("--init_from missing", "--init_from missing"),
    ("--init_from ~nosuchuser", "--init_from ~nosuchuser"),
    # freezing and probing
    ("--freeze nonsense", "--freeze nonsense model.embed_tokens.weight"),
    ("--freeze layers.1", "--freeze layers.1"),
    ("--freeze model,lm_head", "--freeze model,lm_head"),
    ("--probe --n_cities 3", "1 2"),
)
"""What is added to the command line of a tiny run, and what the answer must name."""


@pytest.mark.parametrize("command_line, names", TYPED, ids=[line[:70] for line, _ in TYPED])
def test_what_is_mistyped(command_line, names, desk, capsys):
    check(run.main, shlex.split(command_line), names.split(), desk, capsys)


@pytest.mark.parametrize("command_line, names", TYPED_TO_BUILD, ids=[line for line, _ in TYPED_TO_BUILD])
def test_what_is_mistyped_for_the_builder(command_line, names, desk, capsys):
    check(dataset.main, shlex.split(command_line), names.split(), desk, capsys)


@pytest.mark.parametrize("added, names", TYPED_TINY, ids=[line[:70] for line, _ in TYPED_TINY])
def test_what_is_wrong_with_a_run(added, names, desk, capsys):
    check(run.main, [*desk.tiny, *shlex.split(added)], names.split(), desk, capsys)


@pytest.mark.parametrize(
    "command_line",
    ["--help", "--task location --help", "--task locaton", "--task location --learning_rat 1", "--config locaton"],
)
def test_names_are_answered_without_heavy_imports(command_line, prefix):
    argv = [sys.executable, "-X", "importtime", str(ROOT / "trainers" / "run.py"), *command_line.split()]
    done = subprocess.run(argv, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"})
    assert done.returncode == (0 if "--help" in command_line else 2)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "trainers" in imported
    assert not imported & {"torch", "transformers", "datasets", "evaluate", "mlflow", "accelerate", "matplotlib"}
