"""Why an enrolment stopped."""

from click import ClickException


class EnrolmentError(ClickException):
    """Something the operator can put right; the sentence says at which step and how."""
