# prod in Seoul. State is kept in a bucket that has to exist before:
#   terraform init -backend-config=bucket=… -backend-config=key=jangteo/prod -backend-config=region=ap-northeast-2
terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.80"
    }
  }
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = "ap-northeast-2"
  default_tags {
    tags = { project = "jangteo", environment = "prod" }
  }
}

locals {
  name = "jangteo-prod"
}

module "network" {
  source = "../../modules/network"
  name   = local.name
  cidr   = "10.40.0.0/16"
}

module "cluster" {
  source             = "../../modules/cluster"
  name               = local.name
  kubernetes_version = "1.33"
  subnet_ids         = module.network.node_subnet_ids
  admin_cidrs        = var.admin_cidrs
  instance_types     = ["m7i.xlarge"]
  nodes              = { min = 6, max = 24 }
}

module "database" {
  source                   = "../../modules/database"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.store_subnet_ids
  client_security_group_id = module.cluster.security_group_id
  instance_class           = "db.m7g.xlarge"
  storage_gib              = 200
}

module "cache" {
  source                   = "../../modules/cache"
  name                     = local.name
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.store_subnet_ids
  client_security_group_id = module.cluster.security_group_id
  node_type                = "cache.m7g.large"
}

module "buckets" {
  source  = "../../modules/buckets"
  name    = local.name
  origins = ["https://jangteo.example"]
}
