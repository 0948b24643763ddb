// checkov over the rendered overlays. An exception names its check, the objects it is for and why; one that is for nothing is a
// finding too.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { stringify } from "yaml";
import { TOOL, exec } from "./tools.mjs";

const EXCEPTIONS = [
  ["CKV_K8S_43", /./, "images go by version; who deploys pins the digests of the registry that is used (kustomize `images`)"],
  ["CKV_K8S_15", /./, "a node that has the image need not ask the registry: one that is down must not keep pods from starting"],
  ["CKV_K8S_35", /\.(jangteo|jangteo-stores)\./, "the program reads its settings from the environment"],
  ["CKV_K8S_11", /^(?!\w+\.jangteo\.(?!migrate$))/, "what is asked for is kept free; a limit would throttle stores and proxies in a burst"],
  ["CKV_K8S_8", /^Deployment\.jangteo-ingress\.ingress$/, "the container is filled in by injection, probes included"],
  ["CKV_K8S_9", /^Deployment\.jangteo-ingress\.ingress$/, "as above"],
  ["CKV_K8S_14", /^Deployment\.jangteo-ingress\.ingress$/, "as above: `auto` becomes the mesh's own version"],
  ["CKV_K8S_38", /^(Deployment\.jangteo-ingress\.ingress|DaemonSet\.logging\.fluent-bit)$/, "one proves itself to the control plane, one asks for the labels of pods"],
  ["CKV_K8S_40", /^(Deployment\.jangteo-ingress\.ingress|DaemonSet\.logging\.fluent-bit|\w+\.jangteo-stores\.(postgres|postgres-backup|redis))$/, "the users of those images"],
  ["CKV_K8S_23", /^DaemonSet\.logging\.fluent-bit$/, "the log files are root's; it has no other power of root"],
  ["CKV2_K8S_5", /^RoleBinding\.jangteo-ingress\.ingress$/, "the secrets of its namespace are the public hosts' keys, which it serves"],
];

/** `overlays`: `[{ name, objects }]`. What two overlays have alike is looked at once. */
export async function checkov(overlays) {
  await mkdir(path.join(TOOL, "work"), { recursive: true });
  const folder = await mkdtemp(path.join(TOOL, "work/"));
  const seen = new Set();
  for (const { name, objects } of overlays) {
    const texts = objects.map((o) => stringify(o, { version: "1.1", aliasDuplicateObjects: false })).filter((t) => !seen.has(t));
    texts.forEach((t) => seen.add(t));
    if (texts.length) await writeFile(path.join(folder, `${name}.yaml`), texts.join("---\n"));
  }
  const args = ["--directory", folder, "--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--soft-fail", "--output", "json"];
  const report = JSON.parse(await exec(path.join(TOOL, "venv/bin/checkov"), args, { cwd: TOOL }));
  await rm(folder, { recursive: true });
  // Nothing looked at is no success.
  if (!(report.summary?.resource_count > 0 && report.summary.passed > 0)) throw new Error("checkov looked at nothing");
  const found = report.summary.parsing_errors ? [`checkov can't read ${report.summary.parsing_errors} files`] : [];
  const used = new Set();
  for (const f of report.results.failed_checks) {
    const exception = EXCEPTIONS.find(([id, of]) => id === f.check_id && of.test(f.resource));
    if (exception) used.add(exception);
    else found.push(`${path.basename(f.file_path, ".yaml")}: ${f.resource}: ${f.check_id} ${f.check_name}`);
  }
  return { found, unused: EXCEPTIONS.filter((e) => !used.has(e)).map(([id, of]) => `checkov: the exception ${id} ${of} is for nothing`) };
}
