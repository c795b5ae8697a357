"""One model that learns several text tasks at once: what it is trained on, and how it is scored."""
