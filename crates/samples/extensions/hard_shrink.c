/* A custom layer in C: HardShrink keeps what is further from zero than the attribute `lambda` (0.5 where it isn't
 * given), and makes the rest zero.
 *
 *   cc -shared -fPIC -O2 -I crates/plugin-abi/include crates/samples/extensions/hard_shrink.c -o libhard_shrink.so
 *   mo --input_model net.pb -l libhard_shrink.so
 *   classification_sample -m net.xml -l libhard_shrink.so -i image.png
 */
#include "terroir_plugin.h"
#include <stdlib.h>
#include <string.h>

static TerroirStr str(const char *text) { return (TerroirStr){text, strlen(text)}; }

/* Literals need no release. */
static int32_t fail(TerroirMessage *message, const char *text) {
    message->text = str(text);
    return TERROIR_STATUS_GENERAL_ERROR;
}

/* Attributes are texts, without a zero at their end. */
static int read_lambda(TerroirSettings attributes, float *lambda) {
    *lambda = 0.5f;
    for (size_t i = 0; i < attributes.len; i++) {
        const TerroirSetting *attribute = &attributes.items[i];
        if (attribute->key.len != 6 || memcmp(attribute->key.data, "lambda", 6)) continue;
        char text[64] = "", *end;
        if (attribute->value.len >= sizeof text) return 0;
        memcpy(text, attribute->value.data, attribute->value.len);
        *lambda = strtof(text, &end);
        return end != text && *end == 0 && *lambda >= 0;
    }
    return 1;
}

static TerroirStr type_name(void *object) {
    (void)object;
    return str("HardShrink");
}

/* The output is what the input is. */
static int32_t infer(void *object, TerroirSettings attributes, const TerroirInputType *inputs, size_t inputs_len,
                     TerroirOutputVisitor visit, void *user, TerroirMessage *message) {
    float lambda;
    (void)object;
    if (inputs_len != 1) return fail(message, "HardShrink takes one input");
    if (inputs[0].element_type != TERROIR_TYPE_F32 && inputs[0].element_type != TERROIR_TYPE_DYNAMIC)
        return fail(message, "HardShrink computes in f32");
    if (!read_lambda(attributes, &lambda)) return fail(message, "`lambda` is no number that is at least 0");
    visit(user, TERROIR_TYPE_F32, inputs[0].rank, inputs[0].dimensions);
    return TERROIR_STATUS_OK;
}

static int32_t evaluate(void *object, TerroirSettings attributes, const TerroirTensor *const *inputs,
                        size_t inputs_len, TerroirOutputAllocator allocate, void *user, TerroirMessage *message) {
    float lambda;
    (void)object;
    if (inputs_len != 1 || inputs[0]->element_type != TERROIR_TYPE_F32)
        return fail(message, "HardShrink takes one input of f32");
    if (!read_lambda(attributes, &lambda)) return fail(message, "`lambda` is no number that is at least 0");
    const float *in = (const float *)inputs[0]->data;
    float *out = (float *)allocate(user, TERROIR_TYPE_F32, inputs[0]->rank, inputs[0]->shape);
    if (!out) return TERROIR_STATUS_GENERAL_ERROR;
    for (size_t i = 0; i < inputs[0]->byte_len / sizeof(float); i++)
        out[i] = in[i] > lambda || in[i] < -lambda ? in[i] : 0;
    return TERROIR_STATUS_OK;
}

static const TerroirExtensionFunctions FUNCTIONS = {
    .size = sizeof FUNCTIONS, .type_name = type_name, .infer = infer, .evaluate = evaluate};

static int32_t extensions(TerroirExtensionVisitor visit, void *user, TerroirMessage *message) {
    const TerroirExtension hard_shrink = {NULL, &FUNCTIONS};
    (void)message;
    visit(user, &hard_shrink);
    return TERROIR_STATUS_OK;
}

const TerroirExtensionLibrary *terroir_extension_entry(uint32_t abi_version) {
    static const TerroirExtensionLibrary library = {sizeof library, TERROIR_ABI_VERSION, extensions};
    (void)abi_version;
    return &library;
}
