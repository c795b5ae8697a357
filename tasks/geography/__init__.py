"""Predict coordinates, distances and walks over the world's cities."""
