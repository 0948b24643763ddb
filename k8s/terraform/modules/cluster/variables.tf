variable "name" {
  type = string
}

variable "kubernetes_version" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "admin_cidrs" {
  description = "From where the API may be reached over the Internet; none: only from the network."
  type        = list(string)
  default     = []
}

variable "instance_types" {
  type = list(string)
}

variable "nodes" {
  type = object({ min = number, max = number })
}
