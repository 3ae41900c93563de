// Buckets and their settings: each is read as an object and written as the document of OSS.
import { document_, manage, read, send } from "./api.js";
import { all, child, flag, number, text, texts, write } from "./xml.js";

/** A page of buckets, and where the next one begins. */
export async function buckets(marker = "", credentials) {
  const query = [["max-keys", "100"], ...(marker ? [["marker", marker]] : [])];
  const answer = await document_("GET", "", "", credentials ? { query, credentials } : { query });
  return {
    items: all(child(answer, "Buckets"), "Bucket").map((one) => ({ name: text(one, "Name"), made: text(one, "CreationDate") })),
    next: text(answer, "NextMarker"),
  };
}

/** Names of all buckets, as many as an account may have. */
export async function allBuckets() {
  const found = [];
  let marker = "";
  do {
    const page = await buckets(marker);
    found.push(...page.items);
    marker = page.next;
  } while (marker && found.length < 10_000);
  return found;
}

export const createBucket = (name, acl) => send("PUT", name, "", { headers: { "x-oss-acl": acl } });
export const deleteBucket = (name) => send("DELETE", name);

export async function info(bucket) {
  const answer = child(await document_("GET", bucket, "", { query: [["bucketInfo", ""]] }), "Bucket");
  return {
    made: text(answer, "CreationDate"), location: text(answer, "Location"), storageClass: text(answer, "StorageClass"),
    extranet: text(answer, "ExtranetEndpoint"), intranet: text(answer, "IntranetEndpoint"),
    owner: text(child(answer, "Owner"), "ID"), acl: text(child(answer, "AccessControlList"), "Grant"),
    logBucket: text(child(answer, "BucketPolicy"), "LogBucket"), logPrefix: text(child(answer, "BucketPolicy"), "LogPrefix"),
  };
}

export async function stat(bucket) {
  const answer = await document_("GET", bucket, "", { query: [["stat", ""]] });
  return {
    storage: number(answer, "Storage"), objects: number(answer, "ObjectCount"), uploads: number(answer, "MultipartUploadCount"),
    channels: number(answer, "LiveChannelCount"), parts: number(answer, "MultipartPartCount"), at: number(answer, "LastModifiedTime") * 1000,
    classes: ["Standard", "InfrequentAccess", "Archive", "ColdArchive", "DeepColdArchive"]
      .map((name) => ({ name, storage: number(answer, `${name}Storage`), objects: number(answer, `${name}ObjectCount`) })),
  };
}

/** `private`, `public-read` or `public-read-write`. */
export async function acl(bucket) {
  const answer = await document_("GET", bucket, "", { query: [["acl", ""]] });
  return text(child(answer, "AccessControlList") ?? answer, "Grant");
}
export const putAcl = (bucket, value) => send("PUT", bucket, "", { query: [["acl", ""]], headers: { "x-oss-acl": value } });

/** What `read` gives, or `otherwise` where the server says that nothing is configured. */
async function configured(work, code, otherwise) {
  try {
    return await work();
  } catch (error) {
    if (error.code === code) return otherwise;
    throw error;
  }
}

const setting = (name) => ({
  get: (bucket) => document_("GET", bucket, "", { query: [[name, ""]] }),
  put: (bucket, body, headers = {}) => send("PUT", bucket, "", { query: [[name, ""]], headers: { "content-type": "application/xml", ...headers }, body }),
  remove: (bucket) => send("DELETE", bucket, "", { query: [[name, ""]] }),
});

const [corsSetting, refererSetting, lifecycleSetting, loggingSetting, websiteSetting, tagSetting] =
  ["cors", "referer", "lifecycle", "logging", "website", "tagging"].map(setting);

/** `{rules: [{origins, methods, headers, exposed, maxAge}], vary}` */
export const cors = (bucket) => configured(async () => {
  const answer = await corsSetting.get(bucket);
  return {
    rules: all(answer, "CORSRule").map((rule) => ({
      origins: texts(rule, "AllowedOrigin"), methods: texts(rule, "AllowedMethod"), headers: texts(rule, "AllowedHeader"),
      exposed: texts(rule, "ExposeHeader"), maxAge: text(rule, "MaxAgeSeconds"),
    })),
    vary: flag(answer, "ResponseVary"),
  };
}, "NoSuchCORSConfiguration", { rules: [], vary: false });

export function corsDocument({ rules, vary }) {
  const many = (name, values) => values.map((value) => [name, value]);
  return write("CORSConfiguration", [
    ...rules.map((rule) => ["CORSRule", [
      ...many("AllowedOrigin", rule.origins), ...many("AllowedMethod", rule.methods), ...many("AllowedHeader", rule.headers),
      ...many("ExposeHeader", rule.exposed), rule.maxAge !== "" && ["MaxAgeSeconds", rule.maxAge],
    ]]),
    ["ResponseVary", vary],
  ]);
}

/** A configuration without rules is none. */
export const putCors = (bucket, wanted) => (wanted.rules.length ? corsSetting.put(bucket, corsDocument(wanted)) : corsSetting.remove(bucket));

/** `{allowEmpty, truncateQuery, truncatePath, whitelist, blacklist}` */
export async function referer(bucket) {
  const answer = await refererSetting.get(bucket);
  const list = (name) => texts(child(answer, name), "Referer").filter(Boolean);
  return {
    allowEmpty: flag(answer, "AllowEmptyReferer", true), truncateQuery: flag(answer, "AllowTruncateQueryString", true),
    truncatePath: flag(answer, "TruncatePath"), whitelist: list("RefererList"), blacklist: list("RefererBlacklist"),
  };
}

export const putReferer = (bucket, { allowEmpty, truncateQuery, truncatePath, whitelist, blacklist }) => {
  const list = (values) => values.map((value) => ["Referer", value]);
  return refererSetting.put(bucket, write("RefererConfiguration", [
    ["AllowEmptyReferer", allowEmpty], ["AllowTruncateQueryString", truncateQuery], ["TruncatePath", truncatePath],
    ["RefererList", list(whitelist)], blacklist.length > 0 && ["RefererBlacklist", list(blacklist)],
  ]));
};

/** The text of the policy, empty where there is none. */
export const policy = (bucket) => configured(() => read("GET", bucket, "", { query: [["policy", ""]] }), "NoSuchBucketPolicy", "");
export const putPolicy = (bucket, body) => send("PUT", bucket, "", { query: [["policy", ""]], headers: { "content-type": "application/json" }, body });
export const deletePolicy = (bucket) => send("DELETE", bucket, "", { query: [["policy", ""]] });

/** The rules as elements, so that what the page does not know is kept when it is written again. */
export const lifecycle = (bucket) => configured(async () => all(await lifecycleSetting.get(bucket), "Rule"), "NoSuchLifecycle", []);
/** `rules` are documents of single rules. */
export const putLifecycle = (bucket, rules) =>
  rules.length ? lifecycleSetting.put(bucket, `<LifecycleConfiguration>${rules.join("")}</LifecycleConfiguration>`) : lifecycleSetting.remove(bucket);

/** `{target, prefix}`; an empty target is off. */
export async function logging(bucket) {
  const enabled = child(await loggingSetting.get(bucket), "LoggingEnabled");
  return { target: text(enabled, "TargetBucket"), prefix: text(enabled, "TargetPrefix") };
}
export const putLogging = (bucket, { target, prefix }) => (target
  ? loggingSetting.put(bucket, write("BucketLoggingStatus", [["LoggingEnabled", [["TargetBucket", target], ["TargetPrefix", prefix]]]]))
  : loggingSetting.remove(bucket));

export const website = (bucket) => configured(async () => {
  const answer = await websiteSetting.get(bucket);
  const [index, error] = [child(answer, "IndexDocument"), child(answer, "ErrorDocument")];
  return { index: text(index, "Suffix"), subDir: flag(index, "SupportSubDir"), type: text(index, "Type") || "0", error: text(error, "Key"), status: text(error, "HttpStatus") || "404" };
}, "NoSuchWebsiteConfiguration", { index: "", subDir: false, type: "0", error: "", status: "404" });
export const putWebsite = (bucket, { index, subDir, type, error, status }) => (index || error
  ? websiteSetting.put(bucket, write("WebsiteConfiguration", [
    index && ["IndexDocument", [["Suffix", index], subDir && ["SupportSubDir", true], subDir && ["Type", type]]],
    error && ["ErrorDocument", [["Key", error], ["HttpStatus", status]]],
  ]))
  : websiteSetting.remove(bucket));

const pairs = (answer) => all(child(answer, "TagSet"), "Tag").map((one) => [text(one, "Key"), text(one, "Value")]);
export const tagDocument = (tags) => write("Tagging", [["TagSet", tags.map(([name, value]) => ["Tag", [["Key", name], ["Value", value]]])]]);

export const tags = async (bucket) => pairs(await tagSetting.get(bucket));
export const putTags = (bucket, wanted) => (wanted.length ? tagSetting.put(bucket, tagDocument(wanted)) : tagSetting.remove(bucket));

export const objectTags = async (bucket, key) => pairs(await document_("GET", bucket, key, { query: [["tagging", ""]] }));
export const putObjectTags = (bucket, key, wanted) => (wanted.length
  ? send("PUT", bucket, key, { query: [["tagging", ""]], headers: { "content-type": "application/xml" }, body: tagDocument(wanted) })
  : send("DELETE", bucket, key, { query: [["tagging", ""]] }));

/**
 * Runs the real decision for a request that somebody else would make, without making it.
 * `{method, key, origin, referer, caller, preflight, request_method, request_headers}` →
 * `{status, code, ec, message, headers: [[name, value]]}`.
 */
export const tryIt = (bucket, request) => manage("POST", ["buckets", bucket, "try"], { body: request });

/** Use by day and month: `{days: [{day, …}], months: [{month, …}]}` */
export const usage = (bucket) => manage("GET", ["buckets", bucket, "usage"]);

/** What the lifecycle rules would delete now: `{rules: [{id, objects, bytes, uploads, examples}]}` */
export const lifecycleDue = (bucket) => manage("GET", ["buckets", bucket, "lifecycle", "due"]);
