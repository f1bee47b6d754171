// A PKCS#11 module in front of SoftHSM2 that fails on demand. What it is to do stands in the file CONTROL:
// "removed": every call that uses the token answers CKR_DEVICE_REMOVED; "hang": encryption and decryption do not come
// back until the file says something else; "full N": N more keys come in, then CKR_DEVICE_MEMORY. Each C_Login is noted in
// CONTROL.logins.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv_t;
typedef rv_t (*fn_t)(void *, void *, void *, void *, void *, void *, void *, void *);
struct list {
    unsigned char version[2];
    fn_t fn[68];
};

enum { GET_TOKEN_INFO = 6, OPEN_SESSION = 12, LOGIN = 18, DESTROY = 22, FIND_INIT = 26, ENCRYPT_INIT = 29, DECRYPT_INIT = 33,
       SIGN_INIT = 42, GENERATE_KEY = 58, GENERATE_PAIR = 59, UNWRAP = 61 };
static struct list ours, *theirs;
static long room = -1;

static int says(const char *word) {
    char text[64] = { 0 };
    FILE *file = fopen(CONTROL, "r");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    if (!strcmp(word, "full")) {
        long n;
        if (sscanf(text, "full %ld", &n) == 1) {
            if (room < 0) room = n;
            return 1;
        }
        room = -1;
        return 0;
    }
    return !strncmp(text, word, strlen(word));
}

#define PASS(index) theirs->fn[index](a, b, c, d, e, f, g, h)
#define WRAP(name, index)                                                                                    \
    static rv_t name(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) {              \
        if (says("removed")) return 0x32;                                                                   \
        return PASS(index);                                                                                 \
    }
WRAP(token_info, GET_TOKEN_INFO)
WRAP(open_session, OPEN_SESSION)
WRAP(destroy, DESTROY)
WRAP(find_init, FIND_INIT)
WRAP(sign_init, SIGN_INIT)
WRAP(generate_key, GENERATE_KEY)
WRAP(generate_pair, GENERATE_PAIR)

static rv_t hanging(int index, void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) {
    while (says("hang")) usleep(20000);
    if (says("removed")) return 0x32;
    return PASS(index);
}
static rv_t encrypt_init(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) {
    return hanging(ENCRYPT_INIT, a, b, c, d, e, f, g, h);
}
static rv_t decrypt_init(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) {
    return hanging(DECRYPT_INIT, a, b, c, d, e, f, g, h);
}
static rv_t login(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) {
    FILE *file = fopen(CONTROL ".logins", "a");
    if (file) {
        fputs("login\n", file);
        fclose(file);
    }
    return PASS(LOGIN);
}
static rv_t unwrap(void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h) {
    if (says("removed")) return 0x32;
    if (says("full") && room-- <= 0) {
        room = 0;
        return 0x31;
    }
    return PASS(UNWRAP);
}

rv_t C_GetFunctionList(struct list **out) {
    if (!theirs) {
        void *module = dlopen(SOFTHSM, RTLD_NOW);
        rv_t (*get)(struct list **) = module ? (rv_t (*)(struct list **))dlsym(module, "C_GetFunctionList") : 0;
        if (!get || get(&theirs)) return 5;
        ours = *theirs;
        ours.fn[GET_TOKEN_INFO] = token_info;
        ours.fn[OPEN_SESSION] = open_session;
        ours.fn[LOGIN] = login;
        ours.fn[DESTROY] = destroy;
        ours.fn[FIND_INIT] = find_init;
        ours.fn[ENCRYPT_INIT] = encrypt_init;
        ours.fn[DECRYPT_INIT] = decrypt_init;
        ours.fn[SIGN_INIT] = sign_init;
        ours.fn[GENERATE_KEY] = generate_key;
        ours.fn[GENERATE_PAIR] = generate_pair;
        ours.fn[UNWRAP] = unwrap;
    }
    *out = &ours;
    return 0;
}
