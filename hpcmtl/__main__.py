"""`python -m hpcmtl` runs the command `hpcmtl`."""

from hpcmtl.cli.app import main

if __name__ == "__main__":
    main()
