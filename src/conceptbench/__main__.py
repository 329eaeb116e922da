"""`python -m conceptbench`."""

from conceptbench.cli import main

if __name__ == "__main__":
    main()
