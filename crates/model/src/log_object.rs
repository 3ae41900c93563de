//! How the objects are named that hold the access log of a bucket (HTTP API 8.15).

use crate::date::format_dashes;
use crate::name::BucketName;

/// The name of an object with access logs, made at `created_ms` and told from others of that second by `unique`.
pub fn log_object_name(prefix: &str, source: &BucketName, created_ms: i64, unique: &str) -> String {
    format!("{prefix}{source}{}-{unique}", format_dashes(created_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_by_prefix_bucket_and_time() {
        let bucket = BucketName::parse("logged").unwrap();
        let name = log_object_name("access/", &bucket, 1_704_164_645_123, "0000");
        assert_eq!(name, "access/logged2024-01-02-03-04-05-0000");
    }
}
