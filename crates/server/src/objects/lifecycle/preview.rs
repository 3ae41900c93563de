//! What lifecycle rules would do if they ran now, without doing it.

use model::name::{BucketName, ObjectKey};
use model::{LifecycleAction, LifecycleRule};
use store::meta::{ListQuery, UploadListQuery, UploadMarker};

use super::{BATCH, Run, is_colder, prefixes};

/// What one rule would do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// The rule.
    pub(crate) id: String,
    /// Objects that it would delete.
    pub(crate) objects: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Objects that would get another label.
    pub(crate) relabelled: usize,
    /// Unfinished uploads that it would give up.
    pub(crate) uploads: usize,
    /// The first of all these.
    pub(crate) examples: Vec<String>,
}

/// What the rules of a bucket would do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Preview {
    /// Every enabled rule.
    pub(crate) rules: Vec<Due>,
    /// There is more in the bucket than was looked at.
    pub(crate) is_truncated: bool,
}

/// Objects and uploads that a preview looks at.
const MAX_PREVIEWED: usize = 200_000;
/// Names that a preview gives for each rule.
const MAX_EXAMPLES: usize = 5;

impl Due {
    fn name(&mut self, key: &ObjectKey) {
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(key.as_str().to_owned());
        }
    }
}

impl Run<'_> {
    /// What the rules of a bucket would do now; nothing is done. Each object is listed under the rule that decides.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn preview(&self, bucket: &BucketName, rules: &[LifecycleRule]) -> store::Result<Preview> {
        let rules: Vec<LifecycleRule> = rules.iter().filter(|rule| rule.enabled).cloned().collect();
        let mut preview = Preview::default();
        preview.rules.extend(rules.iter().map(|rule| Due { id: rule.id.clone(), ..Due::default() }));
        let mut room = MAX_PREVIEWED;
        for prefix in prefixes(&rules, |rule| rule.expiration.is_some() || !rule.transitions.is_empty()) {
            self.preview_objects(bucket, &prefix, &rules, &mut preview, &mut room).await?;
        }
        for prefix in prefixes(&rules, |rule| rule.abort_multipart.is_some()) {
            self.preview_uploads(bucket, &prefix, &rules, &mut preview, &mut room).await?;
        }
        Ok(preview)
    }

    async fn preview_objects(
        &self,
        bucket: &BucketName,
        prefix: &str,
        rules: &[LifecycleRule],
        preview: &mut Preview,
        room: &mut usize,
    ) -> store::Result<()> {
        let mut query = ListQuery { prefix: prefix.to_owned(), limit: BATCH, ..ListQuery::default() };
        loop {
            let page = self.meta.list_objects(bucket, &query).await?;
            for object in &page.entries {
                let decided = self.due(bucket, object, rules).await?;
                let wanted = match decided {
                    Some(LifecycleAction::Transition(class)) if !is_colder(class, object.storage_class) => None,
                    decided => decided,
                };
                // The first rule that wants what is decided; its tags were looked at for the decision.
                let by = |rule: &&LifecycleRule| object.key.as_str().starts_with(&rule.prefix);
                let Some(wanted) = wanted else { continue };
                let tags = match rules.iter().filter(by).any(|rule| !rule.tags.is_empty() || rule.filter.is_some()) {
                    true => {
                        let found = self.meta.object(bucket, &object.key).await?;
                        found.map(|object| object.value.tags).unwrap_or_default()
                    }
                    false => Vec::new(),
                };
                let decides = |rule: &LifecycleRule| {
                    rule.due(object.key.as_str(), &tags, object.size, object.modified_ms, self.now_ms) == Some(wanted)
                };
                let place = rules.iter().position(decides);
                let Some(due) = place.and_then(|place| preview.rules.get_mut(place)) else { continue };
                match wanted {
                    LifecycleAction::Expire => {
                        due.objects += 1;
                        due.bytes = due.bytes.saturating_add(object.size);
                    }
                    LifecycleAction::Transition(_) => due.relabelled += 1,
                }
                due.name(&object.key);
            }
            *room = room.saturating_sub(page.entries.len());
            match page.next {
                Some(_) if *room == 0 => {
                    preview.is_truncated = true;
                    return Ok(());
                }
                Some(next) => query.after = next,
                None => return Ok(()),
            }
        }
    }

    async fn preview_uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        rules: &[LifecycleRule],
        preview: &mut Preview,
        room: &mut usize,
    ) -> store::Result<()> {
        let mut query = UploadListQuery { prefix: prefix.to_owned(), limit: BATCH, ..UploadListQuery::default() };
        loop {
            let page = self.meta.list_uploads(bucket, &query).await?;
            *room = room.saturating_sub(page.entries.len());
            for upload in page.entries {
                let (key, record) = (upload.key.as_str(), &upload.record);
                let is_due =
                    |rule: &LifecycleRule| rule.aborts_upload(key, &record.tags, record.initiated_ms, self.now_ms);
                if let Some(due) = rules.iter().position(is_due).and_then(|place| preview.rules.get_mut(place)) {
                    due.uploads += 1;
                    due.name(&upload.key);
                }
            }
            match page.next {
                Some(_) if *room == 0 => {
                    preview.is_truncated = true;
                    return Ok(());
                }
                Some(UploadMarker { key, id }) => (query.after_key, query.after_id) = (key, id),
                None => return Ok(()),
            }
        }
    }
}
