"""Tokenizers with one token per character, and an encoder for Arrow columns.

The default vocabulary is 3 special tokens, 5 grammar characters, a-z and 0-9; `make_vocabulary` gives others. Nothing
is normalised, merged or dropped, so decoding gives back exactly the text that went in. `build_tokenizer` makes the
Hugging Face tokenizer that is saved with every model; `ColumnEncoder` gives the same ids (a test proves it) a few
hundred times faster, by one table look-up over the bytes of a complete Arrow column.
"""

import json
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenization import VocabularyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
SPECIAL = (PAD, BOS, EOS)
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2
Vocabulary = tuple[str, ...]
"""The tokens in the order of their ids: the three special ones, then single characters."""

_BLOCK = 16_384  # rows


def make_vocabulary(characters: str) -> Vocabulary:
    """Return the vocabulary of the special tokens and these characters.

    Visible ASCII only: transformers reads the tokenizer in a Qwen2 model's folder byte by byte, whatever class it
    names, and would drop a space or a character of several bytes without a word.

    Raises:
        VocabularyError: A character occurs twice, or is not visible ASCII.
    """
    wrong = [c for c in characters if not "!" <= c <= "~"] + [c for c in set(characters) if characters.count(c) > 1]
    if wrong or not characters:
        raise VocabularyError(
            f"the vocabulary {characters!r} is not made of different visible ASCII characters (without the space);"
            f" leave out {' '.join(map(repr, sorted(set(wrong)))) or 'nothing, and give some'}"
        )
    return *SPECIAL, *characters


VOCABULARY = make_vocabulary("(),=_" + string.ascii_lowercase + string.digits)
"""The 44 tokens of the geography tasks."""


def build_tokenizer(max_length: int = 512, vocabulary: Vocabulary = VOCABULARY) -> "PreTrainedTokenizerFast":
    """Return the tokenizer: `<bos>` put before every text, left padding (for generation).

    Args:
        max_length: `model_max_length`, the longest text a model that uses it was made for, in tokens.
        vocabulary: Its tokens.

    Encoding a character outside the vocabulary raises, with `AutoTokenizer` too: beside a Qwen2 model it would build a
    class of its own, which drops such characters, if `auto_map` did not claim that there is one already. It then takes
    this tokenizer as it is (unless it is told to trust code, of which there is none).
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({token: id_ for id_, token in enumerate(vocabulary)}))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")  # pyright: ignore[reportAttributeAccessIssue]
    core.decoder = decoders.Fuse()  # pyright: ignore[reportAttributeAccessIssue]
    core.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=f"{BOS} $A", special_tokens=[(BOS, BOS_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        auto_map={"AutoTokenizer": [None, "tokenizer.NoCode"]},
        padding_side="left",
        model_max_length=max_length,
    )


def save_tokenizer(folder: Path, vocabulary: Vocabulary = VOCABULARY) -> None:
    """Write the tokenizer as a folder that `AutoTokenizer.from_pretrained` loads."""
    build_tokenizer(vocabulary=vocabulary).save_pretrained(folder)


def read_vocabulary(folder: Path) -> Vocabulary:
    """Return the tokens of the tokenizer saved in a folder; the default ones where there is none.

    Raises:
        VocabularyError: It cannot be read, or is not one of this module's.
    """
    if not (folder / "tokenizer.json").is_file():
        return VOCABULARY
    try:
        ids = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        tokens = tuple(sorted(ids, key=lambda token: ids[token]))
        is_ours = tokens[:3] == SPECIAL and [ids[token] for token in tokens] == [*range(len(tokens))]
        is_ours = is_ours and all(len(token) == 1 for token in tokens[3:])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise VocabularyError(
            f"the tokenizer in {folder} cannot be read ({type(error).__name__}); restore it"
        ) from error
    if not is_ours:
        raise VocabularyError(
            f"the tokenizer in {folder} has {len(tokens)} tokens that are not {', '.join(SPECIAL)} and single"
            " characters in the order of their ids; use another folder"
        )
    return make_vocabulary("".join(tokens[3:]))


def check_tokenizer(folder: Path, vocabulary: Vocabulary = VOCABULARY) -> None:
    """Raise a `VocabularyError` unless the tokenizer saved in a folder can be read and gives these ids."""
    saved = read_vocabulary(folder)
    if saved != vocabulary:
        raise VocabularyError(
            f"the tokenizer in {folder} has {len(saved)} tokens that are not the {len(vocabulary)} of this task;"
            " use a folder made with this tokenizer"
        )


@dataclass(frozen=True)
class EncodedRows:
    """`n` rows of `<bos>prompt answer<eos>`, right-padded to one width T.

    Attributes:
        ids_NT: token ids, uint8, `PAD_ID` to the right of every row.
        prompt_len_N: tokens before the answer, `<bos>` included.
        length_N: tokens up to and including `<eos>`.
    """

    ids_NT: np.ndarray
    prompt_len_N: np.ndarray
    length_N: np.ndarray


class ColumnEncoder:
    """Encodes and decodes columns of text with two tables."""

    def __init__(self, vocabulary: Vocabulary = VOCABULARY) -> None:
        self._characters = "".join(vocabulary[len(SPECIAL) :])
        code_C = np.frombuffer(self._characters.encode("ascii"), dtype=np.uint8)
        self._id_of_byte = np.full(256, PAD_ID, dtype=np.uint8)  # PAD_ID marks a byte that is no token
        self._id_of_byte[code_C] = np.arange(len(SPECIAL), len(vocabulary))
        self._code_of_id = np.full(256, ord("?"), dtype=np.uint32)  # a special token inside an answer shows as ?
        self._code_of_id[len(SPECIAL) : len(vocabulary)] = code_C

    def encode(
        self,
        prompts: "Sequence[str] | pa.ChunkedArray",
        answers: "Sequence[str] | pa.ChunkedArray",
        first_row: int = 0,
    ) -> EncodedRows:
        """Encode `<bos>prompt answer<eos>` for every row of two equally long columns.

        Args:
            prompts, answers: The columns.
            first_row: Number of their first row, for the message.

        Raises:
            VocabularyError: A text has a character outside the vocabulary.
        """
        prompt_ids, prompt_chars_N = self._flat_ids(prompts, first_row)
        answer_ids, answer_chars_N = self._flat_ids(answers, first_row)
        length_N = prompt_chars_N + answer_chars_N + 2
        ids_NT = np.full((len(length_N), int(length_N.max(initial=2))), PAD_ID, dtype=np.uint8)
        ids_NT[:, 0] = BOS_ID
        _scatter(ids_NT, prompt_ids, prompt_chars_N, np.ones_like(prompt_chars_N))
        _scatter(ids_NT, answer_ids, answer_chars_N, prompt_chars_N + 1)
        ids_NT[np.arange(len(length_N)), length_N - 1] = EOS_ID
        return EncodedRows(ids_NT, prompt_chars_N + 1, length_N)

    def decode(self, ids_NT: np.ndarray) -> list[str]:
        """Return the text of every row up to its first `<eos>` (or the row's end); other special tokens show as `?`."""
        ids_NT = np.asarray(ids_NT)
        ended_NT = np.cumsum(ids_NT == EOS_ID, axis=1) > 0
        code_NT = np.where(ended_NT, 0, self._code_of_id[ids_NT])
        width = max(1, code_NT.shape[1])
        return np.ascontiguousarray(code_NT, dtype=np.uint32).view(f"U{width}")[:, 0].tolist()

    def _flat_ids(self, column: "Sequence[str] | pa.ChunkedArray", first_row: int) -> tuple[np.ndarray, np.ndarray]:
        """Return all ids of a column one after another, and the number of characters in each row."""
        bytes_flat, length_N = _column_bytes(column)
        ids_flat = self._id_of_byte[bytes_flat]
        if (ids_flat == PAD_ID).any():
            row = int(np.searchsorted(np.cumsum(length_N), int(np.argmax(ids_flat == PAD_ID)), side="right"))
            text = str(column[row])
            character = next(c for c in text if c not in self._characters)
            raise VocabularyError(
                f"row {first_row + row} holds the character {character!r} in {text!r}; the vocabulary has only"
                f" {self._characters}: rewrite the text with these"
            )
        return ids_flat, length_N


def _column_bytes(column: "Sequence[str] | pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
    """Return the UTF-8 bytes of a column one after another (uint8), and the bytes in each row (int64)."""
    import pyarrow as pa

    kind = pa.large_string()
    chunked: Any = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column], kind)
    array = pa.concat_arrays(chunked.cast(kind).chunks or [pa.array([], kind)])
    _, offsets, data = array.buffers()
    offset_N1 = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if data is None or len(array) == 0:
        return np.zeros(0, np.uint8), np.zeros(len(array), np.int64)
    flat = np.frombuffer(data, dtype=np.uint8)[offset_N1[0] : offset_N1[-1]]
    return flat, np.diff(offset_N1)


def _scatter(ids_NT: np.ndarray, ids_flat: np.ndarray, length_N: np.ndarray, start_N: np.ndarray) -> None:
    """Write the rows of `ids_flat` into `ids_NT`, row i from column `start_N[i]` on."""
    begin_N1 = np.concatenate([[0], np.cumsum(length_N)])
    width = ids_NT.shape[1]
    for first in range(0, len(length_N), _BLOCK):  # in blocks, so that the index arrays stay small and in the cache
        rows = slice(first, first + _BLOCK)
        block_NT, block_flat = ids_NT[rows], ids_flat[begin_N1[first] : begin_N1[min(first + _BLOCK, len(length_N))]]
        shift_N = np.arange(len(block_NT)) * width + start_N[rows] - (begin_N1[:-1][rows] - begin_N1[first])
        block_NT.reshape(-1)[np.arange(len(block_flat)) + np.repeat(shift_N, length_N[rows])] = block_flat
