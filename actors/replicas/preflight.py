"""Checks before and after the models are loaded.

`check_generator` and `check_prm` read files only and take a fraction of a second: a wrong path, a cut download or a
separator that the tokenizer tears apart is found before a GPU is paid for. `check_together` compares what two live
replicas said of themselves.
"""

from collections.abc import Mapping
from pathlib import Path

from actors.engines.adapter import check_adapter
from actors.engines.chat import chat_writer
from actors.engines.model_files import (
    CONFIG_FILE,
    TOKENIZER_FILE,
    architectures_of,
    context_length,
    read_header,
    read_json,
    vocabulary_size,
    weight_files,
)
from actors.engines.prm.families import find_family, plain_architecture
from actors.engines.prm.public_heads import PrmFolder
from actors.engines.prm.trained_for import TrainedFor, generator_warnings, read_trained_for
from actors.engines.probe import tried
from actors.engines.prompts import QUESTION, prompt_messages
from actors.engines.settings import EngineSettings, GeneratorSettings, PrmSettings
from actors.engines.text import read_tokenizer
from actors.engines.thoughts.reader import thought_reader
from records.failure import InvalidInput, PreflightFailed
from records.replica import ReplicaInfo

MIN_CONTEXT_TOKENS = 64
"""Below this no problem, prompt and answer fit: the setting is a slip."""


def check_generator(settings: GeneratorSettings) -> None:
    """Check the generator's folder against its settings.

    Raises:
        InvalidInput: names the file or field, and what to do.
    """
    model = Path(settings.model)
    _check_folder(model, settings)
    if settings.adapter is not None:
        check_adapter(Path(settings.adapter), model)
    if QUESTION not in settings.prompt_template:
        raise InvalidInput("generator.prompt_template lacks {question}: every problem would get the same prompt")
    if settings.chat:
        _check_chat(model, settings)
    _check_round_trip(model, settings.separator)
    if settings.thinking is not None:
        thought_reader(settings, settings.thinking, read_tokenizer(model / TOKENIZER_FILE), "")
    vocabulary = vocabulary_size(model)
    if vocabulary is not None and settings.max_logprobs > vocabulary:
        raise InvalidInput(
            f"{settings.max_logprobs} log-probabilities per token are asked for (strategy.top_logprobs, or "
            f"generator.max_logprobs), and {model} has a vocabulary of {vocabulary}: lower it"
        )


def check_logit_bias(model: Path, logit_bias: Mapping[str, float]) -> None:
    """Check that the tokens whose logits are changed are tokens of the model.

    Raises:
        InvalidInput: names those that are none.
    """
    vocabulary = vocabulary_size(model)
    unknown = [token_id for token_id in logit_bias if vocabulary is not None and int(token_id) >= vocabulary]
    if unknown:
        raise InvalidInput(
            f"generator.logit_bias: {', '.join(unknown)}: {model} has a vocabulary of {vocabulary} tokens, from 0"
        )


def check_prm(settings: PrmSettings) -> None:
    """Check the PRM's folder against its settings.

    Raises:
        InvalidInput: names the file or field, and what to do.
    """
    model = Path(settings.model)
    _check_folder(model, settings)
    folder = PrmFolder(model, read_tokenizer(model / TOKENIZER_FILE))
    family = find_family(model, settings.family)
    plain_architecture(folder)
    form = family.make_format(folder)
    for step in ("1 + 1 = 2\n\n", "So it is 2."):
        if not form.step_ids(step, first=True):
            raise InvalidInput(f"{model}: the {family.name} format gives no tokens for the step {step!r}")
    family.head.check(folder)
    read_trained_for(model)
    least, room = len(form.question_ids("1 + 1")) + MIN_CONTEXT_TOKENS, settings.max_model_len or context_length(model)
    if room is not None and room < least:
        raise InvalidInput(
            f"prm.max_model_len is {room}, and the PRM's own prompt leaves nothing of it: at least {least}"
        )


def check_together(generator: ReplicaInfo, prm: ReplicaInfo) -> list[str]:
    """Compare two live replicas; the warnings that a user should see.

    Raises:
        PreflightFailed: the two cannot work together.
    """
    ends, reads = generator.details.get("separator"), prm.details.get("separator")
    if reads is not None and ends != reads:  # a published PRM writes marks of its own after any step
        raise PreflightFailed(
            f"the generator's steps end in {ends!r}, and {prm.model} was trained on steps that end in {reads!r}: "
            "set generator.separator to the latter"
        )
    said = prm.details.get("trained_for_generator"), prm.details.get("trained_for_temperature")
    trained_for = TrainedFor(
        generator=None if said[0] is None else str(said[0]),
        temperature=None if said[1] is None else float(said[1]),
        calibrated=bool(prm.details.get("calibrated", False)),
    )
    warnings = generator_warnings(prm.model, trained_for, generator.model, generator.model_sha256)
    if prm.max_model_len < generator.max_model_len:
        warnings.append(
            f"the PRM's context ({prm.max_model_len} tokens) is shorter than the generator's "
            f"({generator.max_model_len}): long paths are scored by prm.overlong"
        )
    if prm.details.get("golden_max_error", 0.0) is None and not prm.details.get("stand_in"):
        warnings.append(f"{prm.model} has no golden.json: nothing shows that its scores are those of its author")
    return warnings


def _check_folder(model: Path, settings: EngineSettings) -> None:
    if not model.is_dir():
        download = "" if model.is_absolute() else f": for one of the hub, `hf download {model} --local-dir FOLDER`"
        raise InvalidInput(
            f"{model}: no such folder; a model is a folder in the layout of transformers{download}, and then "
            f"{'prm' if isinstance(settings, PrmSettings) else 'generator'}.model is that folder"
        )
    config = read_json(model / CONFIG_FILE)
    if not architectures_of(config):
        raise InvalidInput(f"{model / CONFIG_FILE}: no architectures: vLLM cannot tell what to run")
    files = weight_files(model)
    if not files:
        raise InvalidInput(f"{model}: no *.safetensors file with weights; convert the model with save_pretrained")
    for file in files:
        read_header(file)
    if (model / TOKENIZER_FILE).is_file():
        tried(model / TOKENIZER_FILE)  # before a template is rendered here
    _check_context(model, settings)


def _check_context(model: Path, settings: EngineSettings) -> None:
    made_for = context_length(model)
    asked = settings.max_model_len
    if asked is None and made_for is None:
        raise InvalidInput(f"{model / CONFIG_FILE}: no max_position_embeddings: set max_model_len")
    if asked is not None and made_for is not None and asked > made_for:
        raise InvalidInput(f"max_model_len is {asked}, and {model} was made for {made_for} tokens: lower it")
    if (asked or made_for or 0) < MIN_CONTEXT_TOKENS:
        raise InvalidInput(f"max_model_len is {asked or made_for} tokens: too short for a problem and its solution")


def _check_round_trip(model: Path, separator: str) -> None:
    tokenizer = read_tokenizer(model / TOKENIZER_FILE)
    text = f"1 + 1 = 2{separator}2"
    decoded = tokenizer.decode(tokenizer.encode(text, special=False))
    if not separator or decoded != text:
        raise InvalidInput(
            f"generator.separator: {text!r} comes back from the tokenizer of {model} as {decoded!r}: no step would be "
            "seen to end"
        )


def _check_chat(model: Path, settings: GeneratorSettings) -> None:
    """Render one chat: some templates refuse a system message, some leave it out."""
    write = chat_writer(model, settings)
    if write is None:
        raise InvalidInput(
            f"{model}: the tokenizer has no chat template: set generator.chat to false, or generator.chat_template"
        )
    messages = prompt_messages(settings, "1 + 1")
    text = write(messages)
    for message in messages:
        if message["content"].strip() not in text:
            raise InvalidInput(
                f"{model}: the chat template leaves out the {message['role']} message: set generator.chat to false, or "
                "say it in generator.prompt_template"
            )
