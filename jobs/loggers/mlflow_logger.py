"""MLflow: one MLflow run for one run folder, gone on with on resume; `MLFLOW_TRACKING_URI` says where it is kept."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.loggers.run_loggers import Settings

if TYPE_CHECKING:
    from mlflow.entities import Metric

TAG = "parsimony.run"
"""Its value is the address of the run folder."""
_LONGEST_VALUE = 500


class MlflowLogger:
    """A run of an experiment.

    Args:
        experiment: of MLflow.
        name: of the run.
    """

    def __init__(self, experiment: str, name: str) -> None:
        from mlflow.tracking import MlflowClient

        self._experiment, self._name = experiment, name
        self._client = MlflowClient()
        self._run_id = ""

    def begin(self, settings: Settings, run: str) -> None:
        """Begin the MLflow run, or go on with the one of that address."""
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(self._experiment)
        experiment = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
        quoted = run.replace("'", "")
        before = self._client.search_runs([experiment], f"tags.`{TAG}` = '{quoted}'", max_results=1)
        if before:
            self._run_id = before[0].info.run_id
            self._client.set_terminated(self._run_id, "RUNNING")
            return
        made = self._client.create_run(experiment, run_name=self._name, tags={TAG: quoted})
        self._run_id = made.info.run_id
        params = [Param(key, str(value)[:_LONGEST_VALUE]) for key, value in settings.items()]
        for at in range(0, len(params), 100):  # MLflow takes a hundred at a time
            self._client.log_batch(self._run_id, params=params[at : at + 100])

    def progress(self, elapsed_s: float, values: Mapping[str, float]) -> None:
        """A point on every curve."""
        self._client.log_batch(self._run_id, metrics=_metrics("", values, round(elapsed_s)))

    def finish(self, values: Mapping[str, float], *, finished: bool) -> None:
        """Log the last numbers, and end."""
        from mlflow.entities import RunTag

        tags = [RunTag("parsimony.finished", str(finished).lower())]
        self._client.log_batch(self._run_id, metrics=_metrics("final/", values, 0), tags=tags)
        self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")


def _metrics(prefix: str, values: Mapping[str, float], at_s: int) -> "list[Metric]":
    from mlflow.entities import Metric

    return [Metric(prefix + name, value, at_s * 1000, at_s) for name, value in values.items()]
