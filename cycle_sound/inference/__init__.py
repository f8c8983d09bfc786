"""Trained models in use: sampling, re-ranking, the cycle, export; no data set is known here."""
