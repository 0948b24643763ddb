// Vendure as its documentation sets it up for production, without what the work does not touch: no asset server, no
// e-mail, no admin page. Fills an empty database, then serves: node vendure.cjs <port> <folder> <products> [postgres-url]
const { bootstrap, DefaultJobQueuePlugin, DefaultLogger, DefaultSearchPlugin, dummyPaymentHandler, LanguageCode, LogLevel, runMigrations } = require("@vendure/core");
const { populate } = require("@vendure/core/cli");
const fs = require("fs");
const path = require("path");

const [port, folder, count, postgres] = process.argv.slice(2);
const database = path.join(folder, "vendure.sqlite");
const filled = path.join(folder, "filled");

const config = {
  apiOptions: { port: Number(port), hostname: "127.0.0.1", adminApiPath: "admin-api", shopApiPath: "shop-api" },
  authOptions: { tokenMethod: ["bearer"], superadminCredentials: { identifier: "bench", password: "seven-quiet-magpies" }, requireVerification: false },
  dbConnectionOptions: postgres
    ? { type: "postgres", url: postgres, synchronize: true, logging: false }
    : { type: "better-sqlite3", database, synchronize: true, logging: false },
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  logger: new DefaultLogger({ level: LogLevel.Error }),
  plugins: [DefaultJobQueuePlugin.init({ useDatabaseForBuffer: true }), DefaultSearchPlugin.init({ bufferUpdates: false, indexStockStatus: true })],
};

const initial = {
  defaultLanguage: LanguageCode.en,
  defaultZone: "Asia",
  taxRates: [{ name: "Standard", percentage: 10 }],
  shippingMethods: [{ name: "Parcel", price: 3000 }],
  paymentMethods: [{ name: "Card", handler: { code: dummyPaymentHandler.code, arguments: [{ name: "automaticSettle", value: "true" }] } }],
  countries: [{ name: "Korea", code: "KR", zone: "Asia" }],
  collections: [],
};

async function main() {
  let app;
  if (!fs.existsSync(filled)) {
    const columns = "name,slug,description,assets,facets,optionGroups,optionValues,sku,price,taxCategory,stockOnHand,trackInventory,variantAssets,variantFacets";
    const rows = JSON.parse(fs.readFileSync(path.join(folder, "products.json"))).slice(0, Number(count)).map((p, n) =>
      [p.title, `product-${n}`, p.description, "", "", "", "", `sku-${n}`, p.price, "standard", 1000000, "true", "", ""].map((v) => JSON.stringify(v)).join(","));
    const csv = path.join(folder, "products.csv");
    fs.writeFileSync(csv, [columns, ...rows].join("\n"));
    app = await populate(() => bootstrap(config), initial, csv);
    fs.writeFileSync(filled, "");
  } else {
    app = await bootstrap(config);
  }
  const { JobQueueService, SearchService } = require("@vendure/core");
  await app.get(JobQueueService).start();
  console.log("ready");
}
main().catch((error) => { console.error(error); process.exit(1); });
