"""Convert texts to token ids and back: a character tokenizer and its vectorised twin."""


class VocabularyError(ValueError):
    """A text with a character outside the vocabulary, or a vocabulary that cannot be used."""

    is_user_error = True
    """Commands show the text alone, without a traceback (trainers/errors.py)."""
