"""The command `oft`, also as `python -m oft`: says what is missing where the library alone is installed."""

from __future__ import annotations

import sys

from oft import __version__


def main() -> None:
    """Run the command line (`oft.cli`), whose packages the library alone does not bring."""
    try:
        from oft.cli import main as run

        run()
    except ModuleNotFoundError as fault:
        if (fault.name or "oft").partition(".")[0] == "oft":
            raise  # a bug of ours
        print(
            f"oft {__version__} is installed as a library, and its commands also need {fault.name}; "
            "install the extra `pipeline`: pip install 'oft-pipeline[pipeline]'",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
