// The channels of a bucket, a page at a time, each with what it is doing now.
import { channel as channelInfo, channels, putChannel, stat } from "./api-live.js";
import { Refusal } from "./api.js";
import { moment } from "./format.js";
import { t } from "./i18n.js";
import { Icon } from "./icons.js";
import { Search } from "./page-buckets.js";
import { Act, Badge, Dialog, Empty, PageHead, Refused, TextField } from "./parts.js";
import { channelLink, go } from "./route.js";
import { html, useEffect, useRepeat, useState } from "./view.js";

/** How many states are asked for at once. */
const AT_ONCE = 4;

export function Channels({ bucket }) {
  const [found, setFound] = useState(null);
  const [states, setStates] = useState({});
  const [next, setNext] = useState("");
  const [prefix, setPrefix] = useState("");
  const [trouble, setTrouble] = useState(null);
  const [making, setMaking] = useState(false);
  const load = async (marker) => {
    try {
      const page = await channels(bucket, { marker, prefix: prefix.trim() });
      setFound((old) => [...(marker ? old ?? [] : []), ...page.items]);
      setNext(page.next);
      setTrouble(null);
    } catch (error) {
      setTrouble(error);
    }
  };
  useEffect(() => {
    const timer = setTimeout(load, prefix ? 250 : 0, "");
    return () => clearTimeout(timer);
  }, [bucket, prefix]);
  const names = (found ?? []).map(({ name }) => name).join("/");
  useRepeat(async (alive) => {
    const waiting = [...(found ?? [])];
    const work = async () => {
      for (let one; (one = waiting.shift()) && alive(); ) {
        const state = await stat(bucket, one.name).then(({ status }) => status, (error) => error);
        if (alive()) setStates((old) => ({ ...old, [one.name]: state }));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }, 5000, [names]);
  const nothing = found?.length === 0 && !trouble;
  return html`<${PageHead} title=${t("bucket.channels")} sub=${bucket}>
      <${Act} right="oss:PutLiveChannel" bucket=${bucket} objectKey="*" icon="plus" run=${() => setMaking(true)}>${t("channels.new")}<//>
    <//>
    <${Refused} error=${trouble} />
    ${trouble?.code === "AccessDenied" && html`<${OpenByName} bucket=${bucket} />`}
    ${(found?.length > 0 || prefix) && html`<div class="toolbar"><${Search} label=${t("channels.search")} value=${prefix} onInput=${setPrefix} /></div>`}
    ${nothing && (prefix ? html`<p class="quiet">${t("channels.noMatch")}</p>` : html`<${Empty} icon="radio" title=${t("channels.none")}><p>${t("channels.noneHint")}</p><//>`)}
    ${found?.length > 0 && html`<ul class="list">${found.map((one) => html`<li key=${one.name}><a href=${channelLink(bucket, one.name)}>
      <${Icon} name="radio" size=${18} />
      <span class="main">${one.name}${one.description && html`<span class="quiet about">${one.description}</span>`}</span>
      <span class="quiet">${moment(one.modified)}</span>
      <span class="state"><${State} state=${states[one.name] ?? (one.status === "disabled" ? "Disabled" : "")} /></span></a></li>`)}</ul>`}
    ${next && html`<button type="button" class="plain" onClick=${() => load(next)}>${t("more")}</button>`}
    ${making && html`<${NewChannel} bucket=${bucket} onClose=${() => setMaking(false)} />`}`;
}

const State = ({ state }) => (typeof state === "string" ? html`<${Badge} status=${state} />` : html`<span class="quiet" title=${state.message}>${state.code}</span>`);

function OpenByName({ bucket }) {
  const [name, setName] = useState("");
  const submit = (event) => {
    event.preventDefault();
    go(channelLink(bucket, name.trim()));
  };
  return html`<form class="card" onSubmit=${submit}>
    <p>${t("channels.mayNotList")}</p>
    <${TextField} label=${t("channels.channel")} required value=${name} onInput=${setName} />
    <div class="buttons"><button type="submit">${t("action.open")}</button></div>
  </form>`;
}

/** The settings of a channel in fields; `fixed` leaves the name as it is. */
export function ChannelFields({ wanted, change, fixed }) {
  const set = (name) => (value) => change({ ...wanted, [name]: value });
  return html`
    ${!fixed && html`<${TextField} label=${t("field.name")} hint=${t("channels.nameHint")} required value=${wanted.name} onInput=${set("name")} />`}
    <${TextField} label=${t("channels.description")} hint=${t("channels.descriptionHint")} value=${wanted.description} onInput=${set("description")} />
    <div class="columns">
      <${TextField} label="FragDuration" hint=${t("channels.fragDurationHint")} inputmode="numeric" value=${wanted.fragDuration} onInput=${set("fragDuration")} />
      <${TextField} label="FragCount" hint=${t("channels.fragCountHint")} inputmode="numeric" value=${wanted.fragCount} onInput=${set("fragCount")} />
    </div>
    <p class="hint">${t("channels.delay")}</p>
    <${TextField} label="PlaylistName" hint=${t("channels.playlistHint")} value=${wanted.playlist} onInput=${set("playlist")} />`;
}

function NewChannel({ bucket, onClose }) {
  const [wanted, setWanted] = useState({ name: "", description: "", fragDuration: "2", fragCount: "3", playlist: "playlist.m3u8" });
  const [trouble, setTrouble] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const name = wanted.name.trim();
    try {
      // A channel that is put again is replaced, which nobody expects of this form.
      if (await exists(bucket, name)) throw new Refusal("LiveChannelAlreadyExists", t("channels.kept"));
      await putChannel(bucket, name, { ...wanted, fragDuration: wanted.fragDuration.trim(), fragCount: wanted.fragCount.trim(), playlist: wanted.playlist.trim() });
      onClose();
      go(channelLink(bucket, name));
    } catch (error) {
      setTrouble(error);
    }
  };
  return html`<${Dialog} title=${t("channels.new")} onClose=${onClose}><form onSubmit=${submit}>
    <${ChannelFields} wanted=${wanted} change=${setWanted} />
    <${Refused} error=${trouble} />
    <div class="buttons end"><button type="button" class="plain" onClick=${onClose}>${t("action.cancel")}</button><button type="submit">${t("channels.create")}</button></div>
  </form><//>`;
}

async function exists(bucket, name) {
  try {
    await channelInfo(bucket, name);
    return true;
  } catch (error) {
    // Whoever may make channels, but not look at them, gets no warning.
    if (["NoSuchLiveChannel", "AccessDenied"].includes(error.code)) return false;
    throw error;
  }
}
