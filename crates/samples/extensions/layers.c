/* Custom layers in C: TensorFlow's Cross, the cross product of vectors along the last axis, and HardShrink, as a layer
 * of Caffe with `hard_shrink_param { lambda: 0.5 }`, which makes zero of what is not further from it than that.
 *
 *   cc -shared -fPIC -O2 -I crates/plugin-abi/include crates/samples/extensions/layers.c -o liblayers.so
 *   mo --input_model net.pb -l liblayers.so
 *   infer -m net.xml -l liblayers.so -i in.npz -o out.npz
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

/* An input of f32, or one of which nothing is known yet. */
static int takes(const TerroirInputType *input) {
    return input->element_type == TERROIR_TYPE_F32 || input->element_type == TERROIR_TYPE_DYNAMIC;
}

/* ---- Cross ---- */

static TerroirStr cross_name(void *object) {
    (void)object;
    return str("Cross");
}

/* The output is what both inputs are; sizes may be open, so what is known of either counts. */
static int32_t cross_infer(void *object, TerroirSettings attributes, const TerroirInputType *inputs, size_t inputs_len,
                           TerroirOutputVisitor visit, void *user, TerroirMessage *message) {
    TerroirDimension dims[16];
    (void)object, (void)attributes;
    if (inputs_len != 2 || !takes(&inputs[0]) || !takes(&inputs[1]))
        return fail(message, "Cross takes two inputs of f32");
    const TerroirInputType *a = &inputs[0], *b = &inputs[1];
    if (a->rank < 0) a = b;
    if (b->rank < 0) b = a;
    if (a->rank != b->rank || a->rank > 16) return fail(message, "Cross takes vectors of one shape, of rank 16 at most");
    for (int i = 0; i < a->rank; i++) {
        const TerroirDimension *x = &a->dimensions[i], *y = &b->dimensions[i];
        dims[i].min = x->min > y->min ? x->min : y->min;
        dims[i].max = x->max < y->max ? x->max : y->max;
        if (dims[i].min > dims[i].max) return fail(message, "Cross takes vectors of one shape");
    }
    if (a->rank >= 0) {
        if (a->rank == 0 || dims[a->rank - 1].min > 3 || dims[a->rank - 1].max < 3)
            return fail(message, "the last axis of Cross must hold three elements");
        dims[a->rank - 1] = (TerroirDimension){3, 3};
    }
    visit(user, TERROIR_TYPE_F32, a->rank, dims);
    return TERROIR_STATUS_OK;
}

static int32_t cross_evaluate(void *object, TerroirSettings attributes, const TerroirTensor *const *inputs,
                              size_t inputs_len, TerroirOutputAllocator allocate, void *user,
                              TerroirMessage *message) {
    (void)object, (void)attributes;
    if (inputs_len != 2 || inputs[0]->byte_len != inputs[1]->byte_len)
        return fail(message, "Cross takes two inputs of one shape");
    const float *a = (const float *)inputs[0]->data, *b = (const float *)inputs[1]->data;
    float *out = (float *)allocate(user, TERROIR_TYPE_F32, inputs[0]->rank, inputs[0]->shape);
    if (!out) return TERROIR_STATUS_GENERAL_ERROR;
    for (size_t i = 0; i < inputs[0]->byte_len / sizeof(float); i += 3) {
        out[i] = a[i + 1] * b[i + 2] - a[i + 2] * b[i + 1];
        out[i + 1] = a[i + 2] * b[i] - a[i] * b[i + 2];
        out[i + 2] = a[i] * b[i + 1] - a[i + 1] * b[i];
    }
    return TERROIR_STATUS_OK;
}

/* ---- HardShrink ---- */

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

static TerroirStr shrink_name(void *object) {
    (void)object;
    return str("HardShrink");
}

/* The output is what the input is. */
static int32_t shrink_infer(void *object, TerroirSettings attributes, const TerroirInputType *inputs, size_t inputs_len,
                            TerroirOutputVisitor visit, void *user, TerroirMessage *message) {
    float lambda;
    (void)object;
    if (inputs_len != 1 || !takes(&inputs[0])) return fail(message, "HardShrink takes one input of f32");
    if (!read_lambda(attributes, &lambda)) return fail(message, "`lambda` is no number that is at least 0");
    visit(user, TERROIR_TYPE_F32, inputs[0].rank, inputs[0].dimensions);
    return TERROIR_STATUS_OK;
}

static int32_t shrink_evaluate(void *object, TerroirSettings attributes, const TerroirTensor *const *inputs,
                               size_t inputs_len, TerroirOutputAllocator allocate, void *user,
                               TerroirMessage *message) {
    float lambda;
    (void)object;
    if (inputs_len != 1 || !read_lambda(attributes, &lambda)) return fail(message, "HardShrink takes one input");
    const float *in = (const float *)inputs[0]->data;
    float *out = (float *)allocate(user, TERROIR_TYPE_F32, inputs[0]->rank, inputs[0]->shape);
    if (!out) return TERROIR_STATUS_GENERAL_ERROR;
    for (size_t i = 0; i < inputs[0]->byte_len / sizeof(float); i++)
        out[i] = in[i] > lambda || in[i] < -lambda ? in[i] : 0;
    return TERROIR_STATUS_OK;
}

/* ---- the library ---- */

static const TerroirExtensionFunctions CROSS = {
    .size = sizeof CROSS, .type_name = cross_name, .infer = cross_infer, .evaluate = cross_evaluate};
static const TerroirExtensionFunctions SHRINK = {
    .size = sizeof SHRINK, .type_name = shrink_name, .infer = shrink_infer, .evaluate = shrink_evaluate};

static int32_t extensions(TerroirExtensionVisitor visit, void *user, TerroirMessage *message) {
    const TerroirExtension layers[] = {{NULL, &CROSS}, {NULL, &SHRINK}};
    (void)message;
    for (int i = 0; i < 2; i++) visit(user, &layers[i]);
    return TERROIR_STATUS_OK;
}

const TerroirExtensionLibrary *terroir_extension_entry(uint32_t abi_version) {
    static const TerroirExtensionLibrary library = {sizeof library, TERROIR_ABI_VERSION, extensions};
    (void)abi_version;
    return &library;
}
