#!/usr/bin/env python3
"""Server CPU per request of turntable beside nginx: `./dev compare`.

Both serve the same files in one run, in short trials of random order (a round is one trial of each);
the figure is the process's CPU clock, io_uring's kernel workers included, per request completed.
Reported is the median over rounds of the ratio to nginx, with a bootstrap interval. nginx is also
run twice a round, as two servers, to show how far apart equal things are measured (A/A).

Runs in a network namespace of its own with cubic: the kernel's default may pace on loopback (bbr).
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SERVER_CPU, CLIENT_CPU = "0", "1"

NGINX_CONF = """
daemon off; master_process off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 600s;
    open_file_cache max=10000 inactive=600s; open_file_cache_valid 60s;
    client_body_temp_path {work}/b; proxy_temp_path {work}/p; fastcgi_temp_path {work}/f;
    uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
    types {{ application/octet-stream bin; }}
    server {{ listen 127.0.0.1:{port}; root {docroot}; }}
}}
"""


SYSCTL = pathlib.Path("/proc/sys/net/ipv4")


def enter_namespace():
    """Starts itself again where loopback is its own and congestion control can be set."""
    allowed = SYSCTL / "tcp_allowed_congestion_control"
    if "TURNTABLE_COMPARE_ALLOWED" in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        try:
            (SYSCTL / "tcp_congestion_control").write_text("cubic")
        except OSError as error:
            print(f"compare: cannot set cubic ({error})")
        return
    # A namespace may only choose what the machine allows everybody: allowed while it is chosen.
    os.environ["TURNTABLE_COMPARE_ALLOWED"] = before = allowed.read_text().strip()
    if os.geteuid() != 0:
        os.execvp("unshare", ["unshare", "-rn", sys.executable, *sys.argv])
    allowed.write_text(" ".join({*before.split(), "cubic"}))
    with contextlib.suppress(KeyboardInterrupt):
        code = subprocess.run(["unshare", "-n", sys.executable, *sys.argv]).returncode
    allowed.write_text(before)
    raise SystemExit(code)


def cpu_ns(pid):
    """CPU time of a process with all its threads: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime_ns((~pid << 3) | 2)


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(["taskset", "-c", SERVER_CPU, *command],
                                        stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=40)


def start_nginx(name, work, docroot, port):
    work = work / name.replace(" ", "-")
    work.mkdir()
    conf = work / "nginx.conf"
    conf.write_text(NGINX_CONF.format(work=work, docroot=docroot, port=port))
    return Server(name, ["nginx", "-p", str(work), "-c", str(conf)], port)


def start_turntable(name, binary, docroot, port, options):
    return Server(name, [binary, "--root", str(docroot), "--listen", f"127.0.0.1:{port}",
                         "--admin", "none", "--workers", "1", *options], port)


def trial(server, path, connections, seconds):
    before = cpu_ns(server.process.pid)
    started = time.monotonic()
    output = subprocess.run(
        ["taskset", "-c", CLIENT_CPU, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
         f"http://127.0.0.1:{server.port}/{path}"],
        capture_output=True, text=True, check=True).stdout
    elapsed = time.monotonic() - started
    used = cpu_ns(server.process.pid) - before
    requests = int(re.search(r"(\d+) requests in", output).group(1))
    if requests == 0 or "Socket errors" in output or "Non-2xx" in output:
        raise SystemExit(f"compare: {server.name} failed under load:\n{output}")
    return used / requests / 1000, requests / elapsed


def bootstrap(ratios, seed):
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(5000))
    return medians[125], medians[-126]


def compare_case(servers, case, rounds, seconds, rng):
    label, path, connections = case
    for server in servers:
        trial(server, path, connections, 1)  # warm
    samples = {server.name: [] for server in servers}
    rates = {server.name: [] for server in servers}
    for index in range(rounds):
        for server in rng.sample(servers, len(servers)):
            cost, rate = trial(server, path, connections, seconds)
            samples[server.name].append(cost)
            rates[server.name].append(rate)
        if sys.stderr.isatty():
            print(f"\r{label}: round {index + 1} of {rounds}", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    rows = []
    for server in servers:
        ratios = [mine / base for mine, base in zip(samples[server.name], samples["nginx"])]
        low, high = bootstrap(ratios, 1)
        rows.append({"case": label, "server": server.name,
                     "cpu_us_per_request": round(statistics.median(samples[server.name]), 2),
                     "requests_per_second": round(statistics.median(rates[server.name])),
                     "ratio_to_nginx": round(statistics.median(ratios), 3),
                     "ci95": [round(low, 3), round(high, 3)], "pairs": rounds})
    return rows


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / "out/release/turntable"))
    parser.add_argument("--baseline", help="another turntable binary, measured beside")
    parser.add_argument("--sizes", default="1024:64,16384:64,65536:64,262144:32,1048576:32",
                        help="bytes:connections,...")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--options", default="", help="more options for turntable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="write the rows there")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    for tool, package in (("nginx", "nginx-light"), ("wrk", "wrk"), ("ip", "iproute2")):
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            raise SystemExit(f"compare: needs {tool}; install it with: apt-get install {package}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.cpu_count() < 2:
        raise SystemExit("compare: needs two processors: one for the server, one for the client")
    enter_namespace()
    cases = []
    base = ROOT / "out"
    base.mkdir(exist_ok=True)  # a file system with files, not tmpfs: those reads leave the ring
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=base)))
        work.chmod(0o755)
        docroot = work / "root"
        docroot.mkdir()
        for item in arguments.sizes.split(","):
            size, connections = map(int, item.split(":"))
            (docroot / f"{size}.bin").write_bytes(random.Random(size).randbytes(size))
            cases.append((f"{size} B, {connections} connections", f"{size}.bin", connections))
        options = arguments.options.split()
        servers = [start_nginx("nginx", work, docroot, 8101),
                   start_nginx("nginx again", work, docroot, 8102),
                   start_turntable("turntable", arguments.binary, docroot, 8103, options)]
        if arguments.baseline:
            servers.append(start_turntable("baseline", arguments.baseline, docroot, 8104, options))
        for server in servers:
            stack.callback(server.stop)
        time.sleep(1)  # both answer at once or the warm-up trial says so
        rng = random.Random(arguments.seed)
        congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
        version = subprocess.run(["nginx", "-v"], capture_output=True, text=True).stderr.strip()
        print(f"kernel {os.uname().release}, {congestion}, {version}, "
              f"server on CPU {SERVER_CPU}, wrk on CPU {CLIENT_CPU}, "
              f"{arguments.rounds} rounds of {arguments.seconds} s")
        print(f"{'case':28} {'server':12} {'CPU us/req':>10} {'req/s':>9} {'ratio':>7}  95 %")
        rows = []
        for case in cases:
            for row in compare_case(servers, case, arguments.rounds, arguments.seconds, rng):
                rows.append(row)
                print(f"{row['case']:28} {row['server']:12} {row['cpu_us_per_request']:10.2f} "
                      f"{row['requests_per_second']:9} {row['ratio_to_nginx']:7.3f}  "
                      f"[{row['ci95'][0]:.3f}, {row['ci95'][1]:.3f}]", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
