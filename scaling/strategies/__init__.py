"""Search strategies, one a file, each a generator that reads like its paper.

Those that spend the same on every problem, and those that decide by themselves how much one needs. They yield requests
and get replies (`scaling.strategy`); they never touch an engine, a clock or a random source. Published rivals are in
`published`. A recipe's names for all of them: `jobs.recipes.strategies.registry`.
"""
