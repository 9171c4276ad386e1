"""Recipes: TOML and `--set` in, one checked, frozen `Recipe` out, and the settings that parts of a run read from it.

A mistake is told in the recipe's own words before anything is started. The shipped recipes lie beside the code.
"""
