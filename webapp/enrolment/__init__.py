"""Make a machine a host of this installation, by command: its key pinned, host.yml run, its health proven."""
