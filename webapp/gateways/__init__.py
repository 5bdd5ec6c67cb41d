"""The outside world: payment, identity, mail, object storage; each with a stand-in for development."""
