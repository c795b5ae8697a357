"""Maps of cities, predictions, decoded positions and walks."""
