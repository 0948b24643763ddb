variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "client_security_group_id" {
  type = string
}

variable "instance_class" {
  type = string
}

variable "storage_gib" {
  type = number
}

variable "backup_days" {
  type    = number
  default = 14
}
