"""Counts tokens as a current model's tokenizer does."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of importlib.resources, inside
    import bpe_openai

    _encoding = bpe_openai.get_encoding("o200k_base")


def tokens(text: str) -> int:
    return len(_encoding.encode(text))
