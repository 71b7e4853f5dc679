#!/usr/bin/env python3
"""Breaks forebay.rules.yml in one place at a time and asks promtool whether the tests notice.

    alerts/mutate.py [RULE...]     all rules, or those of these names; exits with 1 below 95 % (--goal)

Needs promtool and nothing else. It reads the rules as text, as they are laid out here: one `- alert:` or `- record:`
per rule, every `and`, `or`, `unless` and every continued operator at the beginning of a line. A mutant that promtool
refuses to load proves nothing and is not counted; one that nobody can tell from the original is listed below, with the
reason.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))

# (rule, change): why nobody can tell the difference.
EQUIVALENT = {
    ("ForebayPipelineStalled", "sum to max"): "of counts, the sum is above 0 exactly when the largest is",
    ("ForebayWatcherUnhealthy", "sum to max"): "the matchers leave one series per instance",
    ("ForebayOldestPendingTooOld", "+ to -"): "what is added is 0: the others stand before `or`",
    ("ForebaySchemaDrift", "1h times 2"): "the hour before the last one is part of the days that make it known",
    ("instance_pipeline:forebay_pipeline_info:first_timestamp", "min_over_time to max_over_time"): "it never changes",
}

COMPARISONS = {">": [">=", "<"], "<": ["<=", ">"], ">=": [">", "<"], "<=": ["<", ">"], "==": ["!="], "!=": ["==", ">"]}
WORDS = {"and": ["unless"], "unless": ["and"], "or": ["and"]}
FUNCTIONS = {
    "max_over_time": ["min_over_time"], "min_over_time": ["max_over_time"], "last_over_time": ["count_over_time"],
    "avg_over_time": ["max_over_time", "min_over_time"], "present_over_time": ["absent_over_time"],
    "increase": ["delta"], "changes": ["resets"], "sum": ["max"], "clamp_min": ["clamp_max"], "timestamp": ["abs"],
}
SEVERITIES = {"critical": "warning", "warning": "info", "none": "info"}
UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rule:
    """One rule: its kind and name, its whole text, and the lines of it that decide."""

    def __init__(self, text):
        self.text = text
        self.kind, self.name = re.search(r"- (alert|record): (\S+)", text).groups()

    def decides(self):
        """Returns the part of the text that mutants are made of: everything but names and annotations."""
        start = self.text.index("        expr:")
        end = self.text.find("        annotations:")
        return start, end if end > 0 else len(self.text)


def read(path):
    """Returns the rules of a file."""
    with open(path, encoding="utf-8") as file:
        text = "".join(line for line in file if not line.lstrip().startswith("#"))
    parts = re.split(r"(?m)^(?=      - (?:alert|record): |  - name: )", text)
    return [Rule(part) for part in parts if part.startswith("      - ")]


def document(rules):
    """Returns a rule file with these rules in one group."""
    texts = (rule if isinstance(rule, str) else rule.text for rule in rules)
    return "groups:\n  - name: mutant\n    rules:\n" + "".join(texts)


def times(duration, factor):
    """Returns a duration times a factor, in milliseconds."""
    return f"{int(int(duration[:-1]) * UNIT[duration[-1]] * 1000 * factor)}ms"


def changes(region):
    """Yields (what, start, end, replacement) for every small change of a rule's deciding text."""
    strings = [match.span() for match in re.finditer(r'"[^"]*"', region)]
    plain = lambda match: not any(start < match.end() and match.start() < end for start, end in strings)
    expr_end = re.search(r"(?m)^        (?:for|keep_firing_for|labels):|\Z", region).start()
    in_expr = lambda pattern: (m for m in re.finditer(pattern, region[:expr_end]) if plain(m))

    for match in in_expr(r"(?<= )(>=|<=|==|!=|>|<)(?= )"):
        for other in COMPARISONS[match[1]]:
            yield f"{match[1]} to {other}", *match.span(1), other
    for match in in_expr(r"(?<![\w.:\[])\d+(?:\.\d+)?(?![\w.:\]])"):
        if region[:match.start()].endswith(("* ", "vector(")):
            continue
        value = float(match[0])
        for other in [1.0] if value == 0 else [value * 2, value / 2]:
            yield f"{match[0]} to {other:g}", *match.span(), f"{other:g}"
    for match in in_expr(r"(\[|offset )(\d+[smhd])"):
        for factor in (2, 0.5):
            yield f"{match[0].lstrip('[')} times {factor}", *match.span(2), times(match[2], factor)
    for match in in_expr(r"\b(and|or|unless)\b"):
        for other in WORDS[match[1]]:
            yield f"{match[1]} to {other}", *match.span(1), other
    for match in in_expr(r"\b(\w+)(?= ?\(| without)"):
        for other in FUNCTIONS.get(match[1], []):
            yield f"{match[1]} to {other}", *match.span(1), other
    for match in in_expr(r"(?<= )([-+/])(?= )"):
        other = {"-": "+", "+": "-", "/": "*"}[match[1]]
        yield f"{match[1]} to {other}", *match.span(1), other
    for match in in_expr(r"on \(job, instance\)"):
        yield "join on job alone", *match.span(), "on (job)"
    for match in in_expr(r" without \(([^)]*)\)"):
        yield f"by ({match[1]}) instead of without", *match.span(), f" by ({match[1]})"
    # A line that begins with an operator, with what hangs below it.
    for line in re.finditer(r"(?m)^ +(?=(?:and|or|unless|[-+/<>]) )", region[:expr_end]):
        match = re.compile(rf".*\n(?:{line[0]} +.*\n)*").match(region, line.start(), expr_end)
        yield f"without {match[0].strip().splitlines()[0]}", *match.span(), ""
    if 'job="forebay"' in region:
        yield "any job", 0, len(region), re.sub(r'job="forebay"(?:, )?', "", region)
    for match in re.finditer(r', (\w+)(=~?)("[^"]*")', region[:expr_end]):
        yield f"any {match[1]}", *match.span(), ""
        yield f"{match[1]} not {match[3]}", *match.span(2), match[2].replace("=~", "!~") if "~" in match[2] else "!="
    for match in re.finditer(r"(?m)^        (for|keep_firing_for): (\S+)\n", region):
        yield f"no {match[1]}", *match.span(), ""
        for factor in (2, 0.5):
            yield f"{match[1]} {match[2]} times {factor}", *match.span(2), times(match[2], factor)
    for match in re.finditer(r"severity: (\w+)", region):
        yield f"severity {match[1]} to {SEVERITIES[match[1]]}", *match.span(1), SEVERITIES[match[1]]


def mutants(rule):
    """Yields (what, text) for every mutant of a rule."""
    start, end = rule.decides()
    region = rule.text[start:end]
    for what, a, b, new in changes(region):
        yield what, rule.text[:start] + region[:a] + new + region[b:] + rule.text[end:]


def uses(rule, name):
    """Returns whether a rule reads what the record `name` writes; one that reads itself does not count."""
    return rule.name != name and re.search(rf"(?<![\w:]){re.escape(name)}(?![\w:])", rule.text[rule.decides()[0]:])


def users(rule, rules):
    """Returns the names of the alerts that depend on a rule, itself included."""
    if rule.kind == "alert":
        return {rule.name}
    return set().union(*(users(other, rules) for other in rules if uses(other, rule.name)), {rule.name})


def needs(names, rules):
    """Returns the rules of these names and all they read, in the order of the file."""
    while True:
        kept = [rule for rule in rules if rule.name in names]
        read_too = {rule.name for rule in rules if any(uses(one, rule.name) for one in kept)}
        if read_too <= names:
            return kept
        names = names | read_too


def run(folder, *command):
    """Returns whether a promtool command is content."""
    return subprocess.run(["promtool", *command], cwd=folder, capture_output=True, check=False).returncode == 0


class Bench:
    """A copy of the tests beside a rule file of our own."""

    def __init__(self, folder, tests):
        self.folder = folder
        self.rules = os.path.join(folder, "forebay.rules.yml")
        os.mkdir(os.path.join(folder, "tests"))
        self.tests = {}
        for name in sorted(os.listdir(tests)):
            with open(os.path.join(tests, name), encoding="utf-8") as file:
                self.tests[name] = file.read()
            with open(os.path.join(folder, "tests", name), "w", encoding="utf-8") as file:
                file.write(self.tests[name])

    def tests_of(self, names):
        """Returns the test files that ask for one of these alerts or records."""
        asked = [name if ":" in name else f'alertname="{name}"' for name in names]
        return [f"tests/{test}" for test, text in self.tests.items() if any(ask in text for ask in asked)]

    def load(self, text):
        """Returns whether promtool takes this text as rules."""
        with open(self.rules, "w", encoding="utf-8") as file:
            file.write(text)
        return run(self.folder, "check", "rules", self.rules)

    def passes(self, tests):
        """Returns whether the tests pass, one after the other until one does not."""
        return all(run(self.folder, "test", "rules", test) for test in tests)


def judge(rule, rules, bench):
    """Returns (killed, survivors, equivalent) of one rule."""
    affected = users(rule, rules)
    kept = needs(affected, rules)
    tests = bench.tests_of(affected)
    if not (tests and bench.load(document(kept)) and bench.passes(tests)):
        sys.exit(f"{rule.name}: the tests of the rule as it is do not pass")
    killed, survivors, equivalent = 0, [], 0
    for what, text in mutants(rule):
        if not bench.load(document([text if other is rule else other for other in kept])):
            continue
        if not bench.passes(tests):
            killed += 1
        elif (rule.name, what) in EQUIVALENT:
            equivalent += 1
        else:
            survivors.append(what)
    return killed, survivors, equivalent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rule", nargs="*", help="names of alerts or records; default: all")
    parser.add_argument("--goal", type=float, default=95, help="percent that must be noticed")
    args = parser.parse_args()
    rules = read(os.path.join(HERE, "forebay.rules.yml"))
    chosen = [rule for rule in rules if not args.rule or rule.name in args.rule]
    if len({rule.name for rule in chosen}) < len(set(args.rule)):
        parser.error("no such rule")
    killed = total = excused = 0
    with tempfile.TemporaryDirectory(prefix="forebay-mutate-") as folder:
        bench = Bench(folder, os.path.join(HERE, "tests"))
        for rule in chosen:
            noticed, survivors, equivalent = judge(rule, rules, bench)
            killed, total, excused = killed + noticed, total + noticed + len(survivors), excused + equivalent
            print(f"{rule.name}: {noticed} of {noticed + len(survivors)}", flush=True)
            for what in survivors:
                print(f"  survives: {what}", flush=True)
    score = 100 * killed / total if total else 100
    print(f"{killed} of {total} mutants were noticed: {score:.1f} % ({excused} more cannot be told from the original)")
    sys.exit(score < args.goal)


if __name__ == "__main__":
    main()
