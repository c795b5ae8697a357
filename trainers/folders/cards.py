"""Write the README.md of a dataset folder and of a trained model, with metadata as Hugging Face's hub reads them."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainers.common.metric_names import TIMES, parse_logged
from trainers.common.tables import format_markdown
from trainers.contract import StoredDataset, Task

if TYPE_CHECKING:
    from huggingface_hub import EvalResult
    from transformers import PreTrainedModel


def dataset_card(task: Task, metadata: Mapping[str, Any]) -> str:
    """Return Markdown with Hugging Face front matter for a dataset folder with this `metadata.json`."""
    from huggingface_hub import DatasetCardData

    splits = [
        {"split": name, "rows": f"{facts['rows']:,}", "SHA-256 of its columns": f"`{facts['sha256'][:12]}`"}
        for name, facts in metadata["splits"].items()
    ]
    tags = ["world-models", task.name]
    head = DatasetCardData(pretty_name=task.name, license=metadata.get("licence"), tags=tags)
    return f"""---
{head.to_yaml()}
---

# Dataset `{task.name}`

{task.summary}

{task.card.strip()}

## Splits

{format_markdown(splits)}

## How it was made

```json
{json.dumps({n: v for n, v in metadata.items() if n not in ("splits", "libraries")}, indent=2)}
```

{metadata["created"]}, libraries: {_pairs(metadata["libraries"])}. The same options give the same rows by the same code
(SHA-256 `{metadata["code_sha256"][:12]}` of its sources). `metadata.json` has all of this for programs.
"""


def model_card(
    name: str,
    task: Task,
    model: "PreTrainedModel",
    data: StoredDataset,
    results: Mapping[str, float],
    facts: Mapping[str, Any],
) -> str:
    """Return Markdown with Hugging Face front matter for a trained model's folder.

    Args:
        name: The run's.
        results: Final metrics by name. facts: Run id, git commit, command and the like, shown as a list.
    """
    from huggingface_hub import ModelCardData

    rows = [{"metric": name, "value": f"{value:.6g}"} for name, value in sorted(results.items())]
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None)
    head = ModelCardData(
        model_name=name,
        library_name="transformers",
        license=data.metadata.get("licence"),
        tags=["world-models", task.name],
        eval_results=_eval_results(task, data, results),
    )
    return f"""---
{head.to_yaml()}
---

# A model of the task `{task.name}`

{task.summary} A {model.config.model_type} with {model.num_parameters():,} parameters, trained from
the dataset `{data.path.name}` ({_pairs({n: f"{s['rows']:,} rows" for n, s in data.metadata["splits"].items()})}),
whose card names where its data come from and under which licence.

## Results

{format_markdown(rows)}

A split called `memorisation` lies inside the training rows: its numbers measure recall, not generalisation. Answers
that cannot be parsed count with the task's worst value.

## Origin

{listed}
"""


def _eval_results(task: Task, data: StoredDataset, results: Mapping[str, float]) -> "list[EvalResult]":
    """Return the metrics of every split for the `model-index` of a card, without what they are compared with."""
    from huggingface_hub import EvalResult

    named = [(parse_logged(name, data.splits), value) for name, value in sorted(results.items())]
    return [
        EvalResult(
            task_type="text-generation" if task.tokenizer else "other",
            task_name=task.name,
            dataset_type=task.name,
            dataset_name=data.path.name,
            dataset_split=metric.split,
            metric_type=metric.metric,
            metric_value=float(value),
        )
        for metric, value in named
        if metric and not metric.is_constant and metric.metric not in TIMES
    ]


def _pairs(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in content.items())
