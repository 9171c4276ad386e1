"""Training a PRM with torch and peft: the engine behind `actors.trainer`.

The only place where gradients are computed; what comes out is a folder that `actors.engines.serving` serves.
"""
