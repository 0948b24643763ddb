output "host" {
  description = "For k8s/overlays/prod/managed-stores.yaml and JANGTEO_REDIS__URL (rediss://)."
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
}

output "token" {
  value     = random_password.token.result
  sensitive = true
}
