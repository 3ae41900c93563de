//! Documents about the service: its buckets and regions (HTTP API 7).

use super::writer::Document;
use model::date::format_iso8601;
use model::{OwnerId, StorageClass};

/// Where the server says it is (HTTP API 1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionNames {
    /// The plain id, for example `cn-hangzhou`.
    pub region: String,
    /// The public host name, possibly with a port.
    pub extranet_endpoint: String,
    /// The internal host name, possibly with a port.
    pub intranet_endpoint: String,
}

impl RegionNames {
    /// The region with the endpoints of the official service.
    pub fn official(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            extranet_endpoint: format!("oss-{region}.aliyuncs.com"),
            intranet_endpoint: format!("oss-{region}-internal.aliyuncs.com"),
        }
    }

    /// The region as `Location` elements carry it: always `oss-…`.
    pub fn location(&self) -> String {
        format!("oss-{}", self.region)
    }
}

/// Writes the `Owner` element that many documents share.
pub(super) fn write_owner(document: &mut Document, owner: &OwnerId) {
    document.within("Owner", |element| {
        element.text("ID", &owner.0).text("DisplayName", &owner.0);
    });
}

/// One bucket of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBucket {
    /// Its name.
    pub name: String,
    /// Unix ms.
    pub created_ms: i64,
    /// Its default storage class.
    pub storage_class: StorageClass,
    /// Where it is.
    pub place: RegionNames,
}

/// The buckets of an account (HTTP API 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAllMyBucketsResult {
    /// As asked.
    pub prefix: String,
    /// As asked.
    pub marker: String,
    /// The number in force.
    pub max_keys: u32,
    /// The last name returned, when there are more.
    pub next_marker: Option<String>,
    /// The account.
    pub owner: OwnerId,
    /// Ascending by name.
    pub buckets: Vec<ListedBucket>,
}

impl ListAllMyBucketsResult {
    /// Writes the document.
    pub fn render(&self) -> String {
        let mut document = Document::new("ListAllMyBucketsResult");
        document
            .text("Prefix", &self.prefix)
            .text("Marker", &self.marker)
            .value("MaxKeys", self.max_keys)
            .value("IsTruncated", self.next_marker.is_some())
            .optional("NextMarker", self.next_marker.as_ref());
        write_owner(&mut document, &self.owner);
        document.open("Buckets");
        for bucket in &self.buckets {
            document.within("Bucket", |element| {
                element
                    .text("CreationDate", &format_iso8601(bucket.created_ms))
                    .text("ExtranetEndpoint", &bucket.place.extranet_endpoint)
                    .text("IntranetEndpoint", &bucket.place.intranet_endpoint)
                    .text("Location", &bucket.place.location())
                    .text("Name", &bucket.name)
                    .text("Region", &bucket.place.region)
                    .value("StorageClass", bucket.storage_class);
            });
        }
        document.finish()
    }
}

/// Writes the one region there is (HTTP API 7.2).
pub fn render_regions(names: &RegionNames) -> String {
    let mut document = Document::new("RegionInfoList");
    document.within("RegionInfo", |element| {
        element
            .text("Region", &names.location())
            .text("InternetEndpoint", &names.extranet_endpoint)
            .text("InternalEndpoint", &names.intranet_endpoint)
            .text("AccelerateEndpoint", "oss-accelerate.aliyuncs.com");
    });
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;

    #[test]
    fn buckets_are_listed_as_documented() {
        let mut result = ListAllMyBucketsResult {
            prefix: String::new(),
            marker: String::new(),
            max_keys: 100,
            next_marker: None,
            owner: OwnerId("1000000000000001".into()),
            buckets: vec![ListedBucket {
                name: "examplebucket".into(),
                created_ms: 1_704_164_645_678,
                storage_class: StorageClass::Standard,
                place: RegionNames::official("cn-hangzhou"),
            }],
        };
        check_text(
            &result.render(),
            "<ListAllMyBucketsResult>
  <Prefix></Prefix>
  <Marker></Marker>
  <MaxKeys>100</MaxKeys>
  <IsTruncated>false</IsTruncated>
  <Owner>
    <ID>1000000000000001</ID>
    <DisplayName>1000000000000001</DisplayName>
  </Owner>
  <Buckets>
    <Bucket>
      <CreationDate>2024-01-02T03:04:05.000Z</CreationDate>
      <ExtranetEndpoint>oss-cn-hangzhou.aliyuncs.com</ExtranetEndpoint>
      <IntranetEndpoint>oss-cn-hangzhou-internal.aliyuncs.com</IntranetEndpoint>
      <Location>oss-cn-hangzhou</Location>
      <Name>examplebucket</Name>
      <Region>cn-hangzhou</Region>
      <StorageClass>Standard</StorageClass>
    </Bucket>
  </Buckets>
</ListAllMyBucketsResult>
",
        );
        result.buckets.clear();
        result.next_marker = Some("b".into());
        let text = result.render();
        assert!(text.contains("<IsTruncated>true</IsTruncated>\n  <NextMarker>b</NextMarker>\n"));
        assert!(text.contains("  <Buckets></Buckets>\n"));
    }

    #[test]
    fn the_region_is_listed_as_documented() {
        check_text(
            &render_regions(&RegionNames::official("cn-hangzhou")),
            "<RegionInfoList>
  <RegionInfo>
    <Region>oss-cn-hangzhou</Region>
    <InternetEndpoint>oss-cn-hangzhou.aliyuncs.com</InternetEndpoint>
    <InternalEndpoint>oss-cn-hangzhou-internal.aliyuncs.com</InternalEndpoint>
    <AccelerateEndpoint>oss-accelerate.aliyuncs.com</AccelerateEndpoint>
  </RegionInfo>
</RegionInfoList>
",
        );
    }
}
