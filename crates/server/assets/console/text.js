// Every text of the console, in both languages: `key: [English, Chinese]`. One table in parts, so that a part can be read at
// once. A test looks for keys that are missing, unused, or without one of the languages.
import { BASE } from "./text-base.js";
import { BUCKET } from "./text-bucket.js";
import { LIVE } from "./text-live.js";
import { MANAGE } from "./text-manage.js";
import { WORDS } from "./text-words.js";

export const TEXT = { ...BASE, ...BUCKET, ...LIVE, ...MANAGE, ...WORDS };
