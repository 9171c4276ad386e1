"""Thoughts of models that think before they answer: which marks a model family writes, and where a thought is.

A mark is found by its token ids where the tokenizer has it as one token, or as tokens that leave no text, and by its
text otherwise, wherever tokens, steps or calls cut it. Everything goes by what was sampled; a prompt counts only in
that it may end with the mark that opens a thought.
"""
