// Builds webapp/static from this folder: one script, one style sheet, hashed fonts, one icon sprite, licences.
import { build } from "esbuild";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ICONS } from "./icons.mjs";

const OUT = "../static";
const LICENCES = {
  "geist.txt": "@fontsource-variable/geist/LICENSE",
  "geist-mono.txt": "@fontsource-variable/geist-mono/LICENSE",
  "htmx.txt": "htmx.org/LICENSE",
  "lucide.txt": "lucide-static/LICENSE",
};

function symbol(name) {
  const svg = readFileSync(`node_modules/lucide-static/icons/${name}.svg`, "utf8");
  const body = svg.replace(/<!--.*?-->/gs, "").replace(/^\s*<svg[^>]*>|<\/svg>\s*$/gs, "").replace(/\s*\n\s*/g, "");
  return `<symbol id="${name}" viewBox="0 0 24 24">${body}</symbol>`;
}

function writeSprite() {
  const logo = readFileSync("logo-symbol.svg", "utf8").trim();
  const symbols = ICONS.map(symbol).join("\n");
  writeFileSync(`${OUT}/icons.svg`, `<svg xmlns="http://www.w3.org/2000/svg">\n${logo}\n${symbols}\n</svg>\n`);
}

// Only what is built here: other files of static/ (the API's page) have other sources.
for (const name of ["app.css", "app.js", "icons.svg", "favicon.svg", "fonts", "licences"])
  rmSync(`${OUT}/${name}`, { recursive: true, force: true });
mkdirSync(`${OUT}/licences`, { recursive: true });
await build({
  entryPoints: ["js/app.js", "css/app.css"],
  bundle: true,
  minify: true,
  format: "iife",
  target: ["chrome120", "firefox121", "safari17.4"],
  entryNames: "[name]",
  assetNames: "fonts/[name]-[hash]",
  loader: { ".woff2": "file" },
  legalComments: "none",
  outdir: OUT,
});
writeSprite();
cpSync("favicon.svg", `${OUT}/favicon.svg`);
for (const [name, source] of Object.entries(LICENCES)) cpSync(`node_modules/${source}`, `${OUT}/licences/${name}`);
