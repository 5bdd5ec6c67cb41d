"""The `Prefer` header (RFC 7240): whether a call waits for its operation, and how long."""

from dataclasses import dataclass

from werkzeug.http import parse_list_header, parse_options_header

LONGEST_S = 3600


@dataclass(frozen=True)
class Preference:
    """What the caller prefers; a preference that is not understood is not there."""

    respond_async: bool = False
    wait_s: int | None = None

    @property
    def applied(self) -> str:
        words = ["respond-async"] if self.respond_async else []
        return ", ".join([*words, f"wait={self.wait_s}"] if self.wait_s is not None else words)

    def patience_s(self, longest_s: float) -> float:
        """How long to wait, at most *longest_s*: not at all for `respond-async` alone."""
        if self.wait_s is None:
            return 0.0 if self.respond_async else longest_s
        return min(float(self.wait_s), longest_s)


def read_preference(header: str) -> Preference:
    """Read the header; the first of two equal preferences counts, as the RFC says."""
    respond_async, wait_s = False, None
    for part in parse_list_header(header):
        word = parse_options_header(part)[0].strip().lower()
        name, _, value = (piece.strip() for piece in word.partition("="))
        if name == "respond-async":
            respond_async = True
        elif name == "wait" and wait_s is None and value.isascii() and value.isdigit() and len(value) < 10:
            wait_s = min(int(value), LONGEST_S)
    return Preference(respond_async, wait_s)
