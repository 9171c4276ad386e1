"""The budget controller: an asyncio shell around `scaling.scheduler`, and its lines to the replicas.

One per run. It loses no problem when a replica dies, spends no token that is not reserved, and journals a request
before its problem's row. What it asks of the world is in `protocols`; `cluster` and the tests provide it.
"""
