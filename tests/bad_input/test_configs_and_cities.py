"""Configs and tables of cities that cannot be used."""

import pytest

from trainers import run

from .desk_helpers import CITIES, cases, check

PREPARED, case = cases()


# Configs


@case("learning_rat my.yaml learning_rate")
def config_with_an_unknown_name(desk):
    return desk.config("task: location\nlearning_rat: 1\n")


@case("learning-rat my.yaml learning_rate")
def config_with_a_misspelt_name_with_a_hyphen(desk):
    return desk.config("task: location\nlearning-rat: 1\n")


@case("--do_train")
def config_with_a_refused_name(desk):
    return desk.config("task: location\ndo_train: true\n")


@case("my.yaml list")
def config_that_is_a_list(desk):
    return desk.config("- task\n- location\n")


@case("my.yaml empty")
def config_that_is_empty(desk):
    return desk.config("")


@case("my.yaml YAML")
def config_that_is_no_yaml(desk):
    return desk.config("task: location\nlearning_rate: [1\n")


@case("my.yaml YAML")
def config_with_a_list_as_name(desk):
    return desk.config("task: location\n? [a, b]\n: 1\n")


@case("my.yaml YAML")
def config_with_a_mapping_as_name(desk):
    return desk.config("task: location\n? {a: 1}\n: 1\n")


@case("my.yaml seed")
def config_with_a_name_twice(desk):
    return desk.config("task: location\nseed: 1\nseed: 2\n")


@case("my.yaml seed")
def config_with_a_name_without_a_value(desk):
    return desk.config("task: location\nseed:\n")


@case("--seed my.yaml")
def config_with_a_list_holding_nothing(desk):
    return desk.config("task: location\nseed: []\n")


@case("--task")
def config_without_a_task(desk):
    return desk.config("seed: 1\n")


@case("--task distance my.yaml location")
def config_for_another_task(desk):
    return [*desk.config("task: location\n"), "--task", "distance"]


@case("config")
def config_that_is_a_folder(desk):
    return ["--config", str(desk.tmp_path)]


@case("my.yaml YAML")
def config_that_is_not_utf8(desk):
    return desk.config("task: location\nrun_name: Zürich\n".encode("latin-1"))


@case("--seed seven my.yaml")
def config_with_a_word_for_a_number(desk):
    return desk.config("task: location\nseed: seven\n")


@case("--evals_per_epoch --eval_steps my.yaml")
def config_that_contradicts_itself(desk):
    return desk.config("task: location\neval_steps: 3\nevals_per_epoch: 1\n")


# Worlds


@case("my.csv empty")
def cities_without_a_byte(desk):
    return desk.csv("")


@case("my.csv cities")
def cities_with_a_header_only(desk):
    return desk.csv(CITIES.partition("\n")[0] + "\n")


@case("my.csv 3 latitude three")
def cities_with_a_word_for_a_number(desk):
    return desk.csv(CITIES.replace("B,3", "B,three"))


@case("my.csv 3 latitude 93")
def cities_beyond_the_pole(desk):
    return desk.csv(CITIES.replace("B,3", "B,93"))


@case("my.csv 3 longitude nan")
def cities_at_no_longitude(desk):
    return desk.csv(CITIES.replace("B,3,4", "B,3,nan"))


@case("my.csv 3 id 1 2")
def cities_with_an_id_twice(desk):
    return desk.csv("id,name,latitude,longitude,country\n1,A,1,2,DE\n1,B,3,4,DE\n")


@case("my.csv longitude longitud")
def cities_without_a_column(desk):
    return desk.csv(CITIES.replace("longitude", "longitud"))


@case("my.csv 3 6 5")
def cities_with_a_field_too_many(desk):
    return desk.csv(CITIES.replace("B,", "B,C,"))


@case("my.csv 2 UTF-8 43")
def cities_that_are_not_utf8(desk):
    return desk.csv(CITIES.replace("A,", "Ä,").encode("latin-1"))


@case("--n_train 4 3")
def cities_fewer_than_rows(desk):
    return [*desk.csv(CITIES), "--n_train", "4"]


@case("--n_cities 4 my.csv")
def cities_fewer_than_asked_for(desk):
    return [*desk.csv(CITIES), "--n_cities", "4"]


def test_another_schedule_does_not_inherit_the_arguments_of_the_one_it_replaces(desk):
    config = desk.config("task: location\nlr_scheduler_type: polynomial\nlr_scheduler_kwargs: {power: 2}\n")
    assert run.main([*desk.tiny, *config, "--lr_scheduler_type", "cosine", "--dry_run"]) == 0


@pytest.mark.parametrize("prepare, names", PREPARED)
def test_what_is_broken(prepare, names, desk, capsys):
    check(run.main, prepare(desk), names, desk, capsys)
