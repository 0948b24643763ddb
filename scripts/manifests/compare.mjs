// The chart and the overlay of the same name give the same objects: none more, none fewer, no field different. Written in two ways
// and the same to the API server, and so here: a Secret's `stringData` and the base64 of `data`; a field that is null and none.
import path from "node:path";
import { key } from "./tools.mjs";

function asStored(object) {
  const copy = JSON.parse(JSON.stringify(object), (_, v) => (v === null ? undefined : v));
  if (copy.kind !== "Secret") return copy;
  const plain = Object.entries(copy.data ?? {}).map(([k, v]) => [k, Buffer.from(v, "base64").toString()]);
  return { ...copy, data: undefined, stringData: { ...Object.fromEntries(plain), ...copy.stringData } };
}

/** Paths at which `a` and `b` differ. The order of lists counts, as it does in routes; that of keys does not. */
function differences(a, b, at = "") {
  if (a === b) return [];
  if (typeof a !== "object" || typeof b !== "object" || !a || !b || Array.isArray(a) !== Array.isArray(b)) {
    return [`${at || "."}: kustomize ${JSON.stringify(a)}, helm ${JSON.stringify(b)}`];
  }
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((k) => differences(a[k], b[k], `${at}.${k}`));
}

export function compare(overlay, fromKustomize, fromHelm) {
  const found = [];
  const ours = new Map(fromKustomize.map((o) => [key(o), asStored(o)]));
  const theirs = new Map(fromHelm.map((o) => [key(o), asStored(o)]));
  if (theirs.size !== fromHelm.length) found.push("the chart renders an object twice");
  for (const [k, object] of ours) {
    if (!theirs.has(k)) found.push(`${k}: only kustomize has it`);
    else found.push(...differences(object, theirs.get(k)).map((d) => `${k}: ${d}`));
  }
  found.push(...[...theirs.keys()].filter((k) => !ours.has(k)).map((k) => `${k}: only helm has it`));
  return found.map((f) => `${path.basename(overlay)}: ${f}`);
}
