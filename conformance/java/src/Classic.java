import com.aliyun.oss.ClientBuilderConfiguration;
import com.aliyun.oss.HttpMethod;
import com.aliyun.oss.OSS;
import com.aliyun.oss.OSSClientBuilder;
import com.aliyun.oss.common.auth.DefaultCredentialProvider;
import com.aliyun.oss.common.comm.SignVersion;
import com.aliyun.oss.model.CreateLiveChannelRequest;
import com.aliyun.oss.model.GeneratePresignedUrlRequest;
import com.aliyun.oss.model.LiveChannelInfo;
import com.aliyun.oss.model.LiveChannelStatus;
import com.aliyun.oss.model.LiveChannelTarget;
import com.aliyun.oss.model.OSSObjectSummary;
import java.io.ByteArrayInputStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * aliyun-sdk-oss: CreateLiveChannelRequest has no Snapshot, so the document is put to a URL that the SDK signed for the subresource {@code live}.
 */
final class Classic implements Sdk {
    private final OSS client;

    Classic(String endpoint, String region, String key, String secret, SignVersion version) {
        ClientBuilderConfiguration configuration = new ClientBuilderConfiguration();
        configuration.setSignatureVersion(version);
        // Answers of LiveChannel operations have no checksum of a stored object.
        configuration.setCrcCheckEnabled(false);
        client = OSSClientBuilder.create().endpoint(endpoint).region(region).credentialsProvider(new DefaultCredentialProvider(key, secret))
                .clientConfiguration(configuration).build();
    }

    @Override
    public String put(String bucket, String channel, String destination, int interval) {
        LiveChannelTarget target = new LiveChannelTarget("HLS", 2, 3, "playlist.m3u8");
        String publish = client.createLiveChannel(new CreateLiveChannelRequest(bucket, channel, "typed", LiveChannelStatus.Enabled, target))
                .getPublishUrls().get(0);
        byte[] document = Sdk.document(destination, interval).getBytes(StandardCharsets.UTF_8);
        GeneratePresignedUrlRequest signing = new GeneratePresignedUrlRequest(bucket, channel, HttpMethod.PUT);
        signing.setExpiration(new Date(System.currentTimeMillis() + 60_000));
        signing.addQueryParameter("live", "");
        URL url = client.generatePresignedUrl(signing);
        Map<String, String> headers = new HashMap<>();
        client.putObject(url, new ByteArrayInputStream(document), document.length, headers);
        return publish;
    }

    @Override
    public String describe(String bucket, String channel) {
        LiveChannelInfo info = client.getLiveChannelInfo(bucket, channel);
        return info.getStatus() + " " + info.getDescription() + " " + info.getTarget().getPlaylistName();
    }

    @Override
    public List<String> list(String bucket) {
        return client.listObjectsV2(bucket).getObjectSummaries().stream().map(OSSObjectSummary::getKey).toList();
    }

    @Override
    public byte[] get(String bucket, String key) throws Exception {
        try (var content = client.getObject(bucket, key).getObjectContent()) {
            return content.readAllBytes();
        }
    }

    @Override
    public void close() {
        client.shutdown();
    }
}
