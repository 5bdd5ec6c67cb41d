"""The worker: it alone runs playbooks. Doorbell, claim, run, finish; nothing is lost when it dies."""
