"""Imported by Python at the start of each process of a schedule, whose PYTHONPATH has this folder."""

import os

if "PARSIMONY_CHAOS_GATE" in os.environ:
    from tests.chaos.hooks import install

    install()
