"""The generator and PRM replicas: token ids in by key, samples and scores out, once for each key.

What both have in common (mailbox, prefixes, health) and what each adds. They hold one engine behind
`actors.engines.protocol` and never look inside it.
"""
