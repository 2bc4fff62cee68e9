#!/usr/bin/env python3
"""Makes utc.txt and zones.txt: random recurrence rules and what python-dateutil says of them.

    pip install python-dateutil==4.0.0 && python3 make.py

A line is DTSTART, the zone, RRULE, then "|" and the first occurrences, then "|", an instant, and the occurrences after it;
occurrences and instants are seconds after DTSTART (utc.txt) or seconds since 1970 (zones.txt). "end" says that there is
no further one. The seed is fixed: the same versions make the same files.

Left out is what dateutil and RFC 5545 disagree about, or what the RFC forbids and dateutil takes:
  - BYDAY with numbers and without them in one rule: dateutil wants a day to be both, the RFC either;
  - BYWEEKNO without BYDAY: dateutil takes all seven days, the RFC that of DTSTART; and BYWEEKNO below 0, which dateutil
    forgets at the turn of the year;
  - BYSETPOS of a week that DTSTART cuts: dateutil counts from DTSTART, the RFC from the beginning of the week.
"""
import datetime as dt
import pathlib
import random
import signal
import zoneinfo

from dateutil.rrule import rrulestr

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
ZONES = ["Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago", "Africa/Cairo",
         "Pacific/Apia", "Asia/Tokyo", "America/St_Johns", "Europe/Moscow"]
EPOCH = dt.datetime(1970, 1, 1)


def some(rnd, low, high, most, signed=False):
    values = {rnd.randint(low, high) for _ in range(rnd.randint(1, most))}
    if signed:
        values = {-v if rnd.random() < 0.3 else v for v in values}
    return ",".join(str(v) for v in sorted(values))


def rule(rnd, start):
    freq = rnd.choice(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY"])
    parts, by = ["FREQ=" + freq], False
    if rnd.random() < 0.5:
        parts.append("INTERVAL=%d" % rnd.choice([2, 3, 4, 5, 7, 10, 12, 13, 15, 20, 24, 30, 45, 90, 100]))
    wkst = 0
    if rnd.random() < 0.2:
        wkst = rnd.randrange(7)
        parts.append("WKST=" + DAYS[wkst])

    def add(part):
        nonlocal by
        parts.append(part)
        by = True

    if rnd.random() < 0.3:
        add("BYMONTH=" + some(rnd, 1, 12, 4))
    weekno = freq == "YEARLY" and rnd.random() < 0.15
    if weekno:
        add("BYWEEKNO=" + some(rnd, 1, 53, 4))
    if freq != "WEEKLY" and rnd.random() < 0.25:
        add("BYMONTHDAY=" + some(rnd, 1, 31, 5, True))
    if freq not in ("MONTHLY", "WEEKLY", "DAILY") and rnd.random() < 0.15:
        add("BYYEARDAY=" + some(rnd, 1, 366, 20, True))
    if weekno or rnd.random() < 0.35:
        days = rnd.sample(DAYS, rnd.randint(1, 4))
        if freq in ("YEARLY", "MONTHLY") and not weekno and rnd.random() < 0.5:
            most = 5 if freq == "MONTHLY" or any(p.startswith("BYMONTH=") for p in parts) else 53
            days = ["%d%s" % (rnd.choice([1, -1]) * rnd.randint(1, most), d) for d in days]
        add("BYDAY=" + ",".join(days))
    if rnd.random() < 0.25:
        add("BYHOUR=" + some(rnd, 0, 23, 4))
    if rnd.random() < 0.25:
        add("BYMINUTE=" + some(rnd, 0, 59, 4))
    if rnd.random() < 0.2:
        add("BYSECOND=" + some(rnd, 0, 59, 4))
    if by and rnd.random() < 0.3 and not (freq == "WEEKLY" and start.weekday() != wkst):
        parts.append("BYSETPOS=" + some(rnd, 1, 4 if freq != "YEARLY" else 40, 3, True))
    return parts


class Slow(Exception):
    pass


def slow(*_):
    raise Slow


signal.signal(signal.SIGALRM, slow)


def begin(rnd):
    return dt.datetime(rnd.randint(1990, 2030), 1, 1) + dt.timedelta(days=rnd.randrange(365), seconds=rnd.choice([0, 9 * 3600, rnd.randrange(86400)]))


def times(occurrences, limit):
    out = []
    for t in occurrences:
        if len(out) == limit:
            return out
        if t.year > 2200:  # dateutil looks no further than the year 9999; so far need no vector go
            raise Slow
        out.append(t)
    return out + ["end"]


def make(rnd, zone):
    start = begin(rnd)
    parts = rule(rnd, start)
    tz = zoneinfo.ZoneInfo(zone)
    ends = rnd.random()
    probe = start + dt.timedelta(seconds=int(10 ** rnd.uniform(1, 8.3)))
    text_parts, naive_parts = list(parts), list(parts)
    if ends < 0.2:
        text_parts.append("COUNT=%d" % rnd.randint(1, 60))
        naive_parts = text_parts
    elif ends < 0.4:
        until = start + dt.timedelta(seconds=int(10 ** rnd.uniform(3, 8.5)))
        naive_parts.append("UNTIL=" + until.strftime("%Y%m%dT%H%M%S"))
        instant = until.replace(tzinfo=tz).astimezone(dt.timezone.utc)
        text_parts.append("UNTIL=" + instant.strftime("%Y%m%dT%H%M%SZ"))
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        r = rrulestr("DTSTART:%s\nRRULE:%s" % (start.strftime("%Y%m%dT%H%M%S"), ";".join(naive_parts)))
        first, later = times(iter(r), 6), times(r.xafter(probe), 4)
    except (Slow, ValueError):
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return start, tz, ";".join(text_parts), first, probe, later


def seconds_since(start):
    return lambda t: t if t == "end" else str(int((t - start).total_seconds()))


def in_zone(tz):
    """Seconds since 1970, or None within two days of a change of the offset."""
    def write(t):
        if t == "end":
            return t
        around = {(t + dt.timedelta(hours=h)).replace(tzinfo=tz).utcoffset() for h in (-48, -24, 0, 24, 48)}
        return str(int(t.replace(tzinfo=tz).timestamp())) if len(around) == 1 else None
    return write


def file(name, count, zones, seed):
    rnd = random.Random(seed)
    lines = []
    while len(lines) < count:
        zone = rnd.choice(zones)
        made = make(rnd, zone)
        if made is None:
            continue
        start, tz, text, first, probe, later = made
        write = seconds_since(start) if zones == ["UTC"] else in_zone(tz)
        fields = [write(t) for t in first], [write(probe)], [write(t) for t in later]
        if None in sum(fields, []) or "UNTIL" in text and in_zone(tz)(start) is None:
            continue
        lines.append("%s %s %s | %s | %s %s" % (start.strftime("%Y%m%dT%H%M%S"), zone, text, " ".join(fields[0]), fields[1][0], " ".join(fields[2])))
    pathlib.Path(__file__).with_name(name).write_text("\n".join(lines) + "\n")


file("utc.txt", 2000, ["UTC"], 5545)
file("zones.txt", 500, ZONES, 2445)
