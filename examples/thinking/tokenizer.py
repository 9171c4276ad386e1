"""The tokenizer: that of the arithmetic example, then the two marks of a thought and its set phrases."""

from __future__ import annotations

from typing import Final

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from examples.arithmetic.tokenizer import build_tokenizer as arithmetic_tokenizer

THINK: Final = "<think>"
END_THINK: Final = "</think>"
PERHAPS: Final = "Perhaps "
CONFIRMED: Final = "So it is "
STILL: Final = "Still "
AGAIN: Final = "Once more."
CHECK: Final = "Let me check."
CAREFUL: Final = "Let me be very careful."
NO: Final = "No, products first."
WAIT: Final = "Wait."
PHRASES: Final = (PERHAPS, CONFIRMED, STILL, AGAIN, CHECK, CAREFUL, NO, WAIT)
MODEL_MAX_LENGTH: Final = 1024


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; ids of the arithmetic example's tokens are as there, so its weights can be a start."""
    tokenizer = arithmetic_tokenizer()
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in (THINK, END_THINK, *PHRASES)])
    tokenizer.model_max_length = MODEL_MAX_LENGTH
    return tokenizer
