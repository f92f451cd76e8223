/* Terroir's plugin interface, made from crates/plugin-abi/src/c by `cargo xtask header`: change it there.
 *
 * A plugin is a shared library that exports one function:
 *
 *   const TerroirPlugin *terroir_plugin_entry(uint32_t abi_version);
 *
 * It returns a struct with the function that makes the device. Everything else is reached from there: devices,
 * compiled models and requests are pairs of an object, which the plugin alone understands, and a table of functions.
 * A list named plugins.json, { "NAME": "library.so" }, tells the engine of the plugin.
 *
 * A library of custom layers exports another one, and the flag -l names the library:
 *
 *   const TerroirExtensionLibrary *terroir_extension_entry(uint32_t abi_version);
 *
 * Statuses: functions return TERROIR_STATUS_OK or another TERROIR_STATUS_*, and may fill the message they are given.
 * The statuses are those of the Inference Engine of 2018, and the details of a message keep its kind: whoever only
 * gives a text is understood too.
 *
 * Growth: structs that begin with `size` may get more fields at their end. Fill `size` with sizeof, and read no
 * field beyond the size of a struct that you are given. Nothing else changes without a new TERROIR_ABI_VERSION.
 *
 * No function may unwind: catch exceptions and panics inside.
 */

#ifndef TERROIR_PLUGIN_H
#define TERROIR_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct TerroirDevice;

/**
 * The version of this interface. It changes only when older plugins can no longer be used; what is appended to the
 * structs is told by their sizes.
 */
#define TERROIR_ABI_VERSION 1

/**
 * The device does not take the node; the reason says why.
 */
#define TERROIR_NODE_REFUSED 0

/**
 * The device takes the node.
 */
#define TERROIR_NODE_TAKEN 1

/**
 * The device gives the node to another one, and the reason says why there. Told besides `TERROIR_NODE_TAKEN`.
 */
#define TERROIR_NODE_PLACED 2

/**
 * Something failed.
 */
#define TERROIR_LOG_ERROR 1

/**
 * Something is odd.
 */
#define TERROIR_LOG_WARNING 2

/**
 * What users may want to know.
 */
#define TERROIR_LOG_INFO 3

/**
 * What developers may want to know.
 */
#define TERROIR_LOG_DEBUG 4

/**
 * All is well.
 */
#define TERROIR_STATUS_OK 0

/**
 * Anything that has no number of its own. Details: the device, what happened.
 */
#define TERROIR_STATUS_GENERAL_ERROR -1

/**
 * The device does not offer what it was asked for. Details: the device, what was asked for.
 */
#define TERROIR_STATUS_NOT_IMPLEMENTED -2

/**
 * The device can't run the model. Details: the device, the node, the reason.
 */
#define TERROIR_STATUS_NETWORK_NOT_LOADED -3

/**
 * A tensor does not fit its port. Details: the port, what it takes, what it was given.
 */
#define TERROIR_STATUS_PARAMETER_MISMATCH -4

/**
 * There is no such device. Details: the name asked for, then those that are there.
 */
#define TERROIR_STATUS_NOT_FOUND -5

/**
 * A number is too large.
 */
#define TERROIR_STATUS_OUT_OF_BOUNDS -6

/**
 * The other side is at fault: it panicked, or gave what it must not give.
 */
#define TERROIR_STATUS_UNEXPECTED -7

/**
 * The request, or memory that it needs, is in use. Details: what is in use.
 */
#define TERROIR_STATUS_REQUEST_BUSY -8

/**
 * The model itself is at fault.
 */
#define TERROIR_STATUS_NETWORK_NOT_READ -12

/**
 * The inference was cancelled.
 */
#define TERROIR_STATUS_INFER_CANCELLED -13

/**
 * A setting that the device doesn't have, or a value that it doesn't take. Details: the device, the key, the value,
 * the reason.
 */
#define TERROIR_STATUS_CONFIG -100

/**
 * Not known before the model runs.
 */
#define TERROIR_TYPE_DYNAMIC 0

/**
 * One byte, 0 or 1.
 */
#define TERROIR_TYPE_BOOLEAN 1

/**
 * bfloat16.
 */
#define TERROIR_TYPE_BF16 2

/**
 * IEEE binary16.
 */
#define TERROIR_TYPE_F16 3

/**
 * IEEE binary32.
 */
#define TERROIR_TYPE_F32 4

/**
 * IEEE binary64.
 */
#define TERROIR_TYPE_F64 5

/**
 * Signed 4 bits, two to a byte, the low half first.
 */
#define TERROIR_TYPE_I4 6

/**
 * Signed 8 bits.
 */
#define TERROIR_TYPE_I8 7

/**
 * Signed 16 bits.
 */
#define TERROIR_TYPE_I16 8

/**
 * Signed 32 bits.
 */
#define TERROIR_TYPE_I32 9

/**
 * Signed 64 bits.
 */
#define TERROIR_TYPE_I64 10

/**
 * One bit, eight to a byte, the high bit first.
 */
#define TERROIR_TYPE_U1 11

/**
 * Unsigned 4 bits, two to a byte, the low half first.
 */
#define TERROIR_TYPE_U4 12

/**
 * Unsigned 8 bits.
 */
#define TERROIR_TYPE_U8 13

/**
 * Unsigned 16 bits.
 */
#define TERROIR_TYPE_U16 14

/**
 * Unsigned 32 bits.
 */
#define TERROIR_TYPE_U32 15

/**
 * Unsigned 64 bits.
 */
#define TERROIR_TYPE_U64 16

/**
 * The inputs of a model.
 */
#define TERROIR_SIDE_INPUT 0

/**
 * The outputs of a model.
 */
#define TERROIR_SIDE_OUTPUT 1

/**
 * The layer ran.
 */
#define TERROIR_LAYER_EXECUTED 0

/**
 * The layer had nothing to do.
 */
#define TERROIR_LAYER_NOT_RUN 1

/**
 * The layer is part of another one, or was computed at compile time.
 */
#define TERROIR_LAYER_OPTIMIZED_OUT 2

/**
 * Text in UTF-8, without a zero at its end. Who is given one may read it until the call returns.
 */
typedef struct TerroirStr {
  /**
   * The first byte; anything when `len` is 0.
   */
  const char *data;
  /**
   * The number of bytes.
   */
  size_t len;
} TerroirStr;

/**
 * Takes a text that a function answers with. Called once; the text lives until it returns.
 */
typedef void (*TerroirTextSink)(void *user, struct TerroirStr text);

/**
 * What a status other than `TERROIR_STATUS_OK` means, in words. The caller gives one, zeroed except for `size`; the
 * function that fails may fill it. The caller then reads it and calls `release(owner)`, if that is there.
 */
typedef struct TerroirMessage {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The message.
   */
  struct TerroirStr text;
  /**
   * What the message is made of, in the order that the status states; null when unknown.
   */
  const struct TerroirStr *details;
  /**
   * The number of details.
   */
  size_t details_len;
  /**
   * What `release` takes.
   */
  void *owner;
  /**
   * Ends the life of the texts. Null when they live as long as the library, as literals do.
   */
  void (*release)(void *owner);
} TerroirMessage;

/**
 * The bytes of one or more constants, at their place in the IR's `.bin`.
 */
typedef struct TerroirChunk {
  /**
   * Where it lies in the `.bin`: what the `offset` of a `Const` layer refers to.
   */
  uint64_t offset;
  /**
   * The bytes.
   */
  const uint8_t *data;
  /**
   * How many.
   */
  uint64_t len;
} TerroirChunk;

/**
 * A setting, such as `NUM_STREAMS` and `2`.
 */
typedef struct TerroirSetting {
  /**
   * The key.
   */
  struct TerroirStr key;
  /**
   * The value.
   */
  struct TerroirStr value;
} TerroirSetting;

/**
 * Settings: an array, valid until the call returns.
 */
typedef struct TerroirSettings {
  /**
   * The first.
   */
  const struct TerroirSetting *items;
  /**
   * How many.
   */
  size_t len;
} TerroirSettings;

/**
 * A dimension: the sizes from `min` to `max`, both included.
 */
typedef struct TerroirDimension {
  /**
   * The smallest size.
   */
  int64_t min;
  /**
   * The largest; `INT64_MAX` means no bound.
   */
  int64_t max;
} TerroirDimension;

/**
 * A tensor in somebody's memory: elements in row-major order, little endian.
 *
 * Given to a function, it lives until the call returns; who needs the memory longer calls `retain`, and `release`
 * once for every `retain`. Given by a function, it comes retained: who received it calls `release` once.
 */
typedef struct TerroirTensor {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The first element. An input's memory is only read.
   */
  uint8_t *data;
  /**
   * The bytes from the first element to the end of the last.
   */
  size_t byte_len;
  /**
   * One of `TERROIR_TYPE_*`.
   */
  int32_t element_type;
  /**
   * The number of dimensions; 0 for a scalar.
   */
  size_t rank;
  /**
   * The sizes of the dimensions.
   */
  const size_t *shape;
  /**
   * The bytes from one element to the next along each dimension; null when the elements lie densely.
   */
  const ptrdiff_t *strides;
  /**
   * What `retain` and `release` take.
   */
  void *owner;
  /**
   * Keeps the memory. From any thread. Null together with `release`: the memory lives as long as the request.
   */
  void (*retain)(void *owner);
  /**
   * Takes one `retain` back. From any thread.
   */
  void (*release)(void *owner);
} TerroirTensor;

/**
 * What is known of an input before the model runs.
 */
typedef struct TerroirInputType {
  /**
   * One of `TERROIR_TYPE_*`.
   */
  int32_t element_type;
  /**
   * The number of dimensions; -1 when unknown.
   */
  int32_t rank;
  /**
   * The dimensions.
   */
  const struct TerroirDimension *dimensions;
  /**
   * The elements when they are known, as those of constants are; else null.
   */
  const struct TerroirTensor *value;
} TerroirInputType;

/**
 * Told the type of every output, in order; `rank` is -1 when it is unknown.
 */
typedef void (*TerroirOutputVisitor)(void *user,
                                     int32_t element_type,
                                     int32_t rank,
                                     const struct TerroirDimension *dimensions);

/**
 * Gives the memory of an output, which starts at an address that fits every element type and is there until the
 * call returns. Called once for every output, in order. Null: there can be no such output; give up with any status.
 */
typedef uint8_t *(*TerroirOutputAllocator)(void *user, int32_t element_type, size_t rank, const size_t *shape);

/**
 * The functions of an extension. Any of them may be called from several threads at once. All that is passed lives
 * until the call returns.
 */
typedef struct TerroirExtensionFunctions {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * Keeps the extension. Null together with `release`: it lives as long as its library.
   */
  void (*retain)(void *object);
  /**
   * Takes one `retain` back.
   */
  void (*release)(void *object);
  /**
   * Required. The type of the layers, the framework's; it lives as long as the extension.
   */
  struct TerroirStr (*type_name)(void *object);
  /**
   * The op set that files name for them; it lives as long as the extension. Null: `extension`.
   */
  struct TerroirStr (*version)(void *object);
  /**
   * Required. Types and shapes of the outputs, from the layer's attributes and its inputs, as far as they are
   * known.
   */
  int32_t (*infer)(void *object,
                   struct TerroirSettings attributes,
                   const struct TerroirInputType *inputs,
                   size_t inputs_len,
                   TerroirOutputVisitor visit,
                   void *user,
                   struct TerroirMessage *message);
  /**
   * Required. Computes the outputs, of the types and shapes that `infer` gives for these inputs. The inputs are
   * dense, and start at addresses that fit their element types.
   */
  int32_t (*evaluate)(void *object,
                      struct TerroirSettings attributes,
                      const struct TerroirTensor *const *inputs,
                      size_t inputs_len,
                      TerroirOutputAllocator allocate,
                      void *user,
                      struct TerroirMessage *message);
} TerroirExtensionFunctions;

/**
 * The meaning of one type of custom layers.
 */
typedef struct TerroirExtension {
  /**
   * What its functions take first.
   */
  void *object;
  /**
   * The functions; they live as long as the library.
   */
  const struct TerroirExtensionFunctions *functions;
} TerroirExtension;

/**
 * A model: the text of an IR of version 11, and the constants that it refers to. Text and bytes live until the call
 * returns; who needs the bytes longer calls `retain`, and `release` once for every `retain`.
 */
typedef struct TerroirModel {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The IR's `.xml`.
   */
  struct TerroirStr xml;
  /**
   * What the `.bin` would hold, by rising offset; every constant lies within one chunk.
   */
  const struct TerroirChunk *chunks;
  /**
   * The number of chunks.
   */
  size_t chunks_len;
  /**
   * What `retain` and `release` take.
   */
  void *owner;
  /**
   * Keeps the bytes of all chunks. From any thread.
   */
  void (*retain)(void *owner);
  /**
   * Takes one `retain` back. From any thread.
   */
  void (*release)(void *owner);
  /**
   * The meaning of the model's custom layers, as far as the sender knows it; it lives until the call returns, and
   * what is retained longer.
   */
  const struct TerroirExtension *extensions;
  /**
   * How many.
   */
  size_t extensions_len;
} TerroirModel;

/**
 * Told every setting.
 */
typedef void (*TerroirSettingVisitor)(void *user, struct TerroirStr key, struct TerroirStr value);

/**
 * Told every extension; who needs one longer than the call retains it, if it can be retained.
 */
typedef void (*TerroirExtensionVisitor)(void *user, const struct TerroirExtension *extension);

/**
 * The functions of the engine. Any of them may be called from several threads at once. The host lives until the
 * call returns that it was given to; who needs it longer calls `retain`, and `release` once for every `retain`.
 */
typedef struct TerroirHostFunctions {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * Keeps the host. Always there.
   */
  void (*retain)(void *object);
  /**
   * Takes one `retain` back. Always there.
   */
  void (*release)(void *object);
  /**
   * Another device by its name. It belongs to the caller, who releases it. Always there.
   */
  int32_t (*device)(void *object,
                    struct TerroirStr name,
                    struct TerroirDevice *device,
                    struct TerroirMessage *message);
  /**
   * Writes to the engine's log, at one of `TERROIR_LOG_*`. Always there.
   */
  void (*log)(void *object, int32_t level, struct TerroirStr text);
  /**
   * What users have set for every model that is compiled for a device. Always there.
   */
  int32_t (*settings)(void *object,
                      struct TerroirStr device,
                      TerroirSettingVisitor visit,
                      void *user,
                      struct TerroirMessage *message);
  /**
   * The meaning of custom layers, for devices that read models of their own, as `import` does. Null in older
   * engines.
   */
  int32_t (*extensions)(void *object,
                        TerroirExtensionVisitor visit,
                        void *user,
                        struct TerroirMessage *message);
} TerroirHostFunctions;

/**
 * The engine, as a device sees it.
 */
typedef struct TerroirHost {
  /**
   * What its functions take first.
   */
  void *object;
  /**
   * The functions; they live as long as the process.
   */
  const struct TerroirHostFunctions *functions;
} TerroirHost;

/**
 * Told of every node of a model whether it is taken, one of `TERROIR_NODE_*`.
 */
typedef void (*TerroirSupportVisitor)(void *user,
                                      int32_t answer,
                                      struct TerroirStr node,
                                      struct TerroirStr device,
                                      struct TerroirStr reason);

/**
 * An input or an output of a compiled model.
 */
typedef struct TerroirPort {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The name of the node that gives it.
   */
  struct TerroirStr node;
  /**
   * The names of the tensor.
   */
  const struct TerroirStr *names;
  /**
   * How many.
   */
  size_t names_len;
  /**
   * One of `TERROIR_TYPE_*`.
   */
  int32_t element_type;
  /**
   * The number of dimensions; -1 when unknown.
   */
  int32_t rank;
  /**
   * The dimensions.
   */
  const struct TerroirDimension *dimensions;
} TerroirPort;

/**
 * Told every port of one side, in the model's order.
 */
typedef void (*TerroirPortVisitor)(void *user, const struct TerroirPort *port);

/**
 * Told once, on any thread, when a started inference ends. `message` may be null; who calls keeps it.
 * From this call on the request may be released: nothing of it may be touched behind it.
 */
typedef void (*TerroirCompletion)(void *user, int32_t status, const struct TerroirMessage *message);

/**
 * One row of a profile.
 */
typedef struct TerroirProfileRow {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The name of the model's node.
   */
  struct TerroirStr name;
  /**
   * One of `TERROIR_LAYER_*`.
   */
  int32_t status;
  /**
   * The op's type name.
   */
  struct TerroirStr layer_type;
  /**
   * How it was computed, in the device's words.
   */
  struct TerroirStr exec_type;
  /**
   * Nanoseconds from begin to end on the clock.
   */
  uint64_t real_nanoseconds;
  /**
   * Nanoseconds that processors spent on it.
   */
  uint64_t cpu_nanoseconds;
  /**
   * The name of the device that it ran on.
   */
  struct TerroirStr device;
  /**
   * Which of the device's workers: what has the same number ran one after the other.
   */
  size_t lane;
  /**
   * When it began, in nanoseconds since 1970 on the system's clock; 0 when that, `device` and `lane` are unknown.
   */
  uint64_t begin_nanoseconds;
} TerroirProfileRow;

/**
 * Told every row of a profile.
 */
typedef void (*TerroirProfileVisitor)(void *user, const struct TerroirProfileRow *row);

/**
 * Told every property; `mutable_` is 1 when it can be set.
 */
typedef void (*TerroirPropertyVisitor)(void *user,
                                       struct TerroirStr key,
                                       struct TerroirStr value,
                                       int32_t mutable_);

/**
 * The functions of a remote tensor. Any of them may be called from several threads at once, `release` last and once.
 * They wait for nobody: while an inference uses the memory, what would be in its way answers `TERROIR_STATUS_REQUEST_BUSY`.
 */
typedef struct TerroirRemoteFunctions {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * Required. Ends the tensor. A request where it is set keeps the memory by itself until it gets another one.
   */
  void (*release)(void *object);
  /**
   * Required. Where it lies, such as `FPGA.0`; it lives as long as the tensor.
   */
  struct TerroirStr (*device)(void *object);
  /**
   * Required. Copies the elements to a dense tensor of the host, of the port's type and shape.
   */
  int32_t (*copy_to)(void *object, const struct TerroirTensor *tensor, struct TerroirMessage *message);
  /**
   * Required. Copies the elements from a dense tensor of the host, of the port's type and shape.
   */
  int32_t (*copy_from)(void *object, const struct TerroirTensor *tensor, struct TerroirMessage *message);
  /**
   * Tells what there is to know of the memory, such as size and layout. Null: nothing.
   */
  int32_t (*properties)(void *object, TerroirPropertyVisitor visit, void *user, struct TerroirMessage *message);
} TerroirRemoteFunctions;

/**
 * A tensor in a device's own memory, made for a port of fixed shape: type and shape are that port's. It belongs to the
 * engine, which releases it before the compiled model that made it. By the address of the functions a device tells its
 * own tensors from those of others.
 */
typedef struct TerroirRemote {
  /**
   * What its functions take first.
   */
  void *object;
  /**
   * The functions; they live as long as the library.
   */
  const struct TerroirRemoteFunctions *functions;
} TerroirRemote;

/**
 * The functions of a request. The engine calls one at a time, from any thread; `cancel` alone may come while
 * another runs. While an inference runs the engine calls nothing but `cancel`, and nobody else touches the tensors;
 * between inferences the request must not touch them. Tensors of different ports never overlap.
 */
typedef struct TerroirRequestFunctions {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * Required. Ends the request. Never called while an inference runs; may be called on any thread.
   */
  void (*release)(void *object);
  /**
   * Required. From the next inference on the request reads from, or writes to, this tensor. A request that takes
   * dense tensors alone answers others with `TERROIR_STATUS_NOT_IMPLEMENTED`; the engine then gives it a copy.
   */
  int32_t (*set_tensor)(void *object,
                        int32_t side,
                        size_t index,
                        const struct TerroirTensor *tensor,
                        struct TerroirMessage *message);
  /**
   * Required. The tensor of a port: the one that was set, or the request's own. That of a port of fixed shape
   * stays the same until another is set; that of an output of dynamic shape may be another after each inference,
   * and is there after the first.
   */
  int32_t (*tensor)(void *object,
                    int32_t side,
                    size_t index,
                    struct TerroirTensor *tensor,
                    struct TerroirMessage *message);
  /**
   * Required. Runs one inference and returns when it has ended.
   */
  int32_t (*infer)(void *object, struct TerroirMessage *message);
  /**
   * Starts an inference and returns; unless that fails, `done` is called exactly once. Null: the engine calls
   * `infer` on a thread of its own.
   */
  int32_t (*start)(void *object, TerroirCompletion done, void *user, struct TerroirMessage *message);
  /**
   * Asks a running inference to end early with `TERROIR_STATUS_INFER_CANCELLED`. Null: inferences run to their end.
   */
  void (*cancel)(void *object);
  /**
   * What the layers did in the last inference, in the order in which they ran. Null: nothing is known.
   */
  int32_t (*profile)(void *object, TerroirProfileVisitor visit, void *user, struct TerroirMessage *message);
  /**
   * From the next inference on the request reads from, or writes to, memory of the device, until another tensor is set.
   * Tensors that are not the device's, or do not fit the port, answer `TERROIR_STATUS_PARAMETER_MISMATCH`. Meanwhile the port has
   * no `tensor`: `TERROIR_STATUS_NOT_IMPLEMENTED`. Null: not offered.
   */
  int32_t (*set_remote)(void *object,
                        int32_t side,
                        size_t index,
                        struct TerroirRemote remote,
                        struct TerroirMessage *message);
} TerroirRequestFunctions;

/**
 * One inference at a time on a compiled model.
 */
typedef struct TerroirRequest {
  /**
   * What its functions take first.
   */
  void *object;
  /**
   * The functions; they live as long as the library.
   */
  const struct TerroirRequestFunctions *functions;
} TerroirRequest;

/**
 * Writes bytes. Anything but `TERROIR_STATUS_OK` means that they could not be written: stop and pass the status on.
 */
typedef int32_t (*TerroirWriter)(void *user, const uint8_t *data, size_t len);

/**
 * The functions of a compiled model. Any of them may be called from several threads at once, `release` last and
 * once: after every request and remote tensor has been released.
 */
typedef struct TerroirCompiledFunctions {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * Required. Ends the compiled model.
   */
  void (*release)(void *object);
  /**
   * Required. The ports of a side, `TERROIR_SIDE_INPUT` or `TERROIR_SIDE_OUTPUT`: always the same.
   */
  int32_t (*ports)(void *object,
                   int32_t side,
                   TerroirPortVisitor visit,
                   void *user,
                   struct TerroirMessage *message);
  /**
   * Required. A request with memory of its own.
   */
  int32_t (*create_request)(void *object, struct TerroirRequest *request, struct TerroirMessage *message);
  /**
   * A property by its key, such as `OPTIMAL_NUMBER_OF_INFER_REQUESTS`. Null: there are none.
   */
  int32_t (*property)(void *object,
                      struct TerroirStr key,
                      TerroirTextSink answer,
                      void *user,
                      struct TerroirMessage *message);
  /**
   * Writes what `import` of the device reads. Null: not offered.
   */
  int32_t (*export_to)(void *object, TerroirWriter write, void *user, struct TerroirMessage *message);
  /**
   * Tells all properties. Null: there is no list.
   */
  int32_t (*properties)(void *object, TerroirPropertyVisitor visit, void *user, struct TerroirMessage *message);
  /**
   * Memory of the device for a port of fixed shape, zeroed, in the form in which the device has that port. Null: the
   * device works in the host's memory.
   */
  int32_t (*create_remote)(void *object,
                           int32_t side,
                           size_t index,
                           struct TerroirRemote *remote,
                           struct TerroirMessage *message);
} TerroirCompiledFunctions;

/**
 * A model that is ready to run.
 */
typedef struct TerroirCompiled {
  /**
   * What its functions take first.
   */
  void *object;
  /**
   * The functions; they live as long as the library.
   */
  const struct TerroirCompiledFunctions *functions;
} TerroirCompiled;

/**
 * Bytes that live until the call returns; who needs them longer calls `retain`, and `release` once for every
 * `retain`.
 */
typedef struct TerroirBytes {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The first.
   */
  const uint8_t *data;
  /**
   * How many.
   */
  size_t len;
  /**
   * What `retain` and `release` take.
   */
  void *owner;
  /**
   * Keeps the bytes. From any thread.
   */
  void (*retain)(void *owner);
  /**
   * Takes one `retain` back. From any thread.
   */
  void (*release)(void *owner);
} TerroirBytes;

/**
 * The functions of a device. Any of them may be called from several threads at once, `release` last and once.
 */
typedef struct TerroirDeviceFunctions {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * Required. Ends the device. Compiled models may live longer.
   */
  void (*release)(void *object);
  /**
   * Required. The name that users give, such as `CPU`; it lives as long as the device.
   */
  struct TerroirStr (*name)(void *object);
  /**
   * Required. One line on what it is; it lives as long as the device.
   */
  struct TerroirStr (*description)(void *object);
  /**
   * A property by its key, such as `FULL_DEVICE_NAME`. Null: there are none.
   */
  int32_t (*property)(void *object,
                      struct TerroirStr key,
                      TerroirTextSink answer,
                      void *user,
                      struct TerroirMessage *message);
  /**
   * Required. Which nodes of the model the device would take: those that `compile` takes. `host` may be null.
   */
  int32_t (*query)(void *object,
                   const struct TerroirModel *model,
                   struct TerroirSettings settings,
                   const struct TerroirHost *host,
                   TerroirSupportVisitor visit,
                   void *user,
                   struct TerroirMessage *message);
  /**
   * Required. Makes the model ready to run.
   */
  int32_t (*compile)(void *object,
                     const struct TerroirModel *model,
                     struct TerroirSettings settings,
                     const struct TerroirHost *host,
                     struct TerroirCompiled *compiled,
                     struct TerroirMessage *message);
  /**
   * Takes a model that `export_to` of a compiled model wrote. Null: not offered.
   */
  int32_t (*import)(void *object,
                    const struct TerroirBytes *bytes,
                    struct TerroirSettings settings,
                    const struct TerroirHost *host,
                    struct TerroirCompiled *compiled,
                    struct TerroirMessage *message);
  /**
   * Tells all properties. Null: there is no list.
   */
  int32_t (*properties)(void *object, TerroirPropertyVisitor visit, void *user, struct TerroirMessage *message);
} TerroirDeviceFunctions;

/**
 * A device.
 */
typedef struct TerroirDevice {
  /**
   * What its functions take first.
   */
  void *object;
  /**
   * The functions; they live as long as the library.
   */
  const struct TerroirDeviceFunctions *functions;
} TerroirDevice;

/**
 * What a plugin is.
 */
typedef struct TerroirPlugin {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The version that the plugin was built for: `TERROIR_ABI_VERSION`.
   */
  uint32_t abi_version;
  /**
   * Required. Makes the device. Called once.
   */
  int32_t (*create)(struct TerroirDevice *device, struct TerroirMessage *message);
} TerroirPlugin;

/**
 * What a library of custom layers is.
 */
typedef struct TerroirExtensionLibrary {
  /**
   * The size of this struct.
   */
  size_t size;
  /**
   * The version that the library was built for: `TERROIR_ABI_VERSION`.
   */
  uint32_t abi_version;
  /**
   * Required. Tells the extensions.
   */
  int32_t (*extensions)(TerroirExtensionVisitor visit, void *user, struct TerroirMessage *message);
} TerroirExtensionLibrary;

#endif  /* TERROIR_PLUGIN_H */
