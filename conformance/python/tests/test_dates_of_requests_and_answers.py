"""Dates: the three forms of HTTP are read wherever a date is read, and the `Date` of an answer is the time of the answer."""

import calendar
import time
from email.utils import parsedate

import oss2
import pytest

from millpond_test import raw
from millpond_test.raw import Connection

RFC1123, RFC850, ASCTIME = "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"
FORMS = {"rfc1123": RFC1123, "rfc850": RFC850, "rfc850 utc": "%A, %d-%b-%y %H:%M:%S UTC", "asctime": ASCTIME}
HOUR, YEAR = 3600, 365.25 * 86_400


@pytest.fixture
def bucket(server):
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    bucket.put_object("key", b"x")
    return bucket


def written(form: str, ahead_s: float) -> str:
    return time.strftime(form, time.gmtime(time.time() + ahead_s))


# Two digits of a year mean the one that is at most fifty years ahead (RFC 9110 5.6.7), so a date far ahead is one of the past
# only in the form that leaves its century out.
AHEAD = [(form, HOUR) for form in FORMS.values()] + [(RFC850, 10 * YEAR), (RFC850, 48 * YEAR), (RFC1123, 60 * YEAR)]
BEHIND = [(form, -HOUR) for form in FORMS.values()] + [(RFC850, -10 * YEAR), (RFC850, -40 * YEAR), (RFC850, 52 * YEAR)]


def test_every_form_is_read_by_conditions(server, bucket):
    path = f"{bucket.bucket_name}/key"
    status = lambda name, value: server.get(path, headers={name: value}).status_code  # noqa: E731
    for form, ahead_s in AHEAD:
        date = written(form, ahead_s)
        assert (status("If-Modified-Since", date), status("If-Unmodified-Since", date)) == (304, 200), date
    for form, ahead_s in BEHIND:
        date = written(form, ahead_s)
        assert (status("If-Modified-Since", date), status("If-Unmodified-Since", date)) == (200, 412), date


def test_every_form_is_read_by_copies(bucket):
    def status(name, value):
        try:
            return bucket.copy_object(bucket.bucket_name, "key", "to", headers={f"x-oss-copy-source-if-{name}": value}).status
        except oss2.exceptions.OssError as error:
            return error.status

    for form, ahead_s in AHEAD:
        date = written(form, ahead_s)
        assert (status("modified-since", date), status("unmodified-since", date)) == (304, 200), date
    for form, ahead_s in BEHIND:
        date = written(form, ahead_s)
        assert (status("modified-since", date), status("unmodified-since", date)) == (200, 412), date


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_by_signatures(server, form):
    bucket = server.new_bucket()
    bucket.put_object("key", b"x")
    path = f"/{bucket.bucket_name}/key".encode()
    for ahead_s, expected in ((0, (200, "")), (-HOUR, (403, "RequestTimeTooSkewed"))):
        date = written(FORMS[form], ahead_s)
        assert raw.ask(server, raw.head("GET", path, path, {"Date": date})).seen == expected, date
        # Python signs the same text in both places.
        in_both = {"Date": date, "x-oss-date": date}
        assert raw.ask(server, raw.head("GET", path, path, in_both)).seen == expected, date


def date_of(answer) -> int:
    return calendar.timegm(parsedate(answer.headers["Date"]))


def test_the_date_is_that_of_the_answer(server, bucket):
    """An upload takes as long as it takes; a client that sets its clock by the answer must not be wrong by that."""
    path = f"/{bucket.bucket_name}/key".encode()
    with Connection(server) as connection:
        connection.send(raw.head("PUT", path, path, {"Content-Length": "2"}) + b"x")
        time.sleep(3.2)
        sent_at = int(time.time())
        answer = connection.send(b"y").answer("PUT")
    assert answer.status == 200
    assert date_of(answer) >= sent_at
    modified = bucket.head_object("key").headers["Last-Modified"]
    assert calendar.timegm(parsedate(modified)) <= date_of(answer), "nothing is written after its answer"
    # Refusals as well: the digest is that of other bytes, which shows at the end.
    wrong = {"Content-Length": "2", "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    with Connection(server) as connection:
        connection.send(raw.head("PUT", path, path, wrong) + b"x")
        time.sleep(3.2)
        sent_at = int(time.time())
        answer = connection.send(b"y").answer("PUT")
    assert answer.seen == (400, "InvalidDigest") and date_of(answer) >= sent_at
