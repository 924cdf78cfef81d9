"""Print the table of finished runs: ``python -m utils.report result/ [more folders]``."""

from utils.cli import run_main
from utils.records.report import main

if __name__ == "__main__":
    raise SystemExit(run_main(main))
