"""Views of what a model knows of the cities."""
