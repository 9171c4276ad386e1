"""The writer of a run: lease, journal, parts, commits.

Each problem has exactly one row whatever was killed; a writer whose commit number was taken is fenced and stops.
Waiting for a store that is out is here too (`store_retry`).
"""
