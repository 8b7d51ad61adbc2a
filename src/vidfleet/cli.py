"""The command line: argv becomes one call, errors become text and an exit status."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vidfleet
from vidfleet.commands import add_commands, error_to_plain, print_json
from vidfleet.config import fill_in, read_files
from vidfleet.errors import LetGoError, UsageError, VidfleetError
from vidfleet.options import Parser, add_options, alike, read_options, to_arguments
from vidfleet.settings import RUN_GROUPS, RunSettings, WorkloadSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.config import Setting
    from vidfleet.runner.run import Prepared
    from vidfleet.runner.stopping import Stop
    from vidfleet.workloads import Workload

_RUN_USES = """\
what to run:
  vidfleet run DIR --script f.py [-- more arguments]       python f.py --videoFolder STAGE, for each video
  vidfleet run DIR -- prog --in {video} --out {out}        any program; also {stage} {stem} {name} {dir} {root} {device}
  vidfleet run DIR --worker module:Class [-- arguments]    a class with process(video, out), loaded once in each lane
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vidfleet`` with these arguments and return its exit status."""
    return _guarded(list(sys.argv[1:] if argv is None else argv), _vidfleet)


def parallel_runner(here: Path, argv: Sequence[str] | None = None) -> int:
    """Run ``parallel_runner.py``, which lies in ``here``: the user's own flags."""
    return _guarded(list(sys.argv[1:] if argv is None else argv), lambda words: _parallel_runner(here, words))


def build_parser() -> Parser:
    """The parser of ``vidfleet``."""
    parser = Parser(prog="vidfleet", description="Run a script, a program or a class over every video under a folder.")
    parser.add_argument("--version", action="version", version=f"vidfleet {vidfleet.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser, required=True)
    run = commands.add_parser(
        "run", help="run a script, a program or a class over every video under a folder",
        epilog=_RUN_USES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    run.add_argument("root", metavar="DIR", type=_folder, help="the folder with the videos, at any depth")
    add_options(run.add_argument_group("what to run"), WorkloadSettings)
    _add_run_options(run)
    speakers = commands.add_parser("speakers", help="find who speaks in films, what they say, and who they are")
    speakers.add_argument("root", metavar="DIR", type=_folder, help="the folder with the videos, at any depth")
    _add_speaker_options(speakers)
    _add_run_options(speakers)
    add_commands(commands)
    return parser


def build_parallel_parser() -> Parser:
    """The parser of ``parallel_runner.py``."""
    parser = Parser(
        prog="parallel_runner.py",
        description="Run an inference script over every video under a folder, on every GPU.",
        epilog="Arguments behind a bare -- go to the script.",
    )
    parser.add_argument("--video-root", required=True, metavar="DIR", type=_folder, help="the folder with the videos")
    add_options(parser.add_argument_group("what to run"), WorkloadSettings)
    _add_run_options(parser)
    return parser


def _folder(text: str) -> Path:
    """Read a folder's path; an empty word is a variable that was not set, not the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("the folder's name is empty")
    return Path(text)


def _add_run_options(parser: Parser) -> None:
    for title, settings in RUN_GROUPS:
        add_options(parser.add_argument_group(title), settings)
    showing = parser.add_argument_group("showing")
    showing.add_argument("--dry-run", action="store_true", help="print what would run and why; change nothing")
    showing.add_argument("--plain", action="store_true", help="plain lines instead of a moving display")
    showing.add_argument("--json", action="store_true", help="one JSON document on standard output at the end")
    showing.add_argument(
        "--no-config", action="store_true", help="read no vidfleet.toml, neither in DIR nor in the working directory"
    )


def _add_speaker_options(parser: Parser) -> None:
    from vidfleet.speakers.settings import SpeakersSettings

    add_options(parser.add_argument_group("speakers"), SpeakersSettings)


def _guarded(argv: list[str], command: Callable[[list[str]], int]) -> int:
    """Turn our errors, and those of the system, into text and an exit status."""
    try:
        return command(argv)
    except VidfleetError as error:
        lines, status = str(error).splitlines() or [type(error).__name__], error.exit_status
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        lines = [f"the system refuses ({error.strerror or error}){where}"]
        status = 3 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 1
    from vidfleet.runner.text import printable

    sys.stderr.write("\n".join(["vidfleet: " + printable(lines[0]), *map(printable, lines[1:])]) + "\n")
    if "--json" in _split(argv)[0]:
        print_json(error_to_plain(lines, status))
    return status


def _vidfleet(argv: list[str]) -> int:
    ours, theirs = _split(argv)
    options = build_parser().parse_args(alike(ours))
    if hasattr(options, "act"):
        return int(options.act(options))
    settings = _from_files(options)
    if options.command == "speakers":
        if theirs:
            raise UsageError("`vidfleet speakers` takes nothing behind --; its options stand before it")
        used = fill_in(options, settings, "run") + fill_in(options, settings, "speakers")
        return _run(options, _speakers_from(options), used)
    used = fill_in(options, settings, "run")
    return _run(options, _workload_from(options, theirs, command=tuple(theirs)), used)


def _parallel_runner(here: Path, argv: list[str]) -> int:
    ours, theirs = _split(argv)
    options = build_parallel_parser().parse_args(alike(ours))
    options.root = options.video_root
    settings = _from_files(options)
    used = fill_in(options, settings, "run")
    if not options.worker:
        options.script = _find_script(here, options.script or Path("inference_folder.py"))
        if _built_in_words(options.script) is not None:
            speakers = argparse.Namespace(**{setting.name: None for setting in settings})
            used += fill_in(speakers, settings, "speakers")
            theirs = [*_speaker_words(speakers), *theirs]
    return _run(options, _workload_from(options, theirs), used)


def _from_files(options: argparse.Namespace) -> list[Setting]:
    """The settings of ``vidfleet.toml``, unless nobody wants them."""
    from vidfleet.speakers.settings import SpeakersSettings

    if options.no_config:
        return []
    return read_files(options.root, {"run": (RunSettings, WorkloadSettings), "speakers": (SpeakersSettings,)})


def _speaker_words(options: argparse.Namespace) -> tuple[str, ...]:
    from vidfleet.speakers.settings import SpeakersSettings

    return to_arguments(read_options(SpeakersSettings, options))


def _find_script(here: Path, script: Path) -> Path:
    """A script beside ``parallel_runner.py``, or by its path."""
    beside = here / script
    return beside if beside.is_file() else script


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Our words, and those behind a bare ``--``."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _workload_from(options: argparse.Namespace, theirs: list[str], command: tuple[str, ...] = ()) -> Workload:
    from vidfleet.workloads import BUILT_IN, Command, PythonClass, Script

    chosen = read_options(WorkloadSettings, options)
    common: dict[str, Any] = {"python": chosen.python, "expect": chosen.expect, "name": chosen.name}
    ahead = () if options.warm is False else chosen.preload  # --no-warm, whatever vidfleet.toml names
    warm: dict[str, Any] = {"warm": chosen.warm, "preload": ahead}  # a class stays loaded anyhow
    if chosen.script and chosen.worker:
        raise UsageError("--script and --worker exclude each other")
    if chosen.worker:
        return PythonClass(chosen.worker, tuple(theirs), **common)
    asked = _built_in_words(chosen.script) if chosen.script else None
    if asked is not None:
        return PythonClass(BUILT_IN, (*asked, *alike(theirs)), **common)
    if chosen.script:
        return Script(chosen.script, tuple(theirs), **common, **warm)
    if not command:
        raise UsageError("nothing to run was named\n" + _RUN_USES.rstrip())
    return Command(command, **common, **warm)


def _built_in_words(script: Path) -> tuple[str, ...] | None:
    """What a script of our own asks for: it runs as the class that it calls, loaded once in each lane. Else None."""
    from vidfleet.speakers.settings import BY_MASKS

    try:
        lines = {line.strip() for line in script.read_bytes()[:4096].splitlines()}
    except OSError:
        return None
    for name, words in (("main", ()), ("main_sam2", BY_MASKS)):
        if {
            f"from vidfleet.speakers.folder import {name}".encode(),
            f"sys.exit({name}(sys.argv[1:]))".encode(),
        } <= lines:
            return words
    return None


def _speakers_from(options: argparse.Namespace) -> Workload:
    from vidfleet.workloads import BUILT_IN, PythonClass

    return PythonClass(BUILT_IN, _speaker_words(options))


def _run(options: argparse.Namespace, workload: Workload, used: Sequence[Setting]) -> int:
    from vidfleet.runner.run import execute, prepare
    from vidfleet.runner.show.report import print_summary, report_to_plain
    from vidfleet.runner.show.story import Story
    from vidfleet.runner.stopping import Stop

    stop = Stop()
    _heed_signals(stop)
    try:
        prepared = prepare(options.root, workload, settings=read_options(RunSettings, options))
        prepared = replace(prepared, notices=(*prepared.notices, *map(str, used)))
        if options.dry_run:
            return _show_plan(prepared, as_json=options.json)
        summary = execute(prepared, show=sys.stderr, plain=options.plain or None, stop=stop)
    except LetGoError as error:
        return _say_let_go(options, error)
    except KeyboardInterrupt:
        status = 128 + (stop.signal or signal.SIGINT)
        if options.json:
            print_json(error_to_plain(["interrupted before its first video"], status))
        return status
    if options.json:
        run = summary.run_folder.name if summary.run_folder else ""
        print_json(report_to_plain(Story(summary, str(prepared.root), prepared.description.name), run))
    else:
        print_summary(summary, sys.stdout)
    return summary.exit_status


def _say_let_go(options: argparse.Namespace, error: LetGoError) -> int:
    from vidfleet.runner.show.page import Page
    from vidfleet.runner.show.status import status_to_plain

    if options.json:
        print_json(status_to_plain(options.output or options.root))
    else:
        page = Page(sys.stdout)
        for line in str(error).splitlines():
            page.line(line)
        page.close()
    return error.status


def _show_plan(prepared: Prepared, *, as_json: bool) -> int:
    from vidfleet.runner.show.show_plan import plan_to_plain, print_plan

    if as_json:
        print_json(plan_to_plain(prepared))
    else:
        print_plan(prepared, sys.stdout)
    return 0


def _heed_signals(stop: Stop) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has SIGHUP ignored, and means it
            signal.signal(number, lambda received, _: stop.ask(received))
    signal.signal(signal.SIGUSR1, lambda *_: stop.ask(signal.SIGTERM, drain=True))
    signal.signal(signal.SIGTSTP, lambda *_: stop.ask_to_pause())
