//! Documents about one bucket (HTTP API 8.1, 8.4 to 8.6, 8.10, 8.15, 8.18).

use super::MAX_DOCUMENT_BYTES;
use super::service::{RegionNames, write_owner};
use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::{Absence, absence, shown};
use model::date::format_iso8601;
use model::name::BucketName;
use model::{BucketAcl, DataRedundancy, LoggingConfiguration, OwnerId, StorageClass};
use model::{Error, ErrorCode, Result};

/// What PutBucket asks for; absent members have no opinion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CreateBucketConfiguration {
    /// The default class of new objects.
    pub storage_class: Option<StorageClass>,
    /// How the data is said to be kept.
    pub redundancy: Option<DataRedundancy>,
}

impl CreateBucketConfiguration {
    /// Reads the body of PutBucket; an empty one is legal (HTTP API 8.1).
    ///
    /// # Errors
    /// `MalformedXML`, `InvalidArgument`, `InvalidLocationConstraint`.
    pub fn parse(body: &[u8], our_region: &str) -> Result<Self> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let root = Element::parse(body, "CreateBucketConfiguration", MAX_DOCUMENT_BYTES)?;
        if let Some(constraint) = root.value("LocationConstraint")?
            && constraint.strip_prefix("oss-") != Some(our_region)
        {
            return Err(Error::new(ErrorCode::InvalidLocationConstraint).with("LocationConstraint", shown(constraint)));
        }
        let storage_class =
            match root.value("StorageClass")? {
                None => None,
                Some(text) => Some(StorageClass::parse(text).ok_or_else(|| {
                    Error::argument("StorageClass", shown(text), "No such bucket storage class exists.")
                })?),
            };
        let redundancy = match root.value("DataRedundancyType")? {
            None => None,
            Some(text) => Some(
                DataRedundancy::parse(text)
                    .ok_or_else(|| malformed("The DataRedundancyType element must be LRS or ZRS."))?,
            ),
        };
        Ok(Self { storage_class, redundancy })
    }
}

/// What GetBucketInfo tells (HTTP API 8.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketInfo {
    /// Its name.
    pub name: String,
    /// Unix ms.
    pub created_ms: i64,
    /// Its owner.
    pub owner: OwnerId,
    /// Its ACL.
    pub acl: BucketAcl,
    /// Its default class.
    pub storage_class: StorageClass,
    /// How its data is said to be kept.
    pub redundancy: DataRedundancy,
    /// Where its log goes.
    pub logging: Option<LoggingConfiguration>,
}

impl BucketInfo {
    /// Writes the document.
    pub fn render(&self, names: &RegionNames) -> String {
        let mut document = Document::new("BucketInfo");
        document
            .open("Bucket")
            .text("CreationDate", &format_iso8601(self.created_ms))
            .text("ExtranetEndpoint", &names.extranet_endpoint)
            .text("IntranetEndpoint", &names.intranet_endpoint)
            .text("Location", &names.location())
            .value("StorageClass", self.storage_class)
            .value("DataRedundancyType", self.redundancy)
            .text("AccessMonitor", "Disabled")
            .text("TransferAcceleration", "Disabled")
            .text("CrossRegionReplication", "Disabled")
            .text("BlockPublicAccess", "false")
            .text("Name", &self.name)
            .text("ResourceGroupId", "")
            .within("Owner", |element| {
                element.text("DisplayName", &self.owner.0).text("ID", &self.owner.0);
            })
            .within("AccessControlList", |element| {
                element.value("Grant", self.acl);
            })
            .within("ServerSideEncryptionRule", |element| {
                element.text("SSEAlgorithm", "None");
            })
            .within("BucketPolicy", |element| {
                let (bucket, prefix) = match &self.logging {
                    Some(logging) => (logging.target_bucket.as_str(), logging.target_prefix.as_str()),
                    None => ("", ""),
                };
                element.text("LogBucket", bucket).text("LogPrefix", prefix);
            })
            .text("Comment", "");
        document.finish()
    }
}

/// Writes a `LocationConstraint` (HTTP API 8.5), the only document whose root has text.
pub fn render_location(names: &RegionNames) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint>{}</LocationConstraint>\n",
        names.location().replace('&', "&amp;").replace('<', "&lt;")
    )
}

/// What GetBucketStat counts (HTTP API 8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketStat {
    /// Objects and bytes per storage class.
    pub standard: ClassStat,
    /// Infrequent access.
    pub infrequent: ClassStat,
    /// Archive.
    pub archive: ClassStat,
    /// Cold archive.
    pub cold_archive: ClassStat,
    /// Deep cold archive.
    pub deep_cold_archive: ClassStat,
    /// Unfinished uploads.
    pub uploads: u64,
    /// Parts of unfinished uploads.
    pub parts: u64,
    /// Channels.
    pub channels: u64,
    /// When this was counted, unix seconds.
    pub counted_s: i64,
}

/// Objects of one storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassStat {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl BucketStat {
    /// The counters of a class.
    pub fn class_mut(&mut self, class: StorageClass) -> &mut ClassStat {
        match class {
            StorageClass::Standard => &mut self.standard,
            StorageClass::InfrequentAccess => &mut self.infrequent,
            StorageClass::Archive => &mut self.archive,
            StorageClass::ColdArchive => &mut self.cold_archive,
            StorageClass::DeepColdArchive => &mut self.deep_cold_archive,
        }
    }

    /// Writes the document.
    pub fn render(&self) -> String {
        let all = [self.standard, self.infrequent, self.archive, self.cold_archive, self.deep_cold_archive];
        let sum = |part: fn(&ClassStat) -> u64| all.iter().map(part).fold(0u64, u64::saturating_add);
        let mut document = Document::new("BucketStat");
        document
            .value("Storage", sum(|class| class.bytes))
            .value("ObjectCount", sum(|class| class.objects))
            .value("MultipartUploadCount", self.uploads)
            .value("LiveChannelCount", self.channels)
            .value("LastModifiedTime", self.counted_s)
            .value("StandardStorage", self.standard.bytes)
            .value("StandardObjectCount", self.standard.objects)
            .value("InfrequentAccessStorage", self.infrequent.bytes)
            .value("InfrequentAccessRealStorage", self.infrequent.bytes)
            .value("InfrequentAccessObjectCount", self.infrequent.objects)
            .value("ArchiveStorage", self.archive.bytes)
            .value("ArchiveRealStorage", self.archive.bytes)
            .value("ArchiveObjectCount", self.archive.objects)
            .value("ColdArchiveStorage", self.cold_archive.bytes)
            .value("ColdArchiveRealStorage", self.cold_archive.bytes)
            .value("ColdArchiveObjectCount", self.cold_archive.objects)
            .value("DeepColdArchiveStorage", self.deep_cold_archive.bytes)
            .value("DeepColdArchiveRealStorage", self.deep_cold_archive.bytes)
            .value("DeepColdArchiveObjectCount", self.deep_cold_archive.objects)
            .value("MultipartPartCount", self.parts)
            .value("DeleteMarkerCount", 0);
        document.finish()
    }
}

/// Writes an `AccessControlPolicy` of a bucket or an object (HTTP API 8.10, 9.9).
pub fn render_acl(owner: &OwnerId, grant: &str) -> String {
    let mut document = Document::new("AccessControlPolicy");
    write_owner(&mut document, owner);
    document.within("AccessControlList", |element| {
        element.text("Grant", grant);
    });
    document.finish()
}

/// Reads a `BucketLoggingStatus` (HTTP API 8.15); `None` switches logging off. Whether the target exists is the
/// caller's question.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidTargetBucketForLogging`.
pub fn parse_logging(body: &[u8]) -> Result<Option<LoggingConfiguration>> {
    let root = Element::parse(body, "BucketLoggingStatus", MAX_DOCUMENT_BYTES)?;
    let Some(enabled) = root.child("LoggingEnabled")? else { return Ok(None) };
    let target_bucket = enabled.required("TargetBucket")?.to_owned();
    if !BucketName::is_legal(&target_bucket) {
        return Err(Error::new(ErrorCode::InvalidTargetBucketForLogging).with("TargetBucket", shown(&target_bucket)));
    }
    let target_prefix = enabled.value("TargetPrefix")?.unwrap_or_default().to_owned();
    if target_prefix.len() > 512 || target_prefix.starts_with(['/', '\\']) {
        let message = "The TargetPrefix must be a legal beginning of an object name.";
        return Err(Error::argument("TargetPrefix", shown(&target_prefix), message));
    }
    Ok(Some(LoggingConfiguration { target_bucket, target_prefix }))
}

/// Writes a `BucketLoggingStatus`.
pub fn render_logging(logging: Option<&LoggingConfiguration>) -> String {
    let mut document = Document::new("BucketLoggingStatus");
    if let Some(logging) = logging {
        document.within("LoggingEnabled", |element| {
            element.text("TargetBucket", &logging.target_bucket).text("TargetPrefix", &logging.target_prefix);
        });
    }
    document.finish()
}

/// Writes the `PolicyStatus` of a bucket (HTTP API 8.14).
pub fn render_policy_status(is_public: bool) -> String {
    let mut document = Document::new("PolicyStatus");
    document.text("IsPublic", if is_public { "true" } else { "false" });
    document.finish()
}

/// Reads a `VersioningConfiguration` (HTTP API 8.18). `Suspended` changes nothing where versioning was never enabled.
///
/// # Errors
/// `MalformedXML`, and `NotImplemented` for `Enabled`.
pub fn parse_versioning(body: &[u8]) -> Result<()> {
    let root = Element::parse(body, "VersioningConfiguration", MAX_DOCUMENT_BYTES)?;
    match root.value("Status")? {
        Some("Suspended") => Ok(()),
        Some("Enabled") => Err(Error::new(ErrorCode::NotImplemented).with("Subresource", "versioning")),
        _ => Err(malformed("The Versioning element must be specified.")),
    }
}

/// Writes the `VersioningConfiguration` of a bucket that was never versioned.
pub fn render_versioning() -> String {
    Document::new("VersioningConfiguration").finish()
}

/// The documented answer of a configuration that is not built and therefore never set (HTTP API 15).
///
/// # Errors
/// The documented 404, or `NotImplemented` where no answer means "nothing configured".
pub fn unconfigured(sub_resource: &'static str, bucket: Option<&str>) -> Result<String> {
    match absence(sub_resource) {
        Some(Absence::Document { root, element, text }) => {
            let mut document = Document::new(root);
            document.text(element, text);
            Ok(document.finish())
        }
        Some(Absence::Missing(code)) => {
            Err(bucket.into_iter().fold(Error::new(code), |error, name| error.with("BucketName", name)))
        }
        Some(Absence::NotImplemented) | None => {
            Err(Error::new(ErrorCode::NotImplemented).with("Subresource", sub_resource))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use proptest::prelude::*;

    fn owner() -> OwnerId {
        OwnerId("1000000000000001".into())
    }

    #[test]
    fn info_is_as_documented() {
        let info = BucketInfo {
            name: "examplebucket".into(),
            created_ms: 1_704_164_645_000,
            owner: owner(),
            acl: BucketAcl::Private,
            storage_class: StorageClass::Standard,
            redundancy: DataRedundancy::Lrs,
            logging: None,
        };
        check_text(
            &info.render(&RegionNames::official("cn-hangzhou")),
            "<BucketInfo>
  <Bucket>
    <CreationDate>2024-01-02T03:04:05.000Z</CreationDate>
    <ExtranetEndpoint>oss-cn-hangzhou.aliyuncs.com</ExtranetEndpoint>
    <IntranetEndpoint>oss-cn-hangzhou-internal.aliyuncs.com</IntranetEndpoint>
    <Location>oss-cn-hangzhou</Location>
    <StorageClass>Standard</StorageClass>
    <DataRedundancyType>LRS</DataRedundancyType>
    <AccessMonitor>Disabled</AccessMonitor>
    <TransferAcceleration>Disabled</TransferAcceleration>
    <CrossRegionReplication>Disabled</CrossRegionReplication>
    <BlockPublicAccess>false</BlockPublicAccess>
    <Name>examplebucket</Name>
    <ResourceGroupId></ResourceGroupId>
    <Owner>
      <DisplayName>1000000000000001</DisplayName>
      <ID>1000000000000001</ID>
    </Owner>
    <AccessControlList>
      <Grant>private</Grant>
    </AccessControlList>
    <ServerSideEncryptionRule>
      <SSEAlgorithm>None</SSEAlgorithm>
    </ServerSideEncryptionRule>
    <BucketPolicy>
      <LogBucket></LogBucket>
      <LogPrefix></LogPrefix>
    </BucketPolicy>
    <Comment></Comment>
  </Bucket>
</BucketInfo>
",
        );
    }

    #[test]
    fn statistics_are_as_documented() {
        let stat = BucketStat {
            standard: ClassStat { objects: 230, bytes: 1600 },
            uploads: 40,
            channels: 4,
            counted_s: 1_704_164_645,
            ..BucketStat::default()
        };
        check_text(
            &stat.render(),
            "<BucketStat>
  <Storage>1600</Storage>
  <ObjectCount>230</ObjectCount>
  <MultipartUploadCount>40</MultipartUploadCount>
  <LiveChannelCount>4</LiveChannelCount>
  <LastModifiedTime>1704164645</LastModifiedTime>
  <StandardStorage>1600</StandardStorage>
  <StandardObjectCount>230</StandardObjectCount>
  <InfrequentAccessStorage>0</InfrequentAccessStorage>
  <InfrequentAccessRealStorage>0</InfrequentAccessRealStorage>
  <InfrequentAccessObjectCount>0</InfrequentAccessObjectCount>
  <ArchiveStorage>0</ArchiveStorage>
  <ArchiveRealStorage>0</ArchiveRealStorage>
  <ArchiveObjectCount>0</ArchiveObjectCount>
  <ColdArchiveStorage>0</ColdArchiveStorage>
  <ColdArchiveRealStorage>0</ColdArchiveRealStorage>
  <ColdArchiveObjectCount>0</ColdArchiveObjectCount>
  <DeepColdArchiveStorage>0</DeepColdArchiveStorage>
  <DeepColdArchiveRealStorage>0</DeepColdArchiveRealStorage>
  <DeepColdArchiveObjectCount>0</DeepColdArchiveObjectCount>
  <MultipartPartCount>0</MultipartPartCount>
  <DeleteMarkerCount>0</DeleteMarkerCount>
</BucketStat>
",
        );
    }

    #[test]
    fn small_documents_are_as_documented() {
        check_text(
            &render_location(&RegionNames::official("cn-hangzhou")),
            "<LocationConstraint>oss-cn-hangzhou</LocationConstraint>\n",
        );
        check_text(
            &render_acl(&owner(), "private"),
            "<AccessControlPolicy>
  <Owner>
    <ID>1000000000000001</ID>
    <DisplayName>1000000000000001</DisplayName>
  </Owner>
  <AccessControlList>
    <Grant>private</Grant>
  </AccessControlList>
</AccessControlPolicy>
",
        );
        check_text(&render_versioning(), "<VersioningConfiguration>\n</VersioningConfiguration>\n");
        check_text(&render_logging(None), "<BucketLoggingStatus>\n</BucketLoggingStatus>\n");
        let payer = "<RequestPaymentConfiguration>\n  <Payer>BucketOwner</Payer>\n</RequestPaymentConfiguration>\n";
        check_text(&unconfigured("requestPayment", None).unwrap(), payer);
        let absent = unconfigured("worm", Some("bkt")).unwrap_err();
        assert_eq!(absent.code, ErrorCode::NoSuchWORMConfiguration);
        assert_eq!(absent.elements, [("BucketName", "bkt".to_owned())]);
        assert_eq!(unconfigured("style", None).unwrap_err().code, ErrorCode::NotImplemented);
    }

    fn check_create(inside: &str, expected: Result<CreateBucketConfiguration, ErrorCode>) {
        let body = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
        let found = CreateBucketConfiguration::parse(body.as_bytes(), "cn-hangzhou").map_err(|error| error.code);
        assert_eq!(found, expected, "{inside}");
    }

    #[test]
    fn buckets_are_created_as_asked() {
        let nothing = CreateBucketConfiguration::default();
        let class = |class| CreateBucketConfiguration { storage_class: Some(class), ..nothing };
        assert_eq!(CreateBucketConfiguration::parse(b" \n", "x").unwrap(), nothing);
        check_create("", Ok(nothing));
        check_create("<StorageClass>IA</StorageClass>", Ok(class(StorageClass::InfrequentAccess)));
        check_create("<StorageClass>ia</StorageClass>", Err(ErrorCode::InvalidArgument));
        check_create("<DataRedundancyType>NRS</DataRedundancyType>", Err(ErrorCode::MalformedXML));
        check_create("<LocationConstraint/>", Ok(nothing));
        check_create("<LocationConstraint>oss-cn-hangzhou</LocationConstraint>", Ok(nothing));
        check_create("<LocationConstraint>us</LocationConstraint>", Err(ErrorCode::InvalidLocationConstraint));
    }

    #[test]
    fn logging_and_versioning_are_read() {
        let logging = LoggingConfiguration { target_bucket: "logbucket".into(), target_prefix: "access-".into() };
        assert_eq!(parse_logging(render_logging(Some(&logging)).as_bytes()).unwrap(), Some(logging));
        assert_eq!(parse_logging(b"<BucketLoggingStatus/>").unwrap(), None);
        let error = parse_logging(b"<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>").unwrap_err();
        assert_eq!(error.code, ErrorCode::MalformedXML);
        for (status, code) in [
            ("Suspended", None),
            ("Enabled", Some(ErrorCode::NotImplemented)),
            ("", Some(ErrorCode::MalformedXML)),
            ("on", Some(ErrorCode::MalformedXML)),
        ] {
            let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
            assert_eq!(parse_versioning(body.as_bytes()).err().map(|error| error.code), code, "{status}");
        }
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(inside in "(<StorageClass>|</StorageClass>|<TargetBucket>|a|/|<|>){0,9}") {
            let body = format!("<CreateBucketConfiguration>{inside}</CreateBucketConfiguration>");
            let _ = CreateBucketConfiguration::parse(body.as_bytes(), "x");
            let body = format!("<BucketLoggingStatus><LoggingEnabled>{inside}</LoggingEnabled></BucketLoggingStatus>");
            let _ = parse_logging(body.as_bytes());
            let _ = parse_versioning(inside.as_bytes());
        }
    }
}
