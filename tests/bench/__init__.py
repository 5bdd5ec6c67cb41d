"""`./dbhost bench`: figures as ratios, measured side by side in one run on a stack of its own."""
