"""The real fork server, which has imported the pretending modules as it has those of the playbooks they stand for."""

from pathlib import Path

from webapp.worker import fork_server, in_process, rehearsal, single_process

if __name__ == "__main__":
    for file in (Path(__file__).parent / "pretend" / "library").glob("*.py"):
        in_process.load(file)
        single_process.ACTIONS |= {file.stem}
    rehearsal.all_playbooks = lambda *_arguments: None  # these tests play others, and start a server each
    fork_server.main()
