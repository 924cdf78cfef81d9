"""Print the table of finished runs: ``python -m utils.report result/ [more folders]``."""

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

from utils.cli import run_main
from utils.records.report import main

if __name__ == "__main__":
    raise SystemExit(run_main(main))
