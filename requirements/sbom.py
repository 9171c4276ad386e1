"""The pinned lists as a software bill of materials: CycloneDX 1.6, the same bytes for the same lists.

    python requirements/sbom.py > requirements/sbom.cdx.json

Each package is a component by its package URL; the lists that pin it stand in its property `parsimony:list`. A test
holds the file to the lists.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

LISTS = ("common.txt", "cpu.txt", "gpu.txt", "dev.txt", "smollm2.txt")


def pinned(folder: Path) -> dict[tuple[str, str], list[str]]:
    """(package, version) -> the lists that pin it, by the names that package indexes compare."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in LISTS:
        for line in (folder / name).read_text().splitlines():
            match = re.fullmatch(r"([\w.-]+)===?([\w.+]+)", line)
            if match:
                found[re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]].append(name)
    return dict(sorted(found.items()))


def sbom(folder: Path) -> str:
    """The document."""
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version.replace('+', '%2B')}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version.replace('+', '%2B')}",
            "properties": [{"name": "parsimony:list", "value": each} for each in lists],
        }
        for (name, version), lists in pinned(folder).items()
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "parsimony", "name": "parsimony"}},
        "components": components,
    }
    return json.dumps(document, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(sbom(Path(__file__).parent))
