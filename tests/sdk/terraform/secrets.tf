resource "alicloud_kms_secret" "generic" {
  secret_name                   = "corpus/generic"
  description                   = "from terraform"
  secret_data                   = "value of corpus/generic"
  version_id                    = "000000000001"
  force_delete_without_recovery = true
}

resource "alicloud_kms_secret" "numbered" {
  count       = 2
  secret_name = "corpus/numbered-${count.index}"
  secret_data = <<EOF
%{ if count.index == 0 }zero%{ else }other%{ endif }
EOF
  version_id  = "v1"
}

resource "alicloud_kms_secret" "named" {
  for_each    = toset(["corpus/a", "corpus/b"])
  secret_name = each.key
  secret_data = jsonencode({ user = "u", "pass word" = "p" })
  version_id  = "v1"
  version_stages = [
    "ACSCurrent",
    # "own",
  ]
  lifecycle {
    ignore_changes = [secret_data, version_id]
  }
}

resource "alicloud_kms_secret" "stays" {
  secret_name = "corpus/stays"
  secret_data = "x"
  version_id  = "v1"
}

data "alicloud_kms_secrets" "all" {
  fetch_tags = true
  name_regex = "^corpus/"
}
