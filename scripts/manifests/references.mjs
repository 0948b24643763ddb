// What objects of one overlay say of each other: names, ports, selectors, routes. And Pod Security, which a cluster would refuse by.
import { key } from "./tools.mjs";

const POD_KINDS = ["Deployment", "StatefulSet", "DaemonSet", "Job"];
/** Brought by the platform. */
const FOREIGN_NAMESPACES = ["istio-system", "kube-system"];

const template = (o) => o.kind === "CronJob" ? o.spec.jobTemplate.spec.template : POD_KINDS.includes(o.kind) ? o.spec.template : undefined;
const containers = (pod) => [...(pod.initContainers ?? []), ...pod.containers];
const covers = (labels, selector) => Object.entries(selector ?? {}).every(([k, v]) => labels?.[k] === v);

export function references(overlay, objects) {
  const found = [];
  const of = (kind) => objects.filter((o) => o.kind === kind);
  const has = (kind, namespace, name) => objects.some((o) => o.kind === kind && o.metadata.name === name && (o.metadata.namespace ?? namespace) === namespace);
  const pods = objects.filter(template).map((o) => ({ owner: o, namespace: o.metadata.namespace, ...template(o) }));
  const selected = (namespace, selector) => pods.filter((p) => p.namespace === namespace && covers(p.metadata.labels, selector));
  const say = (o, text) => found.push(`${overlay}: ${key(o)}: ${text}`);

  const seen = new Set();
  for (const o of objects) {
    if (seen.has(key(o))) say(o, "stands twice");
    seen.add(key(o));
    const ns = o.metadata.namespace;
    if (ns && !has("Namespace", undefined, ns) && !FOREIGN_NAMESPACES.includes(ns) && ns !== "monitoring") say(o, `there is no namespace ${ns}`);
  }

  const secretKeys = (namespace, name) => {
    const plain = of("Secret").find((s) => s.metadata.namespace === namespace && s.metadata.name === name);
    if (plain) return Object.keys({ ...plain.data, ...plain.stringData });
    const outside = of("ExternalSecret").some((s) => s.metadata.namespace === namespace && (s.spec.target?.name ?? s.metadata.name) === name);
    return outside ? "any" : undefined;
  };
  const wants = (o, kind, name, optional, wanted) => {
    const ns = o.metadata.namespace;
    const keys = kind === "Secret" ? secretKeys(ns, name)
      : Object.keys(of("ConfigMap").find((c) => c.metadata.namespace === ns && c.metadata.name === name)?.data ?? {});
    if (optional) return;
    if (!keys || (kind === "ConfigMap" && !has("ConfigMap", ns, name))) say(o, `there is no ${kind} ${name}`);
    else if (wanted && keys !== "any" && !keys.includes(wanted)) say(o, `${kind} ${name} has no ${wanted}`);
  };
  for (const { owner, spec, metadata } of pods) {
    const account = spec.serviceAccountName;
    if (!account || !has("ServiceAccount", owner.metadata.namespace, account)) say(owner, `there is no ServiceAccount ${account}`);
    if (!covers(metadata.labels, owner.spec.selector?.matchLabels)) say(owner, "its selector is not that of its pods");
    const volumes = new Set((spec.volumes ?? []).concat((owner.spec.volumeClaimTemplates ?? []).map((c) => c.metadata)).map((v) => v.name));
    for (const v of spec.volumes ?? []) {
      if (v.configMap) wants(owner, "ConfigMap", v.configMap.name, v.configMap.optional);
      if (v.secret) wants(owner, "Secret", v.secret.secretName, v.secret.optional);
      const claim = v.persistentVolumeClaim?.claimName;
      if (claim && !has("PersistentVolumeClaim", owner.metadata.namespace, claim)) say(owner, `there is no claim ${claim}`);
    }
    for (const c of containers(spec)) {
      for (const { configMapRef: m, secretRef: s } of c.envFrom ?? []) {
        if (m) wants(owner, "ConfigMap", m.name, m.optional);
        if (s) wants(owner, "Secret", s.name, s.optional);
      }
      for (const { valueFrom: from } of c.env ?? []) {
        if (from?.secretKeyRef) wants(owner, "Secret", from.secretKeyRef.name, from.secretKeyRef.optional, from.secretKeyRef.key);
        if (from?.configMapKeyRef) wants(owner, "ConfigMap", from.configMapKeyRef.name, from.configMapKeyRef.optional, from.configMapKeyRef.key);
      }
      for (const m of c.volumeMounts ?? []) if (!volumes.has(m.name)) say(owner, `there is no volume ${m.name}`);
      const ports = (c.ports ?? []).map((p) => p.name);
      for (const probe of [c.startupProbe, c.readinessProbe, c.livenessProbe].filter(Boolean)) {
        const port = (probe.httpGet ?? probe.tcpSocket)?.port;
        if (typeof port === "string" && !ports.includes(port)) say(owner, `a probe asks port ${port}, which no container has`);
      }
    }
    const level = of("Namespace").find((n) => n.metadata.name === owner.metadata.namespace)?.metadata.labels?.["pod-security.kubernetes.io/enforce"];
    if (level === "restricted") restricted(spec).forEach((text) => say(owner, `refused by Pod Security: ${text}`));
  }

  for (const s of of("Service").filter((s) => s.spec.selector)) {
    const behind = selected(s.metadata.namespace, s.spec.selector);
    if (!behind.length) say(s, "selects no pod");
    for (const p of s.spec.ports.filter((p) => typeof p.targetPort === "string")) {
      const open = (pod) => containers(pod.spec).some((c) => (c.ports ?? []).some((q) => q.name === p.targetPort));
      if (!behind.every(open)) say(s, `its pods have no port ${p.targetPort}`);
    }
  }
  for (const b of of("PodDisruptionBudget")) if (!selected(b.metadata.namespace, b.spec.selector.matchLabels).length) say(b, "selects no pod");
  for (const [kind, field] of [["HorizontalPodAutoscaler", "scaleTargetRef"], ["VerticalPodAutoscaler", "targetRef"], ["Rollout", "workloadRef"]]) {
    for (const o of of(kind)) {
      const target = o.spec[field];
      if (!objects.some((t) => t.apiVersion === target.apiVersion && t.kind === target.kind && t.metadata.name === target.name && t.metadata.namespace === o.metadata.namespace)) {
        say(o, `there is no ${target.kind} ${target.name}`);
      }
    }
  }
  for (const o of of("HorizontalPodAutoscaler")) if (o.spec.minReplicas > o.spec.maxReplicas) say(o, "its least is above its most");
  if (of("VerticalPodAutoscaler").length) {
    for (const d of of("Deployment").filter((d) => d.metadata.namespace === "jangteo")) {
      if (!has("VerticalPodAutoscaler", "jangteo", d.metadata.name) && d.metadata.labels.version !== "canary") say(d, "has no VerticalPodAutoscaler");
    }
  }

  const routes = (v) => (v.spec.http ?? []).flatMap((r) => r.route ?? []);
  for (const v of of("VirtualService")) {
    for (const gateway of (v.spec.gateways ?? []).filter((g) => g !== "mesh")) {
      const [ns, name] = gateway.includes("/") ? gateway.split("/") : [v.metadata.namespace, gateway];
      if (!has("Gateway", ns, name)) say(v, `there is no Gateway ${gateway}`);
    }
    for (const { destination: d } of routes(v)) {
      const [name, ns] = d.host.split(".");
      if (!has("Service", ns ?? v.metadata.namespace, name)) say(v, `there is no Service ${d.host}`);
      const rule = of("DestinationRule").find((r) => r.spec.host === d.host);
      if (d.subset && !rule?.spec.subsets?.some((s) => s.name === d.subset)) say(v, `${d.host} has no subset ${d.subset}`);
    }
  }
  for (const g of of("Gateway")) if (!selected(g.metadata.namespace, g.spec.selector).length) say(g, "selects no pod");
  for (const r of of("Rollout")) {
    const istio = r.spec.strategy.canary?.trafficRouting?.istio;
    const service = of("VirtualService").find((v) => v.metadata.name === istio?.virtualService.name);
    const named = new Set(istio?.virtualService.routes);
    for (const route of service?.spec.http ?? []) {
      if (!named.delete(route.name)) say(r, `leaves out the route ${route.name}`);
    }
    named.forEach((name) => say(r, `there is no route ${name}`));
  }
  const dev = overlay === "dev";
  for (const s of of("Secret")) if (!dev) say(s, "a Secret with values belongs into no file");
  return found;
}

/** What https://kubernetes.io/docs/concepts/security/pod-security-standards calls restricted. */
function restricted(pod) {
  const wrong = [];
  const volumes = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];
  for (const v of pod.volumes ?? []) {
    if (!Object.keys(v).some((k) => volumes.includes(k))) wrong.push(`volume ${v.name}`);
  }
  for (const field of ["hostNetwork", "hostPID", "hostIPC"]) if (pod[field]) wrong.push(field);
  for (const c of containers(pod)) {
    const own = c.securityContext ?? {};
    const either = (field) => own[field] ?? pod.securityContext?.[field];
    if (own.privileged) wrong.push(`${c.name} is privileged`);
    if (own.allowPrivilegeEscalation !== false) wrong.push(`${c.name} may escalate`);
    if (either("runAsNonRoot") !== true || either("runAsUser") === 0) wrong.push(`${c.name} may run as root`);
    if (!["RuntimeDefault", "Localhost"].includes(either("seccompProfile")?.type)) wrong.push(`${c.name} has no seccomp profile`);
    if (!own.capabilities?.drop?.includes("ALL")) wrong.push(`${c.name} keeps capabilities`);
    if ((own.capabilities?.add ?? []).some((a) => a !== "NET_BIND_SERVICE")) wrong.push(`${c.name} adds capabilities`);
    if ((c.ports ?? []).some((p) => p.hostPort)) wrong.push(`${c.name} takes a port of the node`);
  }
  return wrong;
}
