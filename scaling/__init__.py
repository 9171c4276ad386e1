"""The decisions: strategies, ledger, routing, grading rules, statistics. Pure: no Ray, no torch, no I/O, no clock."""
