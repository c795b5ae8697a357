"""Callbacks of the Trainer: control, reporting, figures."""
