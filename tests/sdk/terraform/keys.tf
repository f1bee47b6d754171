# Keys as configurations in the wild have them; the names of the resources are those of test_terraform.py.

variable "environment" {
  type    = string
  default = "prod"
}

locals {
  prefix = "alias/${var.environment}"
}

resource "alicloud_kms_key" "plain" {
  description            = "a key with \"quotes\" and a brace }"
  pending_window_in_days = 7
  status                 = "Enabled" # as it comes
}

resource "alicloud_kms_alias" "plain" {
  alias_name = "${local.prefix}/plain"
  key_id     = alicloud_kms_key.plain.id
}

resource "alicloud_kms_key" "rotating" {
  description         = "rotates"
  automatic_rotation  = "Enabled"
  rotation_interval   = "604800s"
  deletion_protection = "Enabled"
  policy = <<-POLICY
    {
      "Version": "1",
      "Statement": [{ "Effect": "Allow", "Action": ["kms:*"], "Resource": ["*"], "Sid": "} # not the end" }]
    }
  POLICY

  tags = {
    Created = "TF"
    "For"   = "${var.environment}-team"
  }

  lifecycle {
    prevent_destroy = true
    ignore_changes = [
      tags["Created"], # set by somebody else
      deletion_protection
    ]
  }
}

resource "alicloud_kms_alias" "rotating" {
  alias_name = join("/", [local.prefix, "rotating"])
  key_id     = alicloud_kms_key.rotating.id
}

resource "alicloud_kms_key" "one_line" { description = "one line" }

resource "alicloud_kms_alias" "one_line" {
  alias_name = "alias/one-line"
  key_id     = alicloud_kms_key.one_line.id
}

resource "alicloud_kms_key" "external" {
  origin = "EXTERNAL"
  lifecycle { ignore_changes = all }
}

resource "alicloud_kms_alias" "external" {
  alias_name = "alias/external"
  key_id     = alicloud_kms_key.external.id
}

resource "alicloud_kms_key_version" "plain" {
  key_id = alicloud_kms_key.plain.id
}

resource "alicloud_kms_ciphertext" "plain" {
  key_id    = alicloud_kms_key.plain.id
  plaintext = "example"
}

data "alicloud_kms_keys" "all" {
  description_regex = "rotates"
}

output "key" {
  value = one([for key in data.alicloud_kms_keys.all.keys : key.id if key.status == "Enabled"])
}
