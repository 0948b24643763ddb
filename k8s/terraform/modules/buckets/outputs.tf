output "names" {
  value = { for kind, bucket in aws_s3_bucket.this : kind => bucket.bucket }
}

output "media_user" {
  description = "Make its key by hand and put it into the vault (jangteo/media): a key made here would lie in the state file."
  value       = aws_iam_user.media.name
}
