"""A model and an objective: batches, steps, averages, validation, and going on after a kill."""
