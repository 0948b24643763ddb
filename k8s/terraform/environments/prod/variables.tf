variable "admin_cidrs" {
  description = "Networks of the people who administer the cluster."
  type        = list(string)
}
