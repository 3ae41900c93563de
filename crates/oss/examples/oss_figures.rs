//! What checking a request costs: `cargo run --release -p millpond-oss --example oss_figures`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use model::access::policy::Policy;
use model::name::{AccessKeyId, BucketName};
use oss::request::{Addressing, RawRequest, route};
use oss::sign::presign::{Signer, UnsignedRequest};
use oss::sign::{Credentials, SecretKey, SignOptions, SigningKey};

// The system counts CPU time in steps of some milliseconds, a batch takes a hundred.
const ROUNDS: u32 = 20_000;
const BATCHES: usize = 5;
const NOW_S: i64 = 1_704_164_645;

/// Prints the CPU time of a round, the median of some batches: what else runs on the machine matters little.
fn measure(what: &str, mut round: impl FnMut()) {
    let mut batches: Vec<f64> = (0..=BATCHES)
        .map(|_| {
            let begun = Cpu::now();
            for _ in 0..ROUNDS {
                round();
            }
            begun.elapsed_us() / f64::from(ROUNDS)
        })
        .skip(1)
        .collect();
    batches.sort_by(f64::total_cmp);
    println!("{what:<52} {:8.2} µs", batches[BATCHES / 2]);
}

/// A moment in CPU time of this thread, in nanoseconds, where the system tells it; else on the clock.
struct Cpu {
    on_cpu_ns: Option<u64>,
    clock: Instant,
}

impl Cpu {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let on_cpu_ns = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
        Self { on_cpu_ns, clock: Instant::now() }
    }

    fn elapsed_us(&self) -> f64 {
        match (self.on_cpu_ns, Self::now().on_cpu_ns) {
            (Some(before), Some(after)) => Duration::from_nanos(after.saturating_sub(before)).as_secs_f64() * 1e6,
            _ => self.clock.elapsed().as_secs_f64() * 1e6,
        }
    }
}

fn main() -> Result<(), model::Error> {
    let bucket = BucketName::parse("examplebucket")?;
    let secret = SecretKey::new("FakeSecretForSpecOnly000000000001".to_owned());
    let signer = Signer { access_key: AccessKeyId::parse("AKIDEXAMPLE0001")?, secret: secret.clone(), token: None };
    let key = "live/ch1/1704164641000.ts";
    let own = [("content-type".to_owned(), b"video/mp2t".to_vec()), ("x-oss-meta-a".to_owned(), b"b".to_vec())];
    let unsigned = UnsignedRequest { method: "GET", bucket: Some(&bucket), key, query: &[], headers: &own };
    let header = |added: Vec<(String, Vec<u8>)>| RawRequest {
        method: "GET".to_owned(),
        path: format!("/{bucket}/{key}"),
        headers: own.iter().cloned().chain(added).collect(),
        host: "127.0.0.1:9000".to_owned(),
        ..RawRequest::default()
    };
    let url = |query: String| RawRequest { query, ..header(Vec::new()) };
    let options = SignOptions::default();
    let now_ms = NOW_S * 1000;
    for (what, raw) in [
        ("V4 header", header(signer.v4_headers(&unsigned, "cn-hangzhou", NOW_S))),
        ("V4 URL", url(signer.v4_url_query(&unsigned, "cn-hangzhou", NOW_S, 3600))),
        ("V1 header", header(signer.v1_headers(&unsigned, NOW_S))),
        ("V1 URL", url(signer.v1_url_query(&unsigned, NOW_S + 3600))),
    ] {
        let route = route(&raw, &Addressing::default())?;
        Credentials::extract(&raw, &route, &options, now_ms)?.verify(&secret, &raw, &route)?;
        measure(&format!("{what}: read and verified"), || {
            let credentials = Credentials::extract(black_box(&raw), &route, &options, now_ms);
            black_box(credentials.and_then(|credentials| credentials.verify(&secret, &raw, &route))).ok();
        });
        let credentials = Credentials::extract(&raw, &route, &options, now_ms)?;
        if let Some((date, region)) = credentials.signing_scope() {
            let derived = SigningKey::derive(&secret, date, region);
            measure(&format!("{what}: with a key that was derived before"), || {
                let credentials = Credentials::extract(black_box(&raw), &route, &options, now_ms);
                black_box(credentials.and_then(|credentials| credentials.verify_with(&derived, &raw, &route))).ok();
            });
        }
    }
    let document = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:GetObject","oss:ListObjects"],
        "Principal":["*"],"Resource":["acs:oss:*:1000000000000001:examplebucket","acs:oss:*:1000000000000001:examplebucket/*"],
        "Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}}]}"#;
    measure("policy of a bucket, read", || {
        black_box(Policy::parse_for_bucket(black_box(document.as_bytes()), &bucket, "cn-hangzhou")).ok();
    });
    Ok(())
}
