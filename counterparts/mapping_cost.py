"""CPU time an object of a Python client that pages through a collection and maps what it reads.

It does what a connector of an exchange in Python does at the least: taxii2-client fetches the pages, a regular expression
takes the value out of each pattern, and a small object is made of it. No model library, no store.

usage: mapping_cost.py COLLECTION_URL ROUNDS
"""

import json
import re
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime

from taxii2client.v21 import Collection, as_pages

COMPARISON = re.compile(r"\[?\s*([a-z0-9-]+):([A-Za-z0-9_.'-]+)\s*=\s*'((?:[^'\\]|\\.)*)'")
KINDS = {
    "ipv4-addr:value": "ipv4",
    "ipv6-addr:value": "ipv6",
    "domain-name:value": "domain",
    "url:value": "url",
    "file:hashes.'SHA-256'": "sha256",
    "file:hashes.MD5": "md5",
}


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
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def mapped(indicator):
    found = []
    for kind, path, value in COMPARISON.findall(indicator["pattern"]):
        known = KINDS.get(f"{kind}:{path}")
        if known:
            found.append(
                Indicator(
                    value=value,
                    kind=known,
                    first_seen=when(indicator["created"]),
                    last_seen=when(indicator["modified"]),
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
