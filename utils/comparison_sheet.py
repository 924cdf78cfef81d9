"""Show selected and synthetic sets in one picture: ``python -m utils.comparison_sheet result/ --output FILE.png``."""

if __name__ == "__main__":
    from utils.startup import end_on_interrupt

    end_on_interrupt()

from utils.cli import run_main
from utils.records.comparison_sheet import main

if __name__ == "__main__":
    raise SystemExit(run_main(main))
