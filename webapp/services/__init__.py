"""All that a person, a program or the clock can ask. No Flask, no commit: the caller commits once."""
