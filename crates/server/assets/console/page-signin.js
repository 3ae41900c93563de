// Signing in: the key is tried with the cheapest call there is.
import * as api from "./api.js";
import { field, h, show } from "./dom.js";
import { lock } from "./key.js";
import { refusal } from "./parts.js";
import { enter } from "./session.js";

/** Codes that a key which is right may get too: it is known, and may not list all buckets. */
const KNOWN = ["AccessDenied"];

export function signIn(page, done) {
  const input = (attributes) => h("input", { autocomplete: "off", spellcheck: "false", autocapitalize: "off", ...attributes });
  const id = input({ name: "id", required: true, autocomplete: "username" });
  const secret = input({ name: "secret", type: "password", required: true, autocomplete: "current-password" });
  const token = input({ name: "token" });
  const trouble = h("div", {});
  const button = h("button", { type: "submit" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    let key;
    try {
      key = await lock({ id: id.value.trim(), secret: secret.value.trim(), token: token.value.trim() });
      await api.buckets("", key);
    } catch (error) {
      if (!KNOWN.includes(error.code)) {
        show(trouble, refusal(error));
        return;
      }
    } finally {
      button.disabled = false;
    }
    secret.value = "";
    enter(key);
    done();
  };
  show(page,
    h("form", { class: "card narrow", submit },
      h("h1", {}, "Sign in"),
      field("Access key id", id),
      field("Access key secret", secret),
      h("details", {}, h("summary", {}, "Temporary key"), field("Security token", token, "Goes with a temporary key; permanent keys have none.")),
      trouble,
      h("div", { class: "buttons" }, button),
      h("p", { class: "hint" }, "The secret stays in the memory of this tab: it signs requests and is never sent, and a reload asks for it again. What you see is what the policies of the key allow.")));
  id.focus();
}
