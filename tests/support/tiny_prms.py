"""Published PRM families in miniature: random weights, two layers, the real names of files, tensors and special tokens.

    folder = make_prm("qwen2.5-math-prm", tmp_path)     # config.json, tokenizer.json, model-*.safetensors, ...

The tokenizers are trained here on a few lines, with the rules of the real ones: byte-level BPE behind the pattern of
Qwen2 and Llama 3, and SentencePiece's BPE with byte fallback as Mistral has it.
"""

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

STEP_TAG = "\u043a\u0438"
CORPUS = [
    "Step 1: Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 duck eggs a day. " + STEP_TAG,
    "She makes 9 * 2 = $18 every day at the farmer's market. The answer is: 18 " + STEP_TAG,
    "Question: Answer: Let's think step by step. system user assistant + - + -",
    "Please reason step by step, and put your final answer within \\boxed{18}.",
] * 3
LINES = [*CORPUS, "day.\n\nShe makes 18.\n", "is it?\n\n## Step 2: no\n", "\n\n", "\n"]
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_CHAT = (
    "{{ bos_token }}{{ '<|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\n<|eot_id|>' }}"
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
SPACE = "\u2581"
NORMALIZER = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
HIDDEN = 64
SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.15,
    "tie_word_embeddings": False,
}


def byte_level(*special: str, begin: str | None = None) -> Tokenizer:
    """A tokenizer like Qwen2's and Llama 3's; `begin` is put before a text that stands by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    if begin is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
        )
    return tokenizer


def sentencepiece() -> Tokenizer:
    """A tokenizer like Mistral's: no pattern, spaces as U+2581, unknown characters as bytes, <s> before a text."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = NORMALIZER
    trained.pre_tokenizer = pre_tokenizers.Split(SPACE, behavior="merged_with_next")
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=260, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += sorted(learned["vocab"], key=learned["vocab"].get)
    return sentencepiece_of({piece: at for at, piece in enumerate(pieces)}, learned["merges"])


def sentencepiece_of(vocabulary: dict[str, int], merges: Iterable[Sequence[str]]) -> Tokenizer:
    """The tokenizer that is made of a SentencePiece vocabulary, as Llama 2 and Mistral publish it."""
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[(left, right) for left, right in merges],
            unk_token="<unk>",  # noqa: S106
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = NORMALIZER
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in ("<unk>", "<s>", "</s>")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>")
LLAMA_TOKENS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


@functools.cache
def tokenizer_of(family: str) -> Tokenizer:
    """The tokenizer of a family."""
    if family in ("math-shepherd", "reasoneval"):
        return sentencepiece()
    if family == "rlhflow":
        return byte_level(*LLAMA_TOKENS, begin="<|begin_of_text|>")
    return byte_level(*CHATML_TOKENS)


TOKENIZER_CONFIGS: dict[str, dict[str, object]] = {
    "qwen2.5-math-prm": {"chat_template": CHATML, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    "math-shepherd": {"bos_token": "<s>", "eos_token": "</s>"},
    "rlhflow": {
        "chat_template": LLAMA_CHAT,
        "bos_token": {"__type": "AddedToken", "content": "<|begin_of_text|>"},
        "eos_token": "<|eot_id|>",
    },
    "skywork-o1-prm": {"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"},
    "reasoneval": {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<s>"},
}
CONFIGS = {
    "qwen2.5-math-prm": (Qwen2Config, "Qwen2ForProcessRewardModel"),
    "math-shepherd": (MistralConfig, "MistralForCausalLM"),
    "rlhflow": (LlamaConfig, "LlamaForCausalLM"),
    "skywork-o1-prm": (Qwen2Config, "Qwen2ForPrmModel"),
    "reasoneval": (MistralConfig, "ReasonEval_7B"),
}
FAMILY_NAMES = tuple(CONFIGS)


def head_tensors(family: str) -> dict[str, torch.Tensor]:
    """The head's tensors beside the language model's, at random and large enough that scores differ."""
    shapes: dict[str, dict[str, tuple[int, ...]]] = {
        "qwen2.5-math-prm": {
            "score.0.weight": (HIDDEN, HIDDEN),
            "score.0.bias": (HIDDEN,),
            "score.2.weight": (2, HIDDEN),
            "score.2.bias": (2,),
        },
        "skywork-o1-prm": {"v_head.summary.weight": (1, HIDDEN), "v_head.summary.bias": (1,)},
        "reasoneval": {"score_head.weight": (3, HIDDEN)},
    }
    generator = torch.Generator().manual_seed(5)
    return {name: 0.15 * torch.randn(shape, generator=generator) for name, shape in shapes.get(family, {}).items()}


def make_prm(family: str, folder: Path, *, context: int = 1024) -> Path:
    """Write a PRM of the family: weights in two files, the head's tensors in both."""
    tokenizer = tokenizer_of(family)
    kind, architecture = CONFIGS[family]
    torch.manual_seed(3)
    sizes = SIZES | {"max_position_embeddings": context, "vocab_size": tokenizer.get_vocab_size()}
    config = kind(bos_token_id=1, eos_token_id=2, **sizes)
    model = AutoModelForCausalLM.from_config(config)
    tensors = {**{name: tensor.contiguous() for name, tensor in model.state_dict().items()}, **head_tensors(family)}
    published = {**config.to_dict(), "architectures": [architecture], "dtype": "float32"}
    if architecture not in ("MistralForCausalLM", "LlamaForCausalLM"):
        published["auto_map"] = {"AutoModel": f"modeling_of_its_own.{architecture}"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(published))
    write_tokenizer(family, folder)
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def make_generator(family: str, folder: Path, *, context: int) -> Path:
    """Write a language model with the architecture, tokenizer and chat template of a family's backbone."""
    make_prm(family, folder, context=context)
    config = json.loads((folder / "config.json").read_text())
    config.pop("auto_map", None)
    config["architectures"] = [CONFIGS[family][0].__name__.replace("Config", "ForCausalLM")]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_tokenizer(family: str, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json."""
    tokenizer_of(family).save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **TOKENIZER_CONFIGS[family]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def language_model(family: str, folder: Path) -> torch.nn.Module:
    """The language model under the head, in float32, by transformers."""
    kind: Any = CONFIGS[family][0]
    model: torch.nn.Module = AutoModelForCausalLM.from_config(kind.from_pretrained(folder)).float().eval()
    stored = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    model.load_state_dict({name: stored[name] for name in model.state_dict()})
    return model
