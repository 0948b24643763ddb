// A client that knows the market only by the types made of its OpenAPI document. If an answer's shape
// and its type part ways, this fails to compile or to run.
import createClient from "openapi-fetch";
import type { components, paths } from "./market.js";

// Of node, whose own types this needs nothing else from.
declare const process: { argv: string[] };

type Schemas = components["schemas"];
type Product = Schemas["jangteo.catalog.v1.Product"];
type Refusal = Schemas["google.rpc.Status"];

const market = createClient<paths>({ baseUrl: process.argv[2]! });

function must<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) throw new Error(`${answer.response.status}: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function check(what: string, holds: boolean): void {
  if (!holds) throw new Error(`not so: ${what}`);
  console.log(`ok: ${what}`);
}

const tokens = must(await market.POST("/v1/auth/login", {
  body: { email: "minsu@jangteo.example", password: "jangteo-demo-2026" },
}));
check("the demo login gives a token", !!tokens.accessToken);
market.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${tokens.accessToken}`);
    return request;
  },
});

const page = must(await market.GET("/v1/products", { params: { query: { pageSize: 5 } } }));
const listed: Product[] = page.products ?? [];
check("a page holds what it was asked for", listed.length === 5);
check("another page follows", !!page.nextPageToken);
check("prices are in won, 64-bit numbers are text", listed.every((p) => typeof p.price.units === "string"));

const template = listed[0]!;
const draft = {
  title: "Typed lamp",
  description: "Made by the client test.",
  price: { currencyCode: "KRW", units: "15000" },
  categoryId: template.categoryId,
  regionId: template.regionId,
  condition: "CONDITION_GOOD" as const,
};
const key = crypto.randomUUID();
const create = () => market.POST("/v1/products", { params: { header: { "Idempotency-Key": key } }, body: draft });
const created = must(await create());
const again = must(await create());
check("the same key has one effect", created.productId !== undefined && created.productId === again.productId);

const where = { path: { productId: created.productId! } };
const changed = must(await market.PATCH("/v1/products/{productId}", { params: where, body: { title: "Typed lamp, tall" } }));
check("a change shows", changed.title === "Typed lamp, tall" && changed.description === draft.description);
const stale = await market.PATCH("/v1/products/{productId}", { params: where, body: { title: "no", etag: created.etag } });
check("a stale change is refused", stale.response.status === 409);

const bad = await market.POST("/v1/products", { body: { ...draft, title: "" } });
const refusal: Refusal | undefined = bad.error;
check("a refusal is a google.rpc.Status", bad.response.status === 400 && refusal?.code === 3 && !!refusal.message);

const me = must(await market.GET("/v1/users/me"));
check("the caller is known", !!me.displayName);
const gone = await market.DELETE("/v1/products/{productId}", { params: where });
check("what was made is removed", gone.response.status === 200);
check("and is gone", (await market.GET("/v1/products/{productId}", { params: where })).response.status === 404);
