"""Writes the named seeds in fuzz/corpus: pieces of the recorded pushes, and hand-made inputs in the form each target reads."""

import struct
from pathlib import Path

HERE = Path(__file__).resolve().parent
CAPTURES = HERE.parent / "crates" / "media" / "testdata"
HANDSHAKE = 1 + 2 * 1536
ROOM = 7000


def write(target: str, name: str, data: bytes) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def rtmp_session() -> None:
    for path in sorted(CAPTURES.glob("*.c2s")):
        data = path.read_bytes()
        # An even first byte: the capture's own handshake is part of it. An odd one: the target puts one in front.
        write("rtmp_session", f"{path.stem}-whole", b"\x00" + data[: HANDSHAKE + 2000])
        write("rtmp_session", f"{path.stem}-after-handshake", b"\x01" + data[HANDSHAKE : HANDSHAKE + ROOM])
        write("rtmp_session", f"{path.stem}-refused", b"\x03" + data[HANDSHAKE : HANDSHAKE + 1500])
    chunk = lambda fmt, csid, rest: bytes([fmt << 6 | csid]) + rest  # noqa: E731
    header = lambda ts, size, kind, stream: ts.to_bytes(3, "big") + size.to_bytes(3, "big") + bytes([kind]) + struct.pack("<I", stream)  # noqa: E731
    write("rtmp_session", "chunk-size-1", b"\x01" + chunk(0, 2, header(0, 4, 1, 0)) + struct.pack(">I", 1) + chunk(0, 4, header(0, 2, 8, 1)) + b"\xaf\xc4\x01")
    write("rtmp_session", "extended-timestamp", b"\x01" + chunk(0, 4, header(0xFFFFFF, 2, 8, 1)) + struct.pack(">I", 0x01000000) + b"\xaf\x01")
    write("rtmp_session", "declares-16-megabytes", b"\x01" + chunk(0, 6, header(0, 0xFFFFFF, 9, 1)) + b"\x17" * 128)
    write("rtmp_session", "abort", b"\x01" + chunk(0, 6, header(0, 300, 9, 1)) + b"\x17" * 128 + chunk(0, 2, header(0, 4, 2, 0)) + struct.pack(">I", 6))
    sub = bytes([8]) + (2).to_bytes(3, "big") + bytes(7) + b"\xaf\x01" + struct.pack(">I", 13)
    write("rtmp_session", "aggregate", b"\x01" + chunk(0, 6, header(0, len(sub), 22, 1)) + sub)
    write("rtmp_session", "large-chunk-stream-id", b"\x01" + bytes([1, 0xFF, 0xFF]) + header(0, 1, 8, 1) + b"\xaf")


def messages(data: bytes):
    """The messages of a capture that uses one chunk size at a time and no extended timestamps: enough for seeds."""
    position, size = HANDSHAKE, 128
    state = {}
    while position < len(data):
        fmt, csid = data[position] >> 6, data[position] & 63
        position += 1
        if csid == 0:
            csid, position = 64 + data[position], position + 1
        known = state.setdefault(csid, {"length": 0, "kind": 0, "time": 0, "body": b"", "delta": 0})
        if fmt < 3:
            stamp = int.from_bytes(data[position : position + 3], "big")
            known["time"] = stamp if fmt == 0 else known["time"] + stamp
            known["delta"] = 0 if fmt == 0 else stamp
            if fmt < 2:
                known["length"] = int.from_bytes(data[position + 3 : position + 6], "big")
                known["kind"] = data[position + 6]
            position += (11, 7, 3)[fmt]
        elif not known["body"]:
            known["time"] += known["delta"]
        take = min(size, known["length"] - len(known["body"]))
        known["body"] += data[position : position + take]
        position += take
        if len(known["body"]) == known["length"]:
            body, known["body"] = known["body"], b""
            if known["kind"] == 1:
                size = int.from_bytes(body, "big")
            yield known["kind"], known["time"], body


def amf_and_flv() -> None:
    for path in sorted(CAPTURES.glob("*.c2s")):
        tags, commands, metadata = b"", 0, 0
        for kind, time, body in messages(path.read_bytes()):
            if kind in (17, 20) and commands < 4:
                write("amf", f"{path.stem}-command-{commands}", body)
                commands += 1
            elif kind in (15, 18) and metadata < 2:
                write("amf", f"{path.stem}-metadata-{metadata}", body)
                metadata += 1
            elif kind in (8, 9) and len(tags) + len(body) < ROOM:
                tags += bytes([kind]) + struct.pack("<IH", time & 0xFFFFFFFF, len(body)) + body
        write("flv_tag", path.stem, tags)
    write("amf", "strict-array-claims-much", b"\x0a\xff\xff\xff\xff\x05")
    write("amf", "nested", b"\x03\x00\x01a" * 20)
    write("amf", "amf3-command", b"\x00\x11\x06\x0fconnect")
    write("amf", "date-xml-typed", b"\x0b" + bytes(10) + b"\x0f\x00\x00\x00\x04<a/>" + b"\x10\x00\x01c\x00\x01a\x05\x00\x00\x09")


REQUESTS = {
    "put-live-channel": "PUT /examplebucket/test-channel?live\n127.0.0.1:9000\nDate: Tue, 02 Jan 2024 03:04:05 GMT\nAuthorization: OSS AKIDEXAMPLE0001:abc=\nContent-Type: application/xml\n\n<LiveChannelConfiguration/>",
    "list-live-channel": "GET /?live&prefix=a&marker=%2F&max-keys=7\nexamplebucket.oss.example.com\nDate: Tue, 02 Jan 2024 03:04:05 GMT",
    "post-vod": "POST /lc%2Ftest.m3u8?vod&startTime=1704164600&endTime=1704164645\nexamplebucket.localhost:9000",
    "v1-url": "GET /examplebucket/live/ch1/playlist.m3u8?x-oss-process=hls%2Fsign&OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=yevpYOxpZHA7iecHbw4yiVuN%2Bg8%3D\n127.0.0.1",
    "v1-url-raw-form": "GET /live%2Fch1%2Fplaylist.m3u8%3Fx-oss-process%3Dhls%2Fsign?OSSAccessKeyId=AKIDEXAMPLE0001&Expires=1704171845&Signature=yevpYOxpZHA7iecHbw4yiVuN%2Bg8%3D\nexamplebucket.oss.example.com",
    "v4-header": "GET /a.ts\nexamplebucket.oss-cn-hangzhou.aliyuncs.com\nx-oss-date: 20240102T030405Z\nx-oss-content-sha256: UNSIGNED-PAYLOAD\nAuthorization: OSS4-HMAC-SHA256 Credential=AKIDEXAMPLE0001/20240102/cn-hangzhou/oss/aliyun_v4_request,AdditionalHeaders=host;range,Signature=4658e7b67f8a8f2133d08c939e400207683545b0d0622634c98956b67528bfba\nRange: bytes=0-9",
    "v4-url": "GET /examplebucket/a.ts?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=AKIDEXAMPLE0001%2F20240102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-date=20240102T030405Z&x-oss-expires=3600&x-oss-signature=ab\n[::1]:9000",
    "list-v2": "GET /examplebucket?list-type=2&continuation-token=AWE&start-after=b&delimiter=%2F&max-keys=1000&encoding-type=url&fetch-owner=true\nlocalhost",
    "list-versions-uploads-parts": "GET /examplebucket/?versions&uploads&uploadId=1&key-marker=a&version-id-marker=null&part-number-marker=3&max-parts=2\nlocalhost",
    "put-object": "PUT /k%20e+y%ZZ\nb.oss.aliyuncs.com\nContent-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\nx-oss-meta-a: b\nx-oss-object-acl: public-read\nx-oss-tagging: a=b&c\nx-oss-forbid-overwrite: true\nx-oss-hash-crc64ecma: 1\nIf-Match: *",
    "copy": "PUT /examplebucket/k?append&position=1&partNumber=10000\nlocalhost\nx-oss-copy-source: /examplebucket/a%2Fb?versionId=null\nx-oss-copy-source-range: bytes=0-5\nx-oss-copy-source-if-modified-since: Tue, 02 Jan 2024 03:04:05 GMT\nx-oss-metadata-directive: REPLACE\nx-oss-symlink-target: x",
    "overrides": "GET /examplebucket/k?response-content-type=a%0d&response-expires=1\nexamplebucket.oss-cn-hangzhou.aliyuncs.com\nRange: bytes=-5\nx-oss-range-behavior: standard\nIf-None-Match: \"A\", B",
}


def requests() -> None:
    for name, text in REQUESTS.items():
        write("request", name, text.encode())

TARGET = "<Target><Type>HLS</Type><FragDuration>5</FragDuration><FragCount>3</FragCount><PlaylistName>playlist.m3u8</PlaylistName></Target>"
SNAPSHOT = "<Snapshot><RoleName>r</RoleName><DestBucket>snapshotdest</DestBucket><NotifyTopic>t</NotifyTopic><Interval>1</Interval></Snapshot>"
DOCUMENTS = {
    # In the order of the readers in fuzz_targets/xml.rs.
    "live-channel": f"<LiveChannelConfiguration><Description>a &lt; b</Description><Status>enabled</Status>{TARGET}{SNAPSHOT}</LiveChannelConfiguration>",
    "cors": "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>600</MaxAgeSeconds></CORSRule><ResponseVary>true</ResponseVary></CORSConfiguration>",
    "referer": "<RefererConfiguration><AllowEmptyReferer>true</AllowEmptyReferer><AllowTruncateQueryString>true</AllowTruncateQueryString><RefererList><Referer>http://*.example.com</Referer></RefererList><RefererBlacklist><Referer>x</Referer></RefererBlacklist></RefererConfiguration>",
    "object-tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
    "bucket-tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>",
    "website": "<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix><SupportSubDir>true</SupportSubDir><Type>0</Type></IndexDocument><ErrorDocument><Key>error.html</Key><HttpStatus>404</HttpStatus></ErrorDocument></WebsiteConfiguration>",
    "lifecycle": "<LifecycleConfiguration><Rule><ID>r</ID><Prefix>live/</Prefix><Status>Enabled</Status><Expiration><Days>3</Days></Expiration><AbortMultipartUpload><Days>1</Days></AbortMultipartUpload></Rule></LifecycleConfiguration>",
    "logging": "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix>p-</TargetPrefix></LoggingEnabled></BucketLoggingStatus>",
    "delete": "<Delete><Quiet>true</Quiet><Object><Key> a&#10;b </Key></Object><Object><Key>c</Key><VersionId>null</VersionId></Object></Delete>",
    "complete": '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"302D3A0C8E319EAA95B059B346DE1D1D"</ETag></Part></CompleteMultipartUpload>',
    "create-bucket": "<CreateBucketConfiguration><StorageClass>IA</StorageClass><DataRedundancyType>LRS</DataRedundancyType></CreateBucketConfiguration>",
    "versioning": "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
}


def documents() -> None:
    for index, (name, text) in enumerate(DOCUMENTS.items()):
        write("xml", name, bytes([index]) + text.encode())
    write("xml", "entity", b'\x00<!DOCTYPE x [<!ENTITY e "v">]><LiveChannelConfiguration>&e;</LiveChannelConfiguration>')
    write("xml", "bom-comment-cdata", b"\x00\xef\xbb\xbf<?xml version='1.0'?><!-- c --><LiveChannelConfiguration xmlns='u'><Description><![CDATA[<&>]]></Description>" + TARGET.encode() + b"</LiveChannelConfiguration>")
    write("xml", "deep", b"\x00" + b"<a>" * 200)

PLAYLISTS = {
    "live": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:5\n#EXTINF:5.000,\n1704164641000.ts\n#EXTINF:5.000,\n1704164646000.ts\n",
    "master": "#EXTM3U\r\n#EXT-X-STREAM-INF:BANDWIDTH=1\r\n720p.m3u8\r\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"a/b.m3u8\"\r\n",
    "addresses": "#EXTM3U\n../x/a.ts\n../../../a.ts\n/examplebucket/a.ts\n/a.ts\nhttp://127.0.0.1:9000/examplebucket/b.ts?x=1#f\n//examplebucket.oss.example.com/c.ts\nhttps://elsewhere.example.net/d.ts\ndata:text/plain,x\n./e.ts?Signature=old&OSSAccessKeyId=o&Expires=1\n",
    "tags": "\ufeff#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"1@2\"\n#EXT-X-PART:DURATION=1,URI=\"p.m4s\"\n%E6%B5%8B.ts\n a.ts \n",
}


def playlists() -> None:
    for choice, (name, text) in enumerate(PLAYLISTS.items()):
        write("hls_sign", name, bytes([choice]) + text.encode())
    write("hls_sign", "raw-key-form", b"\x00live/ch1/playlist.m3u8?x-oss-process=hls/sign&a=b")


if __name__ == "__main__":
    rtmp_session()
    amf_and_flv()
    requests()
    documents()
    playlists()
