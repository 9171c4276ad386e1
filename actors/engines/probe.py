"""A model's tokenizer and chat template tried in a process of their own, before this one reads them.

Both are programs of whoever made the folder: regular expressions, replacements and loops, which may take time and
memory without end, or take the process with them. The child has bounds on both, and what it says is a line.

    tried(tokenizer)  -->  child: reads it, encodes a sentence, renders a short chat  -->  nothing, or why not
"""

import os
import resource
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from actors.engines.model_files import read_json
from records.bounded import check_regular, quoted, read_file
from records.failure import InvalidInput

CPU_S = 4
"""Seconds of a core; the largest tokenizers in use take one or two."""
WALL_S = 60.0
"""For a machine that does other work."""
MEMORY_BYTES = 2**30
MAX_TOKENIZER_BYTES = 2**26
TEMPLATE_CHARS = 2**20
_CODE_OF_BOUND = 3
_SENTENCE = "1 + 1 = 2\n\nSo it is 2."


def tried(tokenizer: Path) -> None:
    """Try a tokenizer, and the chat template beside it.

    Args:
        tokenizer: a tokenizer.json in a model's folder.

    Raises:
        InvalidInput: it cannot be read, or one of them goes beyond a bound.
    """
    try:
        size = check_regular(tokenizer, MAX_TOKENIZER_BYTES)
    except OSError as error:
        raise InvalidInput(f"{tokenizer}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InvalidInput(f"{tokenizer}: {error}") from error
    _tried(tokenizer, size, tokenizer.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _tried(tokenizer: Path, _size: int, _changed_ns: int) -> None:
    command = [sys.executable, "-P", "-m", "actors.engines.probe", str(tokenizer.absolute())]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603 (this interpreter, and a path as one argument)
            command, env=environment, capture_output=True, text=True, check=False, timeout=WALL_S
        )
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(_beyond(tokenizer, f"{WALL_S:g} s")) from error
    if done.returncode == _CODE_OF_BOUND:
        raise InvalidInput(_beyond(tokenizer, f"{MEMORY_BYTES // 2**20} MiB of memory"))
    if done.returncode:
        raise InvalidInput(_beyond(tokenizer, f"{CPU_S} s of a core, or crash"))
    if said := done.stdout.strip():
        raise InvalidInput(f"{tokenizer}: cannot be read ({quoted(said)})")


def _beyond(tokenizer: Path, bound: str) -> str:
    return f"{tokenizer}: it, or the chat template beside it, takes more than {bound} for a sentence"


def _template(folder: Path) -> str | None:
    """The source that `actors.engines.chat` would render."""
    file, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return read_file(file, TEMPLATE_CHARS).decode()
    source = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(source, list):
        source = {str(each.get("name")): each.get("template") for each in source if isinstance(each, dict)}.get(
            "default"
        )
    return source if isinstance(source, str) else None


def _render(source: str) -> None:
    """As transformers does; what is wrong with the template is told by who renders it for good."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}`, of transformers: its body."""

        tags = {"generation"}  # noqa: RUF012 (as jinja has it)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: form}
    user = {"role": "user", "content": _SENTENCE}
    for chat in ([user], [{"role": "system", "content": "S"}, user], [user, {"role": "assistant", "content": "2"}]):
        try:
            environment.from_string(source).render(
                messages=chat, add_generation_prompt=True, bos_token="", eos_token="", tools=None
            )
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError):
            continue


def main() -> None:
    """Try what the one argument names; say why it cannot be read, or nothing."""
    tokenizer = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        from tokenizers import Tokenizer

        try:
            read = Tokenizer.from_buffer(read_file(tokenizer, MAX_TOKENIZER_BYTES))
            read.encode(_SENTENCE)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (tokenizers raises nothing more specific)
            sys.stdout.write(f"{error}\n")
            return
        source = _template(tokenizer.parent)
        if source:
            _render(source)
    except MemoryError:
        os._exit(_CODE_OF_BOUND)
    except InvalidInput as error:
        sys.stdout.write(f"{error}\n")


if __name__ == "__main__":
    main()
