"""`python -m webapp.cli`."""

from webapp.cli.main import main

main(prog_name="dbhost")
