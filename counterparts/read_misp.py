"""PyMISP on files of one event each. Prints how many attributes it reads; fails if it cannot.

usage: read_misp.py FILE...
"""

import sys

from pymisp import MISPEvent


def main():
    attributes = 0
    for path in sys.argv[1:]:
        event = MISPEvent()
        event.load_file(path)
        attributes += len(event.attributes) + sum(len(thing.attributes) for thing in event.objects)
    print(f"{len(sys.argv) - 1} events, {attributes} attributes")
    sys.exit(0 if attributes else 1)


if __name__ == "__main__":
    main()
