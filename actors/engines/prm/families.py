"""The PRM families: which format and which head a folder has, and how that is found out.

A folder with `prm_config.json` names its family. A published one is told by its architecture or by the tensors of its
head; one that looks like any language model has to be named in the recipe (`prm.family`), as has a family of the user's
own (`module:function`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from actors.engines.chat import ChatTemplate, read_chat_template, special_tokens
from actors.engines.formats import PrmFormat, SeparatorFormat
from actors.engines.model_files import (
    CONFIG_FILE,
    HEAD_FILE,
    PRM_CONFIG_FILE,
    TOKENIZER_FILE,
    architectures_of,
    read_json,
)
from actors.engines.prm.head_file import check_head, load_head
from actors.engines.prm.heads import PrmHead
from actors.engines.prm.public_formats import (
    QWEN_STEP_TAG,
    SHEPHERD_STEP_TAG,
    QwenFormat,
    ReasonEvalFormat,
    ShepherdFormat,
    SkyworkFormat,
    rlhflow_format,
    token_id,
)
from actors.engines.prm.public_heads import (
    AnswerSource,
    HeadSource,
    LinearSource,
    MlpSource,
    PrmFolder,
    stored_tensors,
)
from records.bounded import quoted
from records.failure import InvalidInput

AUTO = "auto"
FORMAT_VERSION = 1
FormatT = TypeVar("FormatT", bound=PrmFormat)


@dataclass(frozen=True, slots=True)
class FolderHead:
    """A head of our own: `head.safetensors` beside the backbone, described in `prm_config.json`."""

    prefixes: tuple[str, ...] = ()

    def check(self, folder: PrmFolder) -> None:
        """See `HeadSource.check`."""
        if not (folder.model / HEAD_FILE).is_file():
            raise InvalidInput(f"{folder.model / HEAD_FILE}: missing; a PRM is a backbone and a head")
        check_head(folder.model, folder.hidden_size)

    def load(self, folder: PrmFolder) -> PrmHead:
        """See `HeadSource.load`."""
        return load_head(folder.model, folder.hidden_size)


@dataclass(frozen=True, slots=True)
class Family:
    """One way to write paths and to read scores.

    Attributes:
        name: as in the recipe.
        make_format: the format for a folder; it raises `InvalidInput` where the tokenizer lacks what the family needs.
        head: where the head lies.
    """

    name: str
    make_format: Callable[[PrmFolder], PrmFormat]
    head: HeadSource


def find_family(model: Path, asked: str) -> Family:
    """The family of a folder.

    Args:
        model: the PRM's folder.
        asked: "auto", a family's name, or `module:function`, a function from the folder's path to a `Family`.

    Raises:
        InvalidInput: unknown, contradictory, or not to be told from the folder; what to set.
    """
    config_file = model / PRM_CONFIG_FILE
    if ":" in asked:
        return _plugin(asked, model)
    if asked != AUTO and asked not in FAMILIES:
        raise InvalidInput(f"prm.family is {asked!r}; known are {AUTO}, {', '.join(FAMILIES)}, and module:function")
    if not config_file.is_file():
        return FAMILIES[_published(model, asked)]
    config = read_json(config_file)
    if config.get("format_version") != FORMAT_VERSION:
        raise InvalidInput(f"{config_file}: format_version is {quoted(repr(config.get('format_version')))}; 1 is known")
    name = config.get("family")
    if not isinstance(name, str) or name not in FAMILIES:
        raise InvalidInput(f"{config_file}: family is {quoted(repr(name))}; known are {', '.join(FAMILIES)}")
    if asked not in (AUTO, name):
        raise InvalidInput(f"prm.family is {asked!r}, and {config_file} says {name!r}: leave prm.family out")
    family = FAMILIES[name]
    own_head = (model / HEAD_FILE).is_file() or name == SEPARATOR
    return replace(family, head=FolderHead(family.head.prefixes)) if own_head else family


def plain_architecture(folder: PrmFolder) -> str:
    """The architecture that vLLM runs a PRM's backbone as: the language model that the PRM was made from.

    Raises:
        InvalidInput: unknown.
    """
    published = (*architectures_of(folder.config), "none")[0]
    if published.endswith("ForCausalLM"):
        return str(published)
    model_type = folder.config.get("model_type")
    if not isinstance(model_type, str) or model_type not in BACKBONES:
        raise InvalidInput(
            f"{folder.model / CONFIG_FILE}: model_type is {quoted(repr(model_type))} and the architecture {published}; "
            f"a PRM's backbone is one of {', '.join(BACKBONES)}, or any that is called ...ForCausalLM"
        )
    return BACKBONES[model_type]


def _published(model: Path, asked: str) -> str:
    """The family of a folder without a `prm_config.json`."""
    architectures = architectures_of(read_json(model / CONFIG_FILE))
    tensors = stored_tensors(model)
    told = {QWEN} if "Qwen2ForProcessRewardModel" in architectures else set()
    told |= {name for name, tensor in TELLTALES.items() if tensor in tensors}
    if asked != AUTO and told <= {asked}:
        return asked
    if asked != AUTO:
        raise InvalidInput(f"prm.family is {asked!r}, and {model} has the head of {', '.join(sorted(told))}: name that")
    if len(told) == 1:
        return told.pop()
    raise InvalidInput(
        f"{model}: no {PRM_CONFIG_FILE}, and {CONFIG_FILE} ({', '.join(architectures)}) and weights do not tell the "
        f"PRM's family: set prm.family to one of {', '.join(FAMILIES)}, or to module:function of your own"
    )


def _plugin(name: str, model: Path) -> Family:
    module, _, function = name.partition(":")
    try:
        family = getattr(import_module(module), function)(model)
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"prm.family = {name!r} cannot be imported: {error}") from error
    if not isinstance(family, Family):
        raise InvalidInput(
            f"prm.family = {name!r} returned {type(family).__name__}, not an actors.engines.prm.families.Family"
        )
    return family


def _template(folder: PrmFolder) -> ChatTemplate:
    template = read_chat_template(folder.model)
    if template is None:
        raise InvalidInput(f"{folder.model}: the tokenizer has no chat template, and the PRM's prompt is a chat")
    return template


def _special_token(folder: PrmFolder, name: str) -> str:
    text = special_tokens(folder.model).get(name)
    if text is None:
        raise InvalidInput(f"{folder.model / 'tokenizer_config.json'}: no {name}, which the PRM's prompt is made with")
    token_id(folder.tokenizer, text)
    return text


def _separator(folder: PrmFolder) -> SeparatorFormat:
    file = folder.model / PRM_CONFIG_FILE
    separator = read_json(file).get("separator")
    if not isinstance(separator, str) or not separator:
        raise InvalidInput(f"{file}: separator is {separator!r}; it must be the text that ends a step")
    form = SeparatorFormat(folder.tokenizer, separator)
    ids = folder.tokenizer.encode(separator, special=False)
    if len(ids) != 1 or form.step_ids("a", first=True)[-1:] != ids:
        raise InvalidInput(
            f"{folder.model / TOKENIZER_FILE}: the separator {separator!r} is not one token ({list(ids)}): the "
            "score is read at it, so the tokenizer that the PRM was trained with must have it as an added token"
        )
    return form


def _qwen(folder: PrmFolder) -> QwenFormat:
    return _ends_in(QwenFormat(folder.tokenizer, _template(folder)), folder, QWEN_STEP_TAG)


def _shepherd(folder: PrmFolder) -> ShepherdFormat:
    return _ends_in(ShepherdFormat(folder.tokenizer), folder, SHEPHERD_STEP_TAG)


def _skywork(folder: PrmFolder) -> SkyworkFormat:
    return _ends_in(SkyworkFormat(folder.tokenizer, _special_token(folder, "bos_token")), folder, "\n")


def _reasoneval(folder: PrmFolder) -> ReasonEvalFormat:
    return ReasonEvalFormat(folder.tokenizer, _special_token(folder, "pad_token"))


def _ends_in(form: FormatT, folder: PrmFolder, tag: str) -> FormatT:
    wanted = token_id(folder.tokenizer, tag)
    for first in (True, False):
        ids = form.step_ids("a", first=first)
        if ids[-1] != wanted:
            raise InvalidInput(
                f"{folder.model / TOKENIZER_FILE}: a step ends in the token {ids[-1]}, not in {tag!r} ({wanted}), "
                "where the score is read: is this the PRM's own tokenizer?"
            )
    return form


SEPARATOR, QWEN, SHEPHERD, RLHFLOW, SKYWORK, REASONEVAL = (
    "separator",
    "qwen2.5-math-prm",
    "math-shepherd",
    "rlhflow",
    "skywork-o1-prm",
    "reasoneval",
)
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(SEPARATOR, _separator, FolderHead()),
        Family(QWEN, _qwen, MlpSource()),
        Family(SHEPHERD, _shepherd, AnswerSource(bad="-", good="+")),
        Family(RLHFLOW, lambda folder: rlhflow_format(folder.tokenizer, _template(folder)), AnswerSource("-", "+")),
        Family(SKYWORK, _skywork, LinearSource("v_head.summary", num_classes=1, num_bad=0)),
        Family(REASONEVAL, _reasoneval, LinearSource("score_head", num_classes=3, num_bad=1)),
    )
}
TELLTALES = {QWEN: "score.2.weight", SKYWORK: "v_head.summary.weight", REASONEVAL: "score_head.weight"}
"""Tensors that no other family has."""
BACKBONES = {"qwen2": "Qwen2ForCausalLM", "mistral": "MistralForCausalLM", "llama": "LlamaForCausalLM"}
"""The language model of each `model_type` that a PRM was published on under an architecture of its own."""
