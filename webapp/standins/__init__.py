"""Stand-ins for services outside, which speak the real protocol: for development and tests alone."""
