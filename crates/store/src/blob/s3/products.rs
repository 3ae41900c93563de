//! Products that speak S3, by what they say of themselves, and what makes each of them keep what it acknowledges.

/// A product that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    /// Its name.
    pub(super) name: &'static str,
    /// What is to be done so that a power cut takes nothing.
    pub(super) durability: &'static str,
}

/// By the beginning of the Server header, in small letters.
const BY_SERVER: [(&str, Product); 9] = [
    (
        "seaweedfs",
        Product {
            name: "SeaweedFS",
            durability: "does not flush by default: in `weed shell`, `fs.configure -locationPrefix=/buckets/BUCKET/ -fsync \
                         -apply`; or replicas on several machines (-replication)",
        },
    ),
    ("garage", GARAGE),
    ("minio", Product { name: "MinIO", durability: "flushes what it acknowledges; there is no switch to set" }),
    (
        "rustfs",
        Product {
            name: "RustFS",
            durability: "releases before July 2026 never flush; later ones do, unless RUSTFS_DURABILITY_MODE is relaxed or none \
                         or RUSTFS_DRIVE_SYNC_ENABLE is off",
        },
    ),
    (
        "rclone",
        Product {
            name: "rclone serve s3",
            durability: "keeps what the remote behind it keeps; with --vfs-cache-mode writes or full it acknowledges before \
                         that has it: leave that off",
        },
    ),
    (
        "versitygw",
        Product {
            name: "Versity S3 Gateway",
            durability: "keeps what the file system below it keeps: mount that with `sync`, or use one that is replicated",
        },
    ),
    ("werkzeug", MOTO),
    ("moto", MOTO),
    ("amazons3", Product { name: "Amazon S3", durability: "keeps what it acknowledges; there is no switch to set" }),
];

const GARAGE: Product = Product {
    name: "Garage",
    durability: "does not flush by default: `metadata_fsync = true` and `data_fsync = true` in garage.toml; or replicas on \
                 several machines (replication_factor)",
};

const MOTO: Product =
    Product { name: "moto", durability: "is for tests: it keeps everything in memory and loses it when it ends" };

/// The product that calls itself `server`, or speaks so of something that is not there.
pub(super) fn known(server: Option<&str>, refusal: &str) -> Option<Product> {
    let server = server.unwrap_or_default().to_ascii_lowercase();
    let by_server = BY_SERVER.iter().find(|(start, _)| server.starts_with(start)).map(|(_, product)| *product);
    // Garage has no such header, but its region in each error.
    by_server.or_else(|| refusal.contains("<Region>garage</Region>").then_some(GARAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_known_by_what_they_say() {
        for (server, refusal, name) in [
            (Some("SeaweedFS 30GB 4.07"), "", Some("SeaweedFS")),
            (Some("MinIO"), "", Some("MinIO")),
            (Some("rclone/v1.71.0"), "", Some("rclone serve s3")),
            (Some("VERSITYGW"), "", Some("Versity S3 Gateway")),
            (Some("Werkzeug/3.1.3 Python/3.12.3"), "", Some("moto")),
            (Some("AmazonS3"), "", Some("Amazon S3")),
            (None, "<Error><Code>NoSuchKey</Code><Region>garage</Region></Error>", Some("Garage")),
            (Some("nginx"), "<Region>us-east-1</Region>", None),
            (None, "", None),
        ] {
            assert_eq!(known(server, refusal).map(|product| product.name), name, "{server:?}");
        }
    }
}
