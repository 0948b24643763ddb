CREATE TABLE "{{name}}" (
  {{name}}_id TEXT PRIMARY KEY,
  owner_id TEXT NOT NULL,
  title TEXT NOT NULL,
  announced BOOLEAN NOT NULL,
  create_time BIGINT NOT NULL
);
CREATE INDEX {{name}}_owner ON "{{name}}" (owner_id, {{name}}_id);
