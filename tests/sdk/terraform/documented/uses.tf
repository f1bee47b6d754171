# Written for these tests. What the provider documents beside keys and secrets: what names a key follows it, and is
# not moved.

resource "alicloud_kms_key" "used" {
  pending_window_in_days = 7
}

resource "alicloud_kms_alias" "used" {
  alias_name = "alias/documented-used"
  key_id     = alicloud_kms_key.used.id
}

resource "alicloud_kms_key_version" "used" {
  key_id = alicloud_kms_key.used.id
}

resource "alicloud_kms_ciphertext" "used" {
  key_id    = alicloud_kms_key.used.id
  plaintext = "a value"
}

data "alicloud_kms_ciphertext" "used" {
  key_id    = alicloud_kms_key.used.id
  plaintext = "a value"
}

data "alicloud_kms_plaintext" "used" {
  ciphertext_blob = alicloud_kms_ciphertext.used.ciphertext_blob
}

data "alicloud_kms_aliases" "used" {
  ids        = ["alias/documented-used"]
  name_regex = "^alias/documented"
}

data "alicloud_kms_key_versions" "used" {
  key_id = alicloud_kms_key.used.id
  ids    = [alicloud_kms_key_version.used.key_version_id]
}

output "opened" {
  value = data.alicloud_kms_plaintext.used.plaintext
}

output "versions" {
  value = "${data.alicloud_kms_key_versions.used.versions}"
}
