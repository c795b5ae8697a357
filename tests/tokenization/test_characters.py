"""The tokenizer and its vectorised twin."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from transformers import AutoTokenizer

from tests.helpers import refusal
from tokenization import VocabularyError
from tokenization.characters import (
    BOS_ID,
    EOS_ID,
    PAD_ID,
    VOCABULARY,
    ColumnEncoder,
    build_tokenizer,
    check_tokenizer,
    make_vocabulary,
    read_vocabulary,
    save_tokenizer,
)

CHARACTERS = [token for token in VOCABULARY if len(token) == 1]


def random_texts(n, longest, seed):
    draw = random.Random(seed)
    return ["".join(draw.choices(CHARACTERS, k=draw.randint(0, longest))) for _ in range(n)]


def test_the_vocabulary_has_44_tokens_in_the_documented_order():
    assert len(VOCABULARY) == 44 and VOCABULARY[:8] == ("<pad>", "<bos>", "<eos>", "(", ")", ",", "=", "_")
    assert build_tokenizer().get_vocab() == {token: id_ for id_, token in enumerate(VOCABULARY)}
    assert build_tokenizer()("loc(c_1730)=").input_ids == [1, 19, 22, 10, 3, 10, 7, 35, 41, 37, 34, 4, 6]


def test_round_trip_is_exact():
    tokenizer = build_tokenizer()
    for text in [*random_texts(200, 40, seed=0), "".join(CHARACTERS)]:
        ids = tokenizer(text).input_ids
        assert ids[0] == BOS_ID and len(ids) == len(text) + 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize("text", ["Loc", "loc (", "é", "1.5", "\n", "-5", "日本"])
def test_an_unknown_character_is_an_error_however_the_tokenizer_is_loaded(text, tmp_path):
    folders = {name: tmp_path / name for name in ("alone", "qwen2", "llama")}
    for name, folder in folders.items():
        save_tokenizer(folder)
        if name != "alone":  # AutoTokenizer goes by the model that lies in the folder
            (folder / "config.json").write_text(json.dumps({"model_type": name}))
    for tokenizer in (build_tokenizer(), *map(AutoTokenizer.from_pretrained, folders.values())):
        with pytest.raises(Exception, match="UNK"):
            tokenizer(text)
    AutoTokenizer.from_pretrained(folders["qwen2"]).save_pretrained(tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    with pytest.raises(Exception, match="UNK"):
        AutoTokenizer.from_pretrained(tmp_path / "again")(text)
    with refusal("row", 1, of=VocabularyError):
        ColumnEncoder().encode(["abc", text], ["1", "2"])


def test_auto_tokenizer_loads_the_saved_folder(tmp_path):
    save_tokenizer(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == 44 and loaded.padding_side == "left"
    assert loaded("dist(c_1,c_2)=").input_ids == build_tokenizer()("dist(c_1,c_2)=").input_ids
    check_tokenizer(tmp_path)


def test_another_tokenizer_is_recognised(tmp_path):
    save_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(path.read_text().replace('"<eos>": 2', '"<eos>": 3').replace('"(": 3', '"(": 2'))
    with refusal(44, of=VocabularyError):
        check_tokenizer(tmp_path)
    path.write_text("{")
    with refusal("tokenizer", of=VocabularyError):
        check_tokenizer(tmp_path)


@pytest.mark.parametrize("as_column", [list, lambda t: pa.chunked_array([t[:7], [], t[7:]], pa.string())])
def test_the_column_encoder_gives_the_tokenizers_ids(as_column):
    prompts, answers = random_texts(300, 20, seed=1), random_texts(300, 15, seed=2)
    rows = ColumnEncoder().encode(as_column(prompts), as_column(answers))
    tokenizer = build_tokenizer()
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        expected = [*tokenizer(prompt + answer).input_ids, EOS_ID]
        assert rows.ids_NT[i, : rows.length_N[i]].tolist() == expected
        assert (rows.ids_NT[i, rows.length_N[i] :] == PAD_ID).all()
        assert rows.prompt_len_N[i] == len(tokenizer(prompt).input_ids)


@pytest.mark.parametrize(
    "characters", ["0123456789.-", "abcdefghijklmnopqrstuvwxyzABCXYZ+-.", "x", "".join(map(chr, range(33, 127)))]
)
def test_any_vocabulary_of_single_characters_is_encoded_as_its_tokenizer_does(characters, tmp_path):
    vocabulary = make_vocabulary(characters)
    draw = random.Random(0)
    texts = ["".join(draw.choices(characters, k=draw.randint(0, 9))) for _ in range(100)]
    encoder, tokenizer = ColumnEncoder(vocabulary), build_tokenizer(vocabulary=vocabulary)
    rows = encoder.encode(texts, pa.chunked_array([texts], pa.string()))
    for i, text in enumerate(texts):
        assert rows.ids_NT[i, : rows.length_N[i]].tolist() == [*tokenizer(text + text).input_ids, EOS_ID]
    assert encoder.decode(encoder.encode([""] * 100, texts).ids_NT[:, 1:]) == texts
    save_tokenizer(tmp_path, vocabulary)
    assert read_vocabulary(tmp_path) == vocabulary
    for model_type in ("qwen2", "llama"):  # AutoTokenizer takes another class where a model lies in the folder
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
        loaded = AutoTokenizer.from_pretrained(tmp_path)
        assert [loaded(text).input_ids for text in texts] == [tokenizer(text).input_ids for text in texts]
        assert [loaded.decode(loaded(text).input_ids, skip_special_tokens=True) for text in texts] == texts
    for other in "A\u4e00\0~ é":
        if other not in characters:
            with refusal("row", 1, of=VocabularyError):
                encoder.encode([characters, other], ["", ""])


@pytest.mark.parametrize("characters", ["", "aa", "a\n", "a b", "1.5°", "日本"])
def test_what_is_no_vocabulary_is_refused(characters):
    with refusal("vocabulary", of=VocabularyError):
        make_vocabulary(characters)


def test_a_slice_of_an_arrow_column_is_encoded_as_that_slice():
    texts = random_texts(50, 9, seed=3)
    whole = pa.chunked_array([texts])
    part = ColumnEncoder().encode(whole.slice(13, 20), whole.slice(13, 20))
    again = ColumnEncoder().encode(texts[13:33], texts[13:33])
    assert np.array_equal(part.ids_NT, again.ids_NT)


def test_no_rows_are_no_rows():
    assert ColumnEncoder().encode([], []).ids_NT.shape[0] == 0


def test_decoding_stops_at_eos_and_never_hides_a_special_token():
    encoder = ColumnEncoder()
    texts = random_texts(100, 12, seed=4)
    rows = encoder.encode([""] * 100, texts)
    assert encoder.decode(rows.ids_NT[:, 1:]) == texts
    one, five = VOCABULARY.index("1"), VOCABULARY.index("5")
    hidden = np.array([[one, PAD_ID, five, EOS_ID, one], [one, five, BOS_ID, one, one]])
    assert encoder.decode(hidden) == ["1?5", "15?11"]
