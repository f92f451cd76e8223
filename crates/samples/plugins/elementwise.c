/* A device plugin in C: it runs networks of Add, Multiply, Subtract and ReLU in f32, for shapes that are known and
 * equal, or single numbers. It shows all that a device must have; what it leaves null, the engine does without.
 *
 *   cc -shared -fPIC -O2 -I crates/plugin-abi/include elementwise.c -o libelementwise_plugin.so
 *   echo '{ "ELEMENTWISE": "libelementwise_plugin.so" }' > plugins.json
 */
#include "terroir_plugin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { PARAMETER, CONSTANT, RESULT, ADD, MULTIPLY, SUBTRACT, RELU, OTHER };
static const char *const KINDS[] = {"Parameter", "Const", "Result", "Add", "Multiply", "Subtract", "ReLU"};

struct node {
    char name[256];
    enum kind kind;
    int source[2];        /* the nodes that it takes from; -1 for none */
    size_t count;         /* how many elements it gives */
    size_t shape[64];
    int rank;
    float *constant;
    char refused[128];    /* why it is not taken; empty when it is */
};

struct network {
    struct node *nodes;
    int len;
    int ports[2][64];     /* inputs and outputs, by side */
    int ports_len[2];
};

static TerroirStr str(const char *text) { return (TerroirStr){text, strlen(text)}; }

/* Fails with literals alone: they need no release. */
static int32_t fail(TerroirMessage *message, int32_t status, const char *text) {
    if (message) message->text = str(text);
    return status;
}

/* The value of an attribute between `at` and `end`; 0 when it is not there. */
static int attribute(const char *at, const char *end, const char *name, char *value, size_t room) {
    char key[64];
    snprintf(key, sizeof key, " %s=\"", name);
    const char *found = strstr(at, key);
    if (!found || found >= end) return 0;
    found += strlen(key);
    size_t len = strcspn(found, "\"");
    if (len >= room) return 0;
    memcpy(value, found, len);
    value[len] = 0;
    return 1;
}

static const float *constant_bytes(const TerroirModel *model, uint64_t offset, uint64_t size) {
    for (size_t i = 0; i < model->chunks_len; i++) {
        const TerroirChunk *chunk = &model->chunks[i];
        if (offset >= chunk->offset && offset - chunk->offset + size <= chunk->len)
            return (const float *)(chunk->data + (offset - chunk->offset));
    }
    return NULL;
}

static void read_layer(const TerroirModel *model, const char *at, const char *end, struct node *node) {
    char type[64] = "", text[64], offset[32] = "0", size[32] = "0";
    attribute(at, end, "name", node->name, sizeof node->name);
    attribute(at, end, "type", type, sizeof type);
    node->source[0] = node->source[1] = -1;
    for (node->kind = PARAMETER; node->kind < OTHER && strcmp(type, KINDS[node->kind]); node->kind++) {}
    if (node->kind == OTHER) snprintf(node->refused, sizeof node->refused, "%s is not an op of this device", type);
    const char *output = strstr(at, "<output>");
    node->count = 1;
    if (output && output < end) {
        for (const char *dim = output; (dim = strstr(dim, "<dim>")) && dim < end; dim += 5) {
            long long value = atoll(dim + 5);
            if (value < 0 || node->rank == 64) { strcpy(node->refused, "its shape is not known"); return; }
            node->shape[node->rank++] = (size_t)value;
            node->count *= (size_t)value;
        }
        if (attribute(output, end, "precision", text, sizeof text) && strcmp(text, "FP32"))
            snprintf(node->refused, sizeof node->refused, "it computes in %s, this device in FP32", text);
    }
    if (node->kind != CONSTANT || node->refused[0]) return;
    attribute(at, end, "offset", offset, sizeof offset);
    attribute(at, end, "size", size, sizeof size);
    const float *bytes = constant_bytes(model, strtoull(offset, NULL, 10), strtoull(size, NULL, 10));
    if (!bytes || strtoull(size, NULL, 10) < node->count * sizeof(float)) {
        strcpy(node->refused, "its bytes are not there");
    } else if ((node->constant = malloc(node->count * sizeof(float)))) {
        memcpy(node->constant, bytes, node->count * sizeof(float));
    }
}

static void free_network(struct network *net) {
    for (int i = 0; i < net->len; i++) free(net->nodes[i].constant);
    free(net->nodes);
    free(net);
}

/* The engine writes layers after those that they take from, numbered from 0. */
static struct network *read_network(const TerroirModel *model) {
    struct network *net = calloc(1, sizeof *net);
    char *xml = malloc(model->xml.len + 1);
    memcpy(xml, model->xml.data, model->xml.len);
    xml[model->xml.len] = 0;
    for (const char *at = xml; (at = strstr(at, "<layer ")); at++) net->len++;
    net->nodes = calloc((size_t)net->len + 1, sizeof *net->nodes);
    const char *at = xml;
    for (int i = 0; i < net->len; i++) {
        at = strstr(at, "<layer ");
        const char *end = strstr(at, "</layer>");
        read_layer(model, at, end, &net->nodes[i]);
        int side = net->nodes[i].kind == PARAMETER ? TERROIR_SIDE_INPUT : TERROIR_SIDE_OUTPUT;
        if ((net->nodes[i].kind == PARAMETER || net->nodes[i].kind == RESULT) && net->ports_len[side] < 64)
            net->ports[side][net->ports_len[side]++] = i;
        at = end;
    }
    for (at = xml; (at = strstr(at, "<edge ")); at++) {
        char from[16] = "", to[16] = "", port[16] = "";
        const char *end = strstr(at, "/>");
        attribute(at, end, "from-layer", from, sizeof from);
        attribute(at, end, "to-layer", to, sizeof to);
        attribute(at, end, "to-port", port, sizeof port);
        if (atoi(to) < net->len && atoi(from) < net->len && atoi(port) < 2)
            net->nodes[atoi(to)].source[atoi(port)] = atoi(from);
    }
    free(xml);
    for (int i = 0; i < net->len; i++) {
        struct node *node = &net->nodes[i];
        for (int s = 0; s < 2 && node->kind > RESULT && !node->refused[0]; s++) {
            if (node->source[s] < 0) continue;
            size_t count = net->nodes[node->source[s]].count;
            if (count != node->count && count != 1) strcpy(node->refused, "it broadcasts more than one number");
        }
    }
    return net;
}

/* ---- the request ---- */

struct tensor {
    float *data, *own;
    TerroirTensor given;  /* release is null unless one was given */
};

struct request {
    const struct network *net;
    float **values;       /* what every node gave */
    struct tensor *tensors[2];
};

static void drop_given(struct tensor *tensor) {
    if (tensor->given.release) tensor->given.release(tensor->given.owner);
    memset(&tensor->given, 0, sizeof tensor->given);
}

static void request_release(void *object) {
    struct request *request = object;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < request->net->ports_len[side]; i++) {
            drop_given(&request->tensors[side][i]);
            free(request->tensors[side][i].own);
        }
        free(request->tensors[side]);
    }
    for (int i = 0; i < request->net->len; i++) free(request->values[i]);
    free(request->values);
    free(request);
}

/* A port's node: of a result, what it takes. */
static const struct node *port_node(const struct network *net, int32_t side, size_t index) {
    const struct node *node = &net->nodes[net->ports[side][index]];
    return node->kind == RESULT ? &net->nodes[node->source[0]] : node;
}

static int32_t request_set_tensor(void *object, int32_t side, size_t index, const TerroirTensor *tensor,
                                  TerroirMessage *message) {
    struct request *request = object;
    if (side < 0 || side > 1 || index >= (size_t)request->net->ports_len[side])
        return fail(message, TERROIR_STATUS_OUT_OF_BOUNDS, "there is no such port");
    if (tensor->strides) return fail(message, TERROIR_STATUS_NOT_IMPLEMENTED, "tensors with gaps");
    if (tensor->byte_len != port_node(request->net, side, index)->count * sizeof(float))
        return fail(message, TERROIR_STATUS_GENERAL_ERROR, "the tensor has another size than its port");
    struct tensor *own = &request->tensors[side][index];
    tensor->retain(tensor->owner);
    drop_given(own);
    own->given = *tensor;
    own->data = (float *)tensor->data;
    return TERROIR_STATUS_OK;
}

/* Without an owner, the memory lives as long as the request. */
static int32_t request_tensor(void *object, int32_t side, size_t index, TerroirTensor *tensor,
                              TerroirMessage *message) {
    struct request *request = object;
    if (side < 0 || side > 1 || index >= (size_t)request->net->ports_len[side])
        return fail(message, TERROIR_STATUS_OUT_OF_BOUNDS, "there is no such port");
    const struct node *node = port_node(request->net, side, index);
    struct tensor *own = &request->tensors[side][index];
    *tensor = (TerroirTensor){.size = tensor->size, .data = (uint8_t *)own->data,
                              .byte_len = node->count * sizeof(float), .element_type = TERROIR_TYPE_F32,
                              .rank = (size_t)node->rank, .shape = node->shape};
    return TERROIR_STATUS_OK;
}

static int32_t request_infer(void *object, TerroirMessage *message) {
    struct request *request = object;
    const struct network *net = request->net;
    int ports[2] = {0, 0};
    (void)message;
    for (int i = 0; i < net->len; i++) {
        const struct node *node = &net->nodes[i];
        const float *in[2] = {NULL, NULL};
        size_t step[2] = {0, 0};
        for (int s = 0; s < 2 && node->source[s] >= 0; s++) {
            in[s] = request->values[node->source[s]];
            step[s] = net->nodes[node->source[s]].count == 1 ? 0 : 1;
        }
        float *out = request->values[i];
        if (node->kind == PARAMETER) {
            memcpy(out, request->tensors[0][ports[0]++].data, node->count * sizeof(float));
        } else if (node->kind == RESULT) {
            size_t count = net->nodes[node->source[0]].count;
            memcpy(request->tensors[1][ports[1]++].data, in[0], count * sizeof(float));
        } else if (node->kind == CONSTANT) {
            memcpy(out, node->constant, node->count * sizeof(float));
        } else {
            for (size_t e = 0; e < node->count; e++) {
                float a = in[0][e * step[0]], b = in[1] ? in[1][e * step[1]] : 0;
                out[e] = node->kind == ADD        ? a + b
                         : node->kind == SUBTRACT ? a - b
                         : node->kind == MULTIPLY ? a * b
                                                  : (a > 0 ? a : 0);
            }
        }
    }
    return TERROIR_STATUS_OK;
}

static const TerroirRequestFunctions REQUEST = {
    .size = sizeof(TerroirRequestFunctions), .release = request_release, .set_tensor = request_set_tensor,
    .tensor = request_tensor, .infer = request_infer};

/* ---- the compiled model ---- */

static void compiled_release(void *object) { free_network(object); }

static int32_t compiled_ports(void *object, int32_t side, TerroirPortVisitor visit, void *user,
                              TerroirMessage *message) {
    struct network *net = object;
    (void)message;
    for (int i = 0; i < net->ports_len[side]; i++) {
        const struct node *node = port_node(net, side, (size_t)i);
        TerroirDimension dims[64];
        for (int d = 0; d < node->rank; d++) dims[d] = (TerroirDimension){(int64_t)node->shape[d], (int64_t)node->shape[d]};
        TerroirPort port = {.size = sizeof port, .node = str(node->name), .element_type = TERROIR_TYPE_F32,
                            .rank = node->rank, .dimensions = dims};
        visit(user, &port);
    }
    return TERROIR_STATUS_OK;
}

static int32_t compiled_create_request(void *object, TerroirRequest *made, TerroirMessage *message) {
    struct network *net = object;
    struct request *request = calloc(1, sizeof *request);
    (void)message;
    request->net = net;
    request->values = calloc((size_t)net->len, sizeof *request->values);
    for (int i = 0; i < net->len; i++) request->values[i] = calloc(net->nodes[i].count + 1, sizeof(float));
    for (int side = 0; side < 2; side++) {
        request->tensors[side] = calloc((size_t)net->ports_len[side] + 1, sizeof(struct tensor));
        for (int i = 0; i < net->ports_len[side]; i++) {
            struct tensor *tensor = &request->tensors[side][i];
            tensor->data = tensor->own = calloc(port_node(net, side, (size_t)i)->count + 1, sizeof(float));
        }
    }
    *made = (TerroirRequest){request, &REQUEST};
    return TERROIR_STATUS_OK;
}

static const TerroirCompiledFunctions COMPILED = {
    .size = sizeof(TerroirCompiledFunctions), .release = compiled_release, .ports = compiled_ports,
    .create_request = compiled_create_request};

/* ---- the device ---- */

static void device_release(void *object) { (void)object; }
static TerroirStr device_name(void *object) { (void)object; return str("ELEMENTWISE"); }
static TerroirStr device_description(void *object) { (void)object; return str("elementwise ops, in C"); }

static int32_t device_query(void *object, const TerroirModel *model, TerroirSettings settings, const TerroirHost *host,
                            TerroirSupportVisitor visit, void *user, TerroirMessage *message) {
    (void)object, (void)settings, (void)host, (void)message;
    struct network *net = read_network(model);
    for (int i = 0; i < net->len; i++) {
        const struct node *node = &net->nodes[i];
        visit(user, node->refused[0] ? TERROIR_NODE_REFUSED : TERROIR_NODE_TAKEN, str(node->name), str(""),
              str(node->refused));
    }
    free_network(net);
    return TERROIR_STATUS_OK;
}

static void free_details(void *owner) { free(owner); }

static int32_t device_compile(void *object, const TerroirModel *model, TerroirSettings settings,
                              const TerroirHost *host, TerroirCompiled *made, TerroirMessage *message) {
    (void)object, (void)settings, (void)host;
    struct network *net = read_network(model);
    for (int i = 0; i < net->len; i++) {
        struct node *node = &net->nodes[i];
        if (!node->refused[0]) continue;
        /* The details, and the texts behind them, in one block that the engine gives back. */
        struct { TerroirStr details[3]; char name[256], refused[128]; } *told = malloc(sizeof *told);
        strcpy(told->name, node->name);
        strcpy(told->refused, node->refused);
        told->details[0] = str("ELEMENTWISE"), told->details[1] = str(told->name), told->details[2] = str(told->refused);
        message->text = told->details[2];
        message->details = told->details, message->details_len = 3;
        message->owner = told, message->release = free_details;
        free_network(net);
        return TERROIR_STATUS_NETWORK_NOT_LOADED;
    }
    *made = (TerroirCompiled){net, &COMPILED};
    return TERROIR_STATUS_OK;
}

static const TerroirDeviceFunctions DEVICE = {
    .size = sizeof(TerroirDeviceFunctions), .release = device_release, .name = device_name,
    .description = device_description, .query = device_query, .compile = device_compile};

static int32_t create(TerroirDevice *device, TerroirMessage *message) {
    (void)message;
    *device = (TerroirDevice){NULL, &DEVICE};
    return TERROIR_STATUS_OK;
}

const TerroirPlugin *terroir_plugin_entry(uint32_t abi_version) {
    static const TerroirPlugin plugin = {sizeof plugin, TERROIR_ABI_VERSION, create};
    (void)abi_version;
    return &plugin;
}
