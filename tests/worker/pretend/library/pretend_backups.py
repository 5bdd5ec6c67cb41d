"""Pretend to dump and restore: a database is the file `data-NAME`; what shall go wrong is in files of `folder`."""

import gzip
import hashlib
import json
import shutil
import time
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def error(folder: Path, name: str) -> dict | None:
    """The error that a test has put there for this kind of work."""
    file = folder / f"{name}-error.json"
    return json.loads(file.read_text()) if file.exists() else None


def manifest(data: bytes) -> dict:
    return {"tables": 1, "rows": len(data.split()), "schema_sha256": hashlib.sha256(data).hexdigest()}


def upload(content: bytes, asked: dict) -> list[dict]:
    """Send the parts to their signed addresses."""
    size, parts = asked["part_size"], []
    for number, start in enumerate(range(0, len(content), size), start=1):
        part = content[start : start + size]
        request = urllib.request.Request(asked["part_urls"][number - 1], data=part, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            parts.append({"number": number, "etag": answer.headers["ETag"]})
    return parts


def backup(folder: Path, asked: dict) -> dict:
    """Dump into the pretended store, or upload."""
    (folder / "backup-entered").touch()
    while (folder / "backup-wait").exists():
        time.sleep(0.02)
    report = {"name": asked["name"], "filename": asked["filename"], "parts": [], "error": error(folder, "backup")}
    if report["error"]:
        return report
    data = (folder / f"data-{asked['name']}").read_bytes()
    content = gzip.compress(data, mtime=0)
    if asked["store"] == "upload":
        report["parts"] = upload(content, asked["upload"])
    else:
        file = folder / "store" / asked["folder"] / asked["filename"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    about = {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "encrypted": False}
    return {**report, **about, "manifest": manifest(data), "server_version": "18.0"}


def backup_all(folder: Path, asked: list) -> dict:
    """Each for itself; what is not there is told as the real module tells it."""
    gone = {"code": "no_database", "message": "There is no such database on this host.", "retryable": False}
    return {
        "error": None,
        "backups": [
            backup(folder, item)
            if (folder / f"data-{item['name']}").exists()
            else {"name": item["name"], "filename": item["filename"], "error": gone}
            for item in asked
        ],
    }


def read(folder: Path, source: dict) -> bytes:
    if source["kind"] == "host":
        return (folder / "store" / source["folder"] / source["filename"]).read_bytes()
    if source["kind"] == "file":
        return Path(source["path"]).read_bytes()
    with urllib.request.urlopen(source["url"], timeout=30) as answer:
        return answer.read()


def restore(folder: Path, asked: dict) -> dict:
    """Put the dump where it is wanted; scratch leaves nothing."""
    (folder / "restore-entered").touch()
    while (folder / "restore-wait").exists():
        time.sleep(0.02)
    report = {"name": asked["name"], "into": asked["into"], "error": error(folder, "restore"), "changes": []}
    content = read(folder, asked["source"])
    if not report["error"] and hashlib.sha256(content).hexdigest() != asked["source"]["sha256"]:
        report["error"] = {"code": "checksum", "message": "The dump is damaged.", "retryable": False}
    if report["error"]:
        return report
    data = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    if asked["keep_replaced"]:
        shutil.copy(folder / f"data-{asked['name']}", folder / f"kept-{asked['name']}")
    if asked["into"] != "scratch":
        (folder / f"data-{asked['name']}").write_bytes(data)
        report["changes"] = [f"RESTORE {asked['into']} {asked['name']}"]
    differs = (folder / "drill-differs").exists()
    report["matches"] = None if asked["expect"] is None else not differs and asked["expect"] == manifest(data)
    report["differences"] = ["Table t has 1 row, not 2."] if differs else []
    return {**report, "manifest": manifest(data)}


def files(folder: Path, asked: dict) -> dict:
    for gone in asked["absent"]:
        (folder / "store" / gone["folder"] / gone["filename"]).unlink(missing_ok=True)
    if asked["fetch"]:
        fetch = asked["fetch"]
        shutil.copy(folder / "store" / fetch["folder"] / fetch["filename"], fetch["to"])
    return {"error": error(folder, "files")}


def main() -> None:
    arguments = {
        "backup": {"type": "dict"},
        "batch": {"type": "list", "elements": "dict"},
        "restore": {"type": "dict"},
        "files": {"type": "dict"},
    }
    module = AnsibleModule(argument_spec={**arguments, "folder": {"type": "path"}})
    folder = Path(module.params["folder"])
    for name, work in (("backup", backup), ("batch", backup_all), ("restore", restore), ("files", files)):
        if module.params[name]:
            with (folder / "plays").open("a") as plays:
                plays.write(f"{name}\n")
            module.exit_json(changed=True, **{name: work(folder, module.params[name])})


if __name__ == "__main__":
    main()
