"""MLflow: the store, the tracker of a run, queries, comparison, deletion."""
