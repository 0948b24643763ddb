variable "name" {
  type = string
}

variable "origins" {
  description = "Web pages that may upload."
  type        = list(string)
}

variable "backup_days" {
  description = "For so long a dump can't be deleted."
  type        = number
  default     = 30
}
