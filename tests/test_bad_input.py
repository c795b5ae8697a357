"""Everything a person can mistype or break ends with one sentence, exit code 2, and every file as it was."""

import dataclasses
import errno
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainers import run
from trainers.commands import dataset

ROOT = Path(__file__).resolve().parent.parent
CITIES = "name,latitude,longitude,country,population\nA,1,2,DE,5\nB,3,4,DE,6\nC,5,6,FR,7\n"

TYPED = (
    # names
    (
        "--task locaton",
        "the tasks are: arc, atlantis_cross, atlantis_inter, dark_key_to_door, darkroom, darkroom_permuted, distance,"
        " location, random_walk. Did you mean location?",
    ),
    ("--task locaton --help", "Did you mean location?"),
    ("", "no task given; use --task with one of: arc, atlantis_cross, atlantis_inter, dark_key"),
    ("--task", "no task given"),
    ("--task nowhere.echo", "a Python package that cannot be found; is it on PYTHONPATH?"),
    ("--task json.decoder", "has no TASK"),
    ("--task location --learning_rat 1", "unknown setting 'learning_rat' (command line). Did you mean learning_rate"),
    ("--task location --learning-rat 1", "Did you mean learning_rate"),
    ("--task location --zzz 1", "`--help` lists every setting"),
    ("--task location --do_train", "--do_train has no effect here: run.py always trains; remove it"),
    ("--task location --push_to_hub", "upload the finished folder"),
    ("--config locaton", "Did you mean location"),
    (f"--config {'a' * 300}", "File name too long"),
    # the form
    ("location --n_cities 40", "'location' stands alone; settings are given as --name value"),
    ("-task location", "'-task' stands alone"),
    ("--task location --n_cities 40 50", "'50'"),
    ("--task location distance", "'distance'"),
    ("--task location --no_muon yes", "no_muon"),
    ("--task location --learning_rate", "--learning_rate: expected one argument"),
    ("--task location --learning_rate=", "--learning_rate has an empty value"),
    ("--task location --init_from ''", "--init_from has an empty value"),
    # types
    ("--task location --learning_rate abc", "--learning_rate: invalid float value: 'abc' (from command line)"),
    ("--task location --max_steps 1.5", "--max_steps: invalid int value: '1.5'"),
    ("--task location --use_cpu maybe", "got maybe but expected one of yes/no"),
    ("--task location --no_hidden_size", "--hidden_size: invalid int value: 'false' (from command line)"),
    ("--task location --lr_scheduler_type cosin", "invalid choice: 'cosin' (choose from 'linear', "),
    ("--task location --optim adam", "invalid choice: 'adam' (choose from "),
    ("--task location --lr_scheduler_kwargs '{a'", "--lr_scheduler_kwargs is '{a', expected JSON"),
    ("--task location --lr_scheduler_kwargs half", "--lr_scheduler_kwargs is 'half', expected JSON"),
    ("--task location --accelerator_config missing.json", "missing.json"),
    ("--task location --accelerator_config '{\"speed\": 1}'", "speed"),
    # ranges
    ("--task location --learning_rate nan", "--learning_rate is nan; it must be a finite number"),
    ("--task location --learning_rate inf", "--learning_rate is inf; it must be a finite number"),
    ("--task location --learning_rate -1", "--learning_rate is -1.0; it must be at least 0"),
    ("--task location --learning_rate 0", "it must be greater than 0"),
    ("--task location --per_device_train_batch_size -8", "it must be at least 1"),
    ("--task location --num_train_epochs 0", "it must be greater than 0"),
    ("--task location --warmup_steps -1", "warmup_steps"),
    ("--task location --max_steps 0", "--max_steps is 0; it must be at least 1"),
    ("--task location --max_steps -7", "--max_steps is -7; it must be at least 1"),
    ("--task location --seed 4294967296", "it must be at most 4"),
    ("--task location --threads 0", "it must be at least 1"),
    ("--task location --early_stopping_patience 0", "it must be at least 1"),
    ("--task location --hidden_size -16", "it must be at least 1"),
    ("--task location --init_scale nan", "it must be a finite number"),
    ("--task location --n_val -1", "--n_val is -1; it must be at least 1"),
    ("--task location --n_cities 0", "--n_cities is 0; it must be at least 1"),
    ("--task location --world_seed -1", "it must be at least 0"),
    # combinations
    ("--task location --evals_per_epoch 2 --eval_steps 3", "--evals_per_epoch and --eval_steps are both given"),
    ("--task location --eval_steps 2 --save_steps 3", "multiple"),
    ("--task location --eval_strategy epoch", "save and eval strategy to match"),
    ("--task location --all --n_train 4", "--all and --n_train 4 contradict each other"),
    ("--task location --n_train 5076", "--n_train is 5076, but the world has 5075 cities"),
    ("--task location --n_train 5000 --n_val 76", "--n_val is 76, but --n_train 5000 leaves only 75 of 5075"),
    ("--task location --n_val 5076", "--n_val is 5076, but the world has 5075 cities"),
    ("--task location --n_cities 1000000", "n_cities is 1000000, but GeoNames offers"),
    ("--task location --min_population 100000000", "GeoNames has no city of 100000000 inhabitants"),
    ("--task location --cities_csv missing.csv", "missing.csv does not exist; give the path of a CSV"),
    ("--task location --cities_csv .", "is a folder; give the path of a CSV"),
    ("--task location --dataset missing", "there is no dataset folder missing; build one with"),
    ("--task location --dataset missing --n_train 9", "--n_train would do nothing"),
    ("--task location --overwrite", "--overwrite needs --output_dir"),
    ("--task location --resume_from_checkpoint last", "--resume_from_checkpoint last needs --output_dir"),
    ("--task location --overwrite --resume_from_checkpoint last", "are both given; use one of the two"),
    ("--task location --run_name ../../away", "--run_name '../../away'"),
    # the other tasks
    ("--task location --l2_to_start -1", "--l2_to_start is -1.0; it must be at least 0"),
    ("--task location --l2_to_start nan", "--l2_to_start is nan; it must be a finite number"),
    ("--task random_walk --radius_km 0", "--radius_km is 0; it must be at least 1"),
    ("--task random_walk --radius_km 20016", "--radius_km is 20016; it must be at most 20015"),
    (
        "--task random_walk --n_cities 40 --radius_km 1 --n_train 10",
        "different walks",
    ),
    (
        "--task distance --n_cities 40 --n_train 700 --n_val 80 --n_test 1",
        "781 pairs of 40 cities are asked for (--n_train, --n_val and --n_test together), but there are only 780",
    ),
    ("--task atlantis_inter --n_cities 40 --n_atlantis 5", "pairs of 5 invented cities are asked for"),
    (
        "--task atlantis_cross --n_cities 40 --n_atlantis 5 --n_train 100 --n_val 0 --n_test 0 --inter_ratio 0.5",
        "--inter_ratio 0.5 of 100 rows needs 50 pairs of invented cities, but there are 10; ask for at most 0.1",
    ),
    ("--task atlantis_cross --inter_ratio 1.5", "--inter_ratio is 1.5; it must be at most 1"),
    ("--task atlantis_inter --spread_km 0", "--spread_km is 0.0; it must be greater than 0"),
    (
        "--task atlantis_inter --n_cities 40 --regions nonsense",
        "the region 'nonsense' is not a latitude and a longitude",
    ),
    ("--task atlantis_inter --n_cities 40 --regions '35,-35 95,0'", "lies off the globe; give a latitude in -90..90"),
    ("--task atlantis_inter --n_cities 40 --replay_ratio 0.5", "--replay_ratio and --replay_dataset go together"),
    ("--task atlantis_inter --n_cities 40 --replay_dataset .", "--replay_ratio and --replay_dataset go together"),
    (
        "--task atlantis_inter --n_cities 40 --replay_ratio 0.5 --replay_dataset nowhere",
        "there is no dataset folder nowhere; build one with",
    ),
    ("--task atlantis_inter --replay_ratio 1", "--replay_ratio is 1.0; it must be at most 0.99"),
)
"""What is typed, and a fragment of the answer."""

TYPED_TO_BUILD = (
    ("--task location --learning_rate 1", "unknown setting 'learning_rate'"),
    ("--task locaton", "Did you mean location?"),
    ("--task location --n_train few", "--n_train: invalid int value: 'few' (from command line)"),
    ("--task location --n_val -1", "it must be at least 1"),
    ("--task location --n_train 5076", "--n_train is 5076, but the world has 5075 cities"),
)

TYPED_TINY = (
    # the model
    ("--hidden_size 6 --num_attention_heads 4", "gives heads of size 1.5; rotary positions need a whole even size"),
    ("--hidden_size 6 --num_attention_heads 2", "gives heads of size 3; rotary positions need a whole even size"),
    ("--hidden_size 1099511627776", "--hidden_size 1099511627776"),
    ("--model_type qwen", "--model_type: invalid choice: 'qwen' (choose from 'qwen2', 'llama')"),
    # training
    ("--torch_compile --torch_compile_mode fast", "--torch_compile_mode is fast; choose default, reduce-overhead,"),
    ("--metric_for_best_model accuracy", "--metric_for_best_model accuracy is not among"),
    ("--metric_for_best_model eval_memorisation_accuracy", "eval_memorisation_haversine_km_mean"),
    ("--metric_for_best_model eval_memorisation_haversine_km_p90", "--greater_is_better"),
    ("--optim adamw_torch_npu_fused", "--optim adamw_torch_npu_fused cannot be used: Trainer failed to import"),
    ("--optim_args nonsense", "--optim adamw_torch_fused cannot be used"),
    ("--lr_scheduler_type cosine_with_min_lr", "--lr_scheduler_type cosine_with_min_lr with --lr_scheduler_kwargs {}"),
    ("--lr_scheduler_kwargs '{\"speed\": 1}'", "unexpected keyword argument 'speed'"),
    ("--report_to nonsense", "--report_to nonsense cannot be used"),
    ("--report_to mlflow", "--report_to mlflow would record the run twice"),
    ("--eval_steps 0.5 --saves_per_epoch 1", "--saves_per_epoch"),
    ("--no_load_best_model_at_end --eval_strategy no --early_stopping_patience 2", "--early_stopping_patience"),
    # the folder
    ("--output_dir .", "outside EXP_DIR_PREFIX"),
    ("--output_dir outputs", "is EXP_DIR_PREFIX itself"),
    ("--output_dir outputs/../outputs/.", "is EXP_DIR_PREFIX itself"),
    ("--output_dir outputs/../away", "outside EXP_DIR_PREFIX"),
    (f"--output_dir outputs/{'a' * 300}", "File name too long"),
    ("--output_dir outputs/new --resume_from_checkpoint last", "no complete checkpoint there"),
    ("--resume_from_checkpoint outputs/new/checkpoint-5", "no complete checkpoint there"),
    ("--output_dir ~nosuchuser/run", "outside EXP_DIR_PREFIX"),
    ("--resume_from_checkpoint ~nosuchuser/checkpoint-5", "outside EXP_DIR_PREFIX"),
    ("--init_from missing", "--init_from missing holds no trained model"),
    ("--init_from ~nosuchuser", "--init_from ~nosuchuser holds no trained model"),
    # freezing and probing
    ("--freeze nonsense", "--freeze 'nonsense' is in no weight's name; the weights are: model.embed_tokens.weight, "),
    ("--freeze layers.1", "--freeze 'layers.1' is in no weight's name"),
    ("--freeze model,lm_head", "--freeze model,lm_head leaves no weight to train"),
    ("--probe --n_cities 3", "cities are left to train the probe on and 2 to test it; give a larger world"),
)
"""What is added to the command line of a tiny run."""


@dataclass
class Desk:
    """What a case may use: a folder to work in, the prefix in it, and copies of things that work."""

    tmp_path: Path
    prefix: Path
    tiny: list[str]
    good_dataset: Path
    finished_run: Path
    monkeypatch: pytest.MonkeyPatch

    def config(self, content: str | bytes) -> list[str]:
        (self.tmp_path / "my.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
        return ["--config", "my.yaml"]

    def csv(self, content: str | bytes) -> list[str]:
        (self.tmp_path / "my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        return ["--task", "location", "--cities_csv", "my.csv"]

    def dataset(self) -> Path:
        return Path(shutil.copytree(self.good_dataset, self.tmp_path / "data"))

    def with_dataset(self) -> list[str]:
        rest = [token for token in self.tiny if token not in ("--n_cities", "40")]
        return [*rest, "--dataset", "data"]

    def run(self) -> Path:
        return Path(shutil.copytree(self.finished_run, self.prefix / "done"))


PREPARED = []
"""Functions that break something and return what to type, with a fragment of the answer."""


def case(fragment):
    def register(prepare):
        PREPARED.append(pytest.param(prepare, fragment, id=prepare.__name__))
        return prepare

    return register


# Configs


@case("unknown setting 'learning_rat' (my.yaml). Did you mean learning_rate")
def config_with_an_unknown_name(desk):
    return desk.config("task: location\nlearning_rat: 1\n")


@case("unknown setting 'learning-rat' (my.yaml). Did you mean learning_rate")
def config_with_a_misspelt_name_with_a_hyphen(desk):
    return desk.config("task: location\nlearning-rat: 1\n")


@case("--do_train has no effect here")
def config_with_a_refused_name(desk):
    return desk.config("task: location\ndo_train: true\n")


@case("my.yaml holds a list, expected lines of the form `name: value`")
def config_that_is_a_list(desk):
    return desk.config("- task\n- location\n")


@case("my.yaml is empty, expected lines of the form `name: value`")
def config_that_is_empty(desk):
    return desk.config("")


@case("my.yaml is not readable YAML")
def config_that_is_no_yaml(desk):
    return desk.config("task: location\nlearning_rate: [1\n")


@case("my.yaml is not readable YAML")
def config_with_a_list_as_name(desk):
    return desk.config("task: location\n? [a, b]\n: 1\n")


@case("my.yaml is not readable YAML")
def config_with_a_mapping_as_name(desk):
    return desk.config("task: location\n? {a: 1}\n: 1\n")


@case("the key 'seed' stands twice")
def config_with_a_name_twice(desk):
    return desk.config("task: location\nseed: 1\nseed: 2\n")


@case("my.yaml: 'seed' has no value; give one or delete the line")
def config_with_a_name_without_a_value(desk):
    return desk.config("task: location\nseed:\n")


@case("--seed: expected one argument (from my.yaml)")
def config_with_a_list_holding_nothing(desk):
    return desk.config("task: location\nseed: []\n")


@case("no task given")
def config_without_a_task(desk):
    return desk.config("seed: 1\n")


@case("--task is distance, but my.yaml is a config for location; use one of the two")
def config_for_another_task(desk):
    return [*desk.config("task: location\n"), "--task", "distance"]


@case("there is no config")
def config_that_is_a_folder(desk):
    return ["--config", str(desk.tmp_path)]


@case("my.yaml is not readable YAML")
def config_that_is_not_utf8(desk):
    return desk.config("task: location\nrun_name: Zürich\n".encode("latin-1"))


@case("--seed: invalid int value: 'seven' (from my.yaml)")
def config_with_a_word_for_a_number(desk):
    return desk.config("task: location\nseed: seven\n")


@case("--evals_per_epoch and --eval_steps are both given (my.yaml)")
def config_that_contradicts_itself(desk):
    return desk.config("task: location\neval_steps: 3\nevals_per_epoch: 1\n")


# Worlds


@case("my.csv is empty")
def cities_without_a_byte(desk):
    return desk.csv("")


@case("my.csv has no cities")
def cities_with_a_header_only(desk):
    return desk.csv(CITIES.partition("\n")[0] + "\n")


@case("my.csv, line 3: latitude is 'three', expected a number in -90..90")
def cities_with_a_word_for_a_number(desk):
    return desk.csv(CITIES.replace("B,3", "B,three"))


@case("my.csv, line 3: latitude is '93', expected a number in -90..90")
def cities_beyond_the_pole(desk):
    return desk.csv(CITIES.replace("B,3", "B,93"))


@case("my.csv, line 3: longitude is 'nan', expected a number in -180..180")
def cities_at_no_longitude(desk):
    return desk.csv(CITIES.replace("B,3,4", "B,3,nan"))


@case("my.csv, line 3: id 1 was used in line 2 already")
def cities_with_an_id_twice(desk):
    return desk.csv("id,name,latitude,longitude,country\n1,A,1,2,DE\n1,B,3,4,DE\n")


@case("my.csv has no column 'longitude' (did you mean it by 'longitud'?)")
def cities_without_a_column(desk):
    return desk.csv(CITIES.replace("longitude", "longitud"))


@case("my.csv, line 3: 6 fields, but the header has 5")
def cities_with_a_field_too_many(desk):
    return desk.csv(CITIES.replace("B,", "B,C,"))


@case("my.csv is not UTF-8 (byte 43)")
def cities_that_are_not_utf8(desk):
    return desk.csv(CITIES.replace("A,", "Ä,").encode("latin-1"))


@case("--n_train is 4, but the world has 3 cities")
def cities_fewer_than_rows(desk):
    return [*desk.csv(CITIES), "--n_train", "4"]


@case("n_cities is 4, but my.csv offers")
def cities_fewer_than_asked_for(desk):
    return [*desk.csv(CITIES), "--n_cities", "4"]


# Datasets


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_rows(folder, change):
    """Put changed rows in the place of the split `train`, as if they had been written so."""
    from datasets import load_from_disk

    from trainers.folders.dataset_folder import digest

    rows = change(load_from_disk(str(folder / "train")))
    rows.save_to_disk(str(folder / "other"))
    shutil.rmtree(folder / "train")
    (folder / "other").rename(folder / "train")
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits=splits | {"train": {"rows": len(rows), "sha256": digest(rows)}})


@case("is one of the task distance, not of location; use --task distance or another --dataset")
def dataset_of_another_task(desk):
    edit_json(desk.dataset() / "metadata.json", task="distance")
    return desk.with_dataset()


@case("the launcher asks for FSDP, which the model of task darkroom does not support")
def fsdp_for_a_model_that_cannot(desk):
    desk.monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    return shlex.split("--task darkroom --n_streams 1 --no_muon --use_cpu --threads 1")


@case("is damaged")
def dataset_with_damaged_rows(desk):
    rows = next((desk.dataset() / "train").glob("*.arrow"))
    rows.write_bytes(rows.read_bytes()[:200])
    return desk.with_dataset()


@case("is damaged: the rows of split train are not those that were written")
def dataset_with_a_flipped_digit(desk):
    rows = next((desk.dataset() / "train").glob("*.arrow"))
    content = rows.read_bytes()
    assert content.count(b"loc(c_3)=") == 1
    rows.write_bytes(content.replace(b"loc(c_3)=", b"loc(c_7)="))
    return desk.with_dataset()


@case("is damaged")
def dataset_without_a_split(desk):
    shutil.rmtree(desk.dataset() / "memorisation")
    return desk.with_dataset()


@case("split train has 39 rows, metadata.json says 40")
def dataset_with_a_row_less(desk):
    folder = desk.dataset()
    replace_rows(folder, lambda rows: rows.select(range(39)))
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits=splits | {"train": {"rows": 40, "sha256": ""}})
    return desk.with_dataset()


@case("has no split `train`, only memorisation")
def dataset_without_train(desk):
    folder = desk.dataset()
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits={"memorisation": splits["memorisation"]})
    return desk.with_dataset()


@case("is damaged")
def dataset_without_rows(desk):
    replace_rows(desk.dataset(), lambda rows: rows.select([]))
    return desk.with_dataset()


@case("is not a dataset made by this project (no readable metadata.json)")
def dataset_without_metadata(desk):
    (desk.dataset() / "metadata.json").unlink()
    return desk.with_dataset()


@case("is not a dataset made by this project (no readable metadata.json)")
def dataset_with_damaged_metadata(desk):
    edit_json(desk.dataset() / "metadata.json", splits=["train"])
    return desk.with_dataset()


@case("the tokenizer in data/tokenizer has 2 tokens that are not the 44")
def dataset_with_another_tokenizer(desk):
    edit_json(desk.dataset() / "tokenizer" / "tokenizer.json", model={"vocab": {"a": 0, "b": 1}})
    return desk.with_dataset()


@case("the tokenizer in data/tokenizer cannot be read")
def dataset_with_a_damaged_tokenizer(desk):
    (desk.dataset() / "tokenizer" / "tokenizer.json").write_text("{")
    return desk.with_dataset()


@case("split train does not fit the tokenizer: row 0 holds the character 'É'")
def dataset_with_another_alphabet(desk):
    replace_rows(desk.dataset(), lambda rows: rows.map(lambda row: {"answer": "É" + row["answer"]}))
    return desk.with_dataset()


@case("split train has no column answer, only prompt, city_id")
def dataset_without_answers(desk):
    replace_rows(desk.dataset(), lambda rows: rows.remove_columns("answer"))
    return desk.with_dataset()


@case("split train has int64 and 0 missing values in the column prompt, expected a text in every row")
def dataset_with_numbers_for_text(desk):
    replace_rows(desk.dataset(), lambda rows: rows.remove_columns("prompt").rename_column("city_id", "prompt"))
    return desk.with_dataset()


@case("split train has string and 1 missing values in the column answer, expected a text in every row")
def dataset_with_an_answer_missing(desk):
    def forget(rows):
        answers = [None, *rows["answer"][1:]]
        return rows.remove_columns("answer").add_column("answer", answers)

    replace_rows(desk.dataset(), forget)
    return desk.with_dataset()


@case("--early_stopping_patience needs an evaluated split")
def dataset_without_an_evaluated_split(desk):
    folder = desk.dataset()
    splits = json.loads((folder / "metadata.json").read_text())["splits"]
    edit_json(folder / "metadata.json", splits={"train": splits["train"]})
    return [*desk.with_dataset(), "--early_stopping_patience", "2"]


@case("No space left on device")
def disk_full_while_rows_are_written(desk):
    import datasets

    def save(self, path):
        Path(path).mkdir(parents=True)
        (Path(path) / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    desk.monkeypatch.setattr(datasets.Dataset, "save_to_disk", save)
    return desk.tiny


@case("No space left on device")
def disk_full_while_metadata_is_written(desk):
    def write(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    desk.monkeypatch.setattr("trainers.folders.dataset_folder.write_json", write)
    return desk.tiny


# Output folders


@case("is in use; choose another one, or --overwrite to replace it")
def output_dir_in_use(desk):
    desk.run()
    return [*desk.tiny, "--output_dir", "outputs/done"]


@case("is a file; give a folder")
def output_dir_that_is_a_file(desk):
    (desk.prefix / "file").write_text("text")
    return [*desk.tiny, "--output_dir", "outputs/file", "--overwrite"]


@case("lies below the file")
def output_dir_below_a_file(desk):
    (desk.prefix / "file").write_text("text")
    return [*desk.tiny, "--output_dir", "outputs/file/run"]


@case("outside EXP_DIR_PREFIX")
def output_dir_behind_a_link(desk):
    (desk.tmp_path / "thesis").mkdir()
    (desk.prefix / "link").symlink_to(desk.tmp_path / "thesis")
    return [*desk.tiny, "--output_dir", "outputs/link/run", "--overwrite"]


@case("is a symbolic link in a circle")
def output_dir_behind_a_circle_of_links(desk):
    (desk.prefix / "circle").symlink_to("circle")
    return [*desk.tiny, "--output_dir", "outputs/circle/run"]


@case("outputs_old, outside EXP_DIR_PREFIX")
def output_dir_beside_the_prefix(desk):
    (desk.tmp_path / "outputs_old").mkdir()
    return [*desk.tiny, "--output_dir", "outputs_old", "--overwrite"]


@case("cannot be written: no permission in")
def output_dir_without_permission(desk):
    desk.monkeypatch.setattr(os, "access", lambda path, mode: False)
    return [*desk.tiny, "--output_dir", "outputs/run"]


@case("is not a folder of a run (it has no readable run.json), so it is left alone")
def overwriting_what_is_no_run(desk):
    (desk.prefix / "thesis").mkdir()
    (desk.prefix / "thesis" / "thesis.tex").write_text("years of work")
    return [*desk.tiny, "--output_dir", "outputs/thesis", "--overwrite"]


@case("EXP_DIR_PREFIX is 'missing', which is no existing folder")
def prefix_missing(desk):
    desk.monkeypatch.setenv("EXP_DIR_PREFIX", "missing")
    return desk.tiny


@case("which is no existing folder")
def prefix_that_is_a_file(desk):
    (desk.tmp_path / "file").write_text("text")
    desk.monkeypatch.setenv("EXP_DIR_PREFIX", str(desk.tmp_path / "file"))
    return desk.tiny


@case("/outputs/datasets is a file; datasets are kept in a folder of this name: move the file away")
def datasets_folder_that_is_a_file(desk):
    (desk.prefix / "datasets").write_text("text")
    return desk.tiny


@case("lies below the file")
def runs_folder_that_is_a_file(desk):
    (desk.prefix / "runs").write_text("text")
    return desk.tiny


# Resuming

RESUME = ["--output_dir", "outputs/done", "--resume_from_checkpoint", "last", "--max_steps", "6"]


@case("is at step 4 already; --max_steps 4 leaves nothing to do")
def resuming_a_finished_run(desk):
    desk.run()
    return [*desk.tiny, "--output_dir", "outputs/done", "--resume_from_checkpoint", "last"]


@case("is at step 4 already")
def resuming_a_finished_run_of_epochs(desk):
    desk.run()
    tiny = [token for token in desk.tiny if token not in ("--max_steps", "4")]
    return [*tiny, "--num_train_epochs", "0.5", "--output_dir", "outputs/done", "--resume_from_checkpoint", "last"]


@case("checkpoint-2 is not in --output_dir")
def resuming_in_another_folder(desk):
    desk.run()
    return [*desk.tiny, "--output_dir", "outputs/new", "--resume_from_checkpoint", "outputs/done/checkpoint-2"]


@case("outside EXP_DIR_PREFIX")
def resuming_outside_the_prefix(desk):
    desk.run().rename(desk.tmp_path / "away")
    return [*desk.tiny, "--resume_from_checkpoint", "away/checkpoint-2"]


@case("is a run; give one of its checkpoints (checkpoint-0, checkpoint-2, checkpoint-4), or: --output_dir outputs/done")
def resuming_a_run_instead_of_a_checkpoint(desk):
    desk.run()
    return [*desk.tiny, "--resume_from_checkpoint", "outputs/done"]


@case("no complete checkpoint there (a folder checkpoint-N with trainer_state.json)")
def resuming_without_checkpoints(desk):
    for checkpoint in desk.run().glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return [*desk.tiny, "--output_dir", "outputs/done", "--resume_from_checkpoint", "last"]


@case("is a run of the task distance, not of location")
def resuming_another_task(desk):
    edit_json(desk.run() / "run.json", task="distance")
    return [*desk.tiny, *RESUME]


def resuming_4(desk, damage):
    """The command for a checkpoint that is damaged; `last` would take the one before."""
    checkpoint = desk.run() / "checkpoint-4"
    damage(checkpoint)
    return [*desk.tiny, "--resume_from_checkpoint", str(checkpoint)]


@case("checkpoint-4 is damaged")
def resuming_with_a_damaged_state(desk):
    return resuming_4(desk, lambda checkpoint: cut(checkpoint / "trainer_state.json"))


@case("checkpoint-4 is damaged")
def resuming_with_a_state_that_is_a_list(desk):
    return resuming_4(desk, lambda checkpoint: (checkpoint / "trainer_state.json").write_text("[]"))


@case("checkpoint-4 is damaged")
def resuming_with_damaged_weights(desk):
    return resuming_4(desk, lambda checkpoint: cut(checkpoint / "model.safetensors"))


@case("checkpoint-4 is damaged (optimizer.pt is cut off)")
def resuming_with_a_damaged_optimizer(desk):
    return resuming_4(desk, lambda checkpoint: cut(checkpoint / "optimizer.pt"))


@case("is of a model with hidden_size 16, but this command asks for 32")
def resuming_with_another_size(desk):
    desk.run()
    return [*desk.tiny, *RESUME, "--hidden_size", "32"]


@case("no complete checkpoint there")
def resuming_with_a_renamed_checkpoint_only(desk):
    folder = desk.run()
    for step in (0, 2):
        shutil.rmtree(folder / f"checkpoint-{step}")
    (folder / "checkpoint-4").rename(folder / "checkpoint-best")
    return [*desk.tiny, *RESUME]


# Starting from a trained model


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@case("has model_type qwen2, this task needs llama")
def init_from_another_architecture(desk):
    desk.run()
    return [*desk.tiny, "--init_from", "outputs/done", "--model_type", "llama"]


@case("has vocab_size 50, this task needs 44")
def init_from_another_vocabulary(desk):
    edit_json(desk.run() / "config.json", vocab_size=50)
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("has max_position_embeddings 8, this task needs 32")
def init_from_a_model_of_shorter_texts(desk):
    edit_json(desk.run() / "config.json", max_position_embeddings=8)
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("holds no trained model (no readable config.json)")
def init_from_with_a_damaged_config(desk):
    (desk.run() / "config.json").write_text("[]")
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("--init_from outputs/done cannot be loaded")
def init_from_with_damaged_weights(desk):
    cut(desk.run() / "model.safetensors")
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("--init_from outputs/done cannot be loaded")
def init_from_without_weights(desk):
    (desk.run() / "model.safetensors").unlink()
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("holds weights that do not fit its config.json (3 are missing or of another size)")
def init_from_with_weights_of_another_size(desk):
    edit_json(desk.run() / "config.json", intermediate_size=32)
    return [*desk.tiny, "--init_from", "outputs/done"]


@case("holds weights that do not fit its config.json (12 are missing or of another size)")
def init_from_with_weights_missing(desk):
    config = desk.run() / "config.json"
    edit_json(config, num_hidden_layers=2, layer_types=["full_attention"] * 2)
    return [*desk.tiny, "--init_from", "outputs/done", "--num_hidden_layers", "2"]


@case("disagrees with --hidden_size 32 (the model has 16); leave these out")
def init_from_another_size(desk):
    desk.run()
    return [*desk.tiny, "--init_from", "outputs/done", "--hidden_size", "32"]


@case("has 2 tokens that are not the 44")
def init_from_another_tokenizer(desk):
    edit_json(desk.run() / "tokenizer.json", model={"vocab": {"a": 0, "b": 1}})
    return [*desk.tiny, "--init_from", "outputs/done"]


# Probes


@case("--probe: the task quiet declares no probe; leave it out")
def probing_a_task_without_a_probe(desk):
    from tasks.geography.location import TASK

    parts = {"build_dataset": "data:build", "metric": "metric:Haversine", "trainer": "trainer:LocationTrainer"}
    elsewhere = {name: f"tasks.geography.location.{part}" for name, part in parts.items()}
    module = SimpleNamespace(TASK=dataclasses.replace(TASK, probe="", **elsewhere))
    desk.monkeypatch.setitem(sys.modules, "my_lab.quiet", module)
    return [*desk.tiny, "--task", "my_lab.quiet", "--probe"]


@pytest.fixture(scope="session")
def good_dataset(shared_prefix):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXP_DIR_PREFIX", str(shared_prefix))
        assert dataset.main(["--task", "location", "--n_cities", "40"]) == 0
    return next((shared_prefix / "datasets").glob("location-*"))


@pytest.fixture
def desk(tmp_path, prefix, tiny, good_dataset, finished_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, prefix, tiny, good_dataset, finished_run, monkeypatch)


def contents(folder):
    """Path -> what is there, without locks."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(folder)] = f"link to {path.readlink()}"
        elif path.is_dir():
            found[path.relative_to(folder)] = "folder"
        elif not (path.name.startswith(".") and path.suffix == ".lock"):
            found[path.relative_to(folder)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def check(main, argv, fragment, desk, capsys):
    """The one sentence, the exit code, and that nothing changed but for a complete dataset that may be there now."""
    from trainers.runs import session

    def train(prepared):
        raise AssertionError("the run was not refused")

    desk.monkeypatch.setattr(session, "train", train)
    before = contents(desk.tmp_path)
    capsys.readouterr()
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.endswith("\n") and error.count("\n") == 1
    assert fragment in error and "Traceback" not in error
    after = contents(desk.tmp_path)
    built = {path for path in (desk.prefix / "datasets").glob("[!.]*") if (path / "metadata.json").is_file()}
    for path in after.keys() - before.keys():
        whole = desk.tmp_path / path
        assert whole == desk.prefix / "datasets" or built & {whole, *whole.parents}, f"{path} was left behind"
    assert before.items() <= after.items()


@pytest.mark.parametrize("command_line, fragment", TYPED, ids=[line[:70] for line, _ in TYPED])
def test_what_is_mistyped(command_line, fragment, desk, capsys):
    check(run.main, shlex.split(command_line), fragment, desk, capsys)


@pytest.mark.parametrize("command_line, fragment", TYPED_TO_BUILD, ids=[line for line, _ in TYPED_TO_BUILD])
def test_what_is_mistyped_for_the_builder(command_line, fragment, desk, capsys):
    check(dataset.main, shlex.split(command_line), fragment, desk, capsys)


@pytest.mark.parametrize("added, fragment", TYPED_TINY, ids=[line[:70] for line, _ in TYPED_TINY])
def test_what_is_wrong_with_a_run(added, fragment, desk, capsys):
    check(run.main, [*desk.tiny, *shlex.split(added)], fragment, desk, capsys)


@pytest.mark.parametrize("prepare, fragment", PREPARED)
def test_what_is_broken(prepare, fragment, desk, capsys):
    argv = prepare(desk)
    check(run.main, argv, fragment, desk, capsys)


def test_another_schedule_does_not_inherit_the_arguments_of_the_one_it_replaces(desk):
    config = desk.config("task: location\nlr_scheduler_type: polynomial\nlr_scheduler_kwargs: {power: 2}\n")
    assert run.main([*desk.tiny, *config, "--lr_scheduler_type", "cosine", "--dry_run"]) == 0


def test_a_disk_that_fills_up_while_training(desk, capsys, monkeypatch):
    import torch

    def save(*args, **kwargs):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 8512 vs 8406")

    monkeypatch.setattr(torch, "save", save)
    assert run.main([*desk.tiny, "--output_dir", "outputs/new"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: a checkpoint in ") and error.count("\n") == 1 and "if the disk is full" in error
    assert not list(desk.prefix.glob("new/checkpoint-*/trainer_state.json"))  # what is incomplete is never resumed


@pytest.mark.parametrize(
    "command_line",
    ["--help", "--task location --help", "--task locaton", "--task location --learning_rat 1", "--config locaton"],
)
def test_names_are_answered_without_heavy_imports(command_line, prefix):
    argv = [sys.executable, "-X", "importtime", str(ROOT / "trainers" / "run.py"), *command_line.split()]
    done = subprocess.run(argv, capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"})
    assert done.returncode == (0 if "--help" in command_line else 2)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "tasks" in imported
    assert not imported & {"torch", "transformers", "datasets", "evaluate", "mlflow", "accelerate", "matplotlib"}
