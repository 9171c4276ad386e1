"""Which replica goes to which node: arithmetic on what nodes have and replicas take.

Nobody is told where to go by it. It says what a cluster can hold, before and while a run waits for its nodes.
"""
