"""The arithmetic of calibration: heads, baselines, and the metrics that judge them.

Numbers of prefixes and counts of successes in, quantiles and measures with intervals out. Fitting a network is
`actors.trainer`; this room says what its outputs mean.
"""
