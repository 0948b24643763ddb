// Every object against the schema of its kind, strictly: types, enumerations, patterns and required fields by the validators of
// kubernetes-models (compiled from the API's OpenAPI document and the operators' CRDs), unknown fields by the types beside them.
// CEL rules of CRDs are not evaluated. A kind without a schema is a finding.
import { existsSync } from "node:fs";
import path from "node:path";
import ts from "typescript";

const TOOL = import.meta.dirname;
const PACKAGES = ["kubernetes-models", ...["argo-rollouts", "autoscaler", "external-secrets", "gateway-api", "istio",
  "prometheus-operator", "sealed-secrets"].map((name) => `@kubernetes-models/${name}`)];

/** `apps/v1` + `Deployment` -> the module that declares it, or undefined. */
function moduleOf(object) {
  const [group, version] = object.apiVersion?.includes("/") ? object.apiVersion.split("/") : [null, object.apiVersion];
  if (!/^[\w.-]+$/.test(`${group}${version}${object.kind}`)) return undefined;
  const below = [...(group ? [group] : []), version, object.kind].join("/");
  const found = PACKAGES.find((name) => existsSync(path.join(TOOL, "node_modules", name, `${below}.js`)));
  return found && `${found}/${below}`;
}

/** Types of all modules in one compilation: what takes the time is reading them. Kept, for callers that come again. */
let compiled = { types: new Map() };
function declaredTypes(wanted) {
  if (wanted.every((m) => compiled.types.has(m))) return compiled;
  const modules = [...new Set([...compiled.types.keys(), ...wanted])];
  const file = path.join(TOOL, "kinds.ts");
  const lines = modules.map((m, i) => `import type { I${path.basename(m)} as T${i} } from "${m}"; export declare const v${i}: T${i};`);
  const options = {
    module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022,
    strict: true, skipLibCheck: true, noEmit: true, types: [],
  };
  const host = ts.createCompilerHost(options);
  const read = host.getSourceFile.bind(host);
  host.getSourceFile = (name, target, ...rest) => name === file ? ts.createSourceFile(name, lines.join("\n"), target) : read(name, target, ...rest);
  host.fileExists = ((exists) => (name) => name === file || exists(name))(host.fileExists.bind(host));
  const program = ts.createProgram([file], options, host);
  const wrong = program.getSemanticDiagnostics(program.getSourceFile(file));
  if (wrong.length) throw new Error(ts.flattenDiagnosticMessageText(wrong[0].messageText, "\n"));
  const checker = program.getTypeChecker();
  const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)));
  const types = new Map(symbols.map((s) => [s.name, checker.getTypeOfSymbol(s)]));
  compiled = { checker, types: new Map(modules.map((m, i) => [m, types.get(`v${i}`)])) };
  return compiled;
}

/** Fields of `value` that `type` does not have. Of a union one member has to know a field. */
function unknownFields(checker, type, value, at, found) {
  if (value === null || typeof value !== "object") return;
  const members = (type.isUnion() ? type.types : [type]).filter((t) => !(t.flags & (ts.TypeFlags.Null | ts.TypeFlags.Undefined)));
  if (members.some((t) => t.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.NonPrimitive))) return;
  if (Array.isArray(value)) {
    const items = members.filter((t) => checker.isArrayType(t)).map((t) => checker.getTypeArguments(t)[0]);
    value.forEach((v, i) => items.forEach((t) => unknownFields(checker, t, v, `${at}[${i}]`, found)));
    return;
  }
  const objects = members.filter((t) => t.flags & (ts.TypeFlags.Object | ts.TypeFlags.Intersection));
  // No fields and no index: the schema says `object` and leaves the rest open.
  const open = (t) => !checker.getPropertiesOfType(t).length && !checker.getIndexInfosOfType(t).length;
  if (!objects.length || objects.some(open)) return;
  for (const [key, below] of Object.entries(value)) {
    const types = objects.map((t) => {
      const property = checker.getPropertyOfType(t, key);
      return property ? checker.getTypeOfSymbol(property) : checker.getIndexInfoOfType(t, ts.IndexKind.String)?.type;
    }).filter(Boolean);
    if (!types.length) found.push(`${at}.${key}: unknown field`);
    types.forEach((t) => unknownFields(checker, t, below, `${at}.${key}`, found));
  }
}

/** base64 may be broken into lines, which the server reads and the validator's pattern does not. */
function asSent(object) {
  const copy = structuredClone(object);
  if (copy.kind === "Secret") for (const k of Object.keys(copy.data ?? {})) copy.data[k] = copy.data[k].replaceAll("\n", "");
  return copy;
}

/** Findings for `objects`, which come with the place that they were rendered for: `[{ from, object }]`. */
export async function schema(objects) {
  const modules = new Map(objects.map(({ object }) => [moduleOf(object), object]).filter(([m]) => m));
  const { checker, types } = declaredTypes([...modules.keys()]);
  const kinds = new Map();
  for (const m of modules.keys()) {
    const exports = await import(m);
    kinds.set(m, exports[path.basename(m)]);
  }
  return objects.flatMap(({ from, object }) => {
    const name = `${from}: ${object.kind} ${object.metadata?.namespace ?? "-"}/${object.metadata?.name}`;
    const m = moduleOf(object);
    if (!m) return [`${name}: no schema for ${object.apiVersion} ${object.kind}`];
    const found = [];
    unknownFields(checker, types.get(m), object, "", found);
    try {
      new (kinds.get(m))(asSent(object)).validate();
    } catch (error) {
      found.push(error.message);
    }
    return found.map((f) => `${name}: ${f}`);
  });
}
