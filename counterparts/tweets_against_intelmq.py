#!/usr/bin/env python3
"""The whole way of 20,000 rows of a TweetFeed table, ours beside IntelMQ's, in one run.

usage: tweets_against_intelmq.py IOCAST [CSV]

IOCAST is a release build of the program. CSV is a table of TweetFeed (time, user, type, value, tags, link) of which the
first 20,000 rows are taken; without it rows of the same shape are made, a quarter of them repeats, as in the real one.

IntelMQ: file collector, generic CSV parser, deduplicator, file output; one process a bot, Redis queues. Counted from
the start of the bots to the last event in the output file. Ours: `pull` and `share` of the command line, each a whole
process: read, normalise, merge, store durably, select by a rule, write the list.

Needs `intelmq==3.5.0` (and, for its Redis client, `async-timeout`) in the Python that runs this and `redis-server` on the path. IntelMQ will not run as root: there
its bots run as the user `nobody`, who must be able to read that Python.
"""
import csv, json, os, pathlib, random, shutil, socket, subprocess, sys, tempfile, time

ROWS = 20_000


def made(path):
    """Rows as TweetFeed has them; the seed is fixed."""
    dice = random.Random(1)
    rows = []
    while len(rows) < ROWS:
        if rows and dice.random() < 0.25:
            again = list(dice.choice(rows))
            again[1] = f"user{dice.randrange(50)}"
            rows.append(again)
            continue
        kind = dice.choices(["url", "domain", "ip", "sha256", "md5"], [55, 30, 10, 3, 2])[0]
        name = "%08x.%s" % (dice.getrandbits(32), dice.choice(["com", "net", "top", "xyz", "ru"]))
        value = {
            "url": f"https://{name}/{dice.getrandbits(24):x}",
            "domain": name,
            "ip": ".".join(str(dice.randrange(1, 223)) for _ in range(4)),
            "sha256": "%064x" % dice.getrandbits(256),
            "md5": "%032x" % dice.getrandbits(128),
        }[kind]
        tags = dice.choice(["", "#phishing", "#phishing #scam", "#malware"])
        day, second = dice.randrange(1, 28), dice.randrange(86_400)
        when = f"2026-04-{day:02} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        rows.append([when, f"user{dice.randrange(50)}", kind, value, tags, f"https://x.com/s/{dice.getrandbits(60)}"])
    with open(path, "w", newline="") as out:
        csv.writer(out).writerows(rows)


def taken(source, path):
    with open(source, newline="") as rows, open(path, "w", newline="") as out:
        writer = csv.writer(out)
        for n, row in enumerate(csv.reader(rows)):
            if n < ROWS:
                writer.writerow(row)


def ours(program, table, work):
    """Seconds of wall clock, entries in the list."""
    site = work / "site.toml"
    site.write_text(f"""
[[connection]]
name = "tweets"
connector = "tweetfeed"
settings = {{ url = "file://{table}" }}
[[connection]]
name = "edge"
connector = "list"
[[target]]
name = "block"
connection = "edge"
first_fill = "allow"
[[rule]]
name = "all"
when = 'reputation >= 1'
[[sharing]]
source = "tweets"
rule = "all"
target = "block"
""")
    call = [program, "--data", str(work / "data"), "--files", str(table.parent)]
    subprocess.run([*call, "apply", str(site)], check=True, stdout=subprocess.DEVNULL)
    begin = time.monotonic()
    subprocess.run([*call, "pull", "--all"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*call, "share", "--all"], check=True, stdout=subprocess.DEVNULL)
    took = time.monotonic() - begin
    shown = subprocess.run([*call, "list", "show", "block"], check=True, capture_output=True, text=True).stdout
    return took, len(shown.splitlines())


def runtime(port, table, out):
    def queue(*names):
        return {"destination_queues": {"_default": list(names)}} if names else {}

    common = {"source_pipeline_host": "127.0.0.1", "source_pipeline_port": port,
              "destination_pipeline_host": "127.0.0.1", "destination_pipeline_port": port,
              "logging_level": "WARNING", "statistics_database": 3,
              "statistics_host": "127.0.0.1", "statistics_port": port}
    columns = ["time.source", "__IGNORE__", "__IGNORE__",
               "source.url|source.ip|malware.hash.sha256|malware.hash.md5|source.fqdn", "extra.tags"]
    bots = {
        "collect": ("collectors.file.collector_file", "Collector", {
            "path": str(table.parent), "postfix": table.name, "delete_file": False, "rate_limit": 86_400, "name": "t", "provider": "t",
            **queue("parse-queue")}),
        "parse": ("parsers.generic.parser_csv", "Parser", {
            "columns": columns, "delimiter": ",", "type": "blacklist", "skip_header": False, "time_format": None,
            **queue("dedup-queue")}),
        "dedup": ("experts.deduplicator.expert", "Expert", {
            "filter_keys": "raw,time.observation,time.source,extra.tags", "filter_type": "blacklist",
            "redis_cache_db": 6, "redis_cache_host": "127.0.0.1", "redis_cache_port": port,
            "redis_cache_ttl": 86_400, **queue("output-queue")}),
        "output": ("outputs.file.output", "Output", {"file": str(out), "format_filename": False}),
    }
    whole = {"global": common}
    for name, (module, group, parameters) in bots.items():
        whole[name] = {"bot_id": name, "enabled": True, "group": group, "module": f"intelmq.bots.{module}",
                       "name": name, "parameters": parameters, "run_mode": "continuous"}
    return whole, {name: f"intelmq.bots.{module}" for name, (module, _, _) in bots.items()}


def theirs(table, work):
    """Seconds of wall clock, events in the output."""
    import intelmq

    root = work / "intelmq"
    for folder in ["etc", "var/log", "var/run", "var/lib/bots"]:
        (root / folder).mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = root / "out.json"
    whole, modules = runtime(port, table, out)
    (root / "etc/runtime.yaml").write_text(json.dumps(whole))  # JSON is YAML
    shutil.copy(pathlib.Path(intelmq.__file__).parent / "etc/harmonization.conf", root / "etc/harmonization.conf")
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"],
                             stdout=subprocess.DEVNULL)
    as_user = {}
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "nobody", str(work)], check=True)
        as_user = {"user": "nobody"}
    env = {**os.environ, "INTELMQ_ROOT_DIR": str(root), "HOME": str(root)}
    scripts = pathlib.Path(sys.executable).parent
    bots = []
    try:
        time.sleep(1)
        begin = time.monotonic()
        for name, module in modules.items():
            bots.append(subprocess.Popen([str(scripts / module), name], env=env, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL, **as_user))
        last, seen = begin, 0
        while time.monotonic() - begin < 600:
            time.sleep(0.2)
            n = sum(1 for _ in open(out, "rb")) if out.exists() else 0
            if n > seen:
                last, seen = time.monotonic(), n
            # The bots never end: nothing new for so long means that all is through.
            if seen and time.monotonic() - last > 8:
                break
            if ended := [bot.args[-1] for bot in bots if bot.poll() is not None]:
                sys.exit(f"bots ended early: {', '.join(ended)}; see {root}/var/log")
        return last - begin, seen
    finally:
        for bot in bots:
            bot.kill()
        redis.kill()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        work.chmod(0o755)
        (work / "in").mkdir()
        table = work / "in" / "tweets.csv"
        taken(sys.argv[2], table) if len(sys.argv) == 3 else made(table)
        n = sum(1 for _ in csv.reader(open(table, newline="")))
        took, left = ours(sys.argv[1], table, work)
        print(f"iocast   {n} rows, {left} entries in the list, {took:.2f} s, {n / took:,.0f} rows/s", flush=True)
        slow, events = theirs(table, work)
        print(f"IntelMQ  {n} rows, {events} events, {slow:.2f} s, {n / slow:,.0f} rows/s")
        print(f"ratio    {slow / took:.0f}")


if __name__ == "__main__":
    main()
