"""Texts to token ids and back: the 44-character tokenizer and its vectorised twin."""


class VocabularyError(ValueError):
    """A text holds a character that the vocabulary does not have."""

    is_user_error = True
    """Commands show the text alone, without a traceback (trainers/errors.py)."""
