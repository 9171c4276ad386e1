"""The process that runs `ray.data.llm`; its environment is ours with pandas.

    python -m benchmarks.versus.ray_data_client '{"settings": ..., "model": ..., "engine": ..., "sampling": ...}'

A line on stdin is a pass, its answer a line on stdout:

    {"prompts": [[token id, ...], ...]}
    {"first_s": float, "last_s": float, "texts": [text, ...], "generated": int, "prompt": int}
"""

import importlib
import json
import os
import sys
from typing import Any

from actors.engines.serving.common import has_cuda, prepare_environment
from actors.engines.settings import GeneratorSettings
from benchmarks.versus.processes import read_settings

BATCH_ROWS = 32
"""Rows that Ray Data hands to the engine's actor at once; it has eight such batches under way."""
NUM_CPUS = 4
"""Slots of its Ray: one for the engine, the others for the steps before and after it."""


def processor(options: dict[str, Any]) -> Any:
    """The pipeline: rows with `at` and `ids` to rows with what is read below."""
    llm: Any = importlib.import_module("ray.data.llm")
    config = llm.vLLMEngineProcessorConfig(
        model_source=options["model"],
        # What vLLM measures of a request is needed, and one process beside the actor.
        engine_kwargs=options["engine"] | {"disable_log_stats": False, "distributed_executor_backend": "uni"},
        # Its metrics for Ray do not work with vLLM 0.32: RayPrometheusMetric says that Ray is not installed.
        log_engine_metrics=False,
        batch_size=BATCH_ROWS,
        concurrency=1,
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        placement_group_config={"bundle_per_worker": {"CPU": 1}},
    )
    sampling = options["sampling"]
    return llm.build_processor(
        config,
        preprocess=lambda row: {"tokenized_prompt": row["ids"], "prompt": "", "sampling_params": sampling},
        postprocess=lambda row: {
            "at": row["at"],
            "text": row["generated_text"],
            "generated": row["num_generated_tokens"],
            "prompt": row["num_input_tokens"],
            "arrived_s": row["metrics"]["arrival_time"],
            "run_s": row["metrics"]["last_token_ts"] - row["metrics"]["queued_ts"],
        },
    )


def run_pass(ray: Any, pipeline: Any, prompts: list[list[int]]) -> dict[str, Any]:
    """One data set through the pipeline."""
    items = [{"at": at, "ids": ids} for at, ids in enumerate(prompts)]
    rows = pipeline(ray.data.from_items(items)).take_all()
    rows.sort(key=lambda row: int(row["at"]))
    return {
        "first_s": min(row["arrived_s"] for row in rows),
        "last_s": max(row["arrived_s"] + row["run_s"] for row in rows),
        "texts": [row["text"] for row in rows],
        "generated": sum(int(row["generated"]) for row in rows),
        "prompt": sum(int(row["prompt"]) for row in rows),
    }


def main() -> None:
    """Serve passes; whatever else is printed goes to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    options = json.loads(sys.argv[1])
    prepare_environment(read_settings(GeneratorSettings, options["settings"]), cuda=has_cuda())
    os.environ["RAY_DATA_DISABLE_PROGRESS_BARS"] = "1"
    ray: Any = importlib.import_module("ray")
    importlib.import_module("ray.data")
    ray.init(address="local", num_cpus=NUM_CPUS, include_dashboard=False)
    pipeline = processor(options)
    for line in sys.stdin:
        replies.write(json.dumps(run_pass(ray, pipeline, json.loads(line)["prompts"])) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
