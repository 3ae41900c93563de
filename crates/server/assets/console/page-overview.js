// A bucket at a glance: how much is in it, where it is reached, and what protects it.
import { acl, cors, deleteBucket, info, policy, referer, stat } from "./api-bucket.js";
import { mediaOrigin } from "./api.js";
import { bytes, count, moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Act, Card, confirm, Facts, Line, Loaded, PageHead, Refused, say } from "./parts.js";
import { bucketLink, go } from "./route.js";
import { html, useLoad, useState } from "./view.js";

export function Overview({ bucket }) {
  const about = useLoad(() => info(bucket), [bucket]);
  const figures = useLoad(() => stat(bucket), [bucket]);
  const [trouble, setTrouble] = useState(null);
  const remove = async () => {
    const sure = await confirm({ title: t("overview.deleteTitle", { bucket }), text: t("overview.deleteText"), action: t("action.delete") });
    if (!sure) return;
    setTrouble(null);
    await deleteBucket(bucket);
    say(t("said.deleted"));
    go("#/buckets");
  };
  return html`<${PageHead} title=${bucket} sub=${about.data && t("overview.made", { date: moment(about.data.made, { dateStyle: "long" }) })}>
      <a class="button" href=${bucketLink(bucket, "channels")}><${Icon} name="radio" /><span>${t("bucket.channels")}</span></a>
      <a class="button plain" href=${bucketLink(bucket, "files")}><${Icon} name="folder" /><span>${t("bucket.files")}</span></a>
    <//>
    <${Refused} error=${trouble} />
    <${Card} title=${t("overview.contents")}><${Loaded} of=${figures}>${(data) => html`<${Facts} class="figures" rows=${[
      [t("overview.storage"), bytes(data.storage)], [t("overview.objects"), count(data.objects)],
      [t("overview.channels"), count(data.channels)], [t("overview.uploads"), count(data.uploads)],
    ]} />`}<//><//>
    <div class="two">
      <${Card} title=${t("overview.endpoints")} hint=${t("overview.endpointsHint")}><${Loaded} of=${about}>${(data) => html`
        <${Line} label=${t("overview.here")} text=${`${mediaOrigin()}/${bucket}/`} id="endpoint-here" />
        <${Line} label=${t("overview.extranet")} text=${data.extranet} id="endpoint-extranet" />
        <${Line} label=${t("overview.intranet")} text=${data.intranet} id="endpoint-intranet" />`}<//><//>
      <${Card} title=${t("overview.protection")}><${Protection} bucket=${bucket} /><//>
    </div>
    <${Card} title=${t("overview.about")}><${Loaded} of=${about}>${(data) => html`<${Facts} rows=${[
      [t("overview.location"), data.location], [t("overview.class"), data.storageClass], [t("overview.owner"), data.owner],
      [t("bucket.logging"), data.logBucket ? `${data.logBucket}/${data.logPrefix}` : t("state.off")],
    ]} />`}<//>
      <div class="buttons apart">
        <${Act} class="plain danger" icon="trash-2" right="oss:DeleteBucket" bucket=${bucket} run=${remove} onError=${setTrouble} id="delete-bucket">${t("overview.delete")}<//></div>
    <//>`;
}

/** Each protection in a word, with the way to where it is set; one that may not be read says so and hides nothing else. */
function Protection({ bucket }) {
  const access = (tab) => bucketLink(bucket, "access", tab);
  return html`<ul class="rows">
    <${Row} to=${access("acl")} icon="lock" name=${t("access.acl")} load=${() => acl(bucket)} say=${(value) => t(`acl.${value}`)} />
    <${Row} to=${access("cors")} icon="globe" name=${t("access.cors")} load=${() => cors(bucket)} say=${({ rules }) => (rules.length ? t("overview.rules", { count: rules.length }) : t("state.off"))} />
    <${Row} to=${access("referer")} icon="link" name=${t("access.referer")} load=${() => referer(bucket)} say=${(value) => (isOn(value) ? t("state.on") : t("state.off"))} />
    <${Row} to=${access("policy")} icon="scroll-text" name=${t("access.policy")} load=${() => policy(bucket)} say=${(value) => (value ? t("state.on") : t("state.off"))} />
  </ul>`;
}

/** Whether a list of referers refuses anybody: an empty whitelist alone does not, whatever is said of empty ones. */
export const isOn = ({ whitelist, blacklist }) => whitelist.length > 0 || blacklist.length > 0;

function Row({ to, icon, name, load, say: word }) {
  const state = useLoad(load, []);
  return html`<li><a href=${to}><${Icon} name=${icon} /><span class="main">${name}</span>
    <span class="quiet">${state.data !== undefined ? word(state.data) : state.error ? state.error.code : "…"}</span><${Icon} name="chevron-right" /></a></li>`;
}
