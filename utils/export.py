"""Take a coreset elsewhere: ``python -m utils.export RUN_FOLDER --format csv --output coreset.csv``."""

from utils.cli import run_main
from utils.records.export import main

if __name__ == "__main__":
    raise SystemExit(run_main(main))
