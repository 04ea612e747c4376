"""No stage: says what took the place of ``python -m stages.segins_experiments``; goes with the next release."""

import sys

if __name__ == "__main__":
    print(
        "stages.segins_experiments is now: python -m commands.experiments NAME (without a name, it lists the sets)",
        file=sys.stderr,
    )
    sys.exit(2)
