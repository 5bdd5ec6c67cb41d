"""A Stripe to develop and test against: `python -m webapp.standins.stripe`. It holds everything in memory."""
