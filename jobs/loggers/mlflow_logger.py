"""MLflow: one MLflow run for one run folder, gone on with on resume; `MLFLOW_TRACKING_URI` says where it is kept."""

from collections.abc import Mapping

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from jobs.loggers.run_loggers import Settings

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
        self._experiment, self._name = experiment, name
        self._client = MlflowClient()
        self._run_id = ""

    def begin(self, settings: Settings, run: str) -> None:
        """Begin the MLflow run, or go on with the one of that address."""
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
        at = round(elapsed_s)
        metrics = [Metric(name, value, at * 1000, at) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def finish(self, values: Mapping[str, float], *, finished: bool) -> None:
        """Log the last numbers, and end."""
        metrics = [Metric(f"final/{name}", value, 0, 0) for name, value in values.items()]
        tags = [RunTag("parsimony.finished", str(finished).lower())]
        self._client.log_batch(self._run_id, metrics=metrics, tags=tags)
        self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")
