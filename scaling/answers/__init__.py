"""Final answers: which one a solution states, how it is read, and when two are the same.

Everything that counts an answer as right, votes for it or refuses a key goes through here. A reading accounts for all
of an answer or says that it cannot; a fragment is never compared. Text in, text or truth out: no grader process, no
timeout; those are in `actors.grading`.
"""
