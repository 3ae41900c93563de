//! Who calls, proved: one way for requests of the API and of the management API, for forms and for publishers. All look keys
//! up here, use the same derived keys, and count against the same limit of wrong signatures.

use std::net::IpAddr;
use std::sync::Arc;

use model::access::Caller;
use model::{Error, ErrorCode};
use oss::request::{PostFields, Query, RawRequest, Route};
use oss::sign::rtmp::PublishCredentials;
use oss::sign::{Credentials, FormCredentials, RpcClaim, SignOptions};

use super::{Accounts, Identity};

/// A request whose caller is known.
pub(crate) struct Authenticated {
    /// What is asked for, in the reading that the signature fits.
    pub(crate) route: Route,
    /// How the caller proved who it is.
    pub(crate) credentials: Credentials,
    /// Who calls.
    pub(crate) caller: Caller,
    /// The key that signed.
    pub(crate) identity: Option<Arc<Identity>>,
}

/// Who sent a form (OSS auth 7).
pub(crate) struct Sender {
    /// Who it is.
    pub(crate) caller: Caller,
    /// How that was proved.
    pub(crate) credentials: FormCredentials,
}

impl Accounts {
    /// What a request claims about its caller, before anything of it is proved.
    ///
    /// # Errors
    /// The refusals of OSS auth 8 for claims that cannot be read, or are too old.
    pub(crate) fn claim(&self, raw: &RawRequest, route: &Route, now_ms: i64) -> Result<Credentials, Error> {
        Credentials::extract(raw, route, &self.sign_options(), now_ms)
    }

    /// Who makes a request, by what it claims. `other` gives the second reading of its addressing, where it has one; the
    /// signature decides.
    ///
    /// # Errors
    /// The refusals of OSS auth 8.
    pub(crate) async fn authenticate(
        &self,
        credentials: Credentials,
        raw: &RawRequest,
        route: Route,
        other: impl Fn() -> Option<Route>,
        now_ms: i64,
    ) -> Result<Authenticated, Error> {
        let Some(id) = credentials.access_key_id() else {
            return Ok(Authenticated { route, credentials, caller: Caller::Anonymous, identity: None });
        };
        let identity = self.find(id).await?;
        let admit = |route: &Route| {
            let known = identity.as_deref().map(Identity::known_key);
            credentials.admit_with(known.as_ref(), raw, route, now_ms, |secret, date, region| {
                self.derived.signing_key(id, secret, date, region)
            })
        };
        let route = match admit(&route) {
            Ok(()) => route,
            Err(error) => match other().filter(|other| admit(other).is_ok()) {
                Some(route) => route,
                None => return Err(error),
            },
        };
        let caller = caller_of(identity.as_deref());
        Ok(Authenticated { route, credentials, caller, identity })
    }

    /// Who sent a form.
    ///
    /// # Errors
    /// The refusals of OSS auth 7, those of wrong signatures counted by `from`.
    pub(crate) async fn sender(&self, fields: &PostFields, from: IpAddr, now_ms: i64) -> Result<Sender, Error> {
        let credentials = FormCredentials::extract(|name| fields.text(name), &self.sign_options(), now_ms)?;
        let Some(id) = credentials.access_key_id() else {
            return Ok(Sender { caller: Caller::Anonymous, credentials });
        };
        let identity = self.find(id).await?;
        let known = identity.as_deref().map(Identity::known_key);
        let admitted = credentials.admit_with(known.as_ref(), now_ms, |secret, date, region| {
            self.derived.signing_key(id, secret, date, region)
        });
        match admitted {
            Ok(()) => Ok(Sender { caller: caller_of(identity.as_deref()), credentials }),
            Err(error) => Err(self.refuse(from, error).await),
        }
    }

    /// Who makes an official call (OSS auth 11): the claim and the key that signed. `None` when the parameters claim
    /// nothing.
    ///
    /// # Errors
    /// The refusals of OSS auth 11.
    pub(crate) async fn rpc_caller(
        &self,
        method: &str,
        parameters: &Query,
        now_ms: i64,
    ) -> Result<Option<(RpcClaim, Arc<Identity>)>, Error> {
        let Some(claim) = RpcClaim::extract(method, parameters, now_ms)? else { return Ok(None) };
        let identity = self.find(claim.access_key_id()).await?;
        claim.admit(identity.as_deref().map(Identity::known_key).as_ref(), now_ms)?;
        Ok(Some((claim, identity.ok_or(ErrorCode::AccessDenied)?)))
    }

    /// The key that a publisher names (LiveChannel 3.3); `None` when it names none, or none that is there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn publisher(&self, credentials: &PublishCredentials) -> Result<Option<Arc<Identity>>, Error> {
        match credentials.access_key_id() {
            Some(id) => self.find(id).await,
            None => Ok(None),
        }
    }

    fn sign_options(&self) -> SignOptions {
        SignOptions { accepted_regions: self.accepted_regions.clone() }
    }
}

fn caller_of(identity: Option<&Identity>) -> Caller {
    identity.map_or(Caller::Anonymous, |identity| identity.caller().clone())
}
