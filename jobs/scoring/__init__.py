"""A scoring run from checked input to summary: plan, launch, drive, watch.

One driver holds the run at a time; whatever ends it, what is finished is written and the same command goes on.
"""
