// Signing in: the key is tried with the cheapest call there is.
import { buckets } from "./api-bucket.js";
import { chooseLanguage, language, LANGUAGES, t } from "./i18n.js";
import { Icon, Mark } from "./icons.js";
import { lock } from "./key.js";
import { Refused, TextField } from "./parts.js";
import { enter } from "./session.js";
import { html, useEffect, useRef, useState } from "./view.js";

/** Codes that a key which is right may get too: it is known, and may not list all buckets. */
const KNOWN = ["AccessDenied"];

export function SignIn({ done, redraw }) {
  const [id, setId] = useState("");
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState(null);
  // The secret is in its field and nowhere else, so it is not part of the state.
  const form = useRef();
  useEffect(() => form.current.querySelector("input").focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      const field = form.current.querySelector("input[type=password]");
      const key = await lock({ id: id.trim(), secret: field.value.trim(), token: token.trim() });
      try {
        await buckets("", key);
      } catch (error) {
        if (!KNOWN.includes(error.code)) throw error;
      }
      field.value = "";
      enter(key);
      done();
    } catch (error) {
      setTrouble(error);
      setBusy(false);
    }
  };
  return html`<main class="alone" id="main">
    <div class="alone-brand"><${Mark} size=${36} /><span>Millpond</span></div>
    <form class="card narrow" onSubmit=${submit} ref=${form}>
      <h1>${t("signIn.title")}</h1>
      <${TextField} label=${t("signIn.id")} name="id" required autocomplete="username" value=${id} onInput=${setId} />
      <${TextField} label=${t("signIn.secret")} name="secret" type="password" required autocomplete="current-password" value=${undefined} onInput=${() => {}} />
      <details><summary>${t("signIn.temporary")}</summary>
        <${TextField} label=${t("signIn.token")} hint=${t("signIn.tokenHint")} name="token" value=${token} onInput=${setToken} />
      </details>
      <${Refused} error=${trouble} />
      <div class="buttons"><button type="submit" disabled=${busy}>${t("signIn.enter")}</button></div>
      <details class="where" id="where"><summary>${t("signIn.where")}</summary>
        <p>${t("signIn.whereRoot")}</p>
        <ul>
          <li>${t("signIn.whereFirst")}</li>
          <li>${t("signIn.whereFile")} <code>root-key.json</code></li>
          <li>${t("signIn.whereEnv")} <code>OSS_ACCESS_KEY_ID</code>, <code>OSS_ACCESS_KEY_SECRET</code></li>
        </ul>
        <p>${t("signIn.whereUser")}</p>
        <p><code>millpond user create anna</code><br /><code>millpond key create anna</code></p>
        <p>${t("signIn.whereLost")}</p>
      </details>
      <p class="hint">${t("signIn.memory")}</p>
    </form>
    <label class="choice alone-language"><${Icon} name="languages" /><span class="offstage">${t("rail.language")}</span>
      <select id="language" value=${language()} onChange=${(event) => (chooseLanguage(event.target.value), redraw())}>
        ${LANGUAGES.map(([code, name]) => html`<option value=${code} lang=${code} selected=${code === language()}>${name}</option>`)}
      </select></label>
  </main>`;
}
