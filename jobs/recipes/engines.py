"""The sections of the two models, `[generator]` and `[prm]`: what their engines have in common, and their stand-ins."""

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from actors.engines.prm.families import AUTO, FAMILIES
from jobs.recipes.section import PLUGIN, Section, is_plugin, setting, without_password

_LABEL_KEY = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?")
_LABEL_VALUE = r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?"
_LABEL_SELECTOR = re.compile(rf"!?({_LABEL_VALUE}|in\({_LABEL_VALUE}(, ?{_LABEL_VALUE})*\))")
SCRIPTED = "scripted"
"""The kind of an engine without a model, and that model's name."""


class EngineSection(Section):
    """What both kinds of replica tell vLLM."""

    kind: Literal["vllm", "scripted"] = setting(
        "vllm",
        "What serves it: vLLM; or a stand-in without a model, for a dry run (docs/dry-run.md).",
        silent=True,
    )
    model: str = Field(
        min_length=1,
        description="Folder with the weights, relative to the recipe, or s3://..., or a name on the hub, org/name or "
        'org/name@revision; a generator also "smollm2". A scripted one needs none.',
    )
    num_replicas: int = setting(
        1,
        "Replicas; each has its own engine. { min = 1, max = 8 } is min_replicas and num_replicas in one.",
        operational=True,
        ge=1,
        le=4096,
    )
    min_replicas: int | None = setting(
        None,
        "Replicas that are there from the beginning; up to num_replicas others come and go with the work. Omitted: as "
        "many as num_replicas.",
        operational=True,
        silent=True,
        ge=1,
    )
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = setting("auto", "Type of weights and activations.")
    max_model_len: int | None = setting(None, "Context limit in tokens; omitted: the model's own.", ge=1)
    max_num_seqs: int = setting(256, "Calls that one engine batches.", operational=True, ge=1)
    max_num_batched_tokens: int | None = setting(
        None,
        "Tokens of one engine step; omitted: vLLM chooses. On CPU above the longest prompt.",
        operational=True,
        ge=1,
    )
    block_size: int | None = setting(
        None, "Tokens of one KV-cache block; omitted: vLLM chooses.", operational=True, ge=1
    )
    kv_cache_gib: float | None = setting(
        None,
        "Size of the KV cache in GiB; omitted: what gpu_memory_utilization leaves (GPU only).",
        operational=True,
        gt=0,
    )
    gpu_memory_utilization: float = setting(
        0.9, "Share of the device's memory that one engine may take.", operational=True, gt=0, le=1
    )
    enforce_eager: bool = setting(
        False, "Skip graph capture and compilation: a faster start, a slower GPU engine.", operational=True
    )
    trust_remote_code: bool = setting(
        False,
        "Let Python code that lies in the model's folder run, with all your rights, on every machine that loads it: it "
        "can read, send and delete what you can. Only for a folder whose code you have read.",
        silent=True,
    )
    tensor_parallel_size: int = setting(1, "GPUs that one replica spans.", operational=True, ge=1)
    node_resource: str | None = setting(
        None,
        "Custom Ray resource of which each replica takes one, so that it goes to a node that has it; omitted: any.",
        operational=True,
        pattern=r"^[A-Za-z_]\w*$",
    )
    node_labels: dict[str, str] = setting(
        {},
        "Labels that the node of a replica has to have, as Ray spells it: a value, !value, in(a,b), !in(a,b). Omitted: "
        "any node.",
        operational=True,
        silent=True,
    )
    placement: Literal["pack", "spread"] = setting(
        "pack",
        "Whether replicas fill one node after the other, or each goes where few others are.",
        operational=True,
        silent=True,
    )
    gpu_fraction: float | None = setting(
        None,
        "Share of one GPU that a replica takes, beside others, such as 0.25 for a small PRM; gpu_memory_utilization "
        "has to fit into it. Omitted: whole GPUs.",
        operational=True,
        silent=True,
        gt=0,
        lt=1,
    )
    queue_limit: int = setting(2048, "Calls that one replica holds before it refuses more.", operational=True, ge=1)
    cpu_threads: int = setting(1, "OpenMP threads of a CPU engine.", operational=True, ge=1)
    active_parameters: int | None = setting(
        None,
        "Parameters that a token is multiplied with, for FLOPs; omitted: counted from the model's files (of experts "
        "those that a token uses, of packed weights what they unpack to).",
        silent=True,
        ge=1,
    )

    _no_password = field_validator("model", mode="before")(without_password)

    @field_validator("node_labels")
    @classmethod
    def _labels_are_ray_s(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if not _LABEL_KEY.fullmatch(key) or not _LABEL_SELECTOR.fullmatch(value):
                raise ValueError(f'"{key}" = "{value}" is no label of Ray: give value, !value, in(a,b) or !in(a,b)')
        return labels

    @model_validator(mode="after")
    def _a_share_of_a_gpu_is_kept_to(self) -> Self:
        share, kept = self.gpu_fraction, self.gpu_memory_utilization
        if share is not None and self.tensor_parallel_size > 1:
            raise ValueError(
                "gpu_fraction shares one GPU, and tensor_parallel_size spans several: leave one of them out"
            )
        if share is not None and self.kind != SCRIPTED and kept > share:
            raise ValueError(
                f"gpu_fraction = {share:g} leaves the rest of the GPU to others, and gpu_memory_utilization = {kept:g} "
                f"takes more of its memory: set it to {share:g} or less"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _a_range_is_two_numbers(cls, section: Any) -> Any:
        """What `num_replicas = { min = 1, max = 8 }` stands for."""
        found = section.get("num_replicas") if isinstance(section, dict) else None
        if not isinstance(found, dict):
            return section
        if unknown := sorted(found.keys() - {"min", "max"}) or sorted({"min", "max"} - found.keys()):
            raise ValueError(
                f"num_replicas must be a number, or {{ min = 1, max = 8 }}: {unknown[0]} is wrong or missing"
            )
        return {**section, "num_replicas": found["max"], "min_replicas": found["min"]}

    @model_validator(mode="after")
    def _range_holds_a_number(self) -> Self:
        if self.min_replicas is not None and self.min_replicas > self.num_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) must not be above num_replicas ({self.num_replicas})")
        return self

    @property
    def first_replicas(self) -> int:
        """How many are there from the beginning."""
        return self.num_replicas if self.min_replicas is None else self.min_replicas

    @model_validator(mode="before")
    @classmethod
    def _a_scripted_model_has_one_name(cls, section: Any) -> Any:
        scripted = isinstance(section, dict) and section.get("kind") == SCRIPTED
        return {**section, "model": SCRIPTED} if scripted else section


class PrmSection(EngineSection):
    """The process reward model."""

    overlong: Literal["keep_tail", "refuse"] = setting(
        "keep_tail", "An input above max_model_len loses its oldest steps and is marked, or is refused."
    )
    family: str = setting(
        AUTO, 'How it writes paths and reads scores; "auto" asks the folder; or a family\'s name, or module:function.'
    )

    @field_validator("family")
    @classmethod
    def _family_is_known(cls, family: str) -> str:
        if family != AUTO and family not in FAMILIES and not is_plugin(family):
            raise ValueError(f"must be {AUTO}, one of {', '.join(FAMILIES)}, or {PLUGIN}")
        return family


class ScriptSection(Section):
    """What a scripted generator and PRM do; nothing to vLLM."""

    tokens_per_s: float = setting(
        0.0,
        "Tokens that each sample gains in a second, however many there are; 0: all at once.",
        operational=True,
        silent=True,
        ge=0,
    )
    prm_tokens_per_s: float = setting(
        0.0,
        "Tokens of a path that the PRM reads in a second, likewise; 0: all at once.",
        operational=True,
        silent=True,
        ge=0,
    )
    answers: str | None = setting(
        None,
        "Problem file, relative to the recipe, whose keys are the right answers, so that accuracy is plausible; "
        "omitted: made-up numbers.",
        silent=True,
        min_length=1,
    )
