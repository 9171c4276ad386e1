"""`plan-cluster`: where the replicas of a recipe would go, and whether weights and KV cache fit there.

Arithmetic on files: nothing is started, and no model is loaded.
"""
