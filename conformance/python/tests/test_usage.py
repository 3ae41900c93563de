"""What was used (docs/usage.md): exact across crashes for what commits, gathered for reads, as JSON, CSV and a bill."""

import csv
import datetime
import decimal
import io
import re
import subprocess
import time

import oss2
import requests

from millpond_test import media
from millpond_test.accounts import Key, manage, new_user, statement
from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, REGION, create_channel, until_heard, wait_for
from millpond_test.wire import signed_request
from test_live_channel_rules import configuration

ROOT = Key(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
MONTH = time.strftime("%Y-%m", time.gmtime())


def ask(server, path: str, key: Key = ROOT, **query) -> requests.Response:
    request = oss2.http.Request(
        "GET", f"{server.endpoint}/-/api/v1/{path}", params=query, headers={"x-oss-admin": "v1"}, region=REGION, product="oss"
    )
    key.auth("v4")._sign_request(request, "api", f"v1/{path}")
    return requests.get(request.url, params=query, headers=dict(request.headers), timeout=10)


def usage(server, bucket: str, **query) -> "list[dict]":
    answer = ask(server, "usage", bucket=bucket, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()["usage"]


def total(server, bucket: str) -> dict:
    rows = usage(server, bucket)
    assert len(rows) == 1 and rows[0]["window"] == MONTH
    return rows[0]


def stored(row: dict, storage_class: str = "Standard") -> int:
    return int(row["stored"].get(storage_class, {"bytes": "0"})["bytes"])


def listed_bytes(bucket: oss2.Bucket, storage_class: str = "Standard") -> int:
    return sum(one.size for one in oss2.ObjectIterator(bucket) if one.storage_class == storage_class)


def payload_of(data: bytes) -> int:
    """The media in a segment: what its PES packets hold, less delimiters and ADTS heads. As the page says, and written anew."""
    sizes, sound = 0, b""
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        body = packet[4 + (packet[4] + 1 if packet[3] & 0x20 else 0) :] if packet[3] & 0x10 else b""
        if pid not in (0x100, 0x101) or not body:
            continue
        if packet[1] & 0x40:
            body = body[9 + body[8] :]
            if pid == 0x100 and body.startswith(b"\0\0\0\1\x09\xf0"):
                body = body[6:]
        if pid == 0x100:
            sizes += len(body)
        else:
            sound += body
    while len(sound) >= 7:
        length = (sound[3] & 3) << 11 | sound[4] << 3 | sound[5] >> 5
        sizes += len(sound[7:length])
        sound = sound[length:]
    return sizes


def recorded(bucket: oss2.Bucket, channel: str) -> "list[bytes]":
    keys = [one.key for one in oss2.ObjectIterator(bucket, prefix=f"{channel}/") if one.key.endswith(".ts")]
    return [bucket.get_object(key).read() for key in keys]


def test_requests_and_bytes_count_by_class(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    name = bucket.bucket_name
    until_heard()
    before = total(server, name) if usage(server, name) else {}
    bucket.put_object("a", b"12345")
    bucket.put_object("a", b"123")
    bucket.put_object("ia", b"x" * 100, headers={"x-oss-storage-class": "IA"})
    bucket.append_object("log", 0, b"one")
    bucket.append_object("log", 3, b"three")
    bucket.copy_object(name, "ia", "copy")
    upload = bucket.init_multipart_upload("big").upload_id
    part = bucket.upload_part("big", upload, 1, b"p" * 200_000)
    bucket.complete_multipart_upload("big", upload, [oss2.models.PartInfo(1, part.etag)])
    bucket.delete_object("a")
    assert bucket.get_object("log").read() == b"onethree"
    assert bucket.object_exists("nothing") is False
    until_heard()
    row = total(server, name)
    assert row["upload_bytes"] == 5 + 3 + 100 + 8 + 200_000
    assert (stored(row), stored(row, "IA")) == (listed_bytes(bucket), listed_bytes(bucket, "IA")) == (8 + 100 + 200_000, 100)
    counted = {name: row[name] - before.get(name, 0) for name in ("write_requests", "read_requests")}
    # Two puts, one with a class, two appends, a copy, three of the upload, a deletion. A read, and a look for nothing.
    assert counted["write_requests"] == 10
    assert counted["read_requests"] >= 2
    assert row["outgoing_bytes"] >= 8
    # One more read is seen at once, to the byte.
    bucket.get_object("big").read()
    until_heard()
    assert total(server, name)["outgoing_bytes"] - row["outgoing_bytes"] >= 200_000


def test_channels_count_by_what_was_carried_out(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    name = bucket.bucket_name
    for method, key, query, body, status in (
        ("PUT", "chan", "live", configuration(), 200),
        ("PUT", "chan", "live", configuration(), 200),
        ("PUT", "chan", "live&status=disabled", b"", 200),
        ("PUT", "nothing", "live&status=disabled", b"", 404),
        ("GET", "", "live", b"", 200),
        ("GET", "chan", "live&comp=stat", b"", 200),
        ("GET", "nothing", "live", b"", 404),
        ("POST", "chan/v.m3u8", "vod&startTime=1&endTime=1", b"", 400),
        ("DELETE", "chan", "live", b"", 204),
    ):
        assert signed_request(server, method, name, key, query, body).status_code == status, (method, key, query)
    until_heard()
    row = total(server, name)
    shown = {meter: row[meter] for meter in ("channel_creations", "status_changes", "vod_playlists", "standard_requests")}
    assert shown == {"channel_creations": 2, "status_changes": 1, "vod_playlists": 0, "standard_requests": 6}
    by_channel = {row.get("channel", ""): row for row in usage(server, name, group="channel")}
    assert by_channel["chan"]["channel_creations"] == 2
    # What was not found makes no rows of its own.
    assert set(by_channel) == {"", "chan"}


def test_pushes_are_exact_across_kill_9(fresh_server, short_source):
    server = fresh_server()
    bucket = server.new_bucket(oss2.BUCKET_ACL_PUBLIC_READ)
    name = bucket.bucket_name
    create_channel(bucket, frag_duration=1)
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    with media.Push(short_source.path, server.on_rtmp_port(url), loop=True) as push:
        wait_for(lambda: len(recorded(bucket, "test-channel")) >= 2, "two segments")
        time.sleep(1.2)
        server.kill()
        push.kill()
    server.start()
    bucket = server.bucket(name)
    segments = recorded(bucket, "test-channel")
    row = total(server, name)
    assert row["ingest_bytes"] == sum(map(payload_of, segments)) > 0
    assert row["streaming_minutes"] == 1
    assert stored(row) == listed_bytes(bucket)
    # A return within the reconnect window goes on with the same minute, also after a crash.
    url = bucket.sign_rtmp_url("test-channel", "playlist.m3u8", 3600)
    media.push_file(short_source.path, server.on_rtmp_port(url))
    wait_for(lambda: bucket.get_live_channel_stat("test-channel").status == "Idle", "idle")
    row = total(server, name)
    assert row["ingest_bytes"] == sum(map(payload_of, recorded(bucket, "test-channel")))
    assert row["streaming_minutes"] == 1
    # What a push stored counts after its channel is gone, until it is deleted.
    bucket.delete_live_channel("test-channel")
    assert stored(total(server, name)) == listed_bytes(bucket) > 0
    bucket.batch_delete_objects([one.key for one in oss2.ObjectIterator(bucket)])
    assert stored(total(server, name)) == 0
    assert server.stop() == 0
    assert server.findings().returncode == 0
    server.start()
    assert total(server, name)["ingest_bytes"] == row["ingest_bytes"]


def test_what_was_gathered_survives_a_stop_and_is_never_invented_by_a_crash(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    name = bucket.bucket_name
    bucket.put_object("a", b"x" * 1000)
    for _ in range(5):
        bucket.get_object("a").read()
    assert server.stop() == 0
    server.start()
    bucket = server.bucket(name)
    row = total(server, name)
    assert row["read_requests"] == 5 and row["outgoing_bytes"] >= 5000
    for _ in range(5):
        bucket.get_object("a").read()
    server.kill()
    server.start()
    after = total(server, name)
    assert row["read_requests"] <= after["read_requests"] <= row["read_requests"] + 5
    assert row["outgoing_bytes"] <= after["outgoing_bytes"] <= row["outgoing_bytes"] + 5000
    assert (after["upload_bytes"], stored(after)) == (1000, 1000)


def test_lifecycle_takes_from_what_is_stored(fresh_server):
    server = fresh_server(settings="[storage]\nlifecycle_interval_s = 1\n")
    bucket = server.new_bucket()
    bucket.put_object("old/a", b"x" * 1000)
    bucket.put_object("new", b"x" * 10)
    expiration = oss2.models.LifecycleExpiration(created_before_date=datetime.date(2099, 1, 1))
    rule = oss2.models.LifecycleRule("old", "old/", status="Enabled", expiration=expiration)
    bucket.put_bucket_lifecycle(oss2.models.BucketLifecycle([rule]))
    wait_for(lambda: listed_bytes(bucket) == 10, "the rule", 30)
    assert stored(total(server, bucket.bucket_name)) == 10


def test_who_may_ask_for_what(fresh_server):
    server = fresh_server()
    bucket, other = server.new_bucket(), server.new_bucket()
    name = bucket.bucket_name
    bucket.put_object("a", b"12345")
    user = new_user(server)
    key = user.key()
    assert ask(server, "usage", key).status_code == 403
    assert ask(server, "usage", key, bucket=name).status_code == 403
    assert ask(server, f"buckets/{name}/usage", key).status_code == 403
    user.allow("stat", statement("Allow", "oss:GetBucketStat", f"acs:oss:*:*:{name}"))
    assert ask(server, "usage", key).status_code == 403
    assert ask(server, "usage", key, bucket=other.bucket_name).status_code == 403
    assert ask(server, f"buckets/{other.bucket_name}/usage", key).status_code == 403
    [row] = ask(server, "usage", key, bucket=name).json()["usage"]
    assert row["upload_bytes"] == 5
    assert ask(server, "usage", Key(key.id, "wrong"), bucket=name).status_code == 403
    # All buckets, for the account only.
    rows = ask(server, "usage", group="bucket,user").json()["usage"]
    mine = [row for row in rows if row.get("bucket") == name and row.get("user")]
    assert [row["upload_bytes"] for row in mine if row["upload_bytes"]] == [5]
    for query in ({"month": "2026-13"}, {"step": "day"}, {"group": "owner"}, {"from": "2026-02-02", "to": "2026-01-01"}, {"format": "xml"}):
        assert ask(server, "usage", **query).status_code == 400, query
    assert ask(server, "usage", **{"from": "2020-01-01", "to": "2026-01-01", "step": "hour"}).status_code == 400


def test_hours_months_and_the_page_of_a_bucket(fresh_server):
    server = fresh_server()
    bucket = server.new_bucket()
    name = bucket.bucket_name
    bucket.put_object("a", b"x" * 1234)
    bucket.get_object("a").read()
    until_heard()
    month, hours = total(server, name), usage(server, name, step="hour")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:00Z", hours[0]["window"])
    for meter in ("upload_bytes", "write_requests", "read_requests", "outgoing_bytes"):
        assert sum(hour[meter] for hour in hours) == month[meter] > 0
    assert stored(hours[-1]) == stored(month) == 1234
    page = ask(server, f"buckets/{name}/usage").json()
    today, this_month = page["days"][-1], page["months"][-1]
    assert (today["day"], this_month["month"]) == (time.strftime("%Y-%m-%d", time.gmtime()), MONTH)
    assert len(page["days"]) == 30
    figures = {key: value for key, value in this_month.items() if key != "month"}
    assert figures == {
        "storage_bytes": 1234, "received_bytes": 1234, "sent_bytes": month["outgoing_bytes"], "ingest_minutes": 0,
        "requests": month["write_requests"] + month["read_requests"] + month["standard_requests"],
    }
    bill = page["bill"]
    assert bill["month"] == MONTH
    assert all(line["formula"] and line["item"] for line in bill["lines"])
    assert sum(decimal.Decimal(line["amount"]) for line in bill["lines"]) == decimal.Decimal(bill["total"])
    rows = list(csv.DictReader(io.StringIO(ask(server, "usage", bucket=name, format="csv").text)))
    assert [(row["window"], row["upload_bytes"], row["stored_bytes_Standard"]) for row in rows] == [(MONTH, "1234", "1234")]


def test_the_bill(fresh_server, tmp_path):
    server = fresh_server()
    bucket = server.new_bucket()
    for number in range(3):
        create_channel(bucket, f"chan-{number}")
    prices = tmp_path / "prices.toml"
    prices.write_text('currency = "CNY"\n[price]\nchannel_creation = "0.5"\n[free]\nchannel_creations = 1\n')
    bill = manage(server, "usage", "--month", MONTH, "--prices", str(prices))
    line = next(line for line in bill["lines"] if line["item"] == "LiveChannel creation")
    assert (line["quantity"], line["free"], line["amount"]) == ("3", "1", "1.000000")
    assert bill["currency"] == "CNY"
    command = [str(BINARY), "usage", "--admin", f"http://{server.admin_address}"]
    run = lambda *more: subprocess.run([*command, *more], capture_output=True, text=True, env=server.keys(), timeout=30)
    table = run("--prices", str(prices)).stdout
    assert f"Usage of {MONTH}" in table and "(3 - 1 free) x 0.5" in table and "1.000000 CNY" in table
    # The published table is the default: its free amount covers three channels.
    assert "LiveChannel creation" in run().stdout and "0.050000" not in run().stdout
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv").stdout)))
    assert rows[0]["quantity"] == "3" and rows[-1]["item"] == "total"
    rows = list(csv.DictReader(io.StringIO(run("--rows", "bucket,channel", "--format", "csv").stdout)))
    assert sum(int(row["channel_creations"]) for row in rows) == 3
    prices.write_text("[price]\nunknown = 1\n")
    refused = run("--prices", str(prices))
    assert refused.returncode != 0 and "no table of prices" in refused.stderr
    assert run("--month", "2026").returncode != 0
