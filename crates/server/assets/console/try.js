// "Try it": the server runs its real decision for a request that somebody else would make, and says what they would get.
import { tryIt } from "./api-bucket.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Act, Card, Check, Refused, SelectField, TextField } from "./parts.js";
import { html, useState } from "./view.js";

/** @param {{bucket: string, about: "cors" | "referer" | "access"}} props what the page is about decides which fields are first. */
export function TryIt({ bucket, about }) {
  const [wanted, setWanted] = useState({ key: "", origin: "", referer: "", caller: "anonymous", preflight: false, requestMethod: "GET", requestHeaders: "" });
  const [answer, setAnswer] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const set = (name) => (value) => setWanted((old) => ({ ...old, [name]: value }));
  const run = async () => {
    setTrouble(null);
    const { requestMethod, requestHeaders, preflight, ...rest } = wanted;
    setAnswer(await tryIt(bucket, {
      ...rest, method: "GET", preflight: about === "cors" && preflight,
      ...(about === "cors" && preflight ? { request_method: requestMethod, request_headers: requestHeaders } : {}),
    }));
  };
  return html`<${Card} title=${t("try.title")} id="try" hint=${t(`try.${about}`)}>
    <div class="columns">
      <${TextField} label=${t("try.key")} value=${wanted.key} onInput=${set("key")} placeholder="cam1/playlist.m3u8" />
      ${about === "cors" && html`<${TextField} label=${t("try.origin")} value=${wanted.origin} onInput=${set("origin")} placeholder="https://www.example.com" />`}
      ${about === "referer" && html`<${TextField} label=${t("try.refererLabel")} hint=${t("try.refererHint")} value=${wanted.referer} onInput=${set("referer")} placeholder="https://www.example.com/" />`}
      ${about !== "cors" && html`<${SelectField} label=${t("try.caller")} value=${wanted.caller} onInput=${set("caller")} options=${[["anonymous", t("try.anonymous")], ["signed_url", t("try.signedUrl")], ["self", t("try.self")]]} />`}
    </div>
    ${about === "cors" && html`<p><${Check} label=${t("try.preflight")} on=${wanted.preflight} onInput=${set("preflight")} /></p>
      ${wanted.preflight && html`<div class="columns">
        <${SelectField} label=${t("try.requestMethod")} value=${wanted.requestMethod} onInput=${set("requestMethod")} options=${["GET", "HEAD", "PUT", "POST", "DELETE"].map((one) => [one, one])} />
        <${TextField} label=${t("try.requestHeaders")} value=${wanted.requestHeaders} onInput=${set("requestHeaders")} placeholder="authorization, x-oss-date" /></div>`}`}
    <div class="buttons"><${Act} class="plain" icon="flask-conical" run=${run} onError=${setTrouble}>${t("try.run")}<//></div>
    <${Refused} error=${trouble} />
    <div aria-live="polite">${answer && html`<${Outcome} answer=${answer} />`}</div>
  <//>`;
}

function Outcome({ answer }) {
  const isGood = answer.status < 400;
  return html`<div class="outcome ${isGood ? "good" : "bad"}">
    <p class="verdict"><${Icon} name=${isGood ? "circle-check" : "ban"} size=${18} /><strong>${answer.status}</strong>
      <span>${isGood ? t("try.allowed") : answer.message}</span></p>
    ${(answer.code || answer.ec) && html`<p>${answer.code && html`<code>${answer.code}</code>`} ${answer.ec && html`<code>EC ${answer.ec}</code>`}</p>`}
    ${answer.headers?.length > 0 && html`<pre tabindex="0" aria-label=${t("try.headers")}>${answer.headers.map(([name, value]) => `${name}: ${value}`).join("\n")}</pre>`}
  </div>`;
}
