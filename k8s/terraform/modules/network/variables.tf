variable "name" {
  type = string
}

variable "cidr" {
  description = "A /16."
  type        = string
  validation {
    condition     = endswith(var.cidr, "/16")
    error_message = "needs a /16"
  }
}
