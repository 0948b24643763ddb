// Jangteo beside Vendure: the same work on both, in one run, interleaved, each server on one core and this driver on
// the other. Prints operations/s, latency, errors and the CPU time of an operation, stores included.
//
//   node bench.mjs --jangteo target/release/jangteo --vendure <folder with node_modules> [--products 1000]
//     [--rounds 3] [--seconds 6] [--at-once 8] [--only checkout] [--postgres postgres://user@host:port/db]
//
// Without --vendure it runs Jangteo alone, for a profile.

import { spawn, execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    jangteo: { type: "string" },
    vendure: { type: "string" },
    products: { type: "string", default: "1000" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "6" },
    "at-once": { type: "string", default: "8" },
    only: { type: "string" },
    postgres: { type: "string" },
  },
});
const count = Number(options.products);
const atOnce = Number(options["at-once"]);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "bench-peers-"));
const children = [];

// ---- the wire

const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });

function request(port, method, url, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const all = { accept: "application/json", ...headers };
    if (text !== undefined) Object.assign(all, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
    const call = http.request({ port, host: "127.0.0.1", method, path: url, headers: all, agent }, (reply) => {
      const chunks = [];
      reply.on("data", (chunk) => chunks.push(chunk));
      reply.on("end", () => {
        const answer = Buffer.concat(chunks).toString();
        resolve({ status: reply.statusCode, headers: reply.headers, json: /json/.test(reply.headers["content-type"]) && answer ? JSON.parse(answer) : undefined });
      });
    });
    call.on("error", reject);
    call.end(text);
  });
}

// ---- processes

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function start(name, command, args, env) {
  const log = fs.openSync(path.join(folder, `${name}.log`), "a");
  const pinned = os.cpus().length > 1 ? ["taskset", "-c", "0", command, ...args] : [command, ...args];
  const child = spawn(pinned[0], pinned.slice(1), { env: { ...process.env, ...env }, stdio: ["ignore", log, log], cwd: folder });
  children.push(child);
  child.on("exit", (code) => {
    console.error(`${name} ended with ${code}; see ${folder}/${name}.log`);
    process.exit(1);
  });
  return child;
}

async function until(what, probe, seconds = 300) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await probe().catch(() => undefined);
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${seconds} s; see ${folder}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/// CPU seconds of a process and of all below it, the ended ones it waited for included.
function cpu(root) {
  const ticks = Number(execFileSync("getconf", ["CLK_TCK"]).toString());
  const stats = new Map();
  for (const pid of fs.readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
    try {
      const text = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
      const f = text.slice(text.lastIndexOf(")") + 2).split(" ");
      stats.set(Number(pid), { parent: Number(f[1]), time: Number(f[11]) + Number(f[12]) + Number(f[13]) + Number(f[14]) });
    } catch { /* gone meanwhile */ }
  }
  const below = (pid) => pid === root || (stats.has(pid) && stats.get(pid).parent > 1 && below(stats.get(pid).parent));
  let sum = 0;
  for (const [pid, { time }] of stats) if (below(pid)) sum += time;
  return sum / ticks;
}

// ---- what is sold: the same in both

const nouns = ["lamp", "bicycle", "camera", "guitar", "keyboard", "jacket", "tent", "chair", "phone", "monitor"];
const products = Array.from({ length: count }, (_, n) => ({
  title: `${nouns[n % nouns.length]} number ${n}, lightly used`,
  description: `A ${nouns[n % nouns.length]} that served well. Bought in ${2010 + (n % 15)}, works, small scratches. Lot ${n}.`,
  price: 10000 + n * 10,
}));
fs.writeFileSync(path.join(folder, "products.json"), JSON.stringify(products));
const any = (list) => list[Math.floor(Math.random() * list.length)];

// ---- Jangteo

async function jangteo() {
  const port = await freePort();
  const child = start("jangteo", path.resolve(options.jangteo), ["serve", "all"], {
    JANGTEO_DATA: path.join(folder, "jangteo"),
    JANGTEO_HTTP: `127.0.0.1:${port}`,
    JANGTEO_EDGE__LIMITS__ANONYMOUS_PER_MINUTE: "0",
    JANGTEO_EDGE__LIMITS__SIGNED_IN_PER_MINUTE: "0",
    JANGTEO_EDGE__LIMITS__LOGIN_PER_MINUTE: "0",
    JANGTEO_EDGE__LIMITS__COSTLY_PER_HOUR: "0",
    JANGTEO_AUTH__LIMITS__NETWORK: "100000",
  });
  await until("jangteo", async () => (await request(port, "GET", "/readyz")).status === 200);
  const ask = async (method, url, body, headers) => {
    const reply = await request(port, method, url, body, headers);
    if (reply.status >= 300) throw new Error(`${method} ${url}: ${reply.status} ${JSON.stringify(reply.json)}`);
    return reply.json;
  };
  const person = async (n) => {
    const proofs = { email: `person${n}@bench.example`, password: "seven-quiet-magpies" };
    await ask("POST", "/v1/auth/register", { ...proofs, displayName: `Person ${n}` });
    const { accessToken } = await ask("POST", "/v1/auth/login", proofs);
    return { authorization: `Bearer ${accessToken}` };
  };
  const seller = await person(0);
  const ids = [];
  for (let n = 0; n < products.length; n += atOnce) {
    ids.push(...await Promise.all(products.slice(n, n + atOnce).map(async (p) => (await ask("POST", "/v1/products", {
      title: p.title, description: p.description, price: { currencyCode: "KRW", units: String(p.price) },
      categoryId: "audio", regionId: "seoul", condition: "CONDITION_GOOD", stock: 100000,
    }, seller)).productId)));
  }
  const buyers = [];
  for (let n = 1; n <= 16; n++) {
    const headers = await person(n);
    const address = await ask("POST", "/v1/users/me/addresses", {
      label: "home", recipient: "A Person", phoneNumber: "+821012345678", postalCode: "04524", line1: "1 Sejong-daero", line2: "",
    }, headers);
    const method = await ask("POST", "/v1/payments/methods", { card: { number: "4242424242424242", expiryMonth: 12, expiryYear: 2034 } }, headers);
    buyers.push({ headers, addressId: address.addressId, paymentMethodId: method.paymentMethodId });
  }
  await until("search", async () => (await ask("GET", "/v1/search/products?q=lamp")).hits?.length > 0);
  let key = 0;
  return {
    name: "jangteo",
    "change found": (word) => found(
      () => ask("PATCH", `/v1/products/${any(ids)}`, { title: `${word} lamp` }, seller),
      async () => (await ask("GET", `/v1/search/products?q=${word}`)).hits?.length > 0,
    ),
    pid: child.pid,
    search: async () => {
      const found = await ask("GET", `/v1/search/products?q=${any(nouns)}&pageSize=10`);
      if (found.hits.length !== 10) throw new Error("a search found nothing");
    },
    "product page": () => ask("GET", `/v1/products/${any(ids)}`),
    "add to cart": () => ask("POST", "/v1/cart/items", { productId: any(ids), quantity: 1 }),
    checkout: async () => {
      const buyer = any(buyers);
      const productId = any(ids);
      await ask("POST", "/v1/cart/items", { productId, quantity: 1 }, buyer.headers);
      await ask("GET", "/v1/cart", undefined, buyer.headers);
      const order = await ask("POST", "/v1/orders", {
        items: [{ productId, quantity: 1 }],
        addressId: buyer.addressId,
        shippingOption: "SHIPPING_OPTION_PARCEL",
        source: { paymentMethodId: buyer.paymentMethodId },
      }, { ...buyer.headers, "idempotency-key": `order-${process.pid}-${key++}` });
      if (order.status !== "ORDER_STATUS_PAID") throw new Error(`the order is ${order.status}`);
    },
  };
}

// ---- Vendure

async function vendure() {
  const port = await freePort();
  const args = [path.resolve(options.vendure, "vendure.cjs"), String(port), folder, String(count)];
  const child = start("vendure", process.execPath, options.postgres ? [...args, options.postgres] : args, { NODE_ENV: "production" });
  const log = path.join(folder, "vendure.log");
  await until("vendure", async () => fs.readFileSync(log, "utf8").includes("ready"), 900);
  const ask = async (query, variables, session, path = "/shop-api") => {
    const reply = await request(port, "POST", path, { query, variables }, session?.token ? { authorization: `Bearer ${session.token}` } : {});
    if (session) session.token ??= reply.headers["vendure-auth-token"];
    const problem = reply.json.errors?.[0] ?? Object.values(reply.json.data ?? {}).find((v) => v?.errorCode);
    if (problem) throw new Error(JSON.stringify(problem));
    return reply.json.data;
  };
  const order = "__typename ... on Order { id code state totalWithTax totalQuantity lines { id quantity linePriceWithTax productVariant { name } } } ... on ErrorResult { errorCode message }";
  const queries = {
    search: "query($term: String!) { search(input: { term: $term, groupByProduct: true, take: 10 }) { totalItems items { productId productVariantId productName description } } }",
    product: "query($id: ID!) { product(id: $id) { id name slug description variants { id name sku priceWithTax stockLevel } } }",
    add: `mutation($id: ID!) { addItemToOrder(productVariantId: $id, quantity: 1) { ${order} } }`,
    customer: `mutation($email: String!) { setCustomerForOrder(input: { emailAddress: $email, firstName: "A", lastName: "Person" }) { ${order} } }`,
    address: `mutation { setOrderShippingAddress(input: { fullName: "A Person", streetLine1: "1 Sejong-daero", city: "Seoul", postalCode: "04524", countryCode: "KR" }) { ${order} } }`,
    methods: "{ eligibleShippingMethods { id name priceWithTax } }",
    method: `mutation($id: [ID!]!) { setOrderShippingMethod(shippingMethodId: $id) { ${order} } }`,
    arrange: `mutation { transitionOrderToState(state: "ArrangingPayment") { ${order} } }`,
    pay: `mutation { addPaymentToOrder(input: { method: "card", metadata: {} }) { ${order} } }`,
  };
  const id = () => String(1 + Math.floor(Math.random() * count));
  await until("vendure's search", async () => (await ask(queries.search, { term: "lamp" })).search.totalItems > 0);
  let person = 0;
  const admin = {};
  await ask('mutation { login(username: "bench", password: "seven-quiet-magpies") { __typename } }', {}, admin, "/admin-api");
  const rename = 'mutation($id: ID!, $name: String!) { updateProduct(input: { id: $id, translations: [{ languageCode: en, name: $name }] }) { id } }';
  return {
    name: "vendure",
    "change found": (word) => found(
      () => ask(rename, { id: id(), name: `${word} lamp` }, admin, "/admin-api"),
      async () => (await ask(queries.search, { term: word })).search.totalItems > 0,
    ),
    pid: child.pid,
    search: async () => {
      if ((await ask(queries.search, { term: any(nouns) })).search.items.length !== 10) throw new Error("a search found nothing");
    },
    "product page": () => ask(queries.product, { id: id() }),
    "add to cart": () => ask(queries.add, { id: id() }, {}),
    checkout: async () => {
      const session = {};
      await ask(queries.add, { id: id() }, session);
      await ask(queries.customer, { email: `person${person++}@bench.example` }, session);
      await ask(queries.address, {}, session);
      const [method] = (await ask(queries.methods, {}, session)).eligibleShippingMethods;
      await ask(queries.method, { id: [method.id] }, session);
      await ask(queries.arrange, {}, session);
      const { addPaymentToOrder: paid } = await ask(queries.pay, {}, session);
      if (paid.state !== "PaymentSettled") throw new Error(`the order is ${paid.state}`);
    },
  };
}

// ---- measuring

/// Returns once what was changed can be found.
async function found(change, find) {
  await change();
  for (const end = Date.now() + 20000; !(await find()); ) {
    if (Date.now() > end) throw new Error("not found within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function measure(shop, work, seconds) {
  const latencies = [];
  const errors = new Map();
  const end = performance.now() + seconds * 1000;
  const before = cpu(shop.pid);
  const begun = performance.now();
  await Promise.all(Array.from({ length: work === "change found" ? 1 : atOnce }, async () => {
    while (performance.now() < end) {
      const start = performance.now();
      try {
        await shop[work](`w${Math.random().toString(36).slice(2, 12)}`);
        latencies.push(performance.now() - start);
      } catch (error) {
        const text = String(error.message).slice(0, 200);
        errors.set(text, (errors.get(text) ?? 0) + 1);
      }
    }
  }));
  const took = (performance.now() - begun) / 1000;
  return { latencies, errors, took, cpu: cpu(shop.pid) - before };
}

function row(shop, work, runs) {
  const latencies = runs.flatMap((r) => r.latencies).sort((a, b) => a - b);
  const sum = (f) => runs.reduce((s, r) => s + f(r), 0);
  const at = (q) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? NaN;
  const errors = sum((r) => [...r.errors.values()].reduce((a, b) => a + b, 0));
  return {
    work, shop: shop.name, "ops/s": latencies.length / sum((r) => r.took), p50: at(0.5), p99: at(0.99), errors,
    cpu: (sum((r) => r.cpu) / Math.max(latencies.length, 1)) * 1000, example: runs.flatMap((r) => [...r.errors.keys()])[0],
  };
}

async function main() {
  console.log(`${os.cpus().length} cores, ${os.cpus()[0].model}; node ${process.version}; ${count} products, ${atOnce} at a time, ` +
    `${options.rounds} rounds of ${options.seconds} s; ${options.postgres ? "Vendure on PostgreSQL" : "both on SQLite"}`);
  const shops = [...(options.vendure ? [await vendure()] : []), await jangteo()];
  const works = ["search", "product page", "add to cart", "checkout", "change found"].filter((w) => !options.only || w === options.only);
  const seen = new Map();
  for (const shop of shops) for (const work of works) await measure(shop, work, 1);
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const work of works) {
      for (const shop of round % 2 ? [...shops].reverse() : shops) {
        const key = `${work} ${shop.name}`;
        seen.set(key, [...(seen.get(key) ?? []), await measure(shop, work, Number(options.seconds))]);
      }
    }
  }
  const show = (cells) => console.log(cells.map((c, i) => (i < 2 ? String(c).padEnd(14) : String(c).padStart(10))).join(""));
  show(["", "", "ops/s", "p50 ms", "p99 ms", "errors", "CPU-ms/op"]);
  for (const work of works) {
    const rows = shops.map((shop) => row(shop, work, seen.get(`${work} ${shop.name}`)));
    for (const r of rows) {
      show([r.work, r.shop, r["ops/s"].toFixed(1), r.p50.toFixed(2), r.p99.toFixed(2), r.errors, r.cpu.toFixed(3)]);
      if (r.example) console.log(`    ${r.example}`);
    }
    if (rows.length === 2) show(["", "ratio", (rows[1]["ops/s"] / rows[0]["ops/s"]).toFixed(1) + "x", "", (rows[0].p99 / rows[1].p99).toFixed(1) + "x", "", (rows[0].cpu / rows[1].cpu).toFixed(1) + "x"]);
  }
}

main().catch((error) => { console.error(error); process.exitCode = 1; }).finally(() => {
  for (const child of children) child.removeAllListeners("exit").kill("SIGKILL");
  if (!process.exitCode) fs.rmSync(folder, { recursive: true, force: true });
  process.exit();
});
