// Policies: what is wrong with a document before the server sees it, and documents to begin with.
import { t } from "./i18n.js";

const EFFECTS = ["Allow", "Deny"];
const MEMBERS = ["Sid", "Effect", "Action", "NotAction", "Principal", "NotPrincipal", "Resource", "NotResource", "Condition"];
const list = (value) => (Array.isArray(value) ? value : value === undefined ? [] : [value]);

/**
 * What is wrong with a document, in words; empty when nothing was found. The server decides: this says the usual things
 * sooner. `bucket` is the one that a bucket policy must name, empty for the policy of a user, which has no Principal.
 */
export function check(text, bucket) {
  let document_;
  try {
    document_ = JSON.parse(text);
  } catch (error) {
    return [t("policy.notJson", { why: error.message })];
  }
  if (!document_ || typeof document_ !== "object" || Array.isArray(document_)) return [t("policy.noObject")];
  const wrong = [];
  if (document_.Version !== "1") wrong.push(t("policy.version"));
  const statements = list(document_.Statement);
  if (!statements.length) wrong.push(t("policy.noStatement"));
  statements.forEach((one, index) => {
    const say = (key, more) => wrong.push(`${t("policy.statement", { number: index + 1 })}: ${t(key, more)}`);
    if (!EFFECTS.includes(one?.Effect)) say("policy.effect");
    const actions = list(one?.Action ?? one?.NotAction);
    if (!actions.length) say("policy.noAction");
    for (const action of actions) if (!/^(oss:[\w*]+|\*)$/.test(action)) say("policy.action", { action });
    if (bucket && one?.Principal === undefined) say("policy.noPrincipal");
    if (!bucket && one?.Principal !== undefined) say("policy.principal");
    const resources = list(one?.Resource ?? one?.NotResource);
    if (!resources.length) say("policy.noResource");
    for (const resource of resources) {
      const parts = /^acs:oss:[^:]*:[^:]*:([^/]*)/.exec(resource);
      if (!parts && resource !== "*") say("policy.resource", { resource });
      else if (bucket && parts && parts[1] !== bucket) say("policy.foreign", { resource, bucket });
    }
    const objects = resources.filter((resource) => resource.includes("/"));
    if (bucket && actions.some((action) => /^oss:ListObjects/.test(action)) && objects.length === resources.length) say("policy.listing");
    for (const name of Object.keys(one ?? {})) if (!MEMBERS.includes(name)) say("policy.member", { name });
  });
  return wrong;
}

const write = (statement) => JSON.stringify({ Version: "1", Statement: [statement] }, null, 2);
const whole = (bucket) => [`acs:oss:*:*:${bucket}`, `acs:oss:*:*:${bucket}/*`];

/** Policies of a bucket to begin with: [text of the table, document]. */
export const bucketTemplates = (bucket) => [
  ["template.publicFolder", write({ Effect: "Allow", Action: ["oss:GetObject"], Principal: ["*"], Resource: [`acs:oss:*:*:${bucket}/public/*`] })],
  ["template.listing", write({ Effect: "Allow", Action: ["oss:ListObjects", "oss:GetObject"], Principal: ["*"], Resource: whole(bucket) })],
  ["template.user", write({ Effect: "Allow", Action: ["oss:GetObject", "oss:ListObjects"], Principal: ["UID-OF-THE-USER"], Resource: whole(bucket) })],
  ["template.network", write({ Effect: "Deny", Action: ["oss:*"], Principal: ["*"], Resource: whole(bucket), Condition: { NotIpAddress: { "acs:SourceIp": ["10.0.0.0/8", "127.0.0.1"] } } })],
];

/** Policies of a user to begin with. */
export const userTemplates = () => [
  ["template.publisher", write({ Effect: "Allow", Action: ["oss:PublishRtmpStream", "oss:PutLiveChannel", "oss:GetLiveChannel", "oss:GetLiveChannelStat"], Resource: ["acs:oss:*:*:BUCKET/*"] })],
  ["template.viewer", write({ Effect: "Allow", Action: ["oss:GetObject"], Resource: ["acs:oss:*:*:BUCKET/CHANNEL/*"] })],
  ["template.operator", write({
    Effect: "Allow",
    Action: ["oss:ListLiveChannel", "oss:GetLiveChannel", "oss:GetLiveChannelStat", "oss:GetLiveChannelHistory", "oss:PutLiveChannelStatus", "oss:GetVodPlaylist", "oss:PostVodPlaylist", "oss:GetObject", "oss:GetBucketAcl"],
    Resource: whole("BUCKET"),
  })],
  ["template.owner", write({ Effect: "Allow", Action: ["oss:*"], Resource: whole("BUCKET") })],
];
