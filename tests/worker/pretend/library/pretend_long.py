"""Pretend to work for as long as `long-wait` is there, one look at a time; each look says how far it is."""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    module = AnsibleModule(argument_spec={"folder": {"type": "path"}, "word": {"type": "str"}})
    folder = Path(module.params["folder"])
    (folder / "long-entered").touch()
    with (folder / "long-looks").open("a") as looks:
        looks.write(f"{module.params['word']}\n")
    done = len((folder / "long-looks").read_text().split())
    finished = not (folder / "long-wait").exists()
    time.sleep(0.02)
    module.exit_json(
        changed=True, finished=finished, bytes_done=done * 10, bytes_total=1000, word=module.params["word"]
    )


if __name__ == "__main__":
    main()
