"""What the records of the load say of one run."""

import collections
import socket
import struct

RECORD = struct.Struct("<QIIHBB")
KINDS = ("REGISTER", "INVITE", "BYE")
SLOW_MS = 50        # nothing faster is called slow by anybody
BIN_S = 0.25
HOME_SHARE = 0.95
SMALL_SHARE = 0.10

Request = collections.namedtuple("Request", "start latency server status kind repeats")


def read(path):
    """All requests, in seconds, in order of their start."""
    found = []
    for start, latency, server, status, kind, repeats in RECORD.iter_unpack(path.read_bytes()):
        where = socket.inet_ntoa(struct.pack("=I", server)) if server else ""
        found.append(Request(start / 1e6, latency / 1e6, where, status, KINDS[kind], repeats))
    return sorted(found)


def percentile(requests, part):
    """In milliseconds; None without requests."""
    values = sorted(request.latency for request in requests)
    return values[min(int(len(values) * part), len(values) - 1)] * 1000 if values else None


def slowest(requests):
    return percentile(requests, 1.0)


def lost(requests):
    return [request for request in requests if request.status != 200]


def outcomes(requests):
    """"2 INVITE 503, 1 BYE unanswered"."""
    counts = collections.Counter((request.kind, request.status or "unanswered")
                                 for request in lost(requests))
    return ", ".join(f"{count} {kind} {status}" for (kind, status), count in counts.items())


def between(requests, begin, end):
    return [request for request in requests if begin <= request.start < end]


def caught(requests, fault, detected, end):
    """Under way at some moment between the fault and its detection; or begun while it lasted and slower
    than whatever came before it."""
    limit = max((request.latency for request in requests if request.start + request.latency < fault),
                default=0)
    limit = max(limit, SLOW_MS / 1000)
    return [request for request in requests if request.start < end and (
        (request.start <= detected and request.start + request.latency >= fault) or
        (request.start >= fault and request.latency > limit))]


def normal_again(requests, fault, end):
    """Seconds from the fault to the start of the last slow request; None: there was none."""
    late = [request.start for request in between(requests, fault, end)
            if request.latency * 1000 > SLOW_MS]
    return max(late) - fault if late else None


def shares(requests, begin, end, servers):
    """[(seconds since begin, share of these servers)] in bins, of REGISTERs answered with 200."""
    bins = collections.defaultdict(lambda: [0, 0])
    for request in between(requests, begin, end):
        if request.server:
            of = bins[int((request.start - begin) / BIN_S)]
            of[0] += request.server in servers
            of[1] += 1
    return [(number * BIN_S, mine / every) for number, (mine, every) in sorted(bins.items())]


def stays(found, good):
    """Seconds until the shares are good and stay so; None: they never do. A bin in twenty may stray."""
    since, strays = None, 0
    for when, share in found:
        if good(share):
            since = when if since is None else since
            continue
        strays += 1
        if strays > max(len(found) // 20, 1) or share_is_far(share, good):
            since, strays = None, 0
    return since


def share_is_far(share, good):
    return not good(share + 0.1) and not good(share - 0.1)


def home(requests, begin, end, servers):
    return stays(shares(requests, begin, end, servers), lambda share: share >= HOME_SHARE)


def left(requests, begin, end, server):
    return stays(shares(requests, begin, end, [server]), lambda share: share < SMALL_SHARE)
