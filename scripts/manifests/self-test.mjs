// Defects, planted one at a time into a copy of the tree: each has to be found, by the check that it is for, and by what it is;
// without it the same check says nothing of the kind.
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { checkov } from "./checkov.mjs";
import { charts, render, schemas } from "./check.mjs";
import { references } from "./references.mjs";
import { terraform } from "./terraform.mjs";
import { ROOT, TOOL, each } from "./tools.mjs";

// What is built, and by whom it is looked at.
const builds = async (root, overlay) => {
  try {
    await render(root, overlay);
    return [];
  } catch (error) {
    return [error.message];
  }
};
const schemaOf = async (root, overlay) => schemas(await render(root, overlay));
const referencesOf = async (root, overlay) => (await render(root, overlay)).flatMap(({ name, objects }) => references(name, objects));
const chartOf = async (root, overlay) => charts(root, await render(root, overlay));
const checkovOf = async (root, overlay) => (await checkov(await render(root, overlay))).found;
const terraformOf = (root) => terraform(path.join(root, "k8s/terraform"));

/** What is wrong, where, from what to what, who finds it in which overlay, and what it says. */
const DEFECTS = [
  ["a file that is gone", "k8s/base/kustomization.yaml", "- config.yaml", "- settings.yaml", builds, "dev", /settings\.yaml/],
  ["a patch of nothing", "k8s/overlays/prod/config.yaml", "name: jangteo\n", "name: jangtoe\n", builds, "prod", /no matches|failed to find/],
  ["broken YAML", "istio/gateway.yaml", "mode: SIMPLE,", "mode: SIMPLE", builds, "dev", /yaml/i],
  ["a misspelt field, core kind", "k8s/base/migrate.yaml", "backoffLimit: 6", "backofLimit: 6", schemaOf, "dev", /Job .*backofLimit: unknown field/],
  ["a misspelt field, deep", "k8s/components/stores/nats/nats.yaml", "failureThreshold: 90", "failureThreshhold: 90", schemaOf, "dev", /startupProbe\.failureThreshhold: unknown field/],
  ["a misspelt field, Istio", "istio/gateway.yaml", "retries: { attempts: 0 }", "retries: { attemps: 0 }", schemaOf, "dev", /VirtualService .*attemps: unknown field/],
  ["Envoy's name for Istio's field", "istio/services/order.yaml", "consecutiveGatewayErrors:", "consecutiveGatewayFailure:", schemaOf, "dev", /DestinationRule .*consecutiveGatewayFailure: unknown field/],
  ["a value of no enumeration", "istio/peer-authentication.yaml", "mtls: { mode: STRICT }", "mtls: { mode: STRIKT }", schemaOf, "dev", /PeerAuthentication .*mode/],
  ["a number that is a string", "k8s/components/stores/nats/nats.yaml", "replicas: 3", 'replicas: "3"', schemaOf, "dev", /StatefulSet .*replicas must be integer/],
  ["a required field that is gone", "k8s/components/monitoring/fluent-bit.yaml", "  selector:\n    matchLabels: { app.kubernetes.io/name: fluent-bit }\n", "", schemaOf, "prod", /DaemonSet .*required property selector/],
  ["a misspelt field, External Secrets", "k8s/components/external-secrets/store.yaml", "SecretsManager, region:", "SecretsManager, regoin:", schemaOf, "prod", /SecretStore .*regoin: unknown field/],
  ["a kind that nobody knows", "istio/telemetry.yaml", "apiVersion: telemetry.istio.io/v1\n", "apiVersion: telemetry.istio.io/v3\n", schemaOf, "dev", /no schema for telemetry\.istio\.io\/v3/],
  ["a misspelt field, Prometheus Operator", "k8s/components/monitoring/envoy-stats.yaml", "interval: 15s", "intervall: 15s", schemaOf, "prod", /PodMonitor .*intervall: unknown field/],
  ["a misspelt field, Argo Rollouts", "k8s/components/canary/analysis.yaml", "failureLimit: 1", "failureLimits: 1", schemaOf, "staging+canary", /AnalysisTemplate .*failureLimits: unknown field/],
  ["a duplicate key", "k8s/base/config.yaml", 'JANGTEO_NATS__REPLICAS: "3"', 'JANGTEO_NATS__REPLICAS: "3"\n  JANGTEO_NATS__REPLICAS: "1"', builds, "dev", /already (set|defined)|duplicate/i],
  ["an autoscaler of nobody", "istio/ingress.yaml", "kind: Deployment, name: ingress }", "kind: Deployment, name: ingres }", referencesOf, "dev", /there is no Deployment ingres/],
  ["a key that the Secret lacks", "k8s/base/migrate.yaml", "key: JANGTEO_NATS__URL", "key: JANGTEO_NATS_URL", referencesOf, "dev", /Secret jangteo has no JANGTEO_NATS_URL/],
  ["a route that the Rollout forgot", "k8s/components/canary/order.yaml", "              - CancelOrder\n", "", referencesOf, "staging+canary", /leaves out the route CancelOrder/],
  ["a Service whose port no pod has", "k8s/components/stores/redis/redis.yaml", "targetPort: tcp-redis", "targetPort: redis", referencesOf, "dev", /have no port redis/],
  ["a pod that Pod Security refuses", "k8s/components/stores/nats/nats.yaml", "runAsNonRoot: true", "runAsNonRoot: false", referencesOf, "prod", /refused by Pod Security: nats may run as root/],
  ["a password in a file", "k8s/overlays/prod/kustomization.yaml", "patches:", "secretGenerator:\n  - { name: jangteo, namespace: jangteo, literals: [a=b] }\npatches:", referencesOf, "prod", /belongs into no file/],
  ["an object that only the overlay has", "k8s/overlays/prod/kustomization.yaml", "patches:", "configMapGenerator:\n  - { name: extra, namespace: jangteo, literals: [a=b], options: { disableNameSuffixHash: true } }\npatches:", chartOf, "prod", /extra: only kustomize has it/],
  ["a value that only the overlay has", "k8s/overlays/prod/config.yaml", '"86400"', '"0"', chartOf, "prod", /SETTLEMENT_HOLD_SECS: kustomize "0", helm "86400"/],
  ["a value of the chart that is none", "k8s/helm/jangteo/values-prod.yaml", "global:", "globl:", chartOf, "prod", /globl|additional/i],
  ["a template that was changed by hand", "k8s/helm/jangteo/charts/order/templates/service.yaml", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 31", chartOf, "prod", /terminationGracePeriodSeconds: kustomize 30, helm 31/],
  ["a root file system that can be written", "k8s/components/stores/nats/nats.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", checkovOf, "prod", /nats: CKV_K8S_22/],
  ["a role that may do everything", "istio/ingress.yaml", "verbs: [get, list, watch]", 'verbs: ["*"]', checkovOf, "dev", /CKV_K8S_49/],
  ["a variable that nobody declares", "k8s/terraform/modules/cache/main.tf", "var.node_type", "var.node_typ", terraformOf, "", /var\.node_typ is not declared/],
  ["an input that the module lacks", "k8s/terraform/environments/prod/main.tf", "storage_gib ", "storage_gb ", terraformOf, "", /storage_gb is no variable/],
];

/** `only`: those whose line in the list contains it. */
export async function selfTest(only = "") {
  const defects = DEFECTS.filter((d) => d.slice(0, 4).join(" ").includes(only));
  if (!defects.length) throw new Error(`no defect is called ${only}`);
  await mkdir(path.join(TOOL, "work"), { recursive: true });
  const work = await mkdtemp(path.join(TOOL, "work/"));
  let missed = 0;
  const say = (good, text) => {
    console.log(`${good ? "ok  " : "FAIL"} ${text}`);
    missed += good ? 0 : 1;
  };
  const copy = async (to) => {
    for (const folder of ["k8s", "istio"]) await cp(path.join(ROOT, folder), path.join(work, to, folder), { recursive: true });
    return path.join(work, to);
  };
  const sound = new Map();
  const soundFindings = (look, overlay) => {
    const k = `${look.name} ${overlay}`;
    if (!sound.has(k)) sound.set(k, look(ROOT, overlay));
    return sound.get(k);
  };
  await each(defects, async ([what, file, from, to, look, overlay, says], i) => {
    const root = await copy(`${i}`);
    const at = path.join(root, file);
    const before = await readFile(at, "utf8").catch(() => "");
    const after = before.replace(from, to);
    if (after === before) return say(false, `${what}: ${file} has no ${JSON.stringify(from)} any more`);
    const without = (await soundFindings(look, overlay)).filter((f) => says.test(f));
    await writeFile(at, after);
    const found = (await look(root, overlay)).find((f) => says.test(f));
    say(found && !without.length, `${what}: ${without.length ? `found without it too: ${without[0]}` : found ?? "not found"}`.replaceAll(`${root}/`, "").slice(0, 220));
    await rm(root, { recursive: true });
  });
  await rm(work, { recursive: true, force: true });
  console.log(`${defects.length - missed} of ${defects.length} defects found`);
  return missed > 0;
}
