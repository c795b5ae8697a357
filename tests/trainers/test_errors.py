"""What becomes of errors on the way to the user."""

import errno

import numpy as np
import pytest
import torch

from geo import InputError
from tests.helpers import assert_one_line
from tokenization import VocabularyError
from trainers.errors import UserError, exit_code_of


def no_room_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("ask", [lambda: np.ones(10**14), lambda: torch.ones(10**14), no_room_on_a_gpu])
def test_too_little_memory_is_one_sentence(ask, capsys):
    assert exit_code_of(ask) == 2
    assert_one_line(capsys.readouterr().err, "memory", "--per_device_train_batch_size")


def test_other_errors_of_pytorch_are_not_hidden():
    with pytest.raises(RuntimeError, match="shape"):
        exit_code_of(lambda: torch.ones(2) + torch.ones(3).reshape(4))


@pytest.mark.parametrize("kind", [UserError, InputError, VocabularyError])
def test_marked_errors_are_one_sentence_and_others_are_not_hidden(kind, capsys):
    def fail():
        raise kind("give\nanother")

    assert exit_code_of(fail) == 2 and capsys.readouterr().err == "error: give another\n"
    with pytest.raises(ValueError):
        exit_code_of(lambda: int("x"))


@pytest.mark.parametrize(
    ("number", "helps", "does_not"),
    [
        (errno.ENOSPC, "space", "writable"),
        (errno.EDQUOT, "space", "writable"),
        (errno.EACCES, "writable", "space"),
        (errno.EROFS, "writable", "space"),
        (errno.ENAMETOOLONG, "shorter", "space"),
    ],
)
def test_each_error_of_the_operating_system_has_the_advice_that_helps(number, helps, does_not, capsys):
    def fail():
        raise OSError(number, "Words of the system", "/a/file")

    assert exit_code_of(fail) == 2
    error = capsys.readouterr().err
    assert_one_line(error, "/a/file", helps)
    assert does_not not in error
