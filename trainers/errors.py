"""Errors that are the user's to mend: shown as one sentence, without a traceback, with exit code 2."""

import difflib
import errno
import os
import sys
from collections.abc import Callable, Iterable

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG}
"""A full disk, no permission, a path too long: the operating system's own words and the path say it all."""
_NO_MEMORY = ("out of memory", "can't allocate memory")


class UserError(Exception):
    """Something the user gave cannot be used; the text says what was got, what was expected, what to do."""

    is_user_error = True


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?` with the names in `known` that are nearest to `name`, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def exit_code_of(main: Callable[[], None]) -> int:
    """Run `main`; print an error that is marked `is_user_error` as one line on stderr and return 2, or return 0.

    The mark lets packages below this one have errors for people of their own (`geo.InputError`).
    """
    try:
        main()
        return 0
    except BrokenPipeError:  # whoever read our output has gone (`| head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MemoryError, RuntimeError) as error:  # PyTorch has no kind of its own for memory on the CPU
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _NO_MEMORY):
            raise
        sentence = (
            f"out of memory ({str(error)[:200] or 'no more could be had'}); give a smaller batch"
            " (--per_device_train_batch_size, --per_device_eval_batch_size), a smaller model or fewer rows"
        )
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        sentence = (
            f"{error.strerror}: {error.filename or 'while writing'}; free space or choose another folder"
            " (EXP_DIR_PREFIX, --output_dir), then start again"
        )
    except Exception as error:
        if not getattr(error, "is_user_error", False):
            raise
        sentence = str(error)
    print(f"error: {' '.join(sentence.split())}", file=sys.stderr, flush=True)  # a library's words may be many lines
    return 2
