"""Take a coreset elsewhere: ``python -m utils.export RUN_FOLDER --format csv --output coreset.csv``."""

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

from utils.cli import run_main
from utils.records.export import main

if __name__ == "__main__":
    raise SystemExit(run_main(main))
