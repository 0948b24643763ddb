output "name" {
  value = aws_eks_cluster.this.name
}

output "endpoint" {
  value = aws_eks_cluster.this.endpoint
}

output "security_group_id" {
  description = "Of the nodes; the stores let it in."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}
