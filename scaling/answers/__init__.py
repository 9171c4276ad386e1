"""Final answers: which one a solution states, and when two are the same.

Everything that counts an answer as right, votes for it or refuses a key goes through here. Text in, text or truth out:
no grader process, no timeout; those are in `actors.grading`.
"""
