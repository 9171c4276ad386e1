"""Stand-in engines without a model: a dry run of cluster, store, strategies and accounting.

They serve `actors.engines.protocol` like the real ones, from a world that generator and PRM agree on
(`actors.engines.scripted.world`), in the time that the recipe's `[script]` gives them. They need no weights, no GPU,
neither torch nor vLLM, and are up at once. Their figures mean nothing.
"""
