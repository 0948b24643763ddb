// The Terraform modules fit each other: they parse (HashiCorp's own parser), every variable, local, resource and module that is
// referred to is declared, every declared variable is used, calls give what the called module asks for and nothing else.
// Not `terraform validate`: the providers' schemas, which know a resource's arguments, come from a registry of their own.
import { readFile, readdir } from "node:fs/promises";
import path from "node:path";
import { parse } from "@cdktf/hcl2json";

const META = ["source", "version", "providers", "count", "for_each", "depends_on"];

async function read(folder) {
  const blocks = {};
  let text = "";
  for (const file of (await readdir(folder)).filter((f) => f.endsWith(".tf"))) {
    const content = await readFile(path.join(folder, file), "utf8");
    text += content.replace(/^\s*(#|\/\/).*$/gm, "");
    for (const [type, body] of Object.entries(await parse(file, content))) {
      for (const [name, block] of Object.entries(Array.isArray(body) ? Object.assign({}, ...body) : body)) {
        (blocks[type] ??= {})[name] = { ...blocks[type][name], ...(["resource", "data"].includes(type) ? block : { block }) };
      }
    }
  }
  return { blocks, text };
}

export async function terraform(root) {
  const found = [];
  const modules = new Map();
  const folders = [root, ...["modules", "environments"].map((f) => path.join(root, f))];
  for (const folder of folders) {
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      const at = path.join(folder, entry.name);
      if (entry.isDirectory() && (await readdir(at)).some((f) => f.endsWith(".tf"))) modules.set(at, await read(at));
    }
  }
  if (!modules.size) return [`${root}: there is no module`];
  for (const [folder, { blocks, text }] of modules) {
    const say = (what) => found.push(`${path.relative(path.dirname(root), folder)}: ${what}`);
    const names = (pattern) => new Set([...text.matchAll(pattern)].map((m) => m[1]));
    const declared = (type) => Object.keys(blocks[type] ?? {});
    for (const name of names(/\bvar\.(\w+)/g)) if (!declared("variable").includes(name)) say(`var.${name} is not declared`);
    for (const name of declared("variable")) if (!names(/\bvar\.(\w+)/g).has(name)) say(`the variable ${name} is not used`);
    for (const name of names(/\blocal\.(\w+)/g)) if (!declared("locals").includes(name)) say(`local.${name} is not declared`);
    for (const [whole, data, type, name] of text.matchAll(/(?<![\w."])(data\.)?((?:aws|random|tls)_\w+)\.(\w+)/g)) {
      if (!blocks[data ? "data" : "resource"]?.[type]?.[name]) say(`${whole} is not declared`);
    }
    for (const [name, { block }] of Object.entries(blocks.module ?? {})) {
      const call = Array.isArray(block) ? block[0] : block;
      const target = modules.get(path.resolve(folder, call.source));
      if (!target) { say(`module.${name}: there is no ${call.source}`); continue; }
      const wanted = target.blocks.variable ?? {};
      const given = Object.keys(call).filter((k) => !META.includes(k));
      given.filter((k) => !wanted[k]).forEach((k) => say(`module.${name}: ${k} is no variable of ${call.source}`));
      const required = Object.entries(wanted).filter(([, v]) => !("default" in (Array.isArray(v.block) ? v.block[0] : v.block))).map(([k]) => k);
      required.filter((k) => !given.includes(k)).forEach((k) => say(`module.${name}: ${k} is missing`));
      for (const [, output] of text.matchAll(new RegExp(`\\bmodule\\.${name}\\.(\\w+)`, "g"))) {
        if (!target.blocks.output?.[output]) say(`module.${name}.${output} is no output`);
      }
    }
    for (const name of names(/\bmodule\.(\w+)\./g)) if (!declared("module").includes(name)) say(`module.${name} is not declared`);
  }
  return found;
}
