"""The models, as tensors in and tensors out: tokenizer, transformer, classifier, vocoder."""
