"""One run from settings to finished folder."""
