"""Compare runs by their resolved settings, however these were written on the command line."""

import json
from collections.abc import Mapping
from typing import Any

from trainers.settings.layers import argv_of, merge_layers
from trainers.settings.own_settings import given_settings
from trainers.settings.precision import settle_precision
from trainers.settings.request import Request
from trainers.settings.resolve import parser_of
from trainers.settings.run_options import PLACEMENT, REFUSED, RunOptions


def identity_of(request: Request) -> dict[str, Any]:
    """Return every setting by name, typed and with defaults, as JSON values; equal ones are the same run."""
    from transformers import TrainingArguments

    task = request.task
    parser = parser_of((RunOptions, task.options, task.model_options, TrainingArguments))
    flags = settle_precision(merge_layers(request.layers))
    tokens_seen = flags.pop("include_num_input_tokens_seen", ["no"])  # the parser would take true and false only
    values = vars(parser.parse_args(argv_of(flags)))
    values |= {"task": task.name, "include_num_input_tokens_seen": " ".join(tokens_seen)}
    kept = {name: value for name, value in values.items() if name not in PLACEMENT}
    return json.loads(json.dumps(kept, default=str))


def differing_settings(request: Request, settings: Mapping[str, Any]) -> list[str]:
    """Return the names of settings in which a request differs from the run whose `settings.json` is given."""
    if "resolved" in settings:
        mine, theirs = identity_of(request), settings["resolved"]
        names = mine.keys() & (theirs.keys() | request.sources.keys())  # a newer one was at its default then
    else:  # written by an earlier version: what was given, as text
        mine = {name: value for name, (value, _) in request.sources.items()}
        theirs = {name: " ".join(values) for name, values in given_settings(settings).items()}
        names = (mine.keys() | theirs.keys()) - {*PLACEMENT, *REFUSED}
    asked = request.sources.get("precision", ("auto",))[0]
    if asked == "auto" and "bf16" not in request.sources:  # the machine chooses, and the run may be another's
        names -= {"precision", "bf16", *({"use_cpu"} - request.sources.keys())}
    names -= {"threads"} - request.sources.keys()  # the machine chooses these, too
    return sorted(name for name in names if mine.get(name) != theirs.get(name))
