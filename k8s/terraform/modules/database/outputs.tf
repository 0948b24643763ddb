output "host" {
  description = "For k8s/overlays/prod/managed-stores.yaml and JANGTEO_DATABASE__URL."
  value       = aws_db_instance.this.address
}

output "master_secret_arn" {
  value = aws_db_instance.this.master_user_secret[0].secret_arn
}
