"""The command line of the simulator."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import threading

from . import faults
from .control import COMMAND_NAMES, Commands, ask
from .errors import SetupError
from .simulator import Simulator
from .world import REAL_DELAYS

EPILOG = """\
commands
  serve     run until Ctrl-C, SIGTERM or `ctl quit`
  run       start everything, run COMMAND with the environment set, stop, return its status
  env       print shell lines for eice:  eval "$(python3 tools/sim env --dir DIR)"
  ctl       ask or change a running simulator; `ctl --help` lists the commands and the faults

serve and run print nothing on standard output but what is asked for; the directory (--dir, or a
new one) holds ctl.sock, info.json, journal.jsonl and tls/root.pem. `run` also sets EICE_SIM_DIR,
where env and ctl look when they get no --dir, and XDG_STATE_HOME, so that host keys stay inside.

  python3 tools/sim run --sshd -- eice ssh web-1 uname -a
  python3 tools/sim run --sshd -- sh
  python3 tools/sim serve --sshd --dir /tmp/sim --ready-file /tmp/sim/ready &
  python3 tools/sim ctl --dir /tmp/sim fault http-error action=DescribeInstances times=2
  python3 tools/sim ctl --dir /tmp/sim count action=SendSSHPublicKey
"""


def _ctl_help():
    lines = ["commands (NAME=VALUE arguments):"]
    for name in COMMAND_NAMES:
        lines.append(f"  {name.replace('_', '-'):15}{getattr(Commands, name).__doc__}")
    lines += ["", "faults (fault KIND [host= service= action= skip= times=] [parameter=…]):"]
    for kind, (stage, parameters, text) in faults.KINDS.items():
        shown = " ".join(f"{k}={v!r}" for k, v in parameters.items())
        lines.append(f"  {kind:19}{stage:8} {text}")
        if shown:
            lines.append(f"  {'':28}{shown}")
    return "\n".join(lines)


def _add_world_options(parser):
    parser.add_argument("--dir", help="directory for sockets, certificates, journal")
    parser.add_argument("--port", type=int, default=0, help="TLS port (0: any free one)")
    parser.add_argument("--world", help="JSON file that replaces members of the world")
    parser.add_argument("--fillers", type=int, default=0, help="so many more instances")
    parser.add_argument("--endpoint-fillers", type=int, default=0, help="so many more endpoints")
    parser.add_argument("--key-type", choices=("ec", "rsa"), default="ec",
                        help="key type of the certificates")
    parser.add_argument("--no-resume", action="store_true", help="refuse TLS session resumption")
    parser.add_argument("--rtt-ms", type=float, default=0, help="simulated round-trip time")
    parser.add_argument("--real-delays", action="store_true",
                        help="endpoints and consoles take as long as at AWS, not half a second")
    parser.add_argument("--sshd", action="store_true", help="run real sshds behind the tunnels")
    parser.add_argument("--sshd-option", action="append", default=[], metavar="KEYWORD=VALUE",
                        help="sshd_config line for all of them")
    parser.add_argument("--credential", default="admin",
                        help="admin, temporary, expired, denied or limited")
    parser.add_argument("--ready-file", help="written when everything is up")
    parser.add_argument("--ready-fd", type=int, help="a line is written when everything is up")


def _parser():
    parser = argparse.ArgumentParser(
        prog="sim", description="AWS in a box for eice: EC2, EC2 Instance Connect, STS, tunnels.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run until told to stop")
    run = commands.add_parser("run", help="run a command with a simulator around it")
    for sub in (serve, run):
        _add_world_options(sub)
    run.add_argument("--strict", action="store_true",
                     help="status 1 when the client broke a rule, even if the command succeeded")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND…")
    env = commands.add_parser("env", help="print the environment of a running simulator")
    env.add_argument("--dir")
    env.add_argument("--credential", default="admin")
    ctl = commands.add_parser("ctl", help="control a running simulator", epilog=_ctl_help(),
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    ctl.add_argument("--dir")
    ctl.add_argument("name")
    ctl.add_argument("arguments", nargs="*")
    return parser


def _make(options):
    sshd_options = dict(line.partition("=")[::2] for line in options.sshd_option)
    made = Simulator(options.dir, options.port, options.world, options.fillers,
                     options.endpoint_fillers, options.key_type, not options.no_resume,
                     options.rtt_ms, options.sshd, sshd_options)
    if options.real_delays:
        made.world.settings.update(REAL_DELAYS)
    return made


def _announce(options, sim):
    if options.ready_file:
        with open(options.ready_file + ".new", "w", encoding="utf-8") as f:
            f.write(sim.dir + "\n")
        os.rename(options.ready_file + ".new", options.ready_file)
    if options.ready_fd is not None:
        os.write(options.ready_fd, (sim.dir + "\n").encode())


def _report(sim):
    """Tells on standard error what rules were broken; returns their number."""
    for text in sim.journal.bugs:
        print(f"sim: internal error\n{text}", file=sys.stderr)
    broken = sim.journal.violations()
    for entry in broken[:20]:
        print(f"sim: violation {entry['rule']}: {entry['detail']}", file=sys.stderr)
    if len(broken) > 20:
        print(f"sim: {len(broken)} violations in all", file=sys.stderr)
    return len(broken)


def serve(options):
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    sim = _make(options)
    sim.quit_wanted = stop
    with sim:
        _announce(options, sim)
        print(f"sim: port {sim.port}, directory {sim.dir}", file=sys.stderr)
        stop.wait()
        _report(sim)
    return 0


def _child_environment(sim, credential):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "EICE_"))
            or k in ("EICE_VECTORS", "EICE_REQUIRE_ALL")}
    # the host keys of this world are nobody's business outside of it
    return {**kept, **sim.env(credential), "EICE_SIM_DIR": sim.dir,
            "XDG_STATE_HOME": os.path.join(sim.dir, "state")}


def run(options):
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    if not argv:
        print("sim: run needs a command after --", file=sys.stderr)
        return 2
    child = None

    def forward(number, _):
        if child is not None:
            child.send_signal(number)

    # Ctrl-C reaches the command by itself: it is in the same foreground group.
    signal.signal(signal.SIGINT, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    with _make(options) as sim:
        _announce(options, sim)
        child = subprocess.Popen(argv, env=_child_environment(sim, options.credential))
        status = child.wait()
        broken = _report(sim)
    if options.strict and broken and status == 0:
        return 1
    return 128 - status if status < 0 else status


def _socket(options):
    directory = options.dir or os.environ.get("EICE_SIM_DIR")
    if not directory:
        raise SetupError("which simulator? give --dir, or set EICE_SIM_DIR")
    return os.path.join(directory, "ctl.sock")


def env(options):
    for name, value in ask(_socket(options), "env", credential=options.credential).items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def ctl(options):
    arguments = {}
    for n, text in enumerate(options.arguments):
        name, equals, value = text.partition("=")
        if not equals and n == 0 and options.name == "fault":
            name, value = "kind", text
        elif not equals:
            raise SetupError(f"argument '{text}' is not NAME=VALUE")
        arguments[name] = value
    result = ask(_socket(options), options.name, **arguments)
    print(json.dumps(result, indent=1))
    return 0


def main():
    options = _parser().parse_args()
    command = {"serve": serve, "run": run, "env": env, "ctl": ctl}[options.command]
    try:
        return command(options)
    except (SetupError, RuntimeError, OSError, ValueError) as e:
        print(f"sim: {e}", file=sys.stderr)
        return 1
