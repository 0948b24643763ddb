// Lists the operations of /openapi.json and calls them. No library, no network beyond this host;
// everything from the document is set as text, never as markup.
"use strict";

const el = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
};
const schemas = {};
const resolve = (s) => (s && s.$ref ? schemas[s.$ref.split("/").pop()] || {} : s || {});
const nameOf = (s) => (s && s.$ref ? s.$ref.split("/").pop().split(".").pop() : "");

function typeOf(s) {
  if (!s) return "";
  if (s.$ref) return nameOf(s);
  if (s.type === "array") return typeOf(s.items) + "[]";
  if (s.additionalProperties && s.type === "object" && !s.properties) return "map of " + typeOf(s.additionalProperties);
  return [].concat(s.type || "any").join(" | ") + (s.format ? ` (${s.format})` : "");
}

function limits(s) {
  const words = { minLength: "at least", maxLength: "at most", minimum: "≥", maximum: "≤", exclusiveMinimum: ">",
    exclusiveMaximum: "<", minItems: "items ≥", maxItems: "items ≤", pattern: "matches" };
  return Object.entries(words).filter(([k]) => k in s || `x-${k}` in s).map(([k, w]) => `${w} ${s[k] ?? s[`x-${k}`]}`).join(", ");
}

// An example to be edited: what is required, or everything where nothing is.
function example(schema, depth = 0) {
  const s = resolve(schema);
  if (s.const !== undefined) return s.const;
  if (s.enum) return s.enum.length > 1 ? s.enum[1] : s.enum[0];
  const type = [].concat(s.type || "")[0];
  if (type === "array") return depth > 3 ? [] : [example(s.items, depth + 1)];
  if (type === "object") {
    const out = {};
    if (depth > 3) return out;
    for (const [k, v] of Object.entries(s.properties || {})) {
      if (!v.readOnly && !resolve(v).readOnly && (!s.required || s.required.includes(k))) out[k] = example(v, depth + 1);
    }
    return out;
  }
  if (type === "boolean") return false;
  if (type === "integer" || type === "number") return s.minimum ?? 0;
  if (s.format === "int64" || s.format === "uint64") return "0";
  if (s.format === "date-time") return "2026-01-02T03:04:05Z";
  if (s.format === "email") return "you@example.com";
  if (s.format === "password") return "";
  if (s.minLength) return "text";
  return "";
}

function shape(schema, seen = []) {
  const s = resolve(schema);
  const name = nameOf(schema);
  if (name && seen.includes(name)) return null;
  if (s.type === "array") return shape(s.items, seen);
  if (!s.properties) return s.description ? el("p", { textContent: s.description }) : null;
  const rows = Object.entries(s.properties).map(([k, v]) => {
    const inner = nameOf(v) || nameOf(v.items);
    const nested = inner && resolve(v.$ref ? v : v.items).properties && !seen.includes(inner)
      ? el("details", {}, el("summary", { textContent: inner }), el("div", {}, shape(v, seen.concat(name)))) : null;
    const marks = [(s.required || []).includes(k) ? "required" : "", v.readOnly ? "read only" : "", limits(v)].filter(Boolean).join(", ");
    const text = v.description || (v.$ref ? resolve(v).description : "") || "";
    return el("tr", {}, el("td", {}, el("code", { textContent: k })), el("td", { textContent: typeOf(v) }),
      el("td", {}, el("div", { textContent: text }), el("div", { className: "muted", textContent: marks }), nested));
  });
  return el("table", {}, ...rows);
}

async function call(op, verb, path, inputs, body, out) {
  const url = new URL(path.replace(/\{(\w[\w.]*)\}/g, (_, n) => encodeURIComponent(inputs[`path ${n}`]?.value || "")), location.origin);
  const headers = {};
  for (const p of op.parameters || []) {
    const value = inputs[`${p.in} ${p.name}`]?.value;
    if (!value) continue;
    if (p.in === "header") headers[p.name] = value;
    if (p.in === "query") for (const v of p.schema.type === "array" ? value.split(",") : [value]) url.searchParams.append(p.name, v.trim());
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const text = body ? body.value.trim() : "";
  if (text) headers["Content-Type"] = "application/json";
  const kinds = Object.keys(op.responses["200"].content || {});
  if (kinds.includes("application/x-ndjson")) headers.Accept = "application/x-ndjson";
  out.textContent = "…";
  const started = performance.now();
  try {
    const answer = await fetch(url, { method: verb.toUpperCase(), headers, body: text || undefined });
    const head = `${answer.status} ${answer.statusText} · ${Math.round(performance.now() - started)} ms\n` +
      [...answer.headers].map(([k, v]) => `${k}: ${v}`).join("\n") + "\n\n";
    out.textContent = head;
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let got = "";
    for (let part; !(part = await reader.read()).done; ) {
      got += decoder.decode(part.value, { stream: true });
      out.textContent = head + got.slice(0, 200000);
    }
    try { out.textContent = head + JSON.stringify(JSON.parse(got), null, 2); } catch { /* not one document */ }
  } catch (e) {
    out.textContent = String(e);
  }
}

// A key for one use; randomUUID is there on https and on this machine only.
const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

// Who may call: nothing for anybody, else "signed in" or the roles that it takes.
function who(op) {
  if (!(op.security || []).length || !op.security.every((s) => s.bearer)) return "";
  const roles = (op["x-roles"] || []).filter((r) => r !== "user");
  return roles.length ? roles.join(", ") : "signed in";
}

// Where an operation takes a password and gives a token, the page can sign in with it.
function signIn(paths) {
  for (const [path, item] of Object.entries(paths)) {
    const body = resolve(item.post?.requestBody?.content["application/json"]?.schema);
    const answer = resolve(item.post?.responses["200"].content?.["application/json"]?.schema);
    const name = (body.required || []).find((n) => n !== "password");
    if (!answer.properties?.accessToken || !body.required?.includes("password") || !name) continue;
    const form = document.getElementById("sign-in");
    const said = document.getElementById("signed-in");
    const [who, password] = [document.getElementById("name"), document.getElementById("password")];
    who.placeholder = who.ariaLabel = name;
    form.hidden = false;
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      said.textContent = "…";
      try {
        const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ [name]: who.value, password: password.value }) });
        const got = await answer.json();
        if (answer.ok) document.getElementById("token").value = got.accessToken || "";
        said.textContent = answer.ok ? "signed in" : got.message;
        if (answer.ok) password.value = "";
      } catch (e) {
        said.textContent = String(e);
      }
    });
    return;
  }
}

function operation(path, verb, op) {
  const inputs = {};
  const rows = (op.parameters || []).map((p) => {
    const input = el("input", { value: p.name === "Idempotency-Key" && p.required ? key() : "", placeholder: p.schema.type === "array" ? "a, b" : "", ariaLabel: p.name });
    inputs[`${p.in} ${p.name}`] = input;
    const about = [p.required ? "required" : "", limits(p.schema)].filter(Boolean).join(", ");
    return el("tr", {}, el("td", {}, el("code", { textContent: p.name }), el("div", { className: "muted", textContent: p.in })),
      el("td", { textContent: typeOf(p.schema) }), el("td", {}, input),
      el("td", {}, el("div", { textContent: p.description || "" }), el("div", { className: "muted", textContent: about })));
  });
  const wanted = op.requestBody && op.requestBody.content["application/json"];
  const body = op.requestBody ? el("textarea", { spellcheck: false, ariaLabel: "body",
    value: wanted ? JSON.stringify(wanted.example ?? example(wanted.schema), null, 2) : "" }) : null;
  const out = el("pre", {});
  const send = el("button", { textContent: "Send", onclick: () => call(op, verb, path, inputs, body, out) });
  const content = op.responses["200"].content || {};
  const answer = (content["application/x-ndjson"] || content["application/json"] || {}).schema;
  const needs = who(op);
  const inside = el("div");
  const details = el("details", { id: op.operationId }, el("summary", {}, el("span", { className: `verb ${verb}`, textContent: verb.toUpperCase() }),
    el("code", { textContent: path }), " ", el("span", { className: "muted", textContent: op.summary || "" }),
    needs ? el("span", { className: "who", textContent: needs }) : null), inside);
  // Built when first opened: a market has hundreds of operations.
  details.addEventListener("toggle", () => {
    if (inside.hasChildNodes()) return;
    inside.append(...[op.description ? el("p", { textContent: op.description }) : null,
      rows.length ? el("table", {}, ...rows) : null,
      wanted ? el("h3", { textContent: "Body" }) : null, wanted ? shape(wanted.schema) : null, body,
      el("p", {}, send), out, el("h3", { textContent: "Answer" }),
      answer ? el("p", { className: "muted", textContent: typeOf(answer) }) : null, answer ? shape(answer) : null].filter(Boolean));
  });
  details.dataset.words = [path, verb, op.operationId, op.summary, op.description].join(" ").toLowerCase();
  return details;
}

async function start() {
  const doc = await (await fetch("/openapi.json")).json();
  Object.assign(schemas, doc.components.schemas);
  document.title = document.getElementById("title").textContent = doc.info.title + " API";
  signIn(doc.paths);
  const list = document.getElementById("operations");
  const nav = document.getElementById("nav");
  for (const tag of doc.tags) {
    nav.append(el("h2", { textContent: tag.name }));
    list.append(el("h2", { textContent: tag.name }), el("p", { className: "muted", textContent: tag.description || "" }));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [verb, op] of Object.entries(item)) {
        if (!op.tags.includes(tag.name)) continue;
        const details = operation(path, verb, op);
        list.append(details);
        nav.append(el("a", { href: `#${op.operationId}`, textContent: op.summary || `${verb} ${path}`, onclick: () => { details.open = true; } }));
      }
    }
  }
  const wanted = document.getElementById(location.hash.slice(1));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
  document.getElementById("find").addEventListener("input", (e) => {
    const words = e.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const d of list.querySelectorAll("details[id]")) d.hidden = !words.every((w) => d.dataset.words.includes(w));
  });
}
start().catch((e) => { document.getElementById("operations").textContent = `The document can't be read: ${e}`; });
