// The frame: the rail, and which page is beside it.
import { begin } from "./api.js";
import { chooseLanguage, keep, kept, language, LANGUAGES, t } from "./i18n.js";
import { Icon, Mark } from "./icons.js";
import { About } from "./page-about.js";
import { Acl } from "./page-acl.js";
import { Buckets } from "./page-buckets.js";
import { Channel } from "./page-channel.js";
import { Channels } from "./page-channels.js";
import { Cors } from "./page-cors.js";
import { Files } from "./page-files.js";
import { Lifecycle } from "./page-lifecycle.js";
import { OnAir } from "./page-on-air.js";
import { Overview } from "./page-overview.js";
import { Policy } from "./page-policy.js";
import { RecordingsHome } from "./page-recordings.js";
import { Referer } from "./page-referer.js";
import { Logging, Tags, Website } from "./page-settings.js";
import { SignIn } from "./page-signin.js";
import { Usage } from "./page-usage.js";
import { Users } from "./page-users.js";
import { Questions, Refused } from "./parts.js";
import { forgetRights } from "./rights.js";
import { bucketLink, go, link, parseRoute } from "./route.js";
import { key, leave } from "./session.js";
import { Fragment, html, render, useEffect, useRef, useState } from "./view.js";

const THEMES = [["auto", "monitor"], ["light", "sun"], ["dark", "moon"]];
const THEME = "millpond-console-theme";

function theme(wanted) {
  if (wanted === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
}

/** The pages of a bucket: [name of the address, text, icon, component]; those under `access/` belong together. */
const BUCKET = [
  ["", "bucket.overview", "layout-grid", Overview],
  ["files", "bucket.files", "folder", Files],
  ["channels", "bucket.channels", "radio", Channels],
  ["access", "bucket.access", "shield", null],
  ["access/acl", "access.acl", "lock", Acl],
  ["access/cors", "access.cors", "globe", Cors],
  ["access/referer", "access.referer", "link", Referer],
  ["access/policy", "access.policy", "scroll-text", Policy],
  ["lifecycle", "bucket.lifecycle", "recycle", Lifecycle],
  ["logging", "bucket.logging", "list-tree", Logging],
  ["website", "bucket.website", "panel-top", Website],
  ["tags", "bucket.tags", "tags", Tags],
  ["usage", "bucket.usage", "chart-column", Usage],
];

const TOP = [
  ["on-air", "rail.onAir", "radio", OnAir],
  ["buckets", "rail.buckets", "database", Buckets],
  ["recordings", "rail.recordings", "film", RecordingsHome],
  ["users", "rail.users", "users", Users],
  ["about", "rail.about", "info", About],
];

/** What an address shows: the component, its properties, and what the title of the window begins with. */
function choose({ parts, query }) {
  const [first, bucket, tab = "", name] = parts;
  if (first === "b" && bucket) {
    if (tab === "channels" && name) return { Page: Channel, props: { bucket, name, tab: parts[4] ?? "", query }, title: name, place: "channels" };
    const place = tab === "access" ? `access/${name ?? "acl"}` : tab;
    const found = BUCKET.find(([one, , , component]) => one === place && component) ?? BUCKET[0];
    return { Page: found[3], props: { bucket, query }, title: found[0] ? `${t(found[1])} · ${bucket}` : bucket, place: found[0] };
  }
  const found = TOP.find(([one]) => one === first) ?? TOP[0];
  return { Page: found[3], props: { rest: parts.slice(1), query }, title: t(found[1]), place: found[0] };
}

const Entry = ({ to, icon, text, here, deep }) =>
  html`<a class="entry ${deep ? "deep" : ""}" href=${to} aria-current=${here ? "page" : undefined}><${Icon} name=${icon} size=${18} /><span>${text}</span></a>`;

function Rail({ route, place, onLeave, redraw }) {
  const bucket = route.parts[0] === "b" ? route.parts[1] : "";
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState(kept(THEME) ?? "auto");
  const inAccess = place.startsWith("access");
  useEffect(() => setOpen(false), [route]);
  const pick = (wanted) => {
    keep(THEME, wanted === "auto" ? null : wanted);
    theme(wanted);
    setChosen(wanted);
  };
  return html`<header class="rail ${open ? "open" : ""}" onKeyDown=${(event) => event.key === "Escape" && setOpen(false)}>
    <div class="rail-top">
      <a class="brand" href="#/on-air"><${Mark} /><span>Millpond</span></a>
      <button type="button" class="plain icon-only menu" aria-expanded=${open ? "true" : "false"} aria-controls="rail" aria-label=${t("rail.menu")} onClick=${() => setOpen(!open)}>
        <${Icon} name=${open ? "x" : "menu"} size=${20} /></button>
    </div>
    <div class="rail-body" id="rail">
      <nav aria-label=${t("rail.main")}>
        ${TOP.map(([name, text, icon]) => html`<${Fragment} key=${name}>
          <${Entry} to=${link([name])} icon=${icon} text=${t(text)} here=${!bucket && place === name} />
          ${name === "buckets" && bucket && html`<div class="inside" role="group" aria-label=${t("rail.bucket", { bucket })}>
            <span class="inside-name" title=${bucket}>${bucket}</span>
            ${BUCKET.filter(([one]) => inAccess || !one.startsWith("access/")).map(([one, key_, pic]) =>
              html`<${Entry} key=${one} to=${bucketLink(bucket, ...(one === "access" ? ["access", "acl"] : one.split("/").filter(Boolean)))} icon=${pic} text=${t(key_)}
                deep=${one.startsWith("access/")} here=${place === one} />`)}
          </div>`}
        <//>`)}
      </nav>
      <div class="rail-foot">
        <div class="choices">
          <label class="choice"><${Icon} name="languages" /><span class="offstage">${t("rail.language")}</span>
            <select id="language" value=${language()} onChange=${(event) => (chooseLanguage(event.target.value), redraw())}>
              ${LANGUAGES.map(([code, name]) => html`<option value=${code} lang=${code} selected=${code === language()}>${name}</option>`)}
            </select></label>
          <div class="segmented" role="group" aria-label=${t("rail.theme")}>
            ${THEMES.map(([name, icon]) => html`<button type="button" class="icon-only" key=${name} aria-pressed=${chosen === name ? "true" : "false"} aria-label=${t(`theme.${name}`)} title=${t(`theme.${name}`)}
              onClick=${() => pick(name)}><${Icon} name=${icon} /></button>`)}
          </div>
        </div>
        <div class="who"><${Icon} name="key-round" /><span id="who" title=${key()?.id}>${key()?.id}</span></div>
        <button id="leave" class="plain" type="button" onClick=${onLeave}><${Icon} name="log-out" /><span>${t("rail.signOut")}</span></button>
      </div>
    </div>
  </header>`;
}

function App({ trouble }) {
  const [route, setRoute] = useState(parseRoute(location.hash));
  const [turn, setTurn] = useState(0);
  const redraw = () => setTurn((count) => count + 1);
  const main = useRef();
  const isFirst = useRef(true);
  useEffect(() => {
    const move = () => setRoute(parseRoute(location.hash));
    window.addEventListener("hashchange", move);
    // What was changed before anybody listened.
    move();
    return () => window.removeEventListener("hashchange", move);
  }, []);
  const { Page, props, title, place } = choose(route);
  const path = JSON.stringify(route.parts);
  useEffect(() => {
    document.documentElement.lang = { en: "en", zh: "zh-CN" }[language()];
    document.title = [key() ? title : t("signIn.title"), t("title")].join(" · ");
  });
  // A new page begins at its top, and so do those who listen: at its heading, which shows no ring.
  useEffect(() => {
    if (!isFirst.current && key()) main.current?.querySelector("h1")?.focus({ preventScroll: true });
    isFirst.current = false;
    window.scrollTo(0, 0);
  }, [path, Boolean(key())]);
  if (trouble) return html`<main class="alone"><${Refused} error=${trouble} /></main>`;
  if (!key()) return html`<${SignIn} done=${redraw} redraw=${redraw} />`;
  const out = () => {
    leave();
    forgetRights();
    // Whoever signs in next begins at the beginning.
    go("#/");
    redraw();
  };
  return html`<a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.querySelector("h1")?.focus())}>${t("skip")}</a>
    <${Rail} route=${route} place=${place} onLeave=${out} redraw=${redraw} />
    <main id="main" ref=${main}><${Page} key=${path + language()} ...${props} /></main>
    <${Questions} />`;
}

theme(kept(THEME) ?? "auto");
const app = document.getElementById("app");
begin().then(() => render(html`<${App} />`, app), (error) => render(html`<${App} trouble=${error} />`, app));
