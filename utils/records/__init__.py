"""What is written of runs, and read again: folders, tables, plots, exports."""

import os

# Pictures go into files. What MPLBACKEND says is for windows and notebooks, and where it names a module that is not
# installed here, as a notebook's does, matplotlib cannot even be imported.
os.environ["MPLBACKEND"] = "agg"
