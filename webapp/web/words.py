"""How pages name operations and audit events."""

import re
from dataclasses import dataclass

from webapp.models import AuditEvent, Operation


@dataclass(frozen=True)
class Words:
    """One operation's words: its name, while it runs, when it is done; and its icon."""

    name: str
    doing: str
    done: str
    icon: str


OPERATIONS = {
    "database.create": Words("Create", "Creating the database", "Database created", "plus"),
    "database.delete": Words("Delete", "Deleting the database", "Database deleted", "trash-2"),
    "database.reset_password": Words("Reset password", "Resetting the password", "Password reset", "key-round"),
    "database.repair_ownership": Words("Repair ownership", "Repairing ownership", "Ownership repaired", "wrench"),
    "database.start": Words("Start", "Starting the database", "Database started", "play"),
    "database.stop": Words("Stop", "Stopping the database", "Database stopped", "square"),
    "database.restart": Words("Restart", "Restarting the database", "Database restarted", "rotate-cw"),
    "database.allowlist": Words("Allowlist", "Changing the allowlist", "Allowlist changed", "shield-check"),
    "database.storage_limit": Words("Storage limit", "Applying the storage limit", "Storage limit applied", "database"),
    "database.clean_up": Words(
        "Open for cleaning up", "Opening it for cleaning up", "Open for cleaning up", "database"
    ),
    "database.undelete": Words("Bring back", "Bringing the database back", "Database brought back", "rotate-cw"),
    "database.clone": Words("Clone", "Cloning the database", "Database cloned", "copy"),
    "database.move": Words("Move", "Moving the database to another host", "Database moved", "arrow-right"),
    "database.drop_copy": Words("Drop a copy", "Dropping what a move left", "Copy dropped", "trash-2"),
    "backup.create": Words("Backup", "Backing up", "Backup made", "archive"),
    "backup.restore": Words("Restore", "Restoring the database", "Database restored", "archive-restore"),
    "backup.delete": Words("Delete backup", "Deleting the backup", "Backup deleted", "trash-2"),
    "backup.fetch": Words("Copy backup", "Copying the backup from its host", "Backup copied", "download"),
    "backup.drill": Words("Restore drill", "Proving a backup", "Backup proven restorable", "shield-check"),
    "database.members": Words("Members", "Changing members' credentials", "Members' credentials changed", "user"),
    "database.repair": Words("Repair", "Making it what it should be", "Repaired", "wrench"),
}

ACTIONS = {
    "database.create": ("created", "plus"),
    "database.delete": ("deleted", "trash-2"),
    "database.rename": ("renamed", "pencil"),
    "database.reset_password": ("reset the password of", "key-round"),
    "database.repair_ownership": ("repaired the ownership of", "wrench"),
    "database.start": ("started", "play"),
    "database.stop": ("stopped", "square"),
    "database.restart": ("restarted", "rotate-cw"),
    "database.allowlist": ("changed the allowlist of", "shield-check"),
    "database.repair": ("repaired", "wrench"),
    "database.members": ("changed members' credentials of", "user"),
    "member.reveal_credentials": ("revealed their own credentials of", "eye"),
    "database.storage_limit": ("applied the storage limit to", "database"),
    "database.clean_up": ("opened for cleaning up", "database"),
    "drift.check": ("asked for a check of", "search"),
    "drift.ignore": ("ignored a difference of", "eye-off"),
    "drift.notice": ("took back an ignored difference of", "eye"),
    "database.reveal_credentials": ("revealed the credentials of", "eye"),
    "host.add": ("added the host", "plus"),
    "host.update": ("changed the host", "pencil"),
    "host.enrol": ("enrolled the host", "circle-check"),
    "host.activate": ("activated the host", "play"),
    "host.drain": ("began to drain the host", "log-out"),
    "host.offline": ("took offline the host", "ban"),
    "host.rekey": ("pinned another SSH key of the host", "key-round"),
    "host.refuse_key": ("refused the SSH key of the host", "triangle-alert"),
    "host.remove": ("removed the host", "trash-2"),
    "database.undelete": ("brought back", "rotate-cw"),
    "database.clone": ("cloned a database into", "copy"),
    "database.move": ("moved to another host", "arrow-right"),
    "database.drop_copy": ("dropped what a move left of", "trash-2"),
    "database.protect": ("protected", "lock"),
    "database.unprotect": ("no longer protects", "lock"),
    "backup.create": ("started the backup", "archive"),
    "backup.restore": ("restored from", "archive-restore"),
    "backup.delete": ("deleted the backup", "trash-2"),
    "backup.download": ("downloaded the backup", "download"),
    "backup.drill": ("started a drill of", "shield-check"),
    "backup.schedule": ("changed the backup schedule of", "clock"),
    "member.add": ("added a member to", "user"),
    "member.change_level": ("changed a member's level of", "user"),
    "member.remove": ("removed a member from", "user"),
    "member.leave": ("left", "log-out"),
    "invitation.create": ("invited somebody to", "mail"),
    "invitation.resend": ("sent an invitation again to", "mail"),
    "invitation.withdraw": ("withdrew an invitation to", "x"),
    "invitation.accept": ("accepted an invitation to", "circle-check"),
    "invitation.decline": ("declined an invitation to", "x"),
    "transfer.offer": ("offered to hand over", "arrow-right"),
    "transfer.withdraw": ("no longer offers to hand over", "x"),
    "transfer.accept": ("accepted to own", "circle-check"),
    "transfer.decline": ("declined to own", "x"),
    "operation.cancel": ("cancelled", "ban"),
    "operation.retry": ("retried", "rotate-cw"),
    "user.sign_in": ("signed in", "user"),
    "user.create": ("added the user", "user"),
    "user.change_password": ("changed the password of", "lock"),
    "user.confirm": ("confirmed who they are", "lock"),
    "user.request_sign_up": ("asked for an account for", "mail"),
    "user.request_password_reset": ("asked for a new password of", "mail"),
    "user.reset_password": ("chose a new password for", "lock"),
    "user.request_email_change": ("asked for another address of", "mail"),
    "user.change_email": ("changed an address to", "mail"),
    "user.link_identity": ("linked an identity to", "key-round"),
    "user.unlink_identity": ("unlinked an identity from", "key-round"),
    "user.first_factor": ("did the first step of a sign-in to", "user"),
    "user.start_totp": ("began to add an authenticator app to", "smartphone"),
    "user.add_totp": ("added an authenticator app to", "smartphone"),
    "user.remove_totp": ("removed the authenticator app of", "smartphone"),
    "user.add_passkey": ("added a passkey to", "key-round"),
    "user.remove_passkey": ("removed a passkey of", "key-round"),
    "user.new_recovery_codes": ("made recovery codes for", "lock"),
    "user.remove_second_factors": ("removed the second factors of", "lock"),
    "user.sync_delete": ("closed, as the identity provider did, the account", "ban"),
    "user.sync_restore": ("opened, as the identity provider did, the account", "user"),
    "user.sync_conflict": ("could not give the provider's new address to", "triangle-alert"),
    "user.revoke_session": ("ended a session of", "log-out"),
    "user.revoke_other_sessions": ("ended all other sessions of", "log-out"),
    "api_key.create": ("created the API key", "key-round"),
    "user.change_plan": ("changed the plan of", "layers"),
    "user.promote": ("made a platform admin of", "shield-check"),
    "user.demote": ("took the platform admin's role from", "shield-check"),
    "user.ban": ("banned", "ban"),
    "user.unban": ("lifted the ban of", "user"),
    "user.delete": ("deleted the user", "trash-2"),
    "user.undelete": ("took back the deletion of", "rotate-cw"),
    "user.purge": ("erased", "trash-2"),
    "user.view_as": ("began to look as", "eye"),
    "user.end_view_as": ("stopped looking as", "eye-off"),
    "audit.export": ("exported the audit log as", "download"),
    "database.playbook": ("changed by playbook", "terminal"),
    "host.converge": ("began to converge the host", "wrench"),
    "host.converged": ("converged the host", "wrench"),
    "database.hand_over": ("changed the owner of", "arrow-right"),
    "billing.checkout": ("went to pay for a plan:", "layers"),
    "billing.portal": ("opened the billing portal:", "layers"),
    "billing.change_plan": ("changed the subscription of", "layers"),
    "subscription.update": ("brought up to date the subscription of", "layers"),
    "subscription.duplicate": ("found a second subscription of", "triangle-alert"),
    "webhook.create": ("added the webhook endpoint", "plus"),
    "webhook.update": ("changed the webhook endpoint", "pencil"),
    "webhook.delete": ("deleted the webhook endpoint", "trash-2"),
    "webhook.enable": ("enabled the webhook endpoint", "play"),
    "webhook.disable": ("disabled the webhook endpoint", "ban"),
    "webhook.rotate_secret": ("replaced the secret of the webhook endpoint", "key-round"),
    "webhook.test": ("sent a test to the webhook endpoint", "mail"),
    "webhook.resend": ("sent a message again to the webhook endpoint", "rotate-cw"),
    "api_key.revoke": ("revoked the API key", "key-round"),
}

DANGLING = re.compile(r" (to|of|from|for|into)$")
ARGUMENT_CHECK = "Validating arguments against arg spec"

STATES = {
    "queued": "Waiting for the host",
    "running": "Running",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


def operation_words(operation: Operation) -> Words:
    """The words of the operation's kind."""
    return OPERATIONS[operation.kind]


def headline(operation: Operation) -> str:
    """One line that says where the operation stands."""
    words = OPERATIONS[operation.kind]
    if operation.state == "failed":
        return f"{words.doing} failed"
    if operation.state == "cancelled":
        return f"{words.name} was cancelled"
    return words.done if operation.state == "succeeded" else words.doing


def step_words(name: str | None) -> str:
    """A step by its task's name; Ansible's own check of a role's arguments in fewer words."""
    return "Check the role's arguments" if (name or "").startswith(ARGUMENT_CHECK) else name or ""


def action_words(event: AuditEvent) -> str:
    """The verb of an audit event; an action without words of its own is shown as it is."""
    return ACTIONS.get(event.action, (event.action.replace(".", " ").replace("_", " "), ""))[0]


def action_alone(event: AuditEvent) -> str:
    """The verb where it is plain what it was done to, as in a list about one database."""
    return DANGLING.sub("", action_words(event))


def action_icon(event: AuditEvent) -> str:
    """The icon of an audit event."""
    return ACTIONS.get(event.action, ("", "activity"))[1]


def event_subject(event: AuditEvent) -> str:
    """What the event was done to: nothing more to say for a sign-in, words for an operation."""
    if event.action in ("user.sign_in", "user.confirm"):
        return ""
    return OPERATIONS[event.subject].name if event.subject in OPERATIONS else event.subject
