"""Fitting a PRM's head and adapters to rollouts.

Stops in time, and goes on from its last checkpoint after any kill, with the same batches in the same order.
"""
