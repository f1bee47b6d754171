# Written for these tests. The arguments are those that the provider documents for alicloud_kms_secret and its data
# sources.

variable "name" {
  default = "documented-generic"
}

resource "alicloud_kms_secret" "by_variable" {
  secret_name                   = var.name
  secret_data                   = "a value"
  version_id                    = "v1"
  force_delete_without_recovery = true
}

resource "alicloud_kms_secret" "of_a_database" {
  secret_name               = "documented-rds"
  secret_type               = "Rds"
  secret_data               = jsonencode({ Accounts = [{ AccountName = "app", AccountPassword = "a value" }] })
  version_id                = "v1"
  enable_automatic_rotation = true
  rotation_interval         = "7d"
  extended_config           = "{\"SecretSubType\":\"SingleUser\",\"DBInstanceId\":\"rm-1\"}"
  recovery_window_in_days   = 7
  version_stages            = ["ACSCurrent"]
  tags = {
    team = "ledger"
  }
  timeouts {
    create = "10m"
  }
}

resource "alicloud_kms_key" "of_the_secret" {}

resource "alicloud_kms_secret" "under_a_key" {
  secret_name       = "documented-under-a-key"
  secret_data       = "a value"
  secret_data_type  = "text"
  version_id        = "v1"
  encryption_key_id = alicloud_kms_key.of_the_secret.id
}

data "alicloud_kms_secrets" "tagged" {
  fetch_tags = true
  name_regex = "^documented"
  tags = {
    "team" = "ledger",
  }
}

data "alicloud_kms_secret_versions" "all" {
  secret_name    = alicloud_kms_secret.by_variable.secret_name
  enable_details = true
}

output "first_secret" {
  value = data.alicloud_kms_secrets.tagged.secrets.0.id
}
