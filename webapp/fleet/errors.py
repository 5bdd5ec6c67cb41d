"""What a fleet cannot do, as a sentence for the person at the terminal."""

from click import ClickException


class FleetError(ClickException):
    """The sentence says what is in the way and, where there is one, the way out."""
