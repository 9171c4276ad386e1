"""From a pilot to what the whole run will take, with how far off that may be.

Which problems to pilot, totals with prediction intervals, and time, money and energy at the speed that was seen.
"""
