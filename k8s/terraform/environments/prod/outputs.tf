output "database_host" {
  value = module.database.host
}

output "database_secret_arn" {
  value = module.database.master_secret_arn
}

output "cache_host" {
  value = module.cache.host
}

output "cache_token" {
  value     = module.cache.token
  sensitive = true
}

output "store_subnets" {
  value = module.network.store_subnets
}

output "cluster" {
  value = { name = module.cluster.name, endpoint = module.cluster.endpoint }
}

output "buckets" {
  value = module.buckets.names
}

output "media_user" {
  value = module.buckets.media_user
}
