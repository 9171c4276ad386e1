"""What a run may use and has used: tokens, GPU-seconds, USD.

remaining + reserved + spent equals the cap at every moment, and every second that a replica is held is some problem's.
"""
