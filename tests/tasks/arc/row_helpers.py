"""Rows as pairs of arrays."""


def episodes_of(rows, chosen):
    """(query, demonstrations) of rows as pairs of arrays."""
    before, after, shown_before, shown_after = (part.list() for part in rows.examples(chosen))
    context = list(zip(shown_before, shown_after, strict=True))
    n = len(context) // len(chosen)
    return [(pair, context[place * n : (place + 1) * n]) for place, pair in enumerate(zip(before, after, strict=True))]


def flat(query, context):
    return [*query, *(grid for pair in context for grid in pair)]
