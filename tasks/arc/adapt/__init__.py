"""Test-time training: a copy of a model learns one task from its demonstrations alone, then answers its queries."""
