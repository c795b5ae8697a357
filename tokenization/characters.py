"""The 44-token character tokenizer of the geography tasks, and an encoder for whole columns.

The vocabulary is 3 special tokens, 5 grammar characters, a-z and 0-9. One character is one token; nothing is
normalised, merged or dropped, so decoding gives back exactly the text that went in. `build_tokenizer` makes the
Hugging Face tokenizer that is saved beside every model; `ColumnEncoder` gives the same ids (a test proves it) a few
hundred times faster, by one table look-up over the bytes of a whole Arrow column.
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
VOCABULARY = (PAD, BOS, EOS, *"(),=_", *string.ascii_lowercase, *string.digits)
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2

_BLOCK = 16_384  # rows


def build_tokenizer(max_length: int = 512) -> "PreTrainedTokenizerFast":
    """Return the tokenizer: 44 tokens, `<bos>` put before every text, left padding (for generation).

    Arguments:
        max_length: `model_max_length`, the longest text a model that uses it was made for, in tokens.

    Encoding a character outside the vocabulary raises; `<pad>` is named as unknown token only so that
    `AutoTokenizer` does not add a 45th token when it finds the tokenizer in a Qwen2 model's folder.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({token: id_ for id_, token in enumerate(VOCABULARY)}))
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
        unk_token=PAD,
        padding_side="left",
        model_max_length=max_length,
    )


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer as a folder that `AutoTokenizer.from_pretrained` loads."""
    build_tokenizer().save_pretrained(folder)


def check_tokenizer(folder: Path) -> None:
    """Make sure that the tokenizer saved in a folder gives these ids.

    Raises:
        VocabularyError: it has other tokens, or cannot be read.
    """
    try:
        found = dict(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise VocabularyError(
            f"the tokenizer in {folder} cannot be read ({type(error).__name__}); restore it"
        ) from error
    expected = {token: id_ for id_, token in enumerate(VOCABULARY)}
    if found != expected:
        raise VocabularyError(
            f"the tokenizer in {folder} has {len(found)} tokens that are not the {len(expected)} of"
            " this project's text tasks; use a folder made with this tokenizer"
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
    """Encodes and decodes whole columns of text with two 256-entry tables."""

    def __init__(self) -> None:
        self._id_of_byte = np.full(256, PAD_ID, dtype=np.uint8)  # PAD_ID marks a byte that is no token
        for id_, token in enumerate(VOCABULARY):
            if len(token) == 1:
                self._id_of_byte[ord(token)] = id_
        self._byte_of_id = np.full(256, ord("?"), dtype=np.uint8)  # a special token inside an answer shows as ?
        for id_, token in enumerate(VOCABULARY):
            if len(token) == 1:
                self._byte_of_id[id_] = ord(token)

    def encode(
        self, prompts: "Sequence[str] | pa.ChunkedArray", answers: "Sequence[str] | pa.ChunkedArray"
    ) -> EncodedRows:
        """Encode `<bos>prompt answer<eos>` for every row.

        Arguments:
            prompts, answers: equally long columns of text (lists of str or Arrow string columns).

        Raises:
            VocabularyError: a character outside the vocabulary, with the text it stands in.
        """
        prompt_ids, prompt_chars_N = self._flat_ids(prompts)
        answer_ids, answer_chars_N = self._flat_ids(answers)
        length_N = prompt_chars_N + answer_chars_N + 2
        ids_NT = np.full((len(length_N), int(length_N.max(initial=2))), PAD_ID, dtype=np.uint8)
        ids_NT[:, 0] = BOS_ID
        _scatter(ids_NT, prompt_ids, prompt_chars_N, np.ones_like(prompt_chars_N))
        _scatter(ids_NT, answer_ids, answer_chars_N, prompt_chars_N + 1)
        ids_NT[np.arange(len(length_N)), length_N - 1] = EOS_ID
        return EncodedRows(ids_NT, prompt_chars_N + 1, length_N)

    def decode(self, ids_NT: np.ndarray) -> list[str]:
        """Text of every row up to its first `<eos>` (or the row's end); other special tokens show as `?`."""
        ids_NT = np.asarray(ids_NT)
        ended_NT = np.cumsum(ids_NT == EOS_ID, axis=1) > 0
        bytes_NT = np.where(ended_NT, 0, self._byte_of_id[ids_NT]).astype(np.uint8)
        width = max(1, bytes_NT.shape[1])
        return [row.decode("ascii") for row in np.ascontiguousarray(bytes_NT).view(f"S{width}")[:, 0].tolist()]

    def _flat_ids(self, column: "Sequence[str] | pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
        """All ids of a column one after another, and the number of characters in each row."""
        bytes_flat, length_N = _column_bytes(column)
        ids_flat = self._id_of_byte[bytes_flat]
        if (ids_flat == PAD_ID).any():
            row = int(np.searchsorted(np.cumsum(length_N), int(np.argmax(ids_flat == PAD_ID)), side="right"))
            raise VocabularyError(_unknown_character(str(column[row]), row))
        return ids_flat, length_N


def _unknown_character(text: str, row: int) -> str:
    character = next(c for c in text if c not in VOCABULARY)
    return (
        f"row {row} holds the character {character!r} in {text!r}; the vocabulary has only ( ) , = _ a-z 0-9:"
        " rewrite the text with these"
    )


def _column_bytes(column: "Sequence[str] | pa.ChunkedArray") -> tuple[np.ndarray, np.ndarray]:
    """The UTF-8 bytes of a column one after another (uint8), and the bytes in each row (int64)."""
    import pyarrow as pa

    is_arrow = isinstance(column, pa.ChunkedArray)
    whole: Any = column if is_arrow else pa.chunked_array([column], pa.large_string())
    array = pa.concat_arrays(whole.cast(pa.large_string()).chunks or [pa.array([], pa.large_string())])
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
