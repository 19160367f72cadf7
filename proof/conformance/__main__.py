"""`python -m proof.conformance [--postgres]`: both ways, at both revisions of the protocol.

With `--postgres` the servers are nodes of a PostgreSQL database: one that ROOM_MCP_TEST_POSTGRES
leads to, or of a server that is started for it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from faults.clusters import Cluster, why_no_cluster
from faults.databases import Databases, given_databases

from ..ground import ROOM_MCP, ROOT, CannotTry, Report, a_home, a_server, env_of
from . import suite

BASELINE = Path(__file__).with_name("baseline.yml")
WITH_FIXTURES = (sys.executable, "-m", "proof.conformance.serving")
SERVE = ["serve", "--port", "0"]
ALONE = ["--transport", "streamable-http", "--port", "0"]
SHIPPED = ((SERVE, "/mcp"), (ALONE, ""))  # with what belongs behind the URL that they print


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proof.conformance")
    parser.add_argument("--postgres", action="store_true", help="keep the rooms in PostgreSQL")
    on_postgres = parser.parse_args().postgres
    report = Report(f"{suite.PINNED}{', rooms in PostgreSQL' if on_postgres else ''}")
    try:
        suite.fetch()
        with _databases() if on_postgres else contextlib.nullcontext() as databases:
            _as_shipped(report, databases)
            _with_fixtures(report, databases)
    except CannotTry as error:
        report.skip("everything", str(error))
    except (RuntimeError, subprocess.SubprocessError) as error:
        report.fail("a server or the suite", str(error))
    return report.end()


@contextlib.contextmanager
def _databases() -> Iterator[Databases]:
    given = given_databases()
    if given is not None:
        yield given
        return
    if why := why_no_cluster():
        raise CannotTry(why)
    with Cluster(fsync=False) as cluster:
        yield cluster.databases


def _as_shipped(report: Report, databases: Databases | None) -> None:
    """Nothing fails but what the baseline names, and all that it names does."""
    excused = set(suite.read_yaml(BASELINE)["server"])
    needed: set[str] = set()
    for arguments, path in SHIPPED:
        with _a_machine(databases) as env, a_server(arguments, env) as url:
            for revision in suite.REVISIONS:
                options = ["--suite", "all", "--spec-version", revision]
                options += ["--expected-failures", str(BASELINE)]
                result = suite.run(f"{url}{path}", *options)
                failing = {check.entry for check in result.failing}
                passing = {check.entry for check in result.passed} - failing
                needed |= failing & excused
                wrong = [str(check) for check in result.failing if check.entry not in excused]
                wrong += [f"{entry} passes" for entry in sorted(passing & excused)]
                what = (
                    f"as shipped, {' '.join(arguments[:-2])}, {revision}: "
                    f"{len(result.scenarios)} scenarios, {len(result.passed)} checks passed, "
                    f"{len(failing & excused)} failed as expected"
                )
                _tell(report, what, result, wrong)
    idle = sorted(excused - needed)
    report.check(not idle, f"each of {len(excused)} lines of the baseline is needed", str(idle))


def _with_fixtures(report: Report, databases: Databases | None) -> None:
    """What a revision requires passes without a warning, and nothing else fails."""
    for revision in suite.REVISIONS:
        with _a_machine(databases) as env, a_server(SERVE, env, WITH_FIXTURES) as base:
            result = suite.run(f"{base}/mcp", "--requirements", revision)
        held = suite.requirements(revision)
        wrong = [
            check
            for check in result.failing
            if check.scenario in held.required
            or (check.scenario in held.others and check.status == "FAILURE")
        ]
        missing = held.required - result.scenarios
        red = {check.scenario for check in wrong} | missing
        what = (
            f"with fixtures, {revision}: "
            f"{len(held.required - red)} of {len(held.required)} required scenarios, "
            f"{len(held.others - red)} of {len(held.others)} others, "
            f"{len(result.passed)} checks passed"
        )
        told = [*map(str, wrong), *(f"{one} did not run" for one in sorted(missing))]
        _tell(report, what, result, told)


@contextlib.contextmanager
def _a_machine(databases: Databases | None) -> Iterator[dict[str, str]]:
    """An environment with a room in it, so that there are resources to list and to read."""
    with a_home() as home:
        env = env_of(home)
        env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], str(ROOT)])
        env["ROOM_MCP_LOG_LEVEL"] = "ERROR"  # the suite does much that a server warns of
        store = databases.create() if databases else ""
        if store:
            env["ROOM_MCP_STORE"] = store
        try:
            for words in (["create", "seen"], ["send", "seen", "Who reads this?"]):
                command = [*ROOM_MCP, *words]
                subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=True)
            yield env
        finally:
            if databases:
                databases.drop(store)


def _tell(report: Report, what: str, result: suite.Result, wrong: Sequence[str]) -> None:
    if result.exit_code and not wrong:
        wrong = [f"the suite ended with {result.exit_code}: {result.output}"]
    report.check(not wrong, what, "".join(f"\n         {one}" for one in wrong))


if __name__ == "__main__":
    sys.exit(main())
