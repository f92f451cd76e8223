// The overlay in OpenCL C: the instructions of SPEC.md, read from their descriptors. One launch of `compute` and one of
// `put` take one instruction; work-items divide its places and words. Everything is 32-bit integers and f32, no fp16.

#pragma OPENCL FP_CONTRACT OFF

#define LARGEST 0x7bff
#define VECTOR_MAX 64

uint half_of(const uchar *d, int at) { return d[at] | (uint)d[at + 1] << 8; }
uint word_of(const uchar *d, int at) { return half_of(d, at) | half_of(d, at + 2) << 16; }
float float_at(__global const uchar *constants, ulong at) { return *(__global const float *)(constants + at); }
ushort half_at(__global const uchar *constants, ulong at) { return *(__global const ushort *)(constants + at); }
ulong aligned(ulong bytes) { return (bytes + 63) / 64 * 64; }

ushort to_fp16(float value)
{
    uint bits = as_uint(value);
    uint magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return 0;
    uint rounded = (magnitude + 0xfff + (magnitude >> 13 & 1)) >> 13;
    if (rounded < (127 - 14) << 10)
        return 0;
    return min(rounded - ((127 - 15) << 10), (uint)LARGEST) | (bits >> 16 & 0x8000);
}

uint magnitude_of(ushort bits) { return min((uint)bits & 0x7fff, (uint)LARGEST); }

float from_fp16(ushort bits)
{
    uint magnitude = magnitude_of(bits);
    uint sign = ((uint)bits & 0x8000) << 16;
    return magnitude < 0x400 ? 0.0f : as_float(sign | ((magnitude << 13) + ((127 - 15) << 23)));
}

float round_fp16(float value) { return from_fp16(to_fp16(value)); }

// 1/n rounded to f32, ties to even: a device's division may be off by some units.
float reciprocal(uint n)
{
    ulong one = (ulong)1 << 60;
    ulong quotient = one / n;
    int cut = 64 - (int)clz(quotient) - 24;
    ulong whole = quotient >> cut;
    ulong rest = quotient - (whole << cut);
    ulong middle = (ulong)1 << (cut - 1);
    int beyond = one % n != 0;
    whole += rest > middle || (rest == middle && (beyond || (whole & 1)));
    // At most 24 bits, or a power of two: exact as f32.
    return (float)whole * as_float((uint)(127 + cut - 60) << 23);
}

// What an addend of kind 1 or 2 makes of a value.
float add(const uchar *d, __global const ushort *stream, int c_vec, ulong place, uint lane, float value)
{
    if (d[16] == 0)
        return value;
    ulong word = word_of(d, 17) + place * half_of(d, 21);
    float other = from_fp16(stream[word * c_vec + lane]);
    return round_fp16(d[16] == 1 ? value + other : value - other);
}

ushort activate(const uchar *d, __global const uchar *constants, ulong slope_at, float value)
{
    uint argument = word_of(d, 24);
    switch (d[23]) {
    case 1:
        return to_fp16(value < 0 ? value * from_fp16(argument) : value);
    case 2:
        return to_fp16(value < 0 ? value * from_fp16(half_at(constants, slope_at)) : value);
    case 3:
        return to_fp16(min(max(value, from_fp16(argument)), from_fp16(argument >> 16)));
    case 4:
        return to_fp16(from_fp16(half_at(constants, (ulong)argument * 64 + 2 * to_fp16(value))));
    default:
        return to_fp16(value);
    }
}

// The block of a word: its integers, and its exponent.
int block(__global const ushort *values, int c_vec, int bits, int *integers)
{
    uint exponent = 0;
    for (int c = 0; c < c_vec; c++)
        exponent = max(exponent, magnitude_of(values[c]) >> 10);
    for (int c = 0; c < c_vec; c++) {
        uint magnitude = magnitude_of(values[c]);
        uint own = magnitude >> 10;
        uint doubled = own == 0 ? 0 : (magnitude & 0x3ff | 0x400) << 1;
        uint shift = min(exponent - own + 11 - bits, (uint)12);
        uint rounded = (doubled + (1u << shift) - 1 + (doubled >> (shift + 1) & 1)) >> (shift + 1);
        int bounded = min(rounded, (1u << bits) - 1);
        integers[c] = values[c] & 0x8000 ? -bounded : bounded;
    }
    return exponent;
}

// Where a tap lies on an axis of the input; -1 outside.
int along(const uchar *d, int axis, uint out, uint tap, uint size)
{
    int fine = (int)(out * d[48 + axis] + tap * d[50 + axis]) - d[52 + axis];
    int zoom = d[54 + axis];
    return fine >= 0 && fine % zoom == 0 && fine / zoom < size ? fine / zoom : -1;
}

// One word of one place of a convolution.
void convolve(const uchar *d, ulong item, __global const uchar *constants, __global const ushort *stream,
              __global ushort *made, int c_vec, int k_vec, int bits)
{
    uint in_height = half_of(d, 32), in_width = half_of(d, 34), in_blocks = half_of(d, 36);
    uint out_width = half_of(d, 40), out_channels = half_of(d, 42), groups = half_of(d, 44);
    uint group_words = (out_channels + c_vec - 1) / c_vec;
    ulong place = item / (groups * group_words);
    uint word = item % (groups * group_words);
    uint g = word / group_words, first = word % group_words * c_vec;
    uint y = place / out_width, x = place % out_width;

    ulong size = bits > 7 ? 2 : 1;
    ulong channels = (out_channels + k_vec - 1) / k_vec * k_vec;
    ulong taps = (ulong)d[46] * d[47] * in_blocks;
    ulong slopes = aligned(4 * channels);
    ulong exponents = slopes + (d[23] == 2 ? aligned(2 * channels) : 0);
    ulong mantissas = exponents + aligned(channels * taps);
    ulong base = (ulong)word_of(d, 28) * 64 + g * (mantissas + aligned(channels * taps * c_vec * size));

    float acc[VECTOR_MAX];
    int integers[VECTOR_MAX];
    for (int c = 0; c < c_vec; c++)
        acc[c] = 0.0f;
    for (uint r = 0; r < d[46]; r++) {
        int v = along(d, 0, y, r, in_height);
        for (uint s = 0; s < d[47]; s++) {
            int u = along(d, 1, x, s, in_width);
            if (v < 0 || u < 0)
                continue;
            ulong from = word_of(d, 4) + ((ulong)v * in_width + u) * half_of(d, 8) + g * in_blocks;
            for (uint b = 0; b < in_blocks; b++) {
                int own = block(stream + (from + b) * c_vec, c_vec, bits, integers);
                ulong tap = (ulong)(r * d[47] + s) * in_blocks + b;
                for (int c = 0; c < c_vec && first + c < out_channels; c++) {
                    uint k = first + c;
                    ulong part = k / k_vec * taps + tap;
                    ulong number = part * c_vec / 2 * k_vec * 2 + k % k_vec * 2;
                    int sum = 0;
                    for (int lane = 0; lane < c_vec; lane += 2, number += 2 * k_vec) {
                        __global const uchar *at = constants + base + mantissas + number * size;
                        if (size == 1) {
                            __global const char *pair = (__global const char *)at;
                            sum += integers[lane] * pair[0] + integers[lane + 1] * pair[1];
                        } else {
                            __global const short *pair = (__global const short *)at;
                            sum += integers[lane] * pair[0] + integers[lane + 1] * pair[1];
                        }
                    }
                    int power = own + constants[base + exponents + part * k_vec + k % k_vec] - 30 - 2 * (bits - 1);
                    float product = convert_float_rte(sum) * as_float((uint)(127 + power) << 23);
                    acc[c] = acc[c] + product;
                }
            }
        }
    }
    __global ushort *to = made + item * c_vec;
    for (int c = 0; c < c_vec; c++) {
        uint k = first + c;
        if (k < out_channels) {
            float value = round_fp16(acc[c] + float_at(constants, base + 4 * k));
            value = add(d, stream, c_vec, place, g * group_words * c_vec + k, value);
            to[c] = activate(d, constants, base + slopes + 2 * k, value);
        } else {
            to[c] = 0;
        }
    }
}

float pool(const uchar *d, __global const ushort *input, ulong pitch, uint y, uint x, uint lane)
{
    uint in_width = half_of(d, 34);
    int height = half_of(d, 32) * d[50], width = in_width * d[51];
    int top = y * d[46], left = x * d[47];
    if (d[42] == 0)
        return from_fp16(input[((ulong)(top / d[50]) * in_width + left / d[51]) * pitch + lane]);
    int pad_rows = d[48], pad_columns = d[49];
    float largest = 0.0f, sum = 0.0f;
    uint inside = 0;
    for (int row = max(top - pad_rows, 0); row < min(top - pad_rows + d[44], height); row++) {
        for (int column = max(left - pad_columns, 0); column < min(left - pad_columns + d[45], width); column++) {
            float value = from_fp16(input[((ulong)(row / d[50]) * in_width + column / d[51]) * pitch + lane]);
            largest = inside == 0 ? value : max(largest, value);
            sum = sum + value;
            inside++;
        }
    }
    if (d[42] == 1)
        return largest;
    int padded_rows = min(top + d[44], height + 2 * pad_rows) - top;
    int padded_columns = min(left + d[45], width + 2 * pad_columns) - left;
    uint n = d[42] == 3 ? inside : max(padded_rows, 0) * max(padded_columns, 0);
    return n == 0 ? 0.0f : round_fp16(sum * reciprocal(n));
}

// One word of one place of an auxiliary instruction.
void auxiliary(const uchar *d, ulong item, __global const uchar *constants, __global const ushort *stream,
               __global const ushort *input, ulong pitch, __global ushort *made, int c_vec)
{
    uint blocks = half_of(d, 36), out_width = half_of(d, 40);
    ulong place = item / blocks;
    uint first = item % blocks * c_vec, lanes = blocks * c_vec;
    uint y = place / out_width, x = place % out_width;
    ulong scales = (ulong)word_of(d, 28) * 64;
    ulong shifts = scales + aligned(4 * lanes);
    int scaled = d[1] & 2;
    ulong slopes = scales + (scaled ? 2 * aligned(4 * lanes) : 0);
    ulong coefficients = slopes + (d[23] == 2 ? aligned(2 * lanes) : 0);
    int reach = d[43] / 2;
    for (uint lane = first; lane < first + c_vec; lane++) {
        int low = max((int)lane - reach, 0), high = min(lane + reach, lanes - 1);
        float own = 0.0f, squares = 0.0f;
        // Neighbours are computed anew: nothing is shared between work-items.
        for (int near = low; near <= high; near++) {
            float value = pool(d, input, pitch, y, x, near);
            if (scaled) {
                float product = value * float_at(constants, scales + 4 * near);
                value = round_fp16(product + float_at(constants, shifts + 4 * near));
            }
            value = add(d, stream, c_vec, place, near, value);
            squares = squares + value * value;
            own = near == lane ? value : own;
        }
        if (d[43] != 0) {
            float product = float_at(constants, coefficients) * squares;
            ushort t = to_fp16(float_at(constants, coefficients + 4) + product);
            own = round_fp16(own * from_fp16(half_at(constants, coefficients + 64 + 2 * (ulong)t)));
        }
        made[item * c_vec + lane - first] = activate(d, constants, slopes + 2 * lane, own);
    }
}

// A work-item is a word: of a transfer, or of a place of what the instruction makes. There may be more work-items than
// words, for groups of one size: some devices compile for each size anew.
__kernel void compute(__global const uchar *program, uint index, uint items, __global const uchar *constants,
                      __global ushort *features, __global ushort *stream, __global ushort *made,
                      __global const ushort *handed, uint handed_words, int c_vec, int k_vec, int bits)
{
    uchar d[64];
    for (int i = 0; i < 64; i++)
        d[i] = program[(ulong)index * 64 + i];
    ulong item = get_global_id(0);
    if (item >= items)
        return;
    if (d[0] == 1 || d[0] == 2) {
        ulong in_stream = (word_of(d, 4) + item) * c_vec, in_memory = (word_of(d, 8) + item) * c_vec;
        for (int c = 0; c < c_vec; c++) {
            if (d[0] == 1)
                stream[in_stream + c] = features[in_memory + c];
            else
                features[in_memory + c] = stream[in_stream + c];
        }
    } else if (d[0] == 3) {
        convolve(d, item, constants, stream, made, c_vec, k_vec, bits);
    } else if (d[1] & 1) {
        auxiliary(d, item, constants, stream, handed, (ulong)handed_words * c_vec, made, c_vec);
    } else {
        __global const ushort *input = stream + (ulong)word_of(d, 4) * c_vec;
        auxiliary(d, item, constants, stream, input, (ulong)half_of(d, 8) * c_vec, made, c_vec);
    }
}

// What an instruction has made goes to its map when all have read what they need.
__kernel void put(__global const uchar *program, uint index, uint items, __global const ushort *made, __global ushort *stream,
                  uint words, int c_vec)
{
    __global const uchar *d = program + (ulong)index * 64;
    ulong item = get_global_id(0);
    if (item >= items)
        return;
    ulong address = d[10] | (ulong)d[11] << 8 | (ulong)d[12] << 16 | (ulong)d[13] << 24;
    ulong to = address + item / words * (d[14] | (ulong)d[15] << 8) + item % words;
    for (int c = 0; c < c_vec; c++)
        stream[to * c_vec + c] = made[item * c_vec + c];
}
