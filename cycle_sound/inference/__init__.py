"""Trained models in use: sampling, re-ranking, the cycle, export; back-translation alone knows a data set."""
