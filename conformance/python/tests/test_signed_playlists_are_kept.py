"""What was signed for one viewer is kept for the others, and never outlives the playlist or the right to it (OSS auth 9)."""

import concurrent.futures

import requests

from millpond_test.accounts import manage, new_user

KEY = "live/playlist.m3u8"


def playlist(number: int, segments: int = 3) -> bytes:
    lines = ["#EXTM3U", f"#EXT-X-MEDIA-SEQUENCE:{number}"]
    for index in range(segments):
        lines += ["#EXTINF:5.000,", f"{number + index}.ts"]
    return "\n".join([*lines, ""]).encode()


def signed_url(bucket, **more) -> str:
    return bucket.sign_url("GET", KEY, 600, params={"x-oss-process": "hls/sign", **more}, slash_safe=True)


def test_the_next_playlist_is_seen_at_once(server, bucket, version):
    url = signed_url(server.bucket(bucket.bucket_name, version))
    for number in range(30):
        bucket.put_object(KEY, playlist(number))
        answers = [requests.get(url, timeout=10) for _ in range(3)]
        assert len({answer.content for answer in answers}) == 1
        assert f"\n{number}.ts?" in answers[0].text
        assert len({answer.headers["ETag"] for answer in answers}) == 1
        assert requests.get(url, headers={"If-None-Match": answers[0].headers["ETag"]}, timeout=10).status_code == 304


def test_viewers_with_other_urls_get_other_signatures(server, bucket):
    bucket.put_object(KEY, playlist(0))
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    key, session = user.key(), user.session()
    urls = [
        signed_url(bucket),
        signed_url(bucket, **{"response-content-type": "text/plain"}),
        signed_url(key.bucket(server, bucket.bucket_name)),
        signed_url(session.bucket(server, bucket.bucket_name)),
        signed_url(bucket).replace(server.http_address, f"localhost:{server.port}"),
    ]
    answers = [requests.get(url, timeout=10) for url in urls]
    assert [answer.status_code for answer in answers] == [200] * 5
    for url, answer in zip(urls, answers):
        segment = [line for line in answer.text.splitlines() if ".ts?" in line][0]
        assert requests.get(url.split("playlist.m3u8")[0] + segment, timeout=10).status_code == 404
    own = [key.id in answers[2].text, session.id in answers[3].text, key.id in answers[0].text]
    assert own == [True, True, False]


def test_who_may_no_longer_read_gets_nothing_from_before(server, bucket, version):
    bucket.put_object(KEY, playlist(0))
    user = new_user(server)
    user.allow("AliyunOSSReadOnlyAccess")
    key = user.key()
    url = signed_url(key.bucket(server, bucket.bucket_name, version))
    assert requests.get(url, timeout=10).status_code == 200
    manage(server, "policy", "delete", user.name, "AliyunOSSReadOnlyAccess")
    assert requests.get(url, timeout=10).status_code == 403
    user.allow("AliyunOSSReadOnlyAccess")
    assert requests.get(url, timeout=10).status_code == 200
    manage(server, "key", "disable", user.name, key.id)
    assert requests.get(url, timeout=10).status_code == 403
    bucket.delete_object(KEY)
    assert requests.get(signed_url(bucket), timeout=10).status_code == 404


def test_many_viewers_at_once(server, bucket):
    bucket.put_object(KEY, playlist(0, segments=500))
    url = signed_url(bucket)
    with concurrent.futures.ThreadPoolExecutor(16) as viewers:
        answers = list(viewers.map(lambda _: requests.get(url, timeout=20), range(64)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
