import koffi from 'koffi';
import { TrainerError } from '../../../errors.js';
import { type CFunction, cFunction, type Handle } from '../../../os/c-function.js';

// The part of oneDNN's C API (https://uxlfoundation.github.io/oneDNN, version 3) that is used here.

export type Engine = Handle<'dnnl_engine_t'>;
export type Stream = Handle<'dnnl_stream_t'>;
export type Memory = Handle<'dnnl_memory_t'>;
/** Type, dimensions and strides of an operand. */
export type MemoryDesc = Handle<'dnnl_memory_desc_t'>;
export type Attr = Handle<'dnnl_primitive_attr_t'>;
/** A selected but not yet compiled operation. */
export type PrimitiveDesc = Handle<'dnnl_primitive_desc_t'>;
/** A compiled operation. */
export type Primitive = Handle<'dnnl_primitive_t'>;

/** `dnnl_data_type_t` */
export const TYPE = { bfloat16: 2, float32: 3 } as const;
/** `dnnl_prop_kind_t` */
export const TRAINING = 64;
export const BACKWARD = 128;
/** `dnnl_alg_kind_t` */
export const ALGORITHM = {
  linear: 0x26,
  logistic: 0x29,
  geluTanh: 0x2b,
  /** x logistic(alpha x), which the library calls swish */
  silu: 0x2c,
  add: 0x1fff0,
  multiply: 0x1fff1,
  softmax: 0x30000,
} as const;
/** `DNNL_ARG_*` */
export const ARGUMENT = {
  source: 1,
  source1: 2,
  result: 17,
  weights: 33,
  mean: 49,
  variance: 50,
  scale: 51,
  shift: 52,
  dSource: 129,
  dResult: 145,
  dScale: 255,
  dShift: 256,
} as const;
/** `dnnl_normalization_flags_t`: with gain and bias. */
export const SCALE_AND_SHIFT = 6;
/** `dnnl_query_impl_info_str` */
export const IMPLEMENTATION = 8;
/** `DNNL_ARG_ATTR_MULTIPLE_POST_OP(index) | DNNL_ARG_SRC_1` */
export const postOpSource = (index: number) => (32768 * (index + 1)) | ARGUMENT.source1;

const CPU = 1;
const DEFAULT_STREAM = 1;
const OLDEST_VERSION = 3;
const RTLD_NOW = 2;

const SIGNATURES = {
  engineCreate: 'int dnnl_engine_create(_Out_ dnnl_engine_t *engine, int kind, size_t index)',
  streamCreate:
    'int dnnl_stream_create(_Out_ dnnl_stream_t *stream, dnnl_engine_t engine, unsigned int flags)',
  descCreate:
    'int dnnl_memory_desc_create_with_strides(_Out_ dnnl_memory_desc_t *desc, int ndims, const int64_t *dims, int type, const int64_t *strides)',
  descDestroy: 'int dnnl_memory_desc_destroy(dnnl_memory_desc_t desc)',
  memoryCreate:
    'int dnnl_memory_create(_Out_ dnnl_memory_t *memory, dnnl_memory_desc_t desc, dnnl_engine_t engine, void *_Nullable handle)',
  memoryDestroy: 'int dnnl_memory_destroy(dnnl_memory_t memory)',
  setHandle: 'int dnnl_memory_set_data_handle(dnnl_memory_t memory, void *handle)',
  attrCreate: 'int dnnl_primitive_attr_create(_Out_ dnnl_primitive_attr_t *attr)',
  attrDestroy: 'int dnnl_primitive_attr_destroy(dnnl_primitive_attr_t attr)',
  attrSetPostOps: 'int dnnl_primitive_attr_set_post_ops(dnnl_primitive_attr_t attr, dnnl_post_ops_t ops)',
  postOpsCreate: 'int dnnl_post_ops_create(_Out_ dnnl_post_ops_t *ops)',
  postOpsDestroy: 'int dnnl_post_ops_destroy(dnnl_post_ops_t ops)',
  appendSum: 'int dnnl_post_ops_append_sum(dnnl_post_ops_t ops, float scale, int32_t zero_point, int type)',
  appendEltwise:
    'int dnnl_post_ops_append_eltwise(dnnl_post_ops_t ops, int algorithm, float alpha, float beta)',
  appendBinary:
    'int dnnl_post_ops_append_binary(dnnl_post_ops_t ops, int algorithm, dnnl_memory_desc_t source1)',
  primitiveCreate: 'int dnnl_primitive_create(_Out_ dnnl_primitive_t *primitive, dnnl_primitive_desc_t desc)',
  implementation:
    'int dnnl_primitive_desc_query(dnnl_primitive_desc_t desc, int what, int index, _Out_ const char **result)',
  nextImplementation: 'int dnnl_primitive_desc_next_impl(dnnl_primitive_desc_t desc)',
  primitiveDescDestroy: 'int dnnl_primitive_desc_destroy(dnnl_primitive_desc_t desc)',
  primitiveDestroy: 'int dnnl_primitive_destroy(dnnl_primitive_t primitive)',
  execute:
    'int dnnl_primitive_execute(dnnl_primitive_t primitive, dnnl_stream_t stream, int count, void *arguments)',
  matmul:
    'int dnnl_matmul_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, dnnl_memory_desc_t source, dnnl_memory_desc_t weights, dnnl_memory_desc_t _Nullable bias, dnnl_memory_desc_t result, dnnl_primitive_attr_t _Nullable attr)',
  reorder:
    'int dnnl_reorder_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_memory_desc_t source, dnnl_engine_t source_engine, dnnl_memory_desc_t result, dnnl_engine_t result_engine, dnnl_primitive_attr_t _Nullable attr)',
  binary:
    'int dnnl_binary_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, int algorithm, dnnl_memory_desc_t source, dnnl_memory_desc_t source1, dnnl_memory_desc_t result, dnnl_primitive_attr_t _Nullable attr)',
  eltwise:
    'int dnnl_eltwise_forward_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, int kind, int algorithm, dnnl_memory_desc_t source, dnnl_memory_desc_t result, float alpha, float beta, dnnl_primitive_attr_t _Nullable attr)',
  eltwiseBackward:
    'int dnnl_eltwise_backward_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, int algorithm, dnnl_memory_desc_t d_source, dnnl_memory_desc_t d_result, dnnl_memory_desc_t data, float alpha, float beta, dnnl_primitive_desc_t hint, dnnl_primitive_attr_t _Nullable attr)',
  softmax:
    'int dnnl_softmax_forward_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, int kind, int algorithm, dnnl_memory_desc_t source, dnnl_memory_desc_t result, int axis, dnnl_primitive_attr_t _Nullable attr)',
  layerNorm:
    'int dnnl_layer_normalization_forward_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, int kind, dnnl_memory_desc_t source, dnnl_memory_desc_t result, dnnl_memory_desc_t statistics, float epsilon, unsigned int flags, dnnl_primitive_attr_t _Nullable attr)',
  layerNormBackward:
    'int dnnl_layer_normalization_backward_primitive_desc_create(_Out_ dnnl_primitive_desc_t *desc, dnnl_engine_t engine, int kind, dnnl_memory_desc_t d_source, dnnl_memory_desc_t d_result, dnnl_memory_desc_t source, dnnl_memory_desc_t statistics, float epsilon, unsigned int flags, dnnl_primitive_desc_t hint, dnnl_primitive_attr_t _Nullable attr)',
} as const;

type Name = keyof typeof SIGNATURES;
export type Calls = { readonly [N in Name]: CFunction<(typeof SIGNATURES)[N]> };

/** The library with a CPU engine and a stream, whose calls return when their work is done. */
export interface OneDnn {
  readonly version: string;
  readonly calls: Calls;
  readonly engine: Engine;
  readonly stream: Stream;
  /** Whether the library multiplies bfloat16 on this processor, even if slowly. */
  readonly hasBfloat16: boolean;
}

/**
 * @param path path of libdnnl.so
 * @param threadsPath path of libgomp.so, if the system may have none
 * @throws TrainerError `BAD_INPUT` if it cannot be loaded or is older than 3.0, which another try would not change
 */
export function loadOneDnn(path: string, threadsPath: string | null): OneDnn {
  // The library reads this variable when loaded. More threads would busy-wait for work on few rows.
  process.env.OMP_NUM_THREADS ??= '1';
  try {
    if (threadsPath !== null) koffi.load(threadsPath);
    const library = koffi.load(path);
    const describe = library.func('const int *dnnl_version()') as () => unknown;
    const [major, minor, patch] = koffi.decode(describe(), 'int', 3) as [number, number, number];
    const version = `${major}.${minor}.${patch}`;
    if (major < OLDEST_VERSION) throw new Error(`version ${version} is older than ${OLDEST_VERSION}.0`);
    const calls = Object.fromEntries(
      Object.entries(SIGNATURES).map(([name, signature]) => [name, cFunction(library, signature)]),
    ) as unknown as Calls;
    keepUntilTheEnd(path);
    const engine = create(calls, 'engineCreate', CPU, 0);
    return {
      version,
      calls,
      engine,
      stream: create(calls, 'streamCreate', engine, DEFAULT_STREAM),
      hasBfloat16: multiplies(calls, engine, TYPE.bfloat16),
    };
  } catch (error) {
    throw new TrainerError(
      'BAD_INPUT',
      `cannot use oneDNN of ${path}: ${(error as Error).message}; LOCMOE_KERNELS=tensorflow goes without`,
      {},
      { cause: error },
    );
  }
}

function multiplies(calls: Calls, engine: Engine, type: number): boolean {
  const matrix = create(calls, 'descCreate', 2, BigInt64Array.of(2n, 2n), type, BigInt64Array.of(2n, 1n));
  const product: [PrimitiveDesc | null] = [null];
  const isThere = calls.matmul(product, engine, matrix, matrix, null, matrix, null) === 0;
  if (isThere) calls.primitiveDescDestroy(product[0]!);
  calls.descDestroy(matrix);
  return isThere;
}

/**
 * Keeps the library and its threads' library loaded, by a handle that is never closed: Koffi closes a library at the
 * end of the process, and its threads, which may still be busy-waiting, would crash without its code.
 */
function keepUntilTheEnd(path: string): void {
  cFunction(koffi.load(null), 'void *dlopen(const char *file, int flags)')(path, RTLD_NOW);
}

/** The type of the created object, and of the arguments after the first, which receives that object. */
type Creation<N extends Name> =
  Parameters<Calls[N]> extends [[infer Created], ...infer Rest]
    ? { args: Rest; created: NonNullable<Created> }
    : never;

/**
 * Calls a function that creates an object.
 *
 * @throws TrainerError `INTERNAL` with the library's status
 */
export function create<N extends Name>(
  calls: Calls,
  name: N,
  ...args: Creation<N>['args']
): Creation<N>['created'] {
  const out: [Creation<N>['created'] | null] = [null];
  check(name, (calls[name] as (...all: readonly unknown[]) => number)(out, ...args));
  return out[0]!;
}

/** @throws TrainerError `INTERNAL` unless `status` is success */
export function check(name: string, status: number): void {
  if (status !== 0) throw new TrainerError('INTERNAL', `oneDNN: ${name} failed with status ${status}`);
}
