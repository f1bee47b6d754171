# Written for these tests. The arguments are those that the provider documents for alicloud_kms_key, deprecated ones
# included.

variable "team" {
  default = "ledger"
}

resource "alicloud_kms_key" "empty" {}

resource "alicloud_kms_key" "quoted_number" {
  description            = "seals the archive"
  status                 = "Enabled"
  pending_window_in_days = "7"
}

resource "alicloud_kms_key" "deprecated" {
  description             = "as configurations before 1.85.0 were written"
  is_enabled              = true
  deletion_window_in_days = 14
}

resource "alicloud_kms_key" "key_state" {
  key_state = "Enabled"
}

resource "alicloud_kms_key" "everything" {
  description                     = "all of ${var.team}"
  key_spec                        = "Aliyun_AES_256"
  key_usage                       = "ENCRYPT/DECRYPT"
  origin                          = "Aliyun_KMS"
  protection_level                = "SOFTWARE"
  automatic_rotation              = "Enabled"
  rotation_interval               = "365d"
  deletion_protection             = "Enabled"
  deletion_protection_description = "asks before it goes"
  pending_window_in_days          = 366
  policy = jsonencode({
    Version   = "1"
    Statement = [{ Effect = "Allow", Action = ["kms:*"], Resource = ["*"] }]
  })
  tags = {
    "team" = var.team,
    for    = "audit",
  }
  timeouts {
    create = "10m"
    delete = "10m"
  }
}

data "alicloud_kms_keys" "by_description" {
  description_regex = "^seals"
  output_file       = "keys.json"
}

# Index and attribute in the old way.
output "first_key" {
  value = "${data.alicloud_kms_keys.by_description.keys.0.id}"
}
