// The channels of a bucket, a page at a time, each with what it is doing now.
import * as api from "./api.js";
import { field, h, show } from "./dom.js";
import { moment } from "./format.js";
import { badge, channelLink, empty, refusal, repeat, title } from "./parts.js";

/** How many states are asked for at once. */
const AT_ONCE = 4;

export async function channels(page, bucket, alive) {
  const list = h("ul", { class: "list" });
  const more = h("button", { type: "button", class: "plain", hidden: true }, "Show more");
  const rest = h("div", {});
  const shown = [];
  show(page, title(bucket, newChannel(bucket)), list, more, rest);
  const load = async (marker) => {
    try {
      const found = await api.channels(bucket, marker);
      for (const channel of found.items) {
        const state = h("span", { class: "state" }, badge(channel.status === "disabled" ? "Disabled" : ""));
        shown.push({ name: channel.name, state });
        list.append(row(bucket, channel, state));
      }
      more.hidden = !found.next;
      more.onclick = () => load(found.next).then(refresh);
      if (!shown.length) {
        show(rest, empty("No channels here yet",
          h("p", {}, "A channel is what an encoder pushes to, and where its recording goes. Make one with ", h("em", {}, "New channel"), "; its page then has the lines for OBS and ffmpeg.")));
      }
    } catch (error) {
      show(rest, refusal(error), error.code === "AccessDenied" && openByName(bucket));
    }
  };
  const refresh = async () => {
    const waiting = [...shown];
    const work = async () => {
      for (let one; (one = waiting.shift()) && alive(); ) {
        try {
          show(one.state, badge((await api.stat(bucket, one.name)).status));
        } catch (error) {
          show(one.state, h("span", { class: "quiet", title: error.message }, error.code));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  };
  await load("");
  repeat(refresh, 5000, alive);
}

const row = (bucket, channel, state) =>
  h("li", {},
    h("a", { href: channelLink(bucket, channel.name) },
      h("span", { class: "main" }, channel.name, channel.description && h("span", { class: "quiet about" }, channel.description)),
      h("span", { class: "quiet" }, moment(channel.modified)),
      state));

function openByName(bucket) {
  const name = h("input", { required: true, spellcheck: "false", autocapitalize: "off" });
  const submit = (event) => {
    event.preventDefault();
    location.hash = channelLink(bucket, name.value.trim());
  };
  return h("form", { class: "card", submit },
    h("p", {}, "This key may not list the channels of this bucket. Open one that it may see by its name."),
    field("Channel", name), h("div", { class: "buttons" }, h("button", { type: "submit" }, "Open")));
}

function newChannel(bucket) {
  const input = (attributes) => h("input", { spellcheck: "false", autocomplete: "off", ...attributes });
  const name = input({ required: true, autocapitalize: "off" });
  const description = h("input", { autocomplete: "off" });
  const fragDuration = input({ inputmode: "numeric", value: "5" });
  const fragCount = input({ inputmode: "numeric", value: "3" });
  const playlist = input({ value: "playlist.m3u8", autocapitalize: "off" });
  const trouble = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    const channel = name.value.trim();
    try {
      // A channel that is put again is replaced, which nobody expects of this form.
      if (await exists(bucket, channel)) throw new api.Refusal("LiveChannelAlreadyExists", "The channel is left as it is.");
      await api.createChannel(bucket, channel, {
        description: description.value, fragDuration: fragDuration.value.trim(), fragCount: fragCount.value.trim(), playlist: playlist.value.trim(),
      });
      location.hash = channelLink(bucket, channel);
    } catch (error) {
      show(trouble, refusal(error));
    }
  };
  return h("details", { class: "more" },
    h("summary", { class: "button" }, "New channel"),
    h("form", { class: "card", submit },
      field("Name", name, "Anything without a slash."),
      field("Description", description, "For people; up to 128 bytes."),
      h("div", { class: "columns" },
        field("FragDuration", fragDuration, "Shortest length of a segment in seconds, 1 to 100."),
        field("FragCount", fragCount, "Segments in the live playlist, 1 to 100.")),
      field("PlaylistName", playlist, "Ends in .m3u8."),
      trouble,
      h("div", { class: "buttons" }, h("button", { type: "submit" }, "Create channel"))));
}

async function exists(bucket, channel) {
  try {
    await api.channel(bucket, channel);
    return true;
  } catch (error) {
    // Whoever may make channels, but not look at them, gets no warning.
    if (["NoSuchLiveChannel", "AccessDenied"].includes(error.code)) return false;
    throw error;
  }
}
