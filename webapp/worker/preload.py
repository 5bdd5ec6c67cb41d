"""Import Ansible and the plugins that every run of ours loads, so that forked children have them."""

import importlib
import warnings

MODULES = (
    "ansible.cli.playbook",
    "ansible.executor.process.worker",
    "ansible.executor.module_common",
    "ansible.executor.powershell.module_manifest",
    "ansible.playbook.handler_task_include",
    "ansible.plugins.filter.core",
    "ansible.plugins.filter.mathstuff",
    "ansible.plugins.filter.urls",
    "ansible.plugins.filter.urlsplit",
    "ansible.plugins.test.core",
    "ansible.plugins.test.files",
    "ansible.plugins.test.mathstuff",
    "ansible.plugins.test.uri",
    "multiprocessing.popen_fork",
    "multiprocessing.queues",
    "multiprocessing.synchronize",
)
PLUGINS = {
    "action_loader": ("ansible.builtin.assert", "ansible.builtin.normal"),
    "become_loader": ("ansible.builtin.sudo", "ansible.builtin.su"),
    "callback_loader": ("awx_display", "ansible.builtin.default"),
    "connection_loader": ("ansible.builtin.local", "ansible.builtin.ssh"),
    "inventory_loader": tuple(
        f"ansible.builtin.{name}" for name in ("auto", "host_list", "ini", "script", "toml", "yaml")
    ),
    "lookup_loader": ("ansible.builtin.env",),
    "shell_loader": ("ansible.builtin.sh", "ansible.builtin.cmd", "ansible.builtin.powershell"),
    "strategy_loader": ("ansible.builtin.linear",),
}


def ansible() -> None:
    """Load it all; a plugin that a newer Ansible lacks is left to the run, which knows better."""
    for name in MODULES:
        importlib.import_module(name)
    from ansible.plugins import loader

    loader.init_plugin_loader([])
    warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already been configured")
    for attribute, names in PLUGINS.items():
        for name in names:
            getattr(loader, attribute).get(name, class_only=True)
