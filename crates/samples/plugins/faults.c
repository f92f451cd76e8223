/* A device plugin that breaks the contract in the one way that -DFAULT=... names, for the engine's tests. Apart from
 * that it takes every model, as one that copies four numbers. */
#include "terroir_plugin.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum fault {
    NONE, WRONG_VERSION, NULL_PLUGIN, SMALL_PLUGIN, NO_CREATE, CREATE_FAILS, CREATE_SILENT,
    NULL_TABLE, HUGE_TABLE, MISSING_FUNCTION, OTHER_NAME, BAD_NAME, NULL_NAME,
    BAD_PORT, BAD_RANK, NULL_COMPILED, NULL_REQUEST, BAD_TENSOR, NULL_TENSOR, STRIDED_TENSOR, UNKNOWN_TYPE,
    DONE_TWICE, DONE_LATER, DONE_NEVER, DONE_AND_FAILED, FAILS_WITH_MESSAGE, SILENT_FAILURE
};

static int is(enum fault fault) { return fault == FAULT; }
static TerroirStr str(const char *text) { return (TerroirStr){text, strlen(text)}; }

struct request {
    float own[2][4];
    float *data[2];
};

static const size_t SHAPE[] = {4};
static const ptrdiff_t STRIDES[] = {8};

static void release(void *object) { free(object); }
static void keep(void *object) { (void)object; }

static int32_t set_tensor(void *object, int32_t side, size_t index, const TerroirTensor *tensor,
                          TerroirMessage *message) {
    /* The engine keeps what it gives for as long as it uses this request. */
    (void)index, (void)message;
    ((struct request *)object)->data[side] = (float *)tensor->data;
    return TERROIR_STATUS_OK;
}

static int32_t get_tensor(void *object, int32_t side, size_t index, TerroirTensor *tensor,
                          TerroirMessage *message) {
    struct request *request = object;
    (void)index, (void)message;
    tensor->data = (uint8_t *)request->data[side];
    tensor->byte_len = sizeof request->own[side];
    tensor->element_type = TERROIR_TYPE_F32;
    tensor->rank = 1;
    tensor->shape = SHAPE;
    if (is(BAD_TENSOR)) tensor->byte_len -= 1;
    if (is(NULL_TENSOR)) tensor->data = NULL;
    if (is(STRIDED_TENSOR)) tensor->strides = STRIDES, tensor->byte_len = 1 << 20, tensor->data = NULL;
    if (is(UNKNOWN_TYPE)) tensor->element_type = 4711;
    return TERROIR_STATUS_OK;
}

static int32_t infer(void *object, TerroirMessage *message) {
    struct request *request = object;
    if (is(FAILS_WITH_MESSAGE)) {
        message->text = str("the card is hot");
        return TERROIR_STATUS_GENERAL_ERROR;
    }
    if (is(SILENT_FAILURE)) return -4711;
    memcpy(request->data[1], request->data[0], sizeof request->own[0]);
    return TERROIR_STATUS_OK;
}

struct later {
    TerroirCompletion done;
    void *user;
};

static void *tell_later(void *object) {
    struct later later = *(struct later *)object;
    free(object);
    later.done(later.user, TERROIR_STATUS_OK, NULL);
    return NULL;
}

static int32_t start(void *object, TerroirCompletion done, void *user, TerroirMessage *message) {
    if (is(DONE_NEVER)) return TERROIR_STATUS_OK;
    int32_t status = infer(object, message);
    TerroirMessage told = {.size = sizeof told, .text = message->text};
    if (is(DONE_LATER)) {
        struct later *later = malloc(sizeof *later);
        pthread_t thread;
        *later = (struct later){done, user};
        pthread_create(&thread, NULL, tell_later, later);
        pthread_detach(thread);
        return TERROIR_STATUS_OK;
    }
    done(user, status, &told);
    if (is(DONE_TWICE)) done(user, status, &told);
    return is(DONE_AND_FAILED) ? TERROIR_STATUS_GENERAL_ERROR : TERROIR_STATUS_OK;
}

static const TerroirRequestFunctions REQUEST = {
    .size = sizeof REQUEST, .release = release, .set_tensor = set_tensor, .tensor = get_tensor, .infer = infer,
    .start = start};

static int32_t ports(void *object, int32_t side, TerroirPortVisitor visit, void *user, TerroirMessage *message) {
    TerroirDimension dim = {4, is(BAD_PORT) ? 3 : 4};
    TerroirPort port = {.size = sizeof port, .node = str(side ? "out" : "in"), .element_type = TERROIR_TYPE_F32,
                        .rank = is(BAD_RANK) ? 1000000 : 1, .dimensions = &dim};
    (void)object, (void)message;
    visit(user, &port);
    return TERROIR_STATUS_OK;
}

static int32_t create_request(void *object, TerroirRequest *made, TerroirMessage *message) {
    struct request *request = calloc(1, sizeof *request);
    (void)object, (void)message;
    for (int side = 0; side < 2; side++) request->data[side] = request->own[side];
    *made = (TerroirRequest){request, is(NULL_REQUEST) ? NULL : &REQUEST};
    return TERROIR_STATUS_OK;
}

static const TerroirCompiledFunctions COMPILED = {
    .size = sizeof COMPILED, .release = keep, .ports = ports, .create_request = create_request};

static TerroirStr name(void *object) {
    (void)object;
    if (is(BAD_NAME)) return str("FAU\xff");
    if (is(NULL_NAME)) return (TerroirStr){NULL, 6};
    return str(is(OTHER_NAME) ? "NOBODY" : "FAULTY");
}

static int32_t query(void *object, const TerroirModel *model, TerroirSettings settings, const TerroirHost *host,
                     TerroirSupportVisitor visit, void *user, TerroirMessage *message) {
    (void)object, (void)model, (void)settings, (void)host, (void)message;
    visit(user, 4711, str("x"), str(""), str(""));
    return TERROIR_STATUS_OK;
}

static int32_t compile(void *object, const TerroirModel *model, TerroirSettings settings, const TerroirHost *host,
                       TerroirCompiled *made, TerroirMessage *message) {
    (void)object, (void)model, (void)settings, (void)host, (void)message;
    *made = (TerroirCompiled){NULL, is(NULL_COMPILED) ? NULL : &COMPILED};
    return TERROIR_STATUS_OK;
}

static const TerroirDeviceFunctions DEVICE = {
    .size = FAULT == HUGE_TABLE ? (size_t)-1 : sizeof DEVICE, .release = keep, .name = name, .description = name,
    .query = query, .compile = FAULT == MISSING_FUNCTION ? NULL : compile};

static int32_t create(TerroirDevice *device, TerroirMessage *message) {
    if (is(CREATE_FAILS)) {
        char *text = strdup("no card was found");
        message->text = str(text);
        message->owner = text, message->release = release;
        return TERROIR_STATUS_GENERAL_ERROR;
    }
    if (is(CREATE_SILENT)) return TERROIR_STATUS_NOT_IMPLEMENTED;
    *device = (TerroirDevice){NULL, is(NULL_TABLE) ? NULL : &DEVICE};
    return TERROIR_STATUS_OK;
}

#if defined(LACKS_FUNCTION)
extern int terroir_that_nobody_defines(void);
int terroir_calls_it(void) { return terroir_that_nobody_defines(); }
#endif

#if defined(LACKS_ENTRY)
const TerroirPlugin *terroir_other_entry(uint32_t abi_version) {
#else
const TerroirPlugin *terroir_plugin_entry(uint32_t abi_version) {
#endif
    static const TerroirPlugin plugin = {
        FAULT == SMALL_PLUGIN ? 4 : sizeof plugin, FAULT == WRONG_VERSION ? 99 : TERROIR_ABI_VERSION,
        FAULT == NO_CREATE ? NULL : create};
    (void)abi_version;
    return is(NULL_PLUGIN) ? NULL : &plugin;
}
