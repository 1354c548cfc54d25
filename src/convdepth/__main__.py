"""Run the command line as `python -m convdepth`."""

from convdepth.cli import run

if __name__ == "__main__":
    run()
