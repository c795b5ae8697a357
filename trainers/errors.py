"""Show errors that the user can fix as one sentence, without a traceback, with exit code 2."""

import contextlib
import difflib
import errno
import importlib.metadata
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator

_HELPS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free space there, or choose another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable for you, or choose another folder"),
    errno.ENAMETOOLONG: "choose a shorter path",
}
"""What helps with a full disk, no permission, a path too long: said after the operating system's words and the path."""
_NO_MEMORY = ("out of memory", "can't allocate memory")


class UserError(Exception):
    """Something the user gave cannot be used; the text has what was got, what was expected, what to do."""

    is_user_error = True


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?` with the names in `known` that are nearest to `name`, or an empty text."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


@contextlib.contextmanager
def name_flags(*flags: str) -> Iterator[None]:
    """Name flags in user errors of packages that know none: `n_cities is 0` gets its dashes, others the first flag."""
    try:
        yield
    except Exception as error:
        if not getattr(error, "is_user_error", False):
            raise
        sentence = re.sub(rf"(?<!-)\b({'|'.join(flags)})\b", r"--\1", str(error))
        is_named = any(f"--{flag}" in sentence for flag in flags)
        raise UserError(sentence if is_named else f"--{flags[0]}: {sentence}") from error


def exit_code_of(main: Callable[[], None]) -> int:
    """Run `main` and return 0; or print an error marked `is_user_error` as one line on stderr and return 2.

    The mark lets packages below this one have user errors of their own (`geo.InputError`).
    """
    try:
        main()
        return 0
    except BrokenPipeError:  # the reader of our output has ended (`| head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MemoryError, RuntimeError) as error:  # PyTorch has no error class for memory on the CPU
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _NO_MEMORY):
            raise
        sentence = (
            f"out of memory ({str(error)[:200] or 'no more could be had'}); give a smaller batch"
            " (--per_device_train_batch_size, --per_device_eval_batch_size), a smaller model or fewer rows"
        )
    except OSError as error:
        if error.errno not in _HELPS:
            raise
        sentence = (
            f"{error.strerror}: {error.filename or 'while writing'}; {_HELPS[error.errno]}"
            " (EXP_DIR_PREFIX, --output_dir), then start again"
        )
    except ModuleNotFoundError as error:
        if (extra := _extra_of(error.name or "")) is None:
            raise
        sentence = f"{error.name} is not installed; add it by `pip install 'world-models[{extra}]'`"
    except Exception as error:
        if not getattr(error, "is_user_error", False):
            raise
        sentence = str(error)
    print(
        f"error: {' '.join(sentence.split())}", file=sys.stderr, flush=True
    )  # a library's message may have several lines
    return 2


def _extra_of(package: str) -> str | None:
    """Return the extra of pyproject.toml that installs a package which only some need."""
    try:
        lines = importlib.metadata.requires("world-models") or []
    except importlib.metadata.PackageNotFoundError:  # run from the sources, without an installation
        return None
    found = (re.match(rf"{re.escape(package)}\b.*extra == [\"'](\w+)", line) for line in lines)
    return next((match[1] for match in found if match), None)
