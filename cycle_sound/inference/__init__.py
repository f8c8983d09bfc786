"""Trained models in use: sampling, re-ranking, the cycle, export. It knows no data set."""
