"""Pairs and their tokens on disk: shards written, shards read, augmentation, the token cache."""
