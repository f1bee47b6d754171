// OAEP with hashes that SoftHSM2 does not take: the token opens raw RSA and computes the digests; what RFC 8017 (7.1.2)
// says of the encoded message is done here. The ephemeral key passes through this process, which a token's would not.

enum { RSA_X_509 = 3, RSA_PKCS_OAEP = 9, CKA_VALUE = 0x11, CKA_DECRYPT = 0x105, LONGEST = 512, ATTRIBUTES = 32 };
struct mechanism {
    unsigned long type;
    void *parameter;
    unsigned long length;
};
struct oaep {
    unsigned long hash, mgf;
};
struct attribute {
    unsigned long type;
    void *value;
    unsigned long length;
};

// Nobody asks the private half to open raw RSA; here it has to.
static rv_t generate_pair(ARGUMENTS) {
    if (says("removed")) return 0x32;
    rv_t answer = lost(GENERATE_PAIR, a);
    if (answer) return answer;
    static unsigned char yes = 1;
    struct attribute *private = e;
    for (unsigned long n = 0; says("oaep") && n < (unsigned long)f; n++)
        if (private[n].type == CKA_DECRYPT) private[n].value = &yes;
    return PASS(GENERATE_PAIR);
}

static unsigned long digest(void *session, unsigned long hash, void *bytes, unsigned long length, void *out) {
    struct mechanism mechanism = { hash, 0, 0 };
    unsigned long size = 64;
    if (CALL(DIGEST_INIT, session, &mechanism, 0, 0, 0, 0, 0, 0)) return 0;
    return CALL(DIGEST, session, bytes, (void *)length, out, &size, 0, 0, 0) ? 0 : size;
}

// Takes the mask that MGF1 makes of a seed from bytes.
static int unmask(void *session, unsigned long hash, const unsigned char *seed, unsigned long seed_length,
                  unsigned char *bytes, unsigned long length) {
    unsigned char text[LONGEST + 4] = { 0 }, mask[64];
    memcpy(text, seed, seed_length);
    // The last byte of the counter is enough for a key's length.
    for (unsigned long at = 0; at < length; text[seed_length + 3]++) {
        unsigned long size = digest(session, hash, text, seed_length + 4, mask);
        if (!size) return 0;
        for (unsigned long n = 0; n < size && at < length; n++) bytes[at++] ^= mask[n];
    }
    return 1;
}

// Where the message lies in an encoded one, and its length; 0: it does not open.
static unsigned char *decode(void *session, unsigned long hash, unsigned char *encoded, unsigned long *length) {
    unsigned char label[64];
    unsigned long size = digest(session, hash, label, 0, label);
    if (!size || *length < 2 * size + 2 || encoded[0]) return 0;
    unsigned char *seed = encoded + 1, *block = seed + size, *end = encoded + *length;
    if (!unmask(session, hash, block, end - block, seed, size)) return 0;
    if (!unmask(session, hash, seed, size, block, end - block)) return 0;
    if (memcmp(block, label, size)) return 0;
    for (block += size; block < end && !*block;) block++;
    if (block == end || *block != 1) return 0;
    *length = end - ++block;
    return block;
}

// C_UnwrapKey: session, mechanism, unwrapping key, wrapped key, its length, template, its length, the new handle.
static rv_t unwrap_oaep(ARGUMENTS) {
    struct mechanism *mechanism = b;
    if (mechanism->type != RSA_PKCS_OAEP) return PASS(UNWRAP);
    struct oaep *oaep = mechanism->parameter;
    FILE *file = fopen(CONTROL ".oaep", "a");
    if (file) {
        fprintf(file, "%#lx %lu\n", oaep->hash, oaep->mgf);
        fclose(file);
    }
    unsigned long taken, length = LONGEST;
    if (!number("oaep", &taken) || oaep->hash != taken) return PASS(UNWRAP);
    unsigned char encoded[LONGEST];
    struct mechanism raw = { RSA_X_509, 0, 0 };
    rv_t answer = CALL(DECRYPT_INIT, a, &raw, c, 0, 0, 0, 0, 0);
    if (!answer) answer = CALL(DECRYPT, a, d, e, encoded, &length, 0, 0, 0);
    if (answer) return answer;
    unsigned char *key = decode(a, oaep->hash, encoded, &length);
    if (!key) return 0x110;
    struct attribute template[ATTRIBUTES + 1];
    unsigned long count = (unsigned long)g;
    if (count > ATTRIBUTES) return 7;
    memcpy(template, f, count * sizeof *template);
    template[count] = (struct attribute){ CKA_VALUE, key, length };
    return CALL(CREATE_OBJECT, a, template, (void *)(count + 1), h, 0, 0, 0, 0);
}
