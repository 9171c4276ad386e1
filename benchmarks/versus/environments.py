"""Virtual environments of peers that cannot live in ours: made once from pinned requirements, kept out of git."""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "versus"


def interpreter_of(requirements: Path, *, over_ours: bool = False) -> Path:
    """The interpreter of an environment with these requirements, which is made where there is none yet.

    Args:
        requirements: the whole closure, pinned.
        over_ours: whether the packages of our own environment are to be found there as well.

    Raises:
        subprocess.CalledProcessError: it cannot be made.
    """
    content = requirements.read_bytes()
    folder = FOLDER / f"{requirements.stem}-{hashlib.sha256(content).hexdigest()[:12]}"
    interpreter = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, stdout=sys.stderr)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(requirements)]
        subprocess.run(install, check=True, stdout=sys.stderr)
        if over_ours:
            [packages] = folder.glob("lib/python*/site-packages")
            (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        done.touch()
    return interpreter
