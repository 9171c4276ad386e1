"""Long-lived plain classes, one resource each. None imports Ray; `cluster` turns them into Ray actors."""
