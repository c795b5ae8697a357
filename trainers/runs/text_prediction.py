"""Answer the prompts of a text task: read them strictly, generate as an evaluation does, say what answers mean."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from tokenization.characters import ColumnEncoder, read_vocabulary
from trainers.errors import UserError
from trainers.folders.dataset_folder import build_command
from trainers.folders.run_dataset import own_metadata
from trainers.runs.prediction import Answer, Predictor, Source

Prompt = tuple[str, str]
"""Where it stands, for errors, and its text."""


class TextPredictor(Predictor):
    """Answers prompts of characters that the run's tokenizer knows."""

    def read(self, source: Source) -> list[Prompt]:
        """Read prompts: words, lines, or the column `prompt` of a CSV file."""
        prompts = read_prompts(source)
        characters = "".join(token for token in read_vocabulary(self.weights) if len(token) == 1)
        for where, prompt in prompts:
            if unknown := [character for character in prompt if character not in characters]:
                raise UserError(
                    f"{where}: {prompt[:200]!r} has the character {unknown[0]!r}, which the model does not know; write"
                    f" it with {characters} alone"
                )
        return prompts

    def answer(self, asked: Sequence[Prompt]) -> list[Answer]:
        """Generate as many tokens as the longest answer of the run's dataset has, as far as the context goes.

        Raises:
            UserError: a prompt fills the model's context.
        """
        from transformers import AutoModelForCausalLM

        longest = self._longest_answer() + 1  # and `<eos>`
        model = self.load(AutoModelForCausalLM)
        context = getattr(model.config, "max_position_embeddings", None)
        room = [longest if context is None else min(longest, context - 1 - len(prompt)) for _, prompt in asked]
        for (where, prompt), left in zip(asked, room, strict=True):
            if left < 1:
                raise UserError(
                    f"{where}: {prompt[:40]!r}… has {len(prompt) + 1:,} tokens, and the model's context is {context:,}"
                    " with its answer; shorten it"
                )
        prompts = [prompt for _, prompt in asked]
        texts = self._generate(model, prompts, room)
        meanings = self.run.task.load("explain")(prompts, texts, self.run.dataset) if self.run.task.explain else {}
        return [
            {
                "prompt": prompt,
                "answer": texts[row],
                "ended": len(texts[row]) < room[row],
                **{name: values[row] for name, values in meanings.items()},
            }
            for row, prompt in enumerate(prompts)
        ]

    def text(self, answer: Answer, coloured: bool) -> str:
        """Return prompt, answer and meaning on one line."""
        meaning = {name: value for name, value in answer.items() if name not in ("prompt", "answer", "ended", "note")}
        known = [f"{name} {_words(value)}" for name, value in meaning.items() if value is not None]
        notes = ["cannot be read"] if meaning and not known else []
        notes += [] if answer["ended"] else ["cut off: the model did not end it"]
        notes += [f"({answer['note']})"] if answer.get("note") else []
        return "  ".join([answer["prompt"] + answer["answer"], *known, *notes])

    def _generate(self, model: Any, prompts: Sequence[str], room: Sequence[int]) -> list[str]:
        """Return the answers, each with at most as many tokens as there is room for."""
        from trainers.models.generation import generate_answers

        encoder, texts = ColumnEncoder(read_vocabulary(self.weights)), [""] * len(prompts)
        for tokens in sorted(set(room)):
            rows = [row for row, left in enumerate(room) if left == tokens]
            encoded = encoder.encode([prompts[row] for row in rows], [""] * len(rows))
            ids_NA = generate_answers(model, encoded.ids_NT, encoded.prompt_len_N, tokens, self.batch_size)
            for row, text in zip(rows, encoder.decode(ids_NA), strict=True):
                texts[row] = text
        return texts

    def _longest_answer(self) -> int:
        """Return the characters of the longest answer in the run's dataset, as `trainers.text.rows_of` does.

        Raises:
            UserError: the dataset is gone or damaged.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        folder = self.run.dataset
        metadata = own_metadata(self.run)
        try:  # as Arrow files, which they are: importing `datasets` takes longer than everything else here
            files = [path for split in metadata["splits"] for path in sorted((folder / split).glob("data-*.arrow"))]
            columns = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all()["answer"] for path in files]
            return max(pc.max(pc.utf8_length(column)).as_py() for column in columns)  # pyright: ignore
        except (OSError, pa.ArrowException, LookupError, ValueError, TypeError) as error:
            command = build_command(self.run.task.name, metadata["options"])
            raise UserError(f"the dataset {folder} is damaged ({error}); build it again: `{command}`") from error


def read_prompts(source: Source) -> list[Prompt]:
    """Return the words of a source, the lines of a text, or the column `prompt` of a CSV file.

    Raises:
        UserError: there are none, one is empty, or the file is of another form.
    """
    suffix = (source.file or "").lower().rpartition(".")[2]
    if suffix in ("json", "jsonl"):
        raise UserError(f"{source.name} is JSON; prompts are read from a text, one a line, or a .csv, column prompt")
    if source.prompts:
        prompts = [(f"prompt {number}", prompt) for number, prompt in enumerate(source.prompts, start=1)]
    elif suffix == "csv":
        prompts = _read_csv(source)
    else:
        lines = source.content().splitlines()
        prompts = [(f"{source.name}, line {number}", line) for number, line in enumerate(lines, start=1)]
    if not prompts:
        raise UserError(f"{source.name} is empty; give at least one prompt")
    if empty := [where for where, prompt in prompts if not prompt]:
        raise UserError(f"{empty[0]} is empty; give a prompt or delete it")
    return prompts


def _read_csv(source: Source) -> list[Prompt]:
    reader = csv.DictReader(io.StringIO(source.content(), newline=""), strict=True)
    try:
        names = reader.fieldnames or []
        if "prompt" not in names:
            raise UserError(f"{source.name} has no column prompt, only {', '.join(names) or 'nothing'}; name it so")
        if names.count("prompt") > 1:
            raise UserError(f"{source.name} has the column prompt {names.count('prompt')} times; name it once")
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{source.name} is no CSV behind line {reader.line_num} ({error}); correct it") from error
    for line, row in rows:
        if None in row or None in row.values():
            raise UserError(
                f"{source.name}, line {line} does not have {len(names)} values like the header; put quotes around a"
                " prompt with commas"
            )
    return [(f"{source.name}, line {line}", row["prompt"]) for line, row in rows]


def _words(value: Any) -> str:
    """Return a value as words: yes and no for a list of truths."""
    return " ".join("yes" if part else "no" for part in value) if isinstance(value, list) else str(value)
