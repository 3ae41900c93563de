// Takes the drawings that the console uses out of the package lucide-static: node vendor-icons.mjs ICONS VERSION OUT.js
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const [icons, version, out] = process.argv.slice(2);
const names = `
  arrow-down arrow-up ban chart-column check chevron-left chevron-right circle-alert circle-check clock copy database download
  external-link eye file file-audio file-text file-video film flask-conical folder folder-open globe history image info key-round
  languages layout-grid link list-tree lock log-out maximize menu monitor moon panel-top pause pencil play plus power radio recycle
  refresh-cw rotate-ccw scroll-text search settings shield skip-forward sun tags trash-2 triangle-alert upload user users video
  volume-2 volume-x x`.split(/\s+/).filter(Boolean);

const elements = (text) => [...text.replace(/<!--.*?-->/gs, "").replace(/<\/?svg[^>]*>/gs, "").matchAll(/<(\w+)([^>]*?)\/>/gs)]
  .map(([, tag, attributes]) => [tag, Object.fromEntries([...attributes.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, name, value]) => [name, value]))]);
const rows = names.map((name) => `  "${name}": ${JSON.stringify(elements(readFileSync(path.join(icons, `${name}.svg`), "utf8")))},`);
writeFileSync(out, `// Drawings of Lucide ${version} (ISC, lucide.LICENSE), as many as the console uses: name, and the elements of each.
// Made by scripts/vendor-console.sh from the package lucide-static.
export const ICONS = {
${rows.join("\n")}
};
`);
