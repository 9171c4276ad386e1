"""From a GGUF file to a model folder in the layout of transformers, which vLLM reads.

    python -m actors.engines.convert_gguf FILE.gguf FOLDER        a process of its own: the caller need not load torch

The weights are de-quantised and stored as bfloat16: its rounding (1/256) is small beside that of 4-bit weights (1/15).
The tokenizer comes out of the same file. FOLDER must not exist; it is complete when the process ends with status 0.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DIGIT_BY_DIGIT = ("smollm",)
"""Values of `tokenizer.ggml.pre` that split numbers into digits before anything else, which transformers leaves out."""


def convert(file: Path, folder: Path) -> None:
    """Write the model in `file` to `folder`.

    Raises:
        OSError, ValueError: the file cannot be read, or `folder` not be written.
    """
    split_digits = _pre_tokenizer(file) in DIGIT_BY_DIGIT  # first: it notices at once what is no GGUF file
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    del model.config.quantization_config  # the weights are plain from here on
    model.hf_quantizer = None  # type: ignore[assignment]
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if split_digits:
        _split_digits(tokenizer.backend_tokenizer)
    folder.mkdir(parents=True)
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _pre_tokenizer(file: Path) -> str | None:
    """The rules by which llama.cpp cuts a text into words."""
    from gguf import GGUFReader

    field = GGUFReader(file).get_field("tokenizer.ggml.pre")
    return None if field is None else str(field.contents())


def _split_digits(tokenizer: "Tokenizer") -> None:
    r"""Without it "\n\n2" would not begin with the token "\n\n", which the model has learnt there."""
    from tokenizers.pre_tokenizers import Digits, Sequence

    tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), tokenizer.pre_tokenizer])


def main() -> None:
    """Convert one file, without a progress bar."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    convert(arguments.file, arguments.folder)


if __name__ == "__main__":
    main()
