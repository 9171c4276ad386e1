"""`parsimony import-adapter ADAPTER --base PRM --output FOLDER`: a published calibration adapter becomes a PRM."""

import sys
from pathlib import Path

from actors.engines.model_files import sha256_of, weight_files
from actors.engines.prm.adapter_import import merge_published_adapter
from cluster.s3_client import is_s3
from cluster.staging import stage_folder
from jobs.command_line.import_adapter import ImportAdapterOptions
from jobs.display.terminal import out
from records.failure import InvalidInput


def run(options: ImportAdapterOptions) -> int:
    """Write the folder; the exit status.

    Raises:
        InvalidInput: the files are not those of such an adapter and its PRM.
        StoreFailed: a model could not be brought here.
    """
    if is_s3(options.output):
        raise InvalidInput(f"--output {options.output}: must be a local folder; copy it to the store afterwards")
    trained_for: dict[str, object] = {}
    if options.generator is not None:
        files = weight_files(stage_folder(options.generator))
        if not files:
            raise InvalidInput(f"--generator {options.generator}: no *.safetensors file with weights")
        trained_for["generator"] = sha256_of(files)
    if options.temperature is not None:
        trained_for["temperature"] = options.temperature
    base, adapter = stage_folder(options.base), stage_folder(options.adapter)
    merge_published_adapter(base, adapter, Path(options.output), trained_for=trained_for)
    out(f"{options.output}: serve it with --set prm.model={options.output}\n")
    return 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="import-adapter"))
