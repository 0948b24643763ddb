output "vpc_id" {
  value = aws_vpc.this.id
}

output "node_subnet_ids" {
  value = aws_subnet.nodes[*].id
}

output "store_subnet_ids" {
  value = aws_subnet.stores[*].id
}

output "store_subnets" {
  description = "What k8s/overlays/prod/managed-stores.yaml names."
  value       = cidrsubnet(var.cidr, 4, 6)
}
