"""What may be asked of the models at once. It loads no torch: commands refuse more before they read models."""

MAX_CANDIDATES = 1000  # 0.2 MB each while they are re-ranked, of 32 sources at a time
