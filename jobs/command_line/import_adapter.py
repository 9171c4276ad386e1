"""`parsimony import-adapter`: its options and arguments."""

import argparse
from dataclasses import dataclass
from functools import partial

from jobs.command_line.common import Command, add_output, number, options_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAdapterOptions:
    """`parsimony import-adapter`.

    Attributes:
        adapter: folder of the checkpoint, local or s3://.
        base: folder of the PRM that it was trained on, local or s3://.
        output: local folder to write.
        generator: folder of the generator that it was trained for; None if unknown.
        temperature: of that generator; None if unknown.
    """

    adapter: str
    base: str
    output: str
    generator: str | None = None
    temperature: float | None = None


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    text = "folder with adapter_config.json and adapter_model.safetensors"
    parser.add_argument("adapter", metavar="ADAPTER", help=text)
    parser.add_argument("--base", required=True, metavar="PRM", help="folder of the PRM that it was trained on")
    add_output(parser, "FOLDER", "new folder, to be served as prm.model")
    text = "folder of the generator that it was trained for: another one is warned of"
    parser.add_argument("--generator", metavar="MODEL", help=text)
    text = "of that generator; another one is warned of"
    parser.add_argument("--temperature", type=number("a number of", at_least=0), metavar="T", help=text)


COMMAND = Command(
    name="import-adapter",
    help="Make a PRM's folder of a published PRM and its calibration adapter.",
    add_arguments=_add_arguments,
    options=partial(options_of, ImportAdapterOptions),
)
