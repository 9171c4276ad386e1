"""The search of one problem: its tree, its journal, its seeds of place, its row.

A strategy's requests become tasks, replies are delivered whole in child order, and every request is a row from which
the same search stands again. Knows one problem and no replica's state but where its prefixes lie.
"""
