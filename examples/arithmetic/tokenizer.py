"""The tokenizer: 256 bytes without merges, plus a few added tokens that are matched first."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from examples.arithmetic.common import SEPARATOR

PAD: Final = "<pad>"
BOS: Final = "<bos>"
EOS: Final = "<eos>"
WORDS: Final = (SEPARATOR, " so ", "\\boxed{", "Compute ")
MODEL_MAX_LENGTH: Final = 512


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build the tokenizer; any text can be encoded, and decoding gives the same text back."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: at for at, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (PAD, BOS, EOS)])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in WORDS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return make(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=MODEL_MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )


def main() -> None:
    """Write the tokenizer files into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, required=True)
    build_tokenizer().save_pretrained(parser.parse_args().output)


if __name__ == "__main__":
    main()
