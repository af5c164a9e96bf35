"""``python -m cmlp script.py``: a program with cmlp in scikit-learn's place. Nothing else."""

import sys

from cmlp._substitute import main

main(sys.argv[1:])
