// All buckets, or the way to one for those who may not list them.
import * as api from "./api.js";
import { field, h, show } from "./dom.js";
import { moment } from "./format.js";
import { bucketLink, empty, refusal, title } from "./parts.js";

export async function buckets(page) {
  const list = h("ul", { class: "list" });
  const more = h("button", { type: "button", class: "plain", hidden: true }, "Show more");
  const rest = h("div", {});
  show(page, title("Buckets", newBucket()), list, more, rest);
  const load = async (marker) => {
    try {
      const found = await api.buckets(marker);
      list.append(...found.items.map(row));
      more.hidden = !found.next;
      more.onclick = () => load(found.next);
      if (!list.children.length) show(rest, empty("No buckets yet", h("p", {}, "A bucket holds channels and their recordings. Make the first one with ", h("em", {}, "New bucket"), ".")));
    } catch (error) {
      if (error.code !== "AccessDenied") return show(rest, refusal(error));
      show(rest, refusal(error), openByName());
    }
  };
  await load("");
}

const row = (bucket) =>
  h("li", {}, h("a", { href: bucketLink(bucket.name) }, h("span", { class: "main" }, bucket.name), h("span", { class: "quiet" }, `since ${moment(bucket.made)}`)));

function openByName() {
  const name = h("input", { required: true, spellcheck: "false", autocapitalize: "off" });
  const submit = (event) => {
    event.preventDefault();
    location.hash = bucketLink(name.value.trim());
  };
  return h("form", { class: "card", submit },
    h("p", {}, "This key may not list all buckets. Open one that it may see by its name."),
    field("Bucket", name), h("div", { class: "buttons" }, h("button", { type: "submit" }, "Open")));
}

function newBucket() {
  const name = h("input", { required: true, spellcheck: "false", autocapitalize: "off" });
  const acl = h("select", {},
    h("option", { value: "private" }, "private: playing needs a signed address"),
    h("option", { value: "public-read" }, "public-read: everybody may play"));
  const trouble = h("div", {});
  const submit = async (event) => {
    event.preventDefault();
    try {
      await api.createBucket(name.value.trim(), acl.value);
      location.hash = bucketLink(name.value.trim());
    } catch (error) {
      show(trouble, refusal(error));
    }
  };
  return h("details", { class: "more" },
    h("summary", { class: "button" }, "New bucket"),
    h("form", { class: "card", submit },
      field("Name", name, "3 to 63 lower-case letters, digits and dashes."),
      field("Who may play", acl), trouble, h("div", { class: "buttons" }, h("button", { type: "submit" }, "Create bucket"))));
}
