"""Before any test module imports Ray: authentication as a driver has it."""

import hypothesis

from cluster.session import prepare_environment

prepare_environment(local=True)

# The machines that tests run on pause now and then; a deadline per example would call that a failure.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
