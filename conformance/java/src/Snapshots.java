import com.aliyun.oss.common.comm.SignVersion;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Puts a channel with snapshots, waits for a line on standard input while somebody publishes, and stores the pictures in a folder.
 *
 * <p>Arguments: SDK ENDPOINT REGION KEY SECRET BUCKET CHANNEL DESTINATION INTERVAL FOLDER.
 */
public final class Snapshots {
    private Snapshots() {}

    public static void main(String[] arguments) throws Exception {
        String endpoint = arguments[1];
        String region = arguments[2];
        String key = arguments[3];
        String secret = arguments[4];
        String bucket = arguments[5];
        String channel = arguments[6];
        String destination = arguments[7];
        try (Sdk sdk = switch (arguments[0]) {
            case "aliyun-sdk-oss" -> new Classic(endpoint, region, key, secret, SignVersion.V1);
            case "aliyun-sdk-oss-v4" -> new Classic(endpoint, region, key, secret, SignVersion.V4);
            case "alibabacloud-oss-v2" -> new Second(endpoint, region, key, secret);
            case "alibabacloud-oss20190517" -> new Typed(endpoint, region, key, secret);
            default -> throw new IllegalArgumentException(arguments[0]);
        }) {
            say("put", sdk.put(bucket, channel, destination, Integer.parseInt(arguments[8])));
            say("info", sdk.describe(bucket, channel));
            new BufferedReader(new InputStreamReader(System.in)).readLine();
            for (String name : sdk.list(destination)) {
                Files.write(Path.of(arguments[9], name.replace('/', '_')), sdk.get(destination, name));
                say("picture", name);
            }
        }
        // Clients that leave threads behind do not keep the test waiting.
        System.exit(0);
    }

    private static void say(String what, String text) {
        System.out.println(what + "\t" + text.replace("\n", ""));
        System.out.flush();
    }
}
