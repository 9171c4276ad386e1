"""Before any test module imports Ray: authentication as a driver has it."""

from cluster.session import prepare_environment

prepare_environment(local=True)
