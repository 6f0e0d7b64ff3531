"""``python -m segdepth`` is the command ``segdepth``."""

from segdepth.cli import main

main()
