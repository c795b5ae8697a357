"""Rows as pairs of arrays."""


def episodes_of(rows, chosen):
    """(query, demonstrations) of rows as pairs of arrays."""
    *grids, n_shown = rows.examples(chosen)
    before, after, shown_before, shown_after = (part.list() for part in grids)
    context = iter(zip(shown_before, shown_after, strict=True))
    episodes = [
        (pair, [next(context) for _ in range(n)])
        for pair, n in zip(zip(before, after, strict=True), n_shown.tolist(), strict=True)
    ]
    assert not list(context)
    return episodes


def flat(query, context):
    return [*query, *(grid for pair in context for grid in pair)]
