"""Cryptographic operations, checked by an independent implementation (pyca/cryptography)."""

import base64
import hashlib
import time

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

import markers

PREHASHED = utils.Prehashed(hashes.SHA256())
OAEP = {
    "RSAES_OAEP_SHA_1": padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),
    "RSAES_OAEP_SHA_256": padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
}


def b64(data):
    return base64.b64encode(data).decode()


def raw(text):
    return base64.b64decode(text)


def new_key(sdk, **parameters):
    return sdk.call("CreateKey", **parameters)["KeyMetadata"]["KeyId"]


def first_version(sdk, key):
    return sdk.call("ListKeyVersions", KeyId=key)["KeyVersions"]["KeyVersion"][0]["KeyVersionId"]


def public_key(sdk, key, version):
    pem = sdk.call("GetPublicKey", KeyId=key, KeyVersionId=version)["PublicKey"]
    return serialization.load_pem_public_key(pem.encode())


def verify(public, algorithm, signature, digest):
    if algorithm == "ECDSA_SHA_256":
        public.verify(signature, digest, ec.ECDSA(PREHASHED))
    elif algorithm == "RSA_PKCS1_SHA_256":
        public.verify(signature, digest, padding.PKCS1v15(), PREHASHED)
    else:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        public.verify(signature, digest, pss, PREHASHED)


def test_encryption_contexts(sdk, refused):
    key = new_key(sdk)
    plain = b64("hé".encode())
    context = {"b": "2 *~+", "a": "1"}
    made = sdk.call("Encrypt", KeyId=key, Plaintext=plain, EncryptionContext=context)
    blob = made["CiphertextBlob"]
    reordered = {"a": "1", "b": "2 *~+"}
    opened = sdk.call("Decrypt", CiphertextBlob=blob, EncryptionContext=reordered)
    assert (opened["Plaintext"], opened["KeyId"]) == (plain, key)
    for wrong in ({"a": "1"}, {"a": "1", "b": "3"}):
        refused("InvalidParameter", sdk.call, "Decrypt", CiphertextBlob=blob, EncryptionContext=wrong)
    refused("InvalidParameter", sdk.call, "Decrypt", CiphertextBlob=blob)
    damaged = bytearray(raw(blob))
    damaged[-1] ^= 1
    error = refused("InvalidParameter", sdk.call, "Decrypt", CiphertextBlob=b64(damaged), EncryptionContext=context)
    other = refused("InvalidParameter", sdk.call, "Decrypt", CiphertextBlob=blob)
    strip = lambda message: message.split("request id")[0]
    assert strip(error.message) == strip(other.message), "damage and another context look the same"


def test_data_keys(sdk, refused):
    key = new_key(sdk)
    for parameters, length in [({}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1024}, 1024)]:
        made = sdk.call("GenerateDataKey", KeyId=key, **parameters)
        assert len(raw(made["Plaintext"])) == length
        assert sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
        made = sdk.call("GenerateDataKeyWithoutPlaintext", KeyId=key, **parameters)
        assert len(raw(sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"])["Plaintext"])) == length
        assert "Plaintext" not in made
    refused("InvalidParameter", sdk.call, "GenerateDataKey", KeyId=key, NumberOfBytes=1025)


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        ("RSA_2048", "RSA_PSS_SHA_256"),
        ("RSA_2048", "RSA_PKCS1_SHA_256"),
        ("RSA_3072", "RSA_PSS_SHA_256"),
        ("EC_P256", "ECDSA_SHA_256"),
        ("EC_P256K", "ECDSA_SHA_256"),
    ],
)
def test_signatures(kms, spec, algorithm, refused):
    sdk = kms.sdk()
    key = new_key(sdk, KeySpec=spec, KeyUsage="SIGN/VERIFY")
    version = first_version(sdk, key)
    digest = hashlib.sha256(b"message").digest()
    call = {"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "Digest": b64(digest)}
    signature = sdk.call("AsymmetricSign", **call)["Value"]
    public = public_key(sdk, key, version)
    verify(public, algorithm, raw(signature), digest)
    with pytest.raises(InvalidSignature):
        verify(public, algorithm, raw(signature), hashlib.sha256(b"other").digest())
    assert sdk.call("AsymmetricVerify", Value=signature, **call)["Value"] is True
    call["Digest"] = b64(hashlib.sha256(b"other").digest())
    assert sdk.call("AsymmetricVerify", Value=signature, **call)["Value"] is False
    refused("InvalidParameter", sdk.call, "AsymmetricSign", **{**call, "Digest": b64(b"short")})


@pytest.mark.parametrize("algorithm", OAEP)
def test_asymmetric_encryption(sdk, algorithm):
    key = new_key(sdk, KeySpec="RSA_2048", KeyUsage="ENCRYPT/DECRYPT")
    version = first_version(sdk, key)
    call = {"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm}
    made = sdk.call("AsymmetricEncrypt", Plaintext=b64(b"hello"), **call)
    assert sdk.call("AsymmetricDecrypt", CiphertextBlob=made["CiphertextBlob"], **call)["Plaintext"] == b64(b"hello")
    elsewhere = public_key(sdk, key, version).encrypt(b"from outside", OAEP[algorithm])
    opened = sdk.call("AsymmetricDecrypt", CiphertextBlob=b64(elsewhere), **call)
    assert opened["Plaintext"] == b64(b"from outside")


def import_material(sdk, key, material, algorithm="RSAES_OAEP_SHA_256", expires=0):
    call = {"KeyId": key, "WrappingAlgorithm": algorithm, "WrappingKeySpec": "RSA_2048"}
    offer = sdk.call("GetParametersForImport", **call)
    public = serialization.load_der_public_key(raw(offer["PublicKey"]))
    wrapped = public.encrypt(material, OAEP.get(algorithm, padding.PKCS1v15()))
    token = {"ImportToken": offer["ImportToken"], "KeyMaterialExpireUnix": expires}
    return sdk.call("ImportKeyMaterial", KeyId=key, EncryptedKeyMaterial=b64(wrapped), **token)


@pytest.mark.parametrize("algorithm", [*OAEP, "RSAES_PKCS1_V1_5"])
def test_own_material(sdk, algorithm, refused):
    made = sdk.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]
    key = made["KeyId"]
    assert made["KeyState"] == "PendingImport"
    refused("Rejected.PendingImport", sdk.call, "Encrypt", KeyId=key, Plaintext="aGk=")
    material = markers.material(1)
    expires = int(time.time()) + 86_400
    import_material(sdk, key, material, algorithm, expires)
    found = sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]
    assert found["KeyState"] == "Enabled" and found["MaterialExpireTime"]
    blob = sdk.call("Encrypt", KeyId=key, Plaintext="aGk=")["CiphertextBlob"]
    sdk.call("DeleteKeyMaterial", KeyId=key)
    refused("Rejected.PendingImport", sdk.call, "Decrypt", CiphertextBlob=blob)
    refused("InvalidKeyMaterial", import_material, sdk, key, markers.material(2), algorithm)
    import_material(sdk, key, material, algorithm)
    assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "aGk="


def test_an_import_token_is_for_its_key(kms, refused):
    sdk = kms.sdk()
    first, second = (sdk.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"] for _ in range(2))
    call = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    offer = sdk.call("GetParametersForImport", KeyId=first, **call)
    public = serialization.load_der_public_key(raw(offer["PublicKey"]))
    wrapped = b64(public.encrypt(markers.material(3), OAEP["RSAES_OAEP_SHA_256"]))
    rest = {"EncryptedKeyMaterial": wrapped, "ImportToken": offer["ImportToken"], "KeyMaterialExpireUnix": 0}
    refused("InvalidImportToken", sdk.call, "ImportKeyMaterial", KeyId=second, **rest)
