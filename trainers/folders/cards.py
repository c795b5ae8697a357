"""Write the README.md of a dataset folder and of a trained model."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainers.common.tables import format_markdown
from trainers.contract import StoredDataset, Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def dataset_card(task: Task, metadata: Mapping[str, Any]) -> str:
    """Return Markdown with Hugging Face front matter for a dataset folder with this `metadata.json`."""
    splits = [
        {"split": name, "rows": f"{facts['rows']:,}", "SHA-256 of its columns": f"`{facts['sha256'][:12]}`"}
        for name, facts in metadata["splits"].items()
    ]
    return f"""{_front_matter({"pretty_name": task.name, "tags": ["world-models", task.name]})}
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
    task: Task, model: "PreTrainedModel", data: StoredDataset, results: Mapping[str, float], facts: Mapping[str, Any]
) -> str:
    """Return Markdown with Hugging Face front matter for a trained model's folder.

    Args:
        results: Final metrics by name. facts: Run id, git commit, command and the like, shown as a list.
    """
    rows = [{"metric": name, "value": f"{value:.6g}"} for name, value in sorted(results.items())]
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None)
    return f"""{_front_matter({"library_name": "transformers", "tags": ["world-models", task.name]})}
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


def _front_matter(fields: Mapping[str, Any]) -> str:
    import yaml

    return f"---\n{yaml.safe_dump(dict(fields), sort_keys=False)}---\n"


def _pairs(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in content.items())
