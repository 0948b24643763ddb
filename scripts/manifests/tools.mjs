// kustomize and helm, and their output as objects.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";

const run = promisify(execFile);
export const TOOL = import.meta.dirname;
export const ROOT = path.resolve(TOOL, "../../..");

/** The pinned binary; elsewhere than on Linux x86-64, for which it was made, whatever is installed. */
function binary(name) {
  const pinned = path.join(TOOL, "layer", name, name);
  return process.platform === "linux" && process.arch === "x64" && existsSync(pinned) ? pinned : name;
}

export async function exec(command, args, options = {}) {
  try {
    return (await run(command, args, { maxBuffer: 1 << 28, ...options })).stdout;
  } catch (error) {
    throw new Error(`${path.basename(command)} ${args.join(" ")}: ${[error.stderr, error.stdout].filter(Boolean).join("\n").trim() || error.message}`);
  }
}

export const kustomize = async (folder) => parse(await exec(binary("kubectl"), ["kustomize", folder]));

/** `--include-crds`: nothing that the chart brings is left out. */
export const helm = async (chart, values) =>
  parse(await exec(binary("helm"), ["template", "jangteo", chart, "--namespace", "jangteo", "--include-crds", "--values", values]));

export const helmLint = (chart, values) => exec(binary("helm"), ["lint", "--strict", "--quiet", chart, "--values", values]);

/**
 * YAML 1.1, as the API server reads it (`0440` is octal, `no` is false). A lone dot is a string to it and a number to the letter
 * of the standard. A key that stands twice is an error.
 */
export function parse(text) {
  const float = /^[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*)$/;
  const customTags = (tags) => tags.map((t) => t.test?.test(".") ? { ...t, test: float } : t);
  return parseAllDocuments(text, { version: "1.1", customTags }).map((document) => {
    if (document.errors.length) throw document.errors[0];
    return document.toJS();
  }).filter((object) => object !== null);
}

export const key = (o) => `${o.apiVersion} ${o.kind} ${o.metadata?.namespace ?? "-"}/${o.metadata?.name}`;

/** In order, at most `width` at once. */
export async function each(list, work, width = 2) {
  const results = new Array(list.length);
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < list.length; i = next++) results[i] = await work(list[i], i);
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}
