"""The tasks that every question about a few cities is a variant of: answers are numbers, choices or cities."""

from dataclasses import replace

from tasks.geography.world import QuestionOptions
from trainers.contract import SummarySpec, Task
from trainers.models.decoder import DecoderOptions

CHOICE_TASK = Task(
    summary="Answer a question about cities known only by their numbers.",
    licence="cc-by-4.0",
    options=QuestionOptions,
    model_options=DecoderOptions,
    build_dataset="data:build",
    build_model="trainers.text:build_text_model",
    metric="tasks.geography.choice_metric:ChoiceAccuracy",
    trainer="tasks.geography.question_trainers:ChoiceTrainer",
    probe="tasks.geography.city_probe:CityProbe",
    explain="tasks.geography.question_answers:explain",
    grows="tasks.geography.growing:growing_world",
    views={
        "sweep": "tasks.geography.views.sweep:Sweep",
        "components": "tasks.geography.views.components:Components",
    },
    reports={
        "convergence": "tasks.geography.convergence:Convergence",
        "divergence": "tasks.geography.divergence:Divergence",
        "paper": "tasks.geography.paper:Paper",
    },
    primary_metric="accuracy",
    greater_is_better=True,
    plot=SummarySpec(label="accuracy", value_label="whether an answer is right", limits=(0, 1)),
    small={"n_cities": 32, "n_train": 200, "n_val": 16, "n_test": 32},
)

CITIES_TASK = replace(
    CHOICE_TASK,
    metric="tasks.geography.cities_metric:CityOverlap",
    trainer="tasks.geography.question_trainers:CitiesTrainer",
    primary_metric="jaccard_mean",
    plot=SummarySpec(label="mean overlap (Jaccard)", value_label="overlap of an answer (Jaccard)", limits=(0, 1)),
)

NUMBER_TASK = replace(
    CHOICE_TASK,
    metric="tasks.geography.number_metric:NumberError",
    trainer="tasks.geography.question_trainers:NumberTrainer",
    explain="tasks.geography.question_answers:explain_numbers",
    primary_metric="abs_error_mean",
    greater_is_better=False,
)
