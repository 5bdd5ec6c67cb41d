"""Settings from the environment (twelve-factor), each secret also from a file named by its `*_FILE` twin."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SECRETS = (
    "DATABASE_URL",
    "DBHOST_SECRET_KEY",
    "DBHOST_ENCRYPTION_KEYS",
    "DBHOST_ADMIN_PASSWORD",
    "STRIPE_API_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "SMTP_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "DBHOST_BACKUP_AGE_IDENTITY",
    "DBHOST_OIDC_CLIENT_SECRET",
    "DBHOST_GITHUB_CLIENT_SECRET",
    "DBHOST_GOOGLE_CLIENT_SECRET",
    "DBHOST_USER_SYNC_SECRET",
)


class Settings(BaseSettings):
    """What an installation can set. Names and defaults are documented in docs/configuration.md."""

    model_config = SettingsConfigDict(env_prefix="DBHOST_", extra="ignore", populate_by_name=True)

    home: Path = Path(".dbhost")
    web_host: str = "127.0.0.1"
    web_port: int = Field(8000, ge=1, le=65535)
    web_url: str | None = None
    pgbouncer_port: int = Field(6432, ge=1, le=65535)
    pgbouncer_direct_port: int = Field(6433, ge=1, le=65535)
    public_host: str = "127.0.0.1"
    ca_file: Path | None = None
    database_url: SecretStr = Field(SecretStr(""), alias="DATABASE_URL")
    secret_key: SecretStr = SecretStr("")
    encryption_keys: SecretStr = SecretStr("")
    admin_email: str = "admin@localhost"
    admin_password: SecretStr | None = None
    default_plan: str | None = None
    plans_file: Path | None = None
    stripe_api_key: SecretStr | None = Field(None, alias="STRIPE_API_KEY")
    stripe_webhook_secret: SecretStr | None = Field(None, alias="STRIPE_WEBHOOK_SECRET")
    stripe_api_base: str | None = Field(None, alias="STRIPE_API_BASE")
    user_retention_days: int = Field(30, ge=1)
    billing_grace_days: int = Field(7, ge=0)
    inventory: str = "inventory/local"
    ssh_key_file: Path | None = None
    smtp_url: SecretStr | None = Field(None, alias="SMTP_URL")
    mail_from: str | None = None
    sign_up: Literal["open", "invite", "closed"] = "invite"
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_name: str = "single sign-on"
    oidc_trust: Literal["verified", "all", "none"] = "verified"
    oidc_sign_up: bool = True
    github_client_id: str | None = None
    github_client_secret: SecretStr | None = None
    github_url: str = "https://github.com"
    google_client_id: str | None = None
    google_client_secret: SecretStr | None = None
    saml_issuer: str | None = None
    saml_url: str | None = None
    saml_certificate_file: Path | None = None
    saml_name: str = "single sign-on"
    saml_email_attribute: str | None = None
    saml_trust: Literal["all", "none"] = "none"
    saml_sign_up: bool = True
    user_sync_secret: SecretStr | None = None
    user_sync_issuer: str | None = None

    web_processes: int = Field(2, ge=1)
    web_threads: int = Field(128, ge=4)
    wait_timeout_s: float = Field(30.0, gt=0, le=300)
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    read_rate: str = "600 per minute"
    change_rate: str = "120 per minute"
    sign_in_rate: str = "30 per minute"
    account_rate: str = "30 per hour"
    mail_rate: str = "20 per hour"
    session_lifetime_days: int = Field(14, ge=1)
    recent_sign_in_s: int = Field(900, ge=60)
    batch_limit: int = Field(200, ge=1)
    run_timeout_s: int = Field(600, ge=10)
    stalled_after_s: float = Field(10.0, gt=0)
    database_timeout_s: float = Field(4.0, ge=1)
    sample_every_s: float = Field(30.0, ge=0)
    check_every_s: float = Field(3600.0, ge=0)
    trusted_proxies: int = Field(0, ge=0)
    spool_dir: Path | None = None
    max_upload_bytes: int = Field(512 * 1024 * 1024, ge=1024)
    backups_at_once: int = Field(2, ge=1)
    final_backups: bool = True
    drill_every_days: int = Field(7, ge=0)
    backup_age_recipients: str = ""
    backup_age_identity: SecretStr | None = None
    s3_bucket: str | None = None
    s3_endpoint_url: str | None = Field(None, alias="S3_ENDPOINT_URL")
    aws_access_key_id: SecretStr | None = Field(None, alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = Field(None, alias="AWS_SECRET_ACCESS_KEY")
    aws_region: str = Field("us-east-1", alias="AWS_REGION")
    webhooks_allow_private: bool = False
    testing: bool = False

    @model_validator(mode="before")
    @classmethod
    def read_secret_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill each secret that has a `*_FILE` twin in the environment and no value of its own."""
        for variable in SECRETS:
            path = os.environ.get(f"{variable}_FILE")
            if path and not os.environ.get(variable):
                field = variable.removeprefix("DBHOST_").lower() if variable.startswith("DBHOST_") else variable
                values.setdefault(field, Path(path).read_text(encoding="utf-8").strip())
        return values

    @model_validator(mode="after")
    def default_plan_follows_billing(self) -> Self:
        """Without billing everyone gets the largest plan: a self-hosted installation is useful at once."""
        if self.default_plan is None:
            self.default_plan = "free" if self.stripe_api_key else "business"
        return self

    @property
    def plan(self) -> str:
        return self.default_plan or "business"

    @property
    def base_url(self) -> str:
        return self.web_url or f"http://{self.public_host}:{self.web_port}"

    @property
    def worker_key(self) -> Path:
        """The private key by which the worker enters hosts; its public half lies beside it."""
        return (self.ssh_key_file or self.home / "ssh" / "worker").absolute()

    @property
    def https(self) -> bool:
        return self.base_url.startswith("https://")

    def cookie_name(self, pinned: str, plain: str) -> str:
        """`__Host-` pins a cookie to this host and to https; browsers refuse that prefix on plain http.

        Cookies do not tell ports apart: there the name does, so that two stacks of a machine leave each other alone.
        """
        return f"__Host-{pinned}" if self.https else f"{plain}_{urlsplit(self.base_url).port or 80}"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
