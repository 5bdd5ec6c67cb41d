"""Report like the real playbooks: what was done, and a failed play when anything of it has an error."""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    one = {"type": "dict"}
    databases = {"type": "list", "elements": "dict"}
    spec = {"databases": databases, **dict.fromkeys(("backup", "batch", "restore", "files"), one)}
    module = AnsibleModule(argument_spec=spec)
    report = {name: value for name, value in module.params.items() if value is not None}
    items = [item for value in report.values() for item in (value if isinstance(value, list) else [value])]
    if any(item["error"] for item in items):
        module.fail_json(msg="Something could not be done.", **report)
    module.exit_json(changed=False, **report)


if __name__ == "__main__":
    main()
