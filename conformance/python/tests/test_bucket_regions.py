"""A bucket stays in the region in which it was made, whatever is configured later."""

import oss2

from millpond_test.wire import signed_request
from test_live_channel_rules import TARGET, configuration, refused, snapshot


def regions(server, bucket: oss2.Bucket):
    """What each operation says of a bucket's region."""
    info = bucket.get_bucket_info()
    listed = [one for one in oss2.BucketIterator(oss2.Service(bucket.auth, bucket.endpoint)) if one.name == bucket.bucket_name]
    head = signed_request(server, "HEAD", bucket.bucket_name, "", "")
    return {
        info.location,
        bucket.get_bucket_location().location,
        listed[0].location,
        "oss-" + head.headers["x-oss-bucket-region"],
    }


def test_buckets_remember_their_region_and_snapshots_stay_within_one(fresh_server):
    server = fresh_server(settings='region = "cn-beijing"\n')
    old = server.new_bucket()
    policy = '{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:GetObject"],"Principal":["*"],"Resource":["acs:oss:oss-cn-beijing:*:%s/*"]}]}' % old.bucket_name
    old.put_bucket_policy(policy)
    old.put_object("shown", b"1")
    assert regions(server, old) == {"oss-cn-beijing"}
    server.stop()

    server.settings = 'region = "cn-shanghai"\n'
    server.start()
    old, new, near = server.bucket(old.bucket_name), server.new_bucket(), server.new_bucket()
    assert regions(server, old) == {"oss-cn-beijing"}
    assert regions(server, new) == {"oss-cn-shanghai"}
    # Its policy names the region it had, and still holds; putting the bucket again in its region changes nothing.
    assert server.get(f"{old.bucket_name}/shown").status_code == 200
    old.put_bucket_policy(policy)
    again = "<CreateBucketConfiguration><LocationConstraint>oss-cn-%s</LocationConstraint></CreateBucketConfiguration>"
    assert signed_request(server, "PUT", old.bucket_name, "", "", (again % "beijing").encode()).status_code == 200
    response = signed_request(server, "PUT", old.bucket_name, "", "", (again % "shanghai").encode())
    assert "<Code>InvalidLocationConstraint</Code>" in response.text

    for bucket, dest, ec in ((new, old, "0044-00000011"), (old, new, "0044-00000011"), (new, near, None), (old, old, None)):
        body = configuration(TARGET + snapshot(DestBucket=dest.bucket_name))
        response = signed_request(server, "PUT", bucket.bucket_name, "chan", "live", body)
        if ec:
            refused(response, 400, "InvalidArgument", ec)
            assert "DestBucket is in a different region." in response.text
        else:
            assert response.status_code == 200
