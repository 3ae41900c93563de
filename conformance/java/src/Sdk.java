import java.io.IOException;
import java.util.List;

/** What a user does with snapshots, by one of the SDKs. */
interface Sdk extends AutoCloseable {
    /** Puts a channel with a Snapshot and returns what the SDK says about where to publish. */
    String put(String bucket, String channel, String destination, int interval) throws Exception;

    /** What the SDK reads of the channel: status and name of the playlist. */
    String describe(String bucket, String channel) throws Exception;

    List<String> list(String bucket) throws Exception;

    byte[] get(String bucket, String key) throws Exception;

    @Override
    void close() throws IOException;

    /** The configuration as a document, for SDKs that have no type for it. */
    static String document(String destination, int interval) {
        return "<LiveChannelConfiguration><Description>by hand</Description><Status>enabled</Status>"
                + "<Target><Type>HLS</Type><FragDuration>2</FragDuration><FragCount>3</FragCount><PlaylistName>playlist.m3u8</PlaylistName></Target>"
                + "<Snapshot><RoleName>role</RoleName><DestBucket>" + destination + "</DestBucket><NotifyTopic>topic</NotifyTopic><Interval>"
                + interval + "</Interval></Snapshot></LiveChannelConfiguration>";
    }
}
