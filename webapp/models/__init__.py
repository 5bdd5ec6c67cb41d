"""The control database's tables, one file per aggregate."""

from webapp.models.backups import Backup, BackupSchedule
from webapp.models.base import Base
from webapp.models.billing import BillingEvent, Subscription
from webapp.models.copies import Copy
from webapp.models.databases import AllowlistEntry, Database, Host, Member, MemberCredential
from webapp.models.drift import Difference, HostCheck
from webapp.models.final_backups import FinalBackup
from webapp.models.identities import Identity
from webapp.models.invitations import Invitation
from webapp.models.one_time_tokens import OneTimeToken
from webapp.models.operations import Operation, Run, RunStep
from webapp.models.queued_mails import QueuedMail
from webapp.models.records import AuditEvent, IdempotencyKey, RateCounter, SubmittedForm
from webapp.models.samples import DatabaseFigures, DatabaseSample, HostReport
from webapp.models.second_factors import Passkey, RecoveryCode, TotpSecret
from webapp.models.user_deletions import UserDeletion
from webapp.models.user_sync import SyncedUser, UserSyncEvent
from webapp.models.users import ApiKey, ApiKeyDatabase, AuthSession, User
from webapp.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "AllowlistEntry",
    "ApiKey",
    "ApiKeyDatabase",
    "AuditEvent",
    "AuthSession",
    "Backup",
    "BackupSchedule",
    "Base",
    "BillingEvent",
    "Copy",
    "Database",
    "DatabaseFigures",
    "DatabaseSample",
    "Difference",
    "FinalBackup",
    "Host",
    "HostCheck",
    "HostReport",
    "IdempotencyKey",
    "Identity",
    "Invitation",
    "Member",
    "MemberCredential",
    "OneTimeToken",
    "Operation",
    "Passkey",
    "QueuedMail",
    "RateCounter",
    "RecoveryCode",
    "Run",
    "RunStep",
    "SubmittedForm",
    "Subscription",
    "SyncedUser",
    "TotpSecret",
    "User",
    "UserDeletion",
    "UserSyncEvent",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
