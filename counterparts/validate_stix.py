"""stix2-validator on files of one bundle or a list of objects each. Prints what is wrong; fails if anything is.

usage: validate_stix.py FILE...
"""

import json
import sys
import uuid

from stix2validator import ValidationOptions, validate_instance


def bundles(path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    if isinstance(data, dict):
        return [data]
    # A bundle of 2.1 may hold 2.0 objects too; each is judged by its own version.
    return [{"type": "bundle", "id": f"bundle--{uuid.uuid4()}", "objects": data}]


def main():
    objects = wrong = 0
    for path in sys.argv[1:]:
        for bundle in bundles(path):
            inside = bundle.get("objects", [])
            objects += len(inside)
            version = "2.0" if bundle.get("spec_version") == "2.0" else "2.1"
            result = validate_instance(bundle, ValidationOptions(version=version))
            if not result.is_valid:
                wrong += 1
                for error in result.errors[:10]:
                    print(f"{path}: {str(error)[:400]}")
    print(f"{objects} objects, {wrong} invalid bundles")
    sys.exit(1 if wrong or not objects else 0)


if __name__ == "__main__":
    main()
