//! The closed table of error codes with their HTTP status and usual message (HTTP API 6.4, LiveChannel 1.10, OSS
//! auth 8), and the error value that every layer speaks.

use std::borrow::Cow;
use std::fmt;

/// The result of anything that can be refused in the language of OSS.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($name:ident $status:literal $message:literal;)*) => {
        /// A code that clients match on, together with its HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // The names are the wire format; HTTP API 6.4 explains each.
        pub enum ErrorCode { $($name,)* }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)*];

            /// The text of the `Code` element.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => stringify!($name),)* }
            }

            /// The HTTP status it is sent with.
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }

            /// The message that is sent unless the place that refuses has a better one.
            pub fn default_message(self) -> &'static str {
                match self { $(ErrorCode::$name => $message,)* }
            }
        }
    };
}

codes! {
    CallbackFailed 203 "The callback failed.";
    NotModified 304 "Not modified.";
    BadRequest 400 "The request is not well-formed.";
    CORSRuleBeyondLimit 400 "The CORS Rules num is beyond limit.";
    EntityTooLarge 400 "Your proposed upload exceeds the maximum allowed size.";
    EntityTooSmall 400 "Your proposed upload smaller than the minimum allowed size.";
    FieldItemTooLong 400 "Your name of form field is too long.";
    IncompleteBody 400 "You did not provide the number of bytes specified by the Content-Length HTTP header.";
    IncorrectNumberOfFilesInPOSTRequest 400 "POST requires exactly one file upload per request.";
    InvalidArgument 400 "Invalid Argument.";
    InvalidBucketName 400 "The specified bucket is not valid.";
    InvalidCRC64 400 "The x-oss-hash-crc64ecma you specified does not match what we calculated.";
    InvalidDigest 400 "The Content-MD5 you specified was invalid.";
    InvalidEncryptionAlgorithmError 400 "The Encryption request you specified is not valid. Supported value: AES256/SM4/KMS.";
    InvalidLocationConstraint 400 "The specified location-constraint is not valid";
    InvalidObjectName 400 "The specified object is not valid.";
    InvalidPart 400 "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag.";
    InvalidPartOrder 400 "The list of parts was not in ascending order. Parts list must specified in order by part number.";
    InvalidPolicyDocument 400 "The policy document is not valid.";
    InvalidRequest 400 "The request is not valid.";
    InvalidTag 400 "The TagKey you have provided is invalid.";
    InvalidTargetBucketForLogging 400 "put bucket log requester is not target bucket owner.";
    InvalidTargetType 400 "The symbolic's target file type is invalid";
    MalformedPOSTRequest 400 "The body of your POST request is not well-formed multipart/form-data.";
    MalformedXML 400 "The XML you provided was not well-formed or did not validate against our published schema.";
    MaxPOSTPreDataLengthExceededError 400 "Your POST request fields preceding the upload file were too large.";
    MissingArgument 400 "Missing Some Required Arguments.";
    NotSymlink 400 "The object is not symlink.";
    OperationNotSupported 400 "The operation is not supported for this resource";
    RequestIsNotMultiPartContent 400 "Bucket POST must be of the enclosure-type multipart/form-data.";
    RequestTimeout 400 "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.";
    TooManyBuckets 400 "You have attempted to create more buckets than allowed.";
    TooManyTags 400 "The bucket tags num is beyond limit.";
    AccessDenied 403 "AccessDenied";
    AccessForbidden 403 "CORSResponse: CORS is not enabled for this bucket.";
    AccessKeyIdAndSecurityTokenNotMatch 403 "The OSS access key id and security token you provided does not match.";
    InvalidAccessKeyId 403 "The OSS Access Key Id you provided does not exist in our records.";
    InvalidSecurityToken 403 "The security token you provided is invalid.";
    NonStandardHostForbidden 403 "Your host is invalid. Please use Open Storage Service standard host.";
    RequestTimeTooSkewed 403 "The difference between the request time and the current time is too large.";
    SecondLevelDomainForbidden 403 "The bucket you are attempting to access must be addressed using OSS third level domain.";
    SecurityTokenExpired 403 "The security token you provided has expired.";
    SignatureDoesNotMatch 403 "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    UserDisable 403 "UserDisable";
    NoSuchBucket 404 "The specified bucket does not exist.";
    NoSuchBucketPolicy 404 "The specified bucket policy does not exist.";
    NoSuchCORSConfiguration 404 "The CORS Configuration does not exist.";
    NoSuchInventory 404 "The specified inventory configuration does not exist.";
    NoSuchKey 404 "The specified key does not exist.";
    NoSuchLifecycle 404 "No Row found in Lifecycle Table.";
    NoSuchLiveChannel 404 "The specified live channel does not exist.";
    NoSuchRegion 404 "NoSuchRegion";
    NoSuchReplicationConfiguration 404 "The bucket you specified does not have replication configuration.";
    NoSuchServerSideEncryptionRule 404 "The server side encryption configuration was not found.";
    NoSuchTransferAccelerationConfiguration 404 "The bucket you specified does not have transfer acceleration configuration.";
    NoSuchUpload 404 "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    NoSuchVersion 404 "The specified version does not exist.";
    NoSuchWORMConfiguration 404 "The WORM Configuration does not exist.";
    NoSuchWebsiteConfiguration 404 "The specified bucket does not have a website configuration.";
    SymlinkTargetNotExist 404 "The symlink target object does not exist.";
    MethodNotAllowed 405 "The specified method is not allowed against this resource.";
    BucketAlreadyExists 409 "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
    BucketNotEmpty 409 "The bucket has objects. Please delete them first.";
    ChannelStillLive 409 "Live channel couldn't be updated or deleted when channel is live.";
    FileAlreadyExists 409 "The object you specified already exists and can not be overwritten.";
    LiveChannelAlreadyExists 409 "The live channel already exists.";
    LiveChannelDisabled 409 "Live channel is disabled by owner.";
    ObjectNotAppendable 409 "The object is not appendable";
    PositionNotEqualToLength 409 "Position is not equal to file length";
    MissingContentLength 411 "You must provide the Content-Length HTTP header.";
    PreconditionFailed 412 "At least one of the pre-conditions you specified did not hold.";
    InvalidRange 416 "The requested range cannot be satisfied";
    InternalError 500 "Please contact the server administrator.";
    NotImplemented 501 "A header you provided implies functionality that is not implemented.";
    MetaOperationQpsLimitExceeded 503 "Qps limit for the meta operation is exceeded.";
    ServiceUnavailable 503 "Please reduce your request rate.";
}

/// An error as the client gets it. Internals never enter it; they go to the log where the error is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The code.
    pub code: ErrorCode,
    /// The sentence for people.
    pub message: Cow<'static, str>,
    /// The official number of the exact cause, where one is known.
    pub ec: Option<&'static str>,
    /// Extra elements between `HostId` and `EC`, in order.
    pub elements: Vec<(&'static str, String)>,
    /// Extra response headers, for example `Allow` or `x-oss-next-append-position`.
    pub headers: Vec<(&'static str, String)>,
    /// In how many seconds the same request may succeed, where that is known.
    pub again_after_s: Option<u32>,
}

impl Error {
    /// The usual refusal with this code.
    pub fn new(code: ErrorCode) -> Self {
        let ec = match code {
            ErrorCode::NoSuchBucket => Some("0015-00000101"),
            ErrorCode::NoSuchKey => Some("0026-00000001"),
            ErrorCode::NoSuchLiveChannel => Some("0026-00000021"),
            ErrorCode::ChannelStillLive => Some("0044-00000201"),
            ErrorCode::BucketAlreadyExists => Some("0015-00000104"),
            ErrorCode::BucketNotEmpty => Some("0015-00000301"),
            ErrorCode::PositionNotEqualToLength => Some("0026-00000016"),
            ErrorCode::MethodNotAllowed => Some("0003-00000016"),
            ErrorCode::MissingArgument => Some("0016-00000502"),
            ErrorCode::OperationNotSupported => Some("0016-00000702"),
            ErrorCode::InvalidTargetType => Some("0026-00000011"),
            ErrorCode::CallbackFailed => Some("0007-00000203"),
            _ => None,
        };
        Self {
            code,
            message: Cow::Borrowed(code.default_message()),
            ec,
            elements: Vec::new(),
            headers: Vec::new(),
            again_after_s: None,
        }
    }

    /// `InvalidArgument` for a named parameter, with its value as sent.
    pub fn argument(name: &'static str, value: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidArgument).message(message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    /// Replaces the message.
    #[must_use]
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// Sets the official number of the cause.
    #[must_use]
    pub fn ec(mut self, ec: &'static str) -> Self {
        self.ec = Some(ec);
        self
    }

    /// Adds an element.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.elements.push((name, value.into()));
        self
    }

    /// Says in how many seconds the same request may succeed.
    #[must_use]
    pub fn again_after_s(mut self, seconds: u32) -> Self {
        self.again_after_s = Some(seconds);
        self
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)?;
        match self.ec {
            Some(ec) => write!(f, " (EC={ec})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}
