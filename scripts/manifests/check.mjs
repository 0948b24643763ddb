// All checks in order; the exit code says whether any found something.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { checkov } from "./checkov.mjs";
import { compare } from "./compare.mjs";
import { references } from "./references.mjs";
import { schema } from "./schema.mjs";
import { selfTest } from "./self-test.mjs";
import { terraform } from "./terraform.mjs";
import { ROOT, TOOL, each, helm, helmLint, kustomize, parse } from "./tools.mjs";

const folders = async (at) => (await readdir(at, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name).sort();

/** Components that no overlay takes, each laid over the overlay that has what it needs. */
const OPTIONAL = { canary: "staging" };

/** Every overlay, and the optional components on theirs: `[{ name, folder, objects }]`. */
export async function render(root, only) {
  const overlays = (await folders(path.join(root, "k8s/overlays"))).map((name) => ({ name, folder: path.join(root, "k8s/overlays", name) }));
  await mkdir(path.join(TOOL, "work"), { recursive: true });
  const work = await mkdtemp(path.join(TOOL, "work/"));
  for (const [component, overlay] of Object.entries(OPTIONAL)) {
    const folder = path.join(work, component);
    const below = (...parts) => path.relative(folder, path.join(root, "k8s", ...parts));
    await mkdir(folder);
    await writeFile(path.join(folder, "kustomization.yaml"),
      `apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [${below("overlays", overlay)}]\ncomponents: [${below("components", component)}]\n`);
    overlays.push({ name: `${overlay}+${component}`, folder });
  }
  const wanted = overlays.filter(({ name }) => !only || only === name);
  const rendered = await each(wanted, async (o) => ({ ...o, objects: await kustomize(o.folder) }));
  await rm(work, { recursive: true });
  return rendered;
}

/** Objects that are shown and belong to no overlay. */
async function examples(root) {
  const files = (await readdir(path.join(root, "k8s"), { recursive: true })).filter((f) => f.endsWith(".example.yaml"));
  return Promise.all(files.map(async (f) => ({ name: f, objects: parse(await readFile(path.join(root, "k8s", f), "utf8")) })));
}

export const schemas = (rendered) => schema(rendered.flatMap(({ name, objects }) => objects.map((object) => ({ from: name, object }))));

/** Components that are neither in an overlay nor in `OPTIONAL`: nobody would see them break. */
async function orphans(root) {
  const reached = new Set();
  const visit = async (folder) => {
    const [kustomization] = parse(await readFile(path.join(folder, "kustomization.yaml"), "utf8"));
    reached.add(folder);
    for (const c of kustomization.components ?? []) await visit(path.resolve(folder, c));
  };
  for (const name of await folders(path.join(root, "k8s/overlays"))) await visit(path.join(root, "k8s/overlays", name));
  for (const name of Object.keys(OPTIONAL)) await visit(path.join(root, "k8s/components", name));
  const all = (await readdir(path.join(root, "k8s/components"), { recursive: true })).filter((f) => path.basename(f) === "kustomization.yaml");
  const isComponent = async (f) => parse(await readFile(path.join(root, "k8s/components", f), "utf8"))[0].kind === "Component";
  const lost = all.filter((f) => !reached.has(path.dirname(path.join(root, "k8s/components", f))));
  return (await Promise.all(lost.map(async (f) => (await isComponent(f)) && `k8s/components/${f}: no overlay has it`))).filter(Boolean);
}

/** The chart, with the values of each environment, beside the overlay of its name. */
export async function charts(root, rendered) {
  const chart = path.join(root, "k8s/helm/jangteo");
  const found = await each(rendered.filter(({ name }) => !name.includes("+")), async ({ name, objects }) => {
    const values = path.join(chart, `values-${name}.yaml`);
    try {
      await helmLint(chart, values);
      return compare(name, objects, await helm(chart, values));
    } catch (error) {
      return [`${name}: ${error.message}`];
    }
  });
  return found.flat();
}

async function main() {
  let failed = false;
  const step = async (title, work) => {
    const start = performance.now();
    const findings = await work();
    console.log(`${findings.length ? "FAIL" : "ok  "} ${title} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    findings.forEach((f) => console.log(`     ${f}`));
    failed ||= findings.length > 0;
  };
  let rendered = [];
  await step("every overlay builds", async () => {
    rendered = await render(ROOT);
    console.log(`     ${rendered.map(({ name, objects }) => `${name}: ${objects.length} objects`).join(", ")}`);
    return orphans(ROOT);
  });
  await step("every object fits its schema", async () => schemas([...rendered, ...await examples(ROOT)]));
  await step("objects refer to what exists; Pod Security", async () => rendered.flatMap(({ name, objects }) => references(name, objects)));
  await step("the chart gives the same objects", () => charts(ROOT, rendered));
  await step("checkov", async () => {
    const { found, unused } = await checkov(rendered);
    return [...found, ...unused];
  });
  await step("Terraform modules fit each other", () => terraform(path.join(ROOT, "k8s/terraform")));
  return failed;
}

if (path.resolve(process.argv[1]) === import.meta.filename) {
  const [option, only] = process.argv.slice(2);
  if (option && option !== "--self-test") throw new Error(`there is no ${option}: --self-test [name of a defect], or nothing`);
  const failed = option ? await selfTest(only) : await main();
  process.exitCode = failed ? 1 : 0;
}
