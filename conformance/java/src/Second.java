import com.aliyun.sdk.service.oss2.OSSClient;
import com.aliyun.sdk.service.oss2.OperationInput;
import com.aliyun.sdk.service.oss2.OperationOptions;
import com.aliyun.sdk.service.oss2.credentials.StaticCredentialsProvider;
import com.aliyun.sdk.service.oss2.models.GetObjectRequest;
import com.aliyun.sdk.service.oss2.models.ListObjectsV2Request;
import com.aliyun.sdk.service.oss2.models.ObjectSummary;
import com.aliyun.sdk.service.oss2.transport.BinaryData;
import java.io.IOException;
import java.util.List;
import java.util.Map;

/** alibabacloud-oss-v2: no types for channels at all, but any operation by its method, parameters and document. */
final class Second implements Sdk {
    private final OSSClient client;

    Second(String endpoint, String region, String key, String secret) {
        client = OSSClient.newBuilder().endpoint(endpoint).region(region).usePathStyle(true)
                .credentialsProvider(new StaticCredentialsProvider(key, secret)).build();
    }

    private String invoke(String name, String method, String bucket, String channel, Map<String, String> parameters, String document) {
        OperationInput.Builder input = OperationInput.newBuilder().opName(name).method(method).bucket(bucket).key(channel).parameters(parameters);
        if (document != null) {
            input.body(BinaryData.fromString(document));
        }
        return client.invokeOperation(input.build(), OperationOptions.defaults()).body().map(BinaryData::toString).orElse("");
    }

    @Override
    public String put(String bucket, String channel, String destination, int interval) {
        return invoke("PutLiveChannel", "PUT", bucket, channel, Map.of("live", ""), Sdk.document(destination, interval));
    }

    @Override
    public String describe(String bucket, String channel) {
        return invoke("GetLiveChannelInfo", "GET", bucket, channel, Map.of("live", ""), null);
    }

    @Override
    public List<String> list(String bucket) {
        return client.listObjectsV2(ListObjectsV2Request.newBuilder().bucket(bucket).build()).contents().stream().map(ObjectSummary::key).toList();
    }

    @Override
    public byte[] get(String bucket, String key) throws Exception {
        try (var result = client.getObject(GetObjectRequest.newBuilder().bucket(bucket).key(key).build())) {
            return result.body().readAllBytes();
        }
    }

    @Override
    public void close() throws IOException {
        try {
            client.close();
        } catch (IOException failed) {
            throw failed;
        } catch (Exception failed) {
            throw new IOException(failed);
        }
    }
}
