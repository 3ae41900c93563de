import com.aliyun.auth.credentials.Credential;
import com.aliyun.auth.credentials.provider.StaticCredentialProvider;
import com.aliyun.sdk.gateway.oss.Configuration;
import com.aliyun.sdk.service.oss20190517.AsyncClient;
import com.aliyun.sdk.service.oss20190517.models.GetLiveChannelInfoRequest;
import com.aliyun.sdk.service.oss20190517.models.GetObjectRequest;
import com.aliyun.sdk.service.oss20190517.models.ListObjectsV2Request;
import com.aliyun.sdk.service.oss20190517.models.LiveChannelConfiguration;
import com.aliyun.sdk.service.oss20190517.models.LiveChannelSnapshot;
import com.aliyun.sdk.service.oss20190517.models.LiveChannelTarget;
import com.aliyun.sdk.service.oss20190517.models.ObjectSummary;
import com.aliyun.sdk.service.oss20190517.models.PutLiveChannelRequest;
import darabonba.core.client.ClientOverrideConfiguration;
import java.util.List;

/** alibabacloud-oss20190517, made from the description of the API: the one with a type for Snapshot. */
final class Typed implements Sdk {
    private final AsyncClient client;

    Typed(String endpoint, String region, String key, String secret) {
        Credential credential = Credential.builder().accessKeyId(key).accessKeySecret(secret).build();
        client = AsyncClient.builder().region(region).credentialsProvider(StaticCredentialProvider.create(credential))
                .serviceConfiguration(Configuration.create().setPathStyleEnabled(true))
                .overrideConfiguration(ClientOverrideConfiguration.create().setProtocol("HTTP")
                        .setEndpointOverride(endpoint.replaceFirst("^http://", "")))
                .build();
    }

    @Override
    public String put(String bucket, String channel, String destination, int interval) throws Exception {
        LiveChannelTarget target = LiveChannelTarget.builder().type("HLS").fragDuration(2L).fragCount(3L).playlistName("playlist.m3u8").build();
        LiveChannelSnapshot snapshot = LiveChannelSnapshot.builder().roleName("role").destBucket(destination).notifyTopic("topic")
                .interval((long) interval).build();
        LiveChannelConfiguration configuration = LiveChannelConfiguration.builder().description("typed").status("enabled").target(target)
                .snapshot(snapshot).build();
        return client.putLiveChannel(PutLiveChannelRequest.builder().bucket(bucket).channel(channel).liveChannelConfiguration(configuration).build())
                .get().getBody().getPublishUrls().getUrl();
    }

    @Override
    public String describe(String bucket, String channel) throws Exception {
        var info = client.getLiveChannelInfo(GetLiveChannelInfoRequest.builder().bucket(bucket).channel(channel).build()).get().getBody();
        return info.getStatus() + " " + info.getDescription() + " " + info.getTarget().getPlaylistName();
    }

    @Override
    public List<String> list(String bucket) throws Exception {
        return client.listObjectsV2(ListObjectsV2Request.builder().bucket(bucket).build()).get().getBody().getContents().stream()
                .map(ObjectSummary::getKey).toList();
    }

    @Override
    public byte[] get(String bucket, String key) throws Exception {
        try (var body = client.getObject(GetObjectRequest.builder().bucket(bucket).key(key).build()).get().getBody()) {
            return body.readAllBytes();
        }
    }

    @Override
    public void close() {
        client.close();
    }
}
