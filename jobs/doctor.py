"""`parsimony doctor`: what was found on this machine, what does not fit, and what to do. Looks only."""

import json
import sys
from dataclasses import asdict

from jobs.command_line.doctor import DoctorOptions
from jobs.diagnosis.findings import look_around
from jobs.display.terminal import out


def run(options: DoctorOptions) -> int:
    """Print what was found; the exit status: 0 where everything fits, 1 otherwise."""
    findings = list(look_around())
    if options.json:
        out(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        for finding in findings:
            out(f"{'ok  ' if finding.advice is None else 'LOOK'} {finding.what:<16} {finding.found}\n")
            if finding.advice is not None:
                out(f"     {'':<16} -> {finding.advice}\n")
    return 1 if any(finding.advice is not None for finding in findings) else 0


if __name__ == "__main__":
    from jobs.cli import main

    sys.exit(main(command="doctor"))
