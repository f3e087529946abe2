"""CPU time an object of a Python client that pages through a collection and maps what it reads.

It does what a connector in Python does at the least: taxii2-client fetches the pages, regular expressions take the values
out of the patterns, and a small object is made of each. No model library, no check of a value, no store. A plugin in use,
which makes a checked model of each object, needed 1.3 times as much of the same pages (`PLUGIN_MICROS` in
crates/iocast/examples/bench/taxii.rs); so a client that is ten times cheaper than this is so than that one as well.

usage: mapping_cost.py COLLECTION_URL ROUNDS
"""

import json
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime

from taxii2client.v21 import Collection, as_pages

# One expression for each kind, each tried on every pattern: how such connectors are commonly written.
KINDS = [
    (kind, re.compile(path + r"\s*=\s*'((?:[^'\\]|\\.)*)'", re.IGNORECASE))
    for kind, path in [
        ("ipv4", r"ipv4-addr:value"),
        ("ipv6", r"ipv6-addr:value"),
        ("domain", r"domain-name:value"),
        ("url", r"url:value"),
        ("sha256", r"file:hashes\.'?SHA-?256'?"),
        ("md5", r"file:hashes\.'?MD5'?"),
    ]
]


@dataclass
class Indicator:
    value: str
    kind: str
    first_seen: datetime
    last_seen: datetime
    comment: str = ""
    reputation: int = 5
    tags: list = field(default_factory=list)


def when(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")


def mapped(indicator):
    found = []
    first_seen, last_seen = when(indicator["created"]), when(indicator["modified"])
    for kind, expression in KINDS:
        for value in expression.findall(indicator["pattern"]):
            found.append(
                Indicator(
                    value=value,
                    kind=kind,
                    first_seen=first_seen,
                    last_seen=last_seen,
                    comment=indicator.get("description", ""),
                    reputation=max(1, min(10, indicator.get("confidence", 50) // 10)),
                    tags=list(indicator.get("labels", [])),
                )
            )
    return found


def pull(url):
    collection = Collection(url)
    found = []
    for page in as_pages(collection.get_objects, per_request=1000, type="indicator"):
        for thing in page.get("objects", []):
            if thing.get("type") == "indicator":
                found.extend(mapped(thing))
    return len(found)


def main():
    url, rounds = sys.argv[1], int(sys.argv[2])
    count = pull(url)
    begun = time.process_time()
    for _ in range(rounds):
        pull(url)
    cpu = time.process_time() - begun
    json.dump({"objects": count, "cpu_us_per_object": cpu * 1e6 / rounds / max(count, 1)}, sys.stdout)


if __name__ == "__main__":
    main()
