// A PKCS#11 module in front of SoftHSM2 that fails on demand. What it is to do stands in the file CONTROL:
// "removed": every call that uses the token answers CKR_DEVICE_REMOVED; "hang": encryption and decryption do not come
// back until the file says something else; "full N": N more keys come in, then CKR_DEVICE_MEMORY; "hide 0xM": mechanism M
// is not offered; "memory N": N bytes are free for private objects; "oaep 0xH": keys come in under OAEP with hash H, too.
// "lose HOW" is done once, in the next call over a session, and removes the file: HOW is "closed" (all sessions),
// "out" (logged out), or what the call answers, as in 0xb3; "lose HOW at N" waits for the call of that number in
// CK_FUNCTION_LIST. Each C_Login is noted in CONTROL.logins, hash and MGF of each unwrapping under OAEP in CONTROL.oaep.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv_t;
typedef rv_t (*fn_t)(void *, void *, void *, void *, void *, void *, void *, void *);
struct list {
    unsigned char version[2];
    fn_t fn[68];
};

enum { GET_TOKEN_INFO = 6, MECHANISM_LIST = 7, MECHANISM_INFO = 8, OPEN_SESSION = 12, CLOSE_ALL = 14, SESSION_INFO = 15,
       LOGIN = 18, LOGOUT = 19, CREATE_OBJECT = 20, DESTROY = 22, FIND_INIT = 26, ENCRYPT_INIT = 29, DECRYPT_INIT = 33,
       DECRYPT = 34, DIGEST_INIT = 37, DIGEST = 38, SIGN_INIT = 42, GENERATE_KEY = 58, GENERATE_PAIR = 59, UNWRAP = 61 };
static struct list ours, *theirs;
static long room = -1;
static void *slot;

static int control(char text[64]) {
    FILE *file = fopen(CONTROL, "r");
    if (!file) return 0;
    size_t length = fread(text, 1, 63, file);
    fclose(file);
    text[length] = 0;
    return 1;
}

static int says(const char *word) {
    char text[64];
    if (!control(text)) return 0;
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

// A number behind a word, as in "hide 0x210a".
static int number(const char *word, unsigned long *found) {
    char text[64], begin[16];
    long n;
    if (!control(text) || sscanf(text, "%15s %li", begin, &n) != 2 || strcmp(begin, word)) return 0;
    *found = n;
    return 1;
}

#define ARGUMENTS void *a, void *b, void *c, void *d, void *e, void *f, void *g, void *h
#define CALL(index, ...) theirs->fn[index](__VA_ARGS__)
#define PASS(index) CALL(index, a, b, c, d, e, f, g, h)

static rv_t lost(int index, void *session) {
    char text[64], how[16];
    int at = index;
    if (!control(text) || sscanf(text, "lose %15s at %d", how, &at) < 1 || at != index) return 0;
    unlink(CONTROL);
    if (!strcmp(how, "closed")) CALL(CLOSE_ALL, slot, 0, 0, 0, 0, 0, 0, 0);
    else if (!strcmp(how, "out")) CALL(LOGOUT, session, 0, 0, 0, 0, 0, 0, 0);
    else return strtoul(how, 0, 0);
    return 0;
}

#define WRAP(name, index)                                                                                    \
    static rv_t name(ARGUMENTS) {                                                                            \
        if (says("removed")) return 0x32;                                                                    \
        rv_t answer = lost(index, a);                                                                        \
        return answer ? answer : PASS(index);                                                                \
    }
WRAP(session_info, SESSION_INFO)
WRAP(destroy, DESTROY)
WRAP(find_init, FIND_INIT)
WRAP(sign_init, SIGN_INIT)
WRAP(generate_key, GENERATE_KEY)

#include "shim_oaep.h"

static rv_t open_session(ARGUMENTS) {
    if (says("removed")) return 0x32;
    slot = a;
    return PASS(OPEN_SESSION);
}

struct token_info {
    char names[96];
    unsigned long flags, sessions[4], pins[2], total_public, free_public, total_private, free_private;
};

static rv_t token_info(ARGUMENTS) {
    if (says("removed")) return 0x32;
    rv_t answer = PASS(GET_TOKEN_INFO);
    struct token_info *info = b;
    if (!answer) number("memory", &info->free_private);
    return answer;
}

static rv_t mechanism_list(ARGUMENTS) {
    rv_t answer = PASS(MECHANISM_LIST);
    unsigned long hidden, *list = b, *count = c, kept = 0;
    if (answer || !list || !number("hide", &hidden)) return answer;
    for (unsigned long n = 0; n < *count; n++)
        if (list[n] != hidden) list[kept++] = list[n];
    *count = kept;
    return 0;
}

static rv_t mechanism_info(ARGUMENTS) {
    unsigned long hidden;
    if (number("hide", &hidden) && (unsigned long)b == hidden) return 0x70;
    return PASS(MECHANISM_INFO);
}

static rv_t hanging(int index, ARGUMENTS) {
    while (says("hang")) usleep(20000);
    if (says("removed")) return 0x32;
    rv_t answer = lost(index, a);
    return answer ? answer : PASS(index);
}
static rv_t encrypt_init(ARGUMENTS) {
    return hanging(ENCRYPT_INIT, a, b, c, d, e, f, g, h);
}
static rv_t decrypt_init(ARGUMENTS) {
    return hanging(DECRYPT_INIT, a, b, c, d, e, f, g, h);
}
static rv_t login(ARGUMENTS) {
    FILE *file = fopen(CONTROL ".logins", "a");
    if (file) {
        fputs("login\n", file);
        fclose(file);
    }
    return PASS(LOGIN);
}
static rv_t unwrap(ARGUMENTS) {
    if (says("removed")) return 0x32;
    if (says("full") && room-- <= 0) {
        room = 0;
        return 0x31;
    }
    rv_t answer = lost(UNWRAP, a);
    return answer ? answer : unwrap_oaep(a, b, c, d, e, f, g, h);
}

rv_t C_GetFunctionList(struct list **out) {
    if (!theirs) {
        void *module = dlopen(SOFTHSM, RTLD_NOW);
        rv_t (*get)(struct list **) = module ? (rv_t (*)(struct list **))dlsym(module, "C_GetFunctionList") : 0;
        if (!get || get(&theirs)) return 5;
        ours = *theirs;
        ours.fn[GET_TOKEN_INFO] = token_info;
        ours.fn[MECHANISM_LIST] = mechanism_list;
        ours.fn[MECHANISM_INFO] = mechanism_info;
        ours.fn[SESSION_INFO] = session_info;
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
