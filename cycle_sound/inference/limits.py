"""What may be asked of the models at once. It loads no torch: commands refuse more before they read models."""

LICENSE = r"^[a-z0-9.+-]{0,40}$"  # as the Hub names one, by SPDX in small letters: mit, cc-by-4.0
MAX_CANDIDATES = 1000  # 0.2 MB each while they are re-ranked, of 32 sources at a time
