"""All open problems side by side: which task is granted, and which replica gets it.

The pure half of the budget controller. No clock and no network: the shell in `actors.controller` tells it what arrived
and sends what it says. What a dead replica had in work is dispatched again, and no task ends twice.
"""
