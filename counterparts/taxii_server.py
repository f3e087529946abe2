"""medallion with a collection of N indicators and an empty one to write to. Prints its port, and serves until it is killed.

usage: taxii_server.py N PAGE_SIZE
"""

import json
import sys
import tempfile
from datetime import datetime, timedelta, timezone

from medallion import application_instance, register_blueprints, set_config
from werkzeug.serving import make_server

READ = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
WRITE = "52892447-4d7e-4f70-b94d-d7f22742ff63"
CUSTOM = "marking-definition--3f3b1f5a-6c6e-4d0a-9c55-0f8f5a0b7d11"


def stamp(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def address(n):
    """Of ranges kept for documentation, all different."""
    nets = ["192.0.2", "198.51.100", "203.0.113"]
    if n < 250 * len(nets):
        return f"[ipv4-addr:value = '{nets[n // 250]}.{n % 250 + 1}']"
    return f"[ipv6-addr:value = '2001:db8::{n:x}']"


def pattern(n):
    kinds = [
        address(n // 4),
        f"[domain-name:value = 'host-{n}.example.net']",
        f"[url:value = 'http://host-{n}.example.net/path/{n}']",
        f"[file:hashes.'SHA-256' = '{n:064x}']",
    ]
    return kinds[n % len(kinds)]


def seed(n):
    """Objects and manifest; runs of 37 share a date, so that pages begin and end inside them."""
    start = datetime.now(timezone.utc) - timedelta(days=5)
    objects, manifest = [], []
    for i in range(n):
        added = stamp(start + timedelta(seconds=i // 37))
        indicator = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--00000000-0000-4000-8000-{i:012x}",
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "name": f"indicator {i}",
            "indicator_types": ["malicious-activity"],
            "pattern": pattern(i),
            "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z",
            "confidence": 80,
            "object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"],
        }
        objects.append(indicator)
        manifest.append(
            {
                "id": indicator["id"],
                "date_added": added,
                "version": indicator["modified"],
                "media_type": "application/stix+json;version=2.1",
            }
        )
    return objects, manifest


def collection(identifier, title, objects, manifest):
    return {
        "id": identifier,
        "title": title,
        "can_read": True,
        "can_write": identifier == WRITE,
        "media_types": ["application/stix+json;version=2.1"],
        "objects": objects,
        "manifest": manifest,
    }


def main():
    n, page_size = int(sys.argv[1]), int(sys.argv[2])
    server = make_server("127.0.0.1", 0, application_instance, threaded=True)
    root = f"http://127.0.0.1:{server.port}/api/"
    data = {
        "/discovery": {"title": "counterpart", "default": root, "api_roots": [root]},
        "api": {
            "information": {"title": "api", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 60000},
            "status": [],
            "collections": [collection(READ, "Indicators", *seed(n)), collection(WRITE, "Inbox", [], [])],
        },
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        config = {
            "backend": {
                "module": "medallion.backends.memory_backend",
                "module_class": "MemoryBackend",
                "filename": file.name,
            },
            "users": {"iocast": "example-password"},
            "taxii": {"max_page_size": page_size},
        }
        for key in ("users", "taxii", "backend"):
            set_config(application_instance, key, config)
    register_blueprints(application_instance)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
