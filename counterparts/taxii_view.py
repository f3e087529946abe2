"""What taxii2-client reads from a collection: the latest version of every object, as one JSON list.

usage: taxii_view.py COLLECTION_URL USER PASSWORD
"""

import json
import sys

from taxii2client.v21 import Collection, as_pages


def main():
    collection = Collection(sys.argv[1], user=sys.argv[2], password=sys.argv[3])
    objects = []
    for page in as_pages(collection.get_objects, per_request=100):
        objects.extend(page.get("objects", []))
    json.dump(objects, sys.stdout)


if __name__ == "__main__":
    main()
