"""Engines that exist on a clock only, around the real controller: what `benchmarks.simulate` runs.

The controller, scheduler, dispatcher, ledger, meter, recorder and lines to the replicas are those of a run. Simulated
are the clock, what engines take and say, how long messages are on their way, and the writer's commits.
"""
