"""Report like the real playbook: the list, and a failed play when any database has an error."""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={"databases": {"type": "list", "elements": "dict"}})
    databases = module.params["databases"]
    if any(database["error"] for database in databases):
        module.fail_json(msg="Some databases could not be converged.", databases=databases)
    module.exit_json(changed=False, databases=databases)


if __name__ == "__main__":
    main()
