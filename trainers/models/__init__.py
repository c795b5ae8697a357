"""Decoders and their fast training and generation passes, and starting from trained weights."""
