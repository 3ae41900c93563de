// Who may read and write the objects of a bucket without a policy.
import { acl, putAcl } from "./api-bucket.js";
import { t } from "./i18n.js";
import { Act, Card, confirm, Loaded, PageHead, Refused, say } from "./parts.js";
import { TryIt } from "./try.js";
import { html, useLoad, useState } from "./view.js";

export const ACLS = ["private", "public-read", "public-read-write"];

export function Acl({ bucket }) {
  const stored = useLoad(() => acl(bucket), [bucket]);
  const [draft, setDraft] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const save = async () => {
    setTrouble(null);
    if (draft === "public-read-write" && !(await confirm({ title: t("acl.sureTitle"), text: t("acl.sure"), action: t("acl.sureAction") }))) return;
    await putAcl(bucket, draft);
    await stored.reload();
    setDraft(null);
    say(t("said.saved"));
  };
  return html`<${PageHead} title=${t("access.acl")} sub=${bucket} />
    <${Card} title=${t("acl.title")}><${Loaded} of=${stored}>${(value) => html`
      <fieldset class="radios"><legend class="offstage">${t("acl.title")}</legend>
        ${ACLS.map((one) => html`<label key=${one}><input type="radio" name="acl" value=${one} checked=${(draft ?? value) === one} onChange=${() => setDraft(one)} />
          <strong>${t(`acl.${one}`)}</strong><span class="hint">${t(`acl.${one}.hint`)}</span></label>`)}
      </fieldset>
      <${Refused} error=${trouble} />
      <div class="buttons">
        <${Act} right="oss:PutBucketAcl" bucket=${bucket} disabled=${draft === null || draft === value} run=${save} onError=${setTrouble}>${t("action.save")}<//></div>`}<//>
    <//>
    <${TryIt} bucket=${bucket} about="access" />`;
}
