"""The whole loop, once, on real flights: this script only does what a person would type, and tells what happens. `make demo` runs it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

import nyc
from oito.catalog.records import Step
from oito.clock import VirtualClock, moment, text
from oito.workspace import Workspace

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "build" / "demo"
OITO = Path(sys.executable).parent / "oito"
BEGIN, END = moment("2013-04-01"), moment("2013-04-18")
HOURS = (9, 14, 19, 26)  # UTC: at the first three the questions until the next are asked, from what is known by then
TOLD_EVERY_DAYS = 3
HISTORY = {"from": "2013-04-01", "to": "2013-05-27", "step": "7d", "policies": "never,7d,regret", "trials": "1"}


def main() -> None:
    began = time.monotonic()
    fresh_copy()
    train_and_release()
    with serving() as address:
        answers = two_weeks(address)
    account_for_one(answers)
    compare_policies()
    summary(began)


def fresh_copy() -> None:
    """Lay a copy of the project into build/demo; what an earlier demo left there is removed."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(HERE, FOLDER, ignore=shutil.ignore_patterns(".oito", "__pycache__", "demo.py"))
    title("A whole machine-learning system in one module")
    say(
        f"{FOLDER.relative_to(Path.cwd()) if FOLDER.is_relative_to(Path.cwd()) else FOLDER} is a copy of examples/flights."
    )
    say(f"The clock stands at {BEGIN:%d %B %Y}. Nothing later than that has happened yet.")


def train_and_release() -> None:
    title("Collected → processed → features → labels → design → trained")
    command("run")
    command("plan")
    with workspace() as dev:
        result = dev["late_flight"].version
        report = result.record["report"]
        say(f"{result.ref}, judged on {report['n']:,} flights that came after all it learned from:")
        for name in ("roc_auc", "log_loss"):
            figure = report["headline"][name]
            say(f"  {name:8} {figure['value']:.4f}   95 % between {figure['low']:.4f} and {figure['high']:.4f}")
        for name, rival in report["baselines"].items():
            say(
                f"  {name:8} {rival['champion']:.4f}   {rival['difference']:+.4f} [{rival['low']:+.4f}, {rival['high']:+.4f}]: {rival['verdict']}"
            )
        aside = dev["departures"].version
        say(f"{aside.ref} set {aside.record['set_aside']} of its rows aside: no airliner flies that fast.")
    title("Released")
    command("release", "production", "--message", "the first model")


@contextmanager
def serving() -> Iterator[str]:
    """Start the endpoint in a process of its own and yield its address."""
    title("Served over HTTP")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    say(f"$ oito serve --port {port} &")
    log = (FOLDER / "serve.log").open("w")
    server = subprocess.Popen([OITO, "-C", FOLDER, "serve", "--port", str(port)], stdout=log, stderr=log, env=environ())
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(address, server)
        say((FOLDER / "serve.log").read_text().strip())
        yield address
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def two_weeks(address: str) -> list[dict[str, Any]]:
    """Let two weeks pass: collect, ask, learn the truth, judge; return all answers."""
    title("Two weeks pass: questions are asked, truth arrives as data, the monitor judges and decides")
    clock = VirtualClock(BEGIN)
    answers: list[dict[str, Any]] = []
    with workspace(environment="production", clock=clock) as production:
        for now, until in stops():
            clock.move_to(now)
            set_clock(now)
            outcome = production.run()
            verdict = production["watch"].version.record
            if now.hour == HOURS[0] and ((now - BEGIN).days % TOLD_EVERY_DAYS == 2 or verdict.get("asks")):
                tell_verdict(now, len(answers), verdict)
            for step in outcome.steps:
                if step.asset == "late_flight" and step.state in {"made", "refused"}:
                    tell_training(production, step)
            asked = nyc.timetable(now + timedelta(hours=2), until + timedelta(hours=2))
            answers += predict(address, asked)
            if len(answers) == asked.height:
                tell_answer(answers[0])
    say(f"{len(answers):,} predictions were answered, each written down before its answer left.")
    return answers


def stops() -> Iterator[tuple[datetime, datetime]]:
    """Yield when the clock stops, and the moment until which it asks then."""
    for day in range((END - BEGIN).days):
        for hour, until in pairwise(HOURS):
            yield BEGIN + timedelta(days=day, hours=hour), BEGIN + timedelta(days=day, hours=until)


def predict(address: str, flights: pl.DataFrame) -> list[dict[str, Any]]:
    """Ask the endpoint about flights by what is printed in the timetable; everything else it looks up by itself."""
    asked = flights.with_columns(asked_at=pl.col("scheduled_departure") - pl.duration(hours=2))
    rows = [{name: text(v) if isinstance(v, datetime) else v for name, v in row.items()} for row in asked.to_dicts()]
    if not rows:
        return []
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        given = json.load(response)["predictions"]
    return [{**row, **answer} for row, answer in zip(rows, given, strict=True)]


def tell_answer(answer: dict[str, Any]) -> None:
    told = ", ".join(f"{name} {answer[name]}" for name in ("flight_id", "carrier", "origin", "dest", "tailnum"))
    say(f"The first question: {told}, …")
    said = {name: answer[name] for name in ("prediction_id", "model", "prediction")}
    say(f"The answer: {json.dumps(said)}")


def tell_verdict(now: datetime, counted: int, verdict: dict[str, Any]) -> None:
    figures = verdict["figures"]
    shown = ", ".join(
        f"{name} {figures[name]:.3f}" for name in ("roc_auc", "log_loss", "late_share") if name in figures
    )
    drifted = sorted({alarm["column"] for alarm in verdict["alarms"] if alarm.get("column")})
    drift = f"; drift in {', '.join(drifted[:4])}" if drifted else ""
    say(f"{now:%d %b}  {counted:6,} answered  {shown}{drift}")
    say(f"        {verdict['decision']['text']}")


def tell_training(production: Workspace, step: Step) -> None:
    made = step.state == "made"
    model = production["late_flight"].version.ref if made else "the new model"
    asked, _, gates = step.cause.partition("; ")
    say(f"        trained, because {asked}")
    say(
        f"        {model} {'is in production and the endpoint took it over' if made else 'was refused'}: {gates or asked}"
    )


def account_for_one(answers: list[dict[str, Any]]) -> None:
    """Explain the flight of the last full day that was most surely late, and replay it."""
    title("One prediction explained, and said again bit by bit")
    day = text(END - timedelta(days=2))[:10]
    chosen = max((each for each in answers if each["asked_at"].startswith(day)), key=lambda each: each["prediction"])
    why = json.loads(command("explain", chosen["prediction_id"], "--json", quiet=True))
    say(f"{why['request']['flight_id']} to {why['request']['dest']}, asked at {why['asked_at'][:16]}:")
    say(
        f"  answered {why['outputs']['late']:.3f}, the mean answer is {why['baseline']['late']:.3f}; what moved it most:"
    )
    for part in sorted(why["contributions"], key=lambda part: -abs(part["late"]))[:5]:
        value = why["features"][part["column"]]
        say(f"    {part['column']:18}{value if isinstance(value, str) else f'{value:.4g}':>8}   {part['late']:+.3f}")
    say(f"  made from {len(why['made_from'])} versions, down to {', '.join(why['made_from'][:2])} and the rows in them")
    say(f"  the truth: {why['truth']}\n")
    command("replay", chosen["prediction_id"])
    command("replay", "--all", "1000")


def compare_policies() -> None:
    title("Which rule for retraining would have paid? The same loop, replayed over eight weeks in a scratch catalog")
    command("run", "late", "--collect", "--environment", "history", now=HISTORY["to"], quiet=True)
    options = [word for name, value in HISTORY.items() for word in (f"--{name}", value)]
    command("simulate", *options, "--environment", "history", now=HISTORY["to"])


def summary(began: float) -> None:
    title("What happened")
    with workspace(environment="production") as production:
        newest = [production[name].version.ref for name in ("flights", "late", "late_flight", "delay_risk", "watch")]
        say(f"In production stand {', '.join(newest)} and what they are made from.")
        say(production["watch"].version.record["decision"]["text"] + ".")
    where, oito = os.path.relpath(FOLDER), os.path.relpath(OITO)
    say(f"That took {(time.monotonic() - began) / 60:.1f} minutes. All of it is kept in {where}. Look around:")
    say(f"  {oito} -C {where} up                  the pages, at http://localhost:8787")
    say(f"  {oito} -C {where} show late_flight    the same in the terminal")
    say(f"  {oito} -C {where} serve               the endpoint, at http://localhost:8000")


def command(*words: str, quiet: bool = False, now: str = "") -> str:
    """Run one command of the terminal in the demo's folder, shown as a person would type it; return what it printed."""
    shown = " ".join(f'"{word}"' if " " in word else word for word in words)
    say(f"$ {f'OITO_NOW={now} ' if now else ''}oito {shown}")
    variables = {**environ(), **({"OITO_NOW": now} if now else {})}
    done = subprocess.run([OITO, "-C", FOLDER, *words], env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"oito {words[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    if not quiet:
        print("\n" + "\n".join(f"    {line}" for line in done.stdout.strip().splitlines()) + "\n", flush=True)
    return done.stdout


@contextmanager
def workspace(**how: Any) -> Iterator[Workspace]:
    opened = Workspace(FOLDER, **how)
    try:
        yield opened
    finally:
        opened.close()


def wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/ready", timeout=5) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"the endpoint did not start:\n{(FOLDER / 'serve.log').read_text()}")


def set_clock(now: datetime) -> None:
    (FOLDER / "oito.toml").write_text(f'now = "{text(now)}"\n')


def environ() -> dict[str, str]:
    """Return the variables for commands; waiting threads that spin would only take turns from each other on a small machine."""
    return {**os.environ, "OMP_WAIT_POLICY": "passive"}


def title(words: str) -> None:
    print(f"\n\033[1m{words}\033[0m" if sys.stdout.isatty() else f"\n== {words}", flush=True)


def say(words: str) -> None:
    print(f"  {words}", flush=True)


if __name__ == "__main__":
    main()
