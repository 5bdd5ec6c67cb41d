"""One-time tokens for sign-ins by SAML: the request, and the answer on its way to the browser that asked."""

from alembic import op

revision = "0026"
down_revision = "0025"

BEFORE = "'sign_up', 'reset_password', 'change_email', 'second_factor', 'passkey'"


def upgrade() -> None:
    """Allow the two purposes."""
    op.drop_constraint(op.f("ck_one_time_tokens_purpose"), "one_time_tokens")
    op.create_check_constraint(
        op.f("ck_one_time_tokens_purpose"), "one_time_tokens", f"purpose IN ({BEFORE}, 'saml_request', 'saml_answer')"
    )
