"""The one table of commands: a new one is a file beside this one, a line here, and `jobs/NAME.py` that runs it."""

from jobs.command_line import (
    calibrate,
    calibrate_answers,
    calibrate_risk,
    check,
    compare,
    doctor,
    estimate,
    export,
    import_adapter,
    plan_cluster,
    recipe,
    replay,
    report,
    rollout,
    score,
    status,
    submit,
)
from jobs.command_line.common import Command

COMMANDS: dict[str, Command] = {
    module.COMMAND.name: module.COMMAND
    for module in (
        recipe,
        check,
        score,
        compare,
        estimate,
        rollout,
        calibrate,
        calibrate_answers,
        calibrate_risk,
        replay,
        report,
        status,
        export,
        submit,
        plan_cluster,
        import_adapter,
        doctor,
    )
}
"""By name, in the order in which `--help` lists them."""
