"""What people see on a terminal: live views, and numbers with their units. Unknown is `?`."""
