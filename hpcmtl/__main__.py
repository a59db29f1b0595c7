"""`python -m hpcmtl` is `hpcmtl`."""

from hpcmtl.cli.app import main

if __name__ == "__main__":
    main()
