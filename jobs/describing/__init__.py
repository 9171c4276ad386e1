"""Recipes explained from the models that read them: the reference of keys, the JSON schema, a recipe shown, a new one.

Nothing here knows a key by itself: what a field says of itself is what is printed, and tests hold the shipped files to
it.
"""
