/* A library of custom layers that breaks the contract in the one way that -DFAULT=... names, for the engine's tests.
 * Apart from that its layer `Faulty` copies what it takes. */
#include "terroir_plugin.h"
#include <stdlib.h>
#include <string.h>

enum fault {
    NONE, WRONG_VERSION, NULL_LIBRARY, SMALL_LIBRARY, NO_EXTENSIONS, TELLING_FAILS, NULL_EXTENSION, NULL_TABLE,
    HUGE_TABLE, MISSING_FUNCTION, EMPTY_NAME, BAD_NAME, NULL_NAME, NULL_OP_SET,
    BAD_DIMENSION, BAD_RANK, NULL_DIMENSIONS, UNKNOWN_TYPE, INFER_FAILS, NO_OUTPUT_TOLD,
    HUGE_OUTPUT, OUTPUT_OF_MANY_AXES, NULL_SHAPE, OTHER_SHAPE, NO_OUTPUT, TWO_OUTPUTS, FAILURE_IGNORED,
    EVALUATE_FAILS, SILENT_FAILURE
};

static int is(enum fault fault) { return fault == FAULT; }
static TerroirStr str(const char *text) { return (TerroirStr){text, strlen(text)}; }

static TerroirStr type_name(void *object) {
    (void)object;
    if (is(BAD_NAME)) return str("Fau\xff");
    if (is(NULL_NAME)) return (TerroirStr){NULL, 6};
    return str(is(EMPTY_NAME) ? "" : "Faulty");
}

static TerroirStr op_set(void *object) {
    (void)object;
    return is(NULL_OP_SET) ? (TerroirStr){NULL, 3} : str("extension");
}

static int32_t infer(void *object, TerroirSettings attributes, const TerroirInputType *inputs, size_t inputs_len,
                     TerroirOutputVisitor visit, void *user, TerroirMessage *message) {
    const TerroirDimension empty[] = {{4, 3}};
    (void)object, (void)attributes, (void)inputs_len;
    if (is(INFER_FAILS)) {
        char *text = strdup("the moon is full");
        message->text = str(text);
        message->owner = text, message->release = free;
        return TERROIR_STATUS_GENERAL_ERROR;
    }
    if (is(BAD_DIMENSION)) visit(user, TERROIR_TYPE_F32, 1, empty);
    else if (is(BAD_RANK)) visit(user, TERROIR_TYPE_F32, 1000000, inputs[0].dimensions);
    else if (is(NULL_DIMENSIONS)) visit(user, TERROIR_TYPE_F32, 1, NULL);
    else if (is(UNKNOWN_TYPE)) visit(user, 4711, inputs[0].rank, inputs[0].dimensions);
    else if (!is(NO_OUTPUT_TOLD)) visit(user, inputs[0].element_type, inputs[0].rank, inputs[0].dimensions);
    return TERROIR_STATUS_OK;
}

static int32_t evaluate(void *object, TerroirSettings attributes, const TerroirTensor *const *inputs,
                        size_t inputs_len, TerroirOutputAllocator allocate, void *user, TerroirMessage *message) {
    static const size_t huge[] = {SIZE_MAX / 4, 2}, other[] = {1, 1, 1};
    const TerroirTensor *in = inputs[0];
    uint8_t *out = NULL;
    (void)object, (void)attributes, (void)inputs_len;
    if (is(EVALUATE_FAILS)) {
        message->text = str("the well is dry");
        return TERROIR_STATUS_GENERAL_ERROR;
    }
    if (is(SILENT_FAILURE)) return -4711;
    if (is(HUGE_OUTPUT) || is(FAILURE_IGNORED)) out = allocate(user, in->element_type, 2, huge);
    else if (is(OUTPUT_OF_MANY_AXES)) out = allocate(user, in->element_type, 1000000, in->shape);
    else if (is(NULL_SHAPE)) out = allocate(user, in->element_type, 1, NULL);
    else if (is(OTHER_SHAPE)) out = allocate(user, in->element_type, 3, other);
    else if (!is(NO_OUTPUT)) out = allocate(user, in->element_type, in->rank, in->shape);
    if (is(TWO_OUTPUTS)) allocate(user, in->element_type, in->rank, in->shape);
    if (is(FAILURE_IGNORED)) return TERROIR_STATUS_OK;
    if (out && !is(OTHER_SHAPE)) memcpy(out, in->data, in->byte_len);
    return out || is(NO_OUTPUT) ? TERROIR_STATUS_OK : TERROIR_STATUS_OUT_OF_BOUNDS;
}

static const TerroirExtensionFunctions FUNCTIONS = {
    .size = FAULT == HUGE_TABLE ? (size_t)-1 : sizeof FUNCTIONS, .type_name = type_name, .version = op_set,
    .infer = infer, .evaluate = FAULT == MISSING_FUNCTION ? NULL : evaluate};

static int32_t extensions(TerroirExtensionVisitor visit, void *user, TerroirMessage *message) {
    const TerroirExtension faulty = {NULL, is(NULL_TABLE) ? NULL : &FUNCTIONS};
    if (is(TELLING_FAILS)) {
        message->text = str("no licence was found");
        return TERROIR_STATUS_GENERAL_ERROR;
    }
    visit(user, is(NULL_EXTENSION) ? NULL : &faulty);
    return TERROIR_STATUS_OK;
}

const TerroirExtensionLibrary *terroir_extension_entry(uint32_t abi_version) {
    static const TerroirExtensionLibrary library = {
        FAULT == SMALL_LIBRARY ? 4 : sizeof library, FAULT == WRONG_VERSION ? 99 : TERROIR_ABI_VERSION,
        FAULT == NO_EXTENSIONS ? NULL : extensions};
    (void)abi_version;
    return is(NULL_LIBRARY) ? NULL : &library;
}
